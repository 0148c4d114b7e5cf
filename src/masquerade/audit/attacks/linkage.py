"""Do many frames say what one does not? Averages over a track. Pure function of unit vectors.

Noise that is drawn anew for each frame averages out, and so does whatever else differs from frame to frame. What stays
is the fabricated identity and, if the anonymizer leaves any, a trace of the person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from masquerade.audit.attacks.matching import found_at_far
from masquerade.audit.intervals import Estimate, share_of
from masquerade.audit.retrieval import Probes
from masquerade.audit.temporal import evenly
from masquerade.audit.verification import distance_matrix, pairs_needed, retrieval_ranks, threshold_at_far

FRAMES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Averaged:
    """What averages of so many frames give away.

    Attributes:
        frames: of each person, or all there are.
        found: share of the people whose average matches the average of their originals.
        similarity: mean cosine of the two.
        strangers: mean cosine of an average and somebody else's originals.
    """

    frames: int
    found: Estimate
    similarity: float
    strangers: float


def averaging(probes: Probes, frames: Sequence[int] = FRAMES, far: float = 1e-3) -> list[Averaged]:
    """For each number of frames, how many people come back; empty where there are not two people.

    People are as `Probes` has them: one person in two files counts as two, so give each a name of their own.

    Args:
        probes: faces before and after, one person's in order of time.
        frames: how many of each person's, evenly taken, are averaged.
        far: share of two people's averages that match, which sets the threshold; see `matching.found_at_far`.
    """
    names = np.unique(probes.people)
    rows = [np.flatnonzero(probes.people == name) for name in names]
    originals = _mean_directions(probes.originals, rows)
    found = []
    for count in frames:
        averages = _mean_directions(probes.anonymized, [own[evenly(len(own), count)] for own in rows])
        share, _ = found_at_far(averages, originals, names, far)
        if share is None:
            return []
        cosines = averages @ originals.T
        same = np.eye(len(names), dtype=bool)
        found.append(Averaged(count, share, float(cosines[same].mean()), float(cosines[~same].mean())))
    return found


@dataclass(frozen=True, slots=True)
class Means:
    """One vector for each person: the direction of the mean of many. States add up, person by person.

    Attributes:
        sums: person → sum of unit vectors, (dimensions,).
        counts: person → how many these were.
    """

    sums: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Means") -> "Means":
        people = dict.fromkeys([*self.sums, *other.sums])
        return Means(
            {name: self.sums.get(name, 0) + other.sums.get(name, np.zeros(())) for name in people},
            {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in people},
        )

    @staticmethod
    def of(people: NDArray[np.str_], vectors: NDArray[np.float32]) -> "Means":
        """Of rows (n, dimensions) and whose they are, (n,)."""
        rows = {str(name): np.flatnonzero(people == name) for name in np.unique(people)}
        return Means(
            {name: vectors[own].sum(axis=0, dtype=np.float64) for name, own in rows.items()},
            {name: len(own) for name, own in rows.items()},
        )


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """Whether one vector for each person leads back to them, of people as few as an audit has.

    Attributes:
        threshold: cosine distance below which two means match.
        adapted: whether that is the attack's own threshold, at which strangers' means match at the rate asked; else it
            is the recogniser's, for single faces, because too few pairs of strangers show that rate.
        found: share of the people whose nearest original is their own and nearer than the threshold.
        nearest: the same without a threshold.
        strangers: share of the pairs of two people that match at the threshold: what chance is. None where there is
            nobody else.
        candidates: people among whose originals it was searched.
        faces: of which the vectors are means, of each person, the median.
        luck: probability that as many were found if each matched their own as often as strangers do, and at least as
            often as the rate asked; small where somebody was really brought back.
    """

    threshold: float
    adapted: bool
    found: Estimate
    nearest: Estimate
    strangers: Estimate | None
    candidates: int
    faces: int
    luck: float


def brought_back(
    queries: Means, originals: Means, threshold: float, far: float, *, least: int = 1
) -> BroughtBack | None:
    """Compares the mean of what is left of each person with the means of everybody's originals.

    The recogniser's threshold is for single faces; means have less noise and may all be alike. So where there are
    enough people for it (33 for a rate of 1e-3) the threshold is that of these very means. Where there are fewer, the
    smallest distance of any two people would have to stand for it: one pair of look-alikes, or one person in two
    tracks, would then hide everybody who is found. So the recogniser's threshold is kept, and how many strangers match
    at it is told: there `found` says nothing where `strangers` is as large.

    Args:
        queries: of anonymized faces, or of what else an adversary has of each person.
        originals: of the same people, and of others as may be.
        threshold: the recogniser's, cosine distance.
        far: the false acceptance rate that it is for.
        least: only people with so many vectors are searched for.

    Returns:
        None where there is nobody to search for.
    """
    people = sorted(name for name, count in queries.counts.items() if count >= least and name in originals.sums)
    if not people:
        return None
    known = sorted(originals.sums)
    whose, names = np.array(people), np.array(known)
    probes, gallery = (
        _directions([of.sums[name] for name in who]) for of, who in ((queries, people), (originals, known))
    )
    distances = distance_matrix(probes, gallery)
    other = whose[:, None] != names[None, :]
    enough = int(other.sum()) >= pairs_needed(far)
    limit = threshold_at_far(distances[other], far) if enough else threshold
    nearest = retrieval_ranks(probes, gallery, whose, names) == 1
    own = distances[~other]  # one for each of the people, in their order
    strangers = share_of(distances[other] < limit, np.broadcast_to(whose[:, None], other.shape)[other])
    found, first = share_of(nearest & (own < limit), whose), share_of(nearest, whose)
    assert found is not None and first is not None  # there are people
    faces = int(np.median([queries.counts[name] for name in people]))
    chance = max(far, strangers.value if strangers else 0.0)
    luck = float(binom.sf(int((nearest & (own < limit)).sum()) - 1, len(people), chance))
    return BroughtBack(limit, enough, found, first, strangers, len(known), faces, luck)


def _directions(sums: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    stacked = np.stack(sums)
    return np.asarray(stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12), np.float32)


def _mean_directions(vectors: NDArray[np.float32], rows: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    means = np.stack([vectors[own].mean(axis=0) for own in rows])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), np.float32)
