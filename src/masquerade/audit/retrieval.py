"""Can the person still be found? Identity retrieval of anonymized faces among the originals (thesis 5.3.2, table 5.6).

A recogniser looks for each anonymized face among all original faces, its own frame included: whoever has the original
frame is the strongest searcher there is. d is the cosine distance, t the recogniser's threshold at a false acceptance
rate (FAR), a an anonymized face, o an original one of the same person, x one of anybody:

    ID        share of a for which min d(a, o) < t and no other person is nearer
    ¬ID       the same for -a: a face driven far away is found by whoever negates it (thesis 5.4)
    verified  share of a for which min d(a, o) < t, whoever else is near: at least ID, and all there is with one person
    rank-1    share of a for which no other person is nearer, without a threshold, as swaps are judged
    others    share of a for which min d(a, x) < t with x of another person: what blurred faces give by resembling all
    adapted   ID at the threshold t' at which these a match strangers' x at the same FAR. Where they resemble all, t is
              no threshold for them, and t' < t; where they resemble nobody, t' > t, as whoever knows the method has it

States add up: `a + b` is what one machine would have seen that looked at both. They hold embeddings, which are
biometric data: keep them in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.intervals import Estimate, bootstrap, share_of
from masquerade.audit.temporal import Consistency, consistency, evenly
from masquerade.audit.verification import (
    cosine_distance,
    distance_matrix,
    pairs_needed,
    retrieval_ranks,
    threshold_at_far,
)

_ROWS = 512  # people compared with all others at a time
_STRANGERS = 2000  # faces that are compared with as many of others
_FEW = 200  # resamples of what takes long


@dataclass(frozen=True, slots=True)
class Probes:
    """Faces before and after, as one recogniser sees them.

    Attributes:
        people: whose face it is, names that are unique over all files, shape (n,).
        files: which file it is in, names, shape (n,).
        originals, anonymized: unit vectors, shape (n, dimensions); rows of one person in order of time.
    """

    people: NDArray[np.str_]
    files: NDArray[np.str_]
    originals: NDArray[np.float32]
    anonymized: NDArray[np.float32]

    def __add__(self, other: "Probes") -> "Probes":
        return Probes.together([self, other])

    def __len__(self) -> int:
        return len(self.people)

    @staticmethod
    def together(parts: Iterable["Probes"]) -> "Probes":
        """Of several machines or files, at least one."""
        some = list(parts)
        return Probes(
            np.concatenate([part.people for part in some]),
            np.concatenate([part.files for part in some]),
            np.concatenate([part.originals for part in some]),
            np.concatenate([part.anonymized for part in some]),
        )


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one recogniser finds; see the module.

    Attributes:
        threshold: cosine distance below which two faces match.
        gallery: original faces that were searched.
        gallery_people: whose they are.
        id, neg_id, verified, neg_verified, rank1: shares of the anonymized faces.
        people: share of the people who are verified in at least one frame, negated or not.
        others: see the module; None where there is nobody else.
        adapted_threshold, adapted: t' and the ID there; None where too few pairs of strangers show the FAR.
    """

    threshold: float
    gallery: int
    gallery_people: int
    id: Estimate
    neg_id: Estimate
    verified: Estimate
    neg_verified: Estimate
    rank1: Estimate
    people: Estimate
    others: Estimate | None
    adapted_threshold: float | None
    adapted: Estimate | None

    @property
    def own(self) -> Estimate:
        """The ID that says most: at t, or at t' where that is lower, because there t finds resemblance to everybody."""
        if self.adapted is None or self.adapted_threshold is None or self.adapted_threshold >= self.threshold:
            return self.id
        return self.adapted


