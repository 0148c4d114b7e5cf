"""Do many frames say what one does not? Averages over a track. Pure function of unit vectors.

Noise that is drawn anew for each frame averages out, and so does whatever else differs from frame to frame. What stays
is the fabricated identity and, if the anonymizer leaves any, a trace of the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.attacks.matching import found_at_far
from masquerade.audit.intervals import Estimate
from masquerade.audit.retrieval import Probes
from masquerade.audit.temporal import evenly

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


def _mean_directions(vectors: NDArray[np.float32], rows: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    means = np.stack([vectors[own].mean(axis=0) for own in rows])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), np.float32)
