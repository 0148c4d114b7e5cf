"""Tables 5.2 to 5.5: faces of real people are swapped among each other. What comes out is measured and forgotten.

A swap takes the identity of a source and should keep everything else of its target. ID is the share of swaps in which
the nearest of all sources, as a recogniser sees them, is the one that was put on: no threshold, so that more is better.
"""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.evidence import trained_with
from masquerade.audit.expression import Retention, expression_error, landmark_vectors, retention
from masquerade.audit.intervals import Estimate, mean_of, share_of
from masquerade.audit.quality import Moments, frechet_distance
from masquerade.audit.reproduction.faces import Faces, Seen, cropped, marks_box, pose_box, put_on
from masquerade.audit.utility import pose_error
from masquerade.audit.utility_networks import LandmarkNetwork, PoseNetwork
from masquerade.audit.verification import retrieval_ranks
from masquerade.errors import InputError
from masquerade.faces.embed import Encoder
from masquerade.faces.expression import ExpressionReader
from masquerade.pipeline.tailor import Tailor

_TIMES = 20
_SEED = 0


@dataclass(frozen=True, slots=True)
class Swaps:
    """What swaps kept and what they changed.

    Attributes:
        recogniser: who looked for sources.
        took_part: whether it took part in training swappers.
        id: share of the swaps, 0 to 1.
        pose: mean length of the difference in yaw, pitch and roll, degrees; None where no network measures it.
        expression: mean distance of the embeddings, 0 to 2.
        frechet: distance of the distributions of faces before and after, in the recogniser's space.
        failed: swaps that could not be made.
    """

    recogniser: str
    took_part: bool
    id: Estimate
    pose: Estimate | None
    expression: Estimate
    frechet: float
    failed: int


def swap_among(targets: Seen, sources: Seen) -> NDArray[np.int64]:
    """For each target the row of its source: somebody else, all of them about equally often.

    Raises:
        InputError: there are not two people.
    """
    places = np.arange(len(targets)) * max(1, len(sources) // len(targets)) + len(sources) // 2
    rows = places % len(sources)
    for i in range(len(rows)):
        for _ in range(len(sources)):
            if sources.people[rows[i]] != targets.people[i]:
                break
            rows[i] = (rows[i] + 1) % len(sources)
        else:
            raise InputError("faces of one person alone cannot be swapped", hint="Give photos of two or more people")
    return rows


def measure_swaps(
    tailor: Tailor,
    targets: Seen,
    sources: Seen,
    judges: list[Encoder],
    reader: ExpressionReader,
    pose: PoseNetwork | None,
) -> list[Swaps]:
    """One for each recogniser.

    Raises:
        InputError: there are not two people, or no swap can be made.
    """
    rows = swap_among(targets, sources)
    wanted = tailor.encoder.embed_crops(sources.crops[rows])
    pictures, done = put_on(tailor, targets, wanted, truncated=False)
    if not done.any():
        raise InputError(f"none of {len(done)} faces could be swapped")
    before, after = targets.crops[done], cropped(pictures[done])
    people, shown = targets.people[done], sources.people[rows][done]
    posed = None
    if pose is not None:
        box = pose_box(before.shape[1])
        errors = [pose_error(pose(old, box), pose(new, box)) for old, new in zip(before, after, strict=True)]
        posed = mean_of(np.linalg.norm(errors, axis=1), people)
    moved = mean_of(expression_error(reader.read_crops(before).embedding, reader.read_crops(after).embedding), people)
    names = np.unique(sources.people)
    gallery_people, query_people = np.searchsorted(names, sources.people), np.searchsorted(names, shown)
    found = []
    for judge in judges:
        own, made = judge.embed_crops(before), judge.embed_crops(after)
        ranks = retrieval_ranks(made, judge.embed_crops(sources.crops), query_people, gallery_people)
        share = share_of(ranks == 1, people)
        assert share is not None and moved is not None  # there are swaps
        distance = frechet_distance(Moments.of(own), Moments.of(made))
        took_part = trained_with(judge)
        found.append(Swaps(judge.name, took_part, share, posed, moved, distance, int((~done).sum())))
    return found


def milliseconds(tailor: Tailor) -> float:
    """Of the network alone, for one face: median of the clock's."""
    side, rng = tailor.swapper.side, np.random.default_rng(_SEED)
    crop = rng.uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    taken = []
    for _ in range(_TIMES):
        start = perf_counter()
        tailor.swapper.swap(crop, tailor.bank.members[:1])
        taken.append(1000 * (perf_counter() - start))
    return median(taken)


def measure_retention(
    tailor: Tailor, seen: Seen, reader: ExpressionReader, landmarks: LandmarkNetwork | None, count: int
) -> tuple[list[tuple[str, Retention]], int]:
    """Table 5.2: half of the pairs between faces of different classes, half within one, as the reader tells classes.

    Args:
        seen: faces of two or more people.
        landmarks: for the two baselines; None: they are left out.
        count: pairs in all.

    Returns:
        ((how it was measured, what was kept) for each measure and kind of pairs, swaps that could not be made).

    Raises:
        InputError: no two people share an expression, or no two have different ones.
    """
    crops = seen.crops
    said = reader.read_crops(crops)
    classes = said.classes.argmax(axis=1)
    vectors = tailor.encoder.embed_crops(crops)
    found, failed = [], 0
    for words, same in (("different classes", False), ("same class", True)):
        targets, sources = _pairs(seen.people, classes, count // 2, same=same)
        pictures, done = put_on(tailor, seen.only(targets), vectors[sources], truncated=False)
        failed += int((~done).sum())
        targets, sources, after = targets[done], sources[done], cropped(pictures[done])
        kept = retention(said.embedding[targets], said.embedding[sources], reader.read_crops(after).embedding)
        found.append((f"the packaged embedder, {words}", kept))
        if landmarks is not None:
            marks = [_marks(landmarks, some) for some in (crops[targets], crops[sources], after)]
            for jaw, points in ((True, 68), (False, 51)):
                t, s, c = (landmark_vectors(one, jaw=jaw) for one in marks)
                found.append((f"{points} landmarks of {landmarks.name}, {words}", retention(t, s, c)))
    return found, failed


def _pairs(
    people: NDArray[np.str_], classes: NDArray[np.int64], count: int, *, same: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of targets and of sources, two people each, drawn by a fixed seed."""
    rng = np.random.default_rng((_SEED, int(same)))
    targets, sources = rng.integers(len(people), size=(2, 200 * count))
    fit = (people[targets] != people[sources]) & ((classes[targets] == classes[sources]) == same)
    if not fit.any():
        kind = "one expression" if same else "two expressions"
        raise InputError(f"no two people show {kind}", hint="Give more faces")
    return targets[fit][:count], sources[fit][:count]


def _marks(network: LandmarkNetwork, crops: Faces) -> NDArray[np.float64]:
    box = marks_box(crops.shape[1])
    return np.stack([network(crop, box) for crop in crops])