def retrieve(probes: Probes, threshold: float, far: float) -> Retrieval | None:
    """Identity retrieval; None where there are no faces.

    Args:
        probes: faces before and after.
        threshold: cosine distance, of the recogniser that made the vectors.
        far: the false acceptance rate that it is for.
    """
    if not len(probes):
        return None
    names, who = np.unique(probes.people, return_inverse=True)

    def ranks(queries: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
        return retrieval_ranks(queries, probes.originals, who, who, threshold=limit)

    plain, negated = ranks(probes.anonymized, threshold), ranks(-probes.anonymized, threshold)
    nearest = ranks(probes.anonymized, np.inf)
    adapted = _threshold_among_strangers(probes, who, far)
    known = np.zeros(len(names), bool)
    np.logical_or.at(known, who, (plain > 0) | (negated > 0))

    def share(hits: NDArray[np.bool_]) -> Estimate:
        found = share_of(hits, who if len(hits) == len(who) else np.arange(len(hits)))
        assert found is not None  # there are faces
        return found

    return Retrieval(
        threshold=threshold,
        gallery=len(probes),
        gallery_people=len(names),
        id=share(plain == 1),
        neg_id=share(negated == 1),
        verified=share(plain > 0),
        neg_verified=share(negated > 0),
        rank1=share(nearest == 1),
        people=share(known),
        others=share(_near_others(probes, who, threshold)) if len(names) > 1 else None,
        adapted_threshold=adapted,
        adapted=None if adapted is None else share(ranks(probes.anonymized, adapted) == 1),
    )


def _threshold_among_strangers(probes: Probes, who: NDArray[np.int64], far: float) -> float | None:
    """The distance below which anonymized faces match originals of other people at that rate."""
    some = np.unique(np.linspace(0, len(who) - 1, min(len(who), _STRANGERS)).astype(int))
    distances = distance_matrix(probes.anonymized[some], probes.originals[some])
    apart = distances[who[some, None] != who[None, some]]
    return threshold_at_far(apart, far) if len(apart) >= pairs_needed(far) else None


def _near_others(probes: Probes, who: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """Whether each anonymized face matches somebody else's original."""
    near = np.zeros(len(who), bool)
    for start in range(0, len(who), _ROWS):
        part = slice(start, start + _ROWS)
        distances = distance_matrix(probes.anonymized[part], probes.originals)
        near[part] = ((distances < threshold) & (who[part, None] != who[None, :])).any(axis=1)
    return near


@dataclass(frozen=True, slots=True)
class Linkability:
    """Whether two anonymized videos can be seen to show one person, though nobody knows whom.

    Attributes:
        linked: share of the pairs of one person's tracks in two files whose anonymized faces match.
        strangers: the same of pairs of two people; what is above this gives something away.
    """

    linked: Estimate | None
    strangers: Estimate | None


def linkability(probes: Probes, threshold: float) -> Linkability:
    """How many people can be followed from file to file by their anonymized faces.

    Tracks of two files are compared by the mean of their vectors. Nobody tells us who is who, so two tracks are one
    person's where their *originals* match: a recogniser that misses such a pair misses it on both sides.

    Args:
        probes: of several files.
        threshold: cosine distance below which two faces match.
    """
    names, first, who = np.unique(probes.people, return_index=True, return_inverse=True)
    files = probes.files[first]
    before, after = (_means(vectors, who, len(names)) for vectors in (probes.originals, probes.anonymized))
    rows: list[NDArray[np.int64]] = []
    same: list[NDArray[np.bool_]] = []
    matched: list[NDArray[np.bool_]] = []
    for start in range(0, len(names), _ROWS):
        part = np.arange(start, min(start + _ROWS, len(names)))
        i, j = np.nonzero((files[part, None] != files[None, :]) & (part[:, None] < np.arange(len(names))[None, :]))
        rows.append(part[i])
        same.append(distance_matrix(before[part], before)[i, j] < threshold)
        matched.append(distance_matrix(after[part], after)[i, j] < threshold)
    if not rows:
        return Linkability(None, None)
    one, whose, linked = np.concatenate(same), np.concatenate(rows), np.concatenate(matched)
    return Linkability(share_of(linked[one], whose[one]), share_of(linked[~one], whose[~one]))


def drift(people: NDArray[np.str_], vectors: NDArray[np.float32]) -> tuple[Consistency, Estimate] | None:
    """M_tc (see `temporal`) with the interval of its mean; None where nobody was seen twice.

    Args:
        people: whose face it is, shape (n,).
        vectors: unit vectors, shape (n, dimensions), one person's in order of time; ten of each are taken.
    """
    rows = [np.flatnonzero(people == name) for name in np.unique(people)]
    seen = [vectors[own[evenly(len(own))]] for own in rows if len(own) > 1]
    found = consistency(seen)
    if found is None:
        return None
    sums = np.array([cosine_distance(own[:-1], own[1:]).sum() for own in seen])
    steps = np.array([len(own) - 1 for own in seen])
    low, high = bootstrap(len(seen), lambda drawn: float(sums[drawn].sum() / steps[drawn].sum()), resamples=_FEW)
    return found, Estimate(found.steps.mean, low, high, found.steps.count, found.people)


def _means(vectors: NDArray[np.float32], who: NDArray[np.int64], people: int) -> NDArray[np.float32]:
    sums = np.zeros((people, vectors.shape[1]), np.float64)
    np.add.at(sums, who, vectors)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(length, 1e-12), np.float32)
