"""Was this face swapped? Detection by reconstruction (thesis 5.4.3). Pure functions.

An adversary that undoes swaps changes swapped faces a lot and real ones, which bear no traces, little. The thesis says
that it can be used so and that it works for swappers it was trained on only; no formula is published. Ours are two: how
far the face moves for a recogniser E, d(E(R(X)), E(X)), and how far the picture does, mean |R(X) − X|. Which of them is
larger for swapped faces depends on the adversary's training, so look at the curve, not at one number.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.audit.verification import cosine_distance


@dataclass(frozen=True, slots=True)
class Roc:
    """How well a score tells swapped faces from real ones.

    Attributes:
        area: probability that a swapped face has the higher score, ties counting half: 1/2 is chance.
        false_alarms, found: the curve, shares of the real and of the swapped faces above a falling threshold, from
            (0, 0) to (1, 1).
        found_at_1_percent: share of swapped faces found where at most one real face in a hundred is taken for one.
    """

    area: float
    false_alarms: NDArray[np.float64]
    found: NDArray[np.float64]
    found_at_1_percent: float


def embedding_change(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """d(E(R(X)), E(X)), (n,), of unit vectors of X and of R(X), (n, dimensions) each."""
    return np.asarray(cosine_distance(before, after), np.float64)


def picture_change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float64]:
    """mean |R(X) − X| in shares of white, (n,), of crops (n, side, side, 3)."""
    difference = np.abs(before.astype(np.int16) - after.astype(np.int16))
    return np.asarray(difference.mean(axis=(1, 2, 3)) / 255, np.float64)


def roc(real: ArrayLike, swapped: ArrayLike) -> Roc | None:
    """The curve of scores, higher for swapped; None where there is nothing to compare.

    Args:
        real, swapped: scores, any number of each.
    """
    zeros, ones = np.sort(np.asarray(real, np.float64)), np.sort(np.asarray(swapped, np.float64))
    if not len(zeros) or not len(ones):
        return None
    thresholds = np.unique(np.concatenate([zeros, ones]))[::-1]
    alarms = np.concatenate([[0.0], 1 - np.searchsorted(zeros, thresholds, "left") / len(zeros)])
    found = np.concatenate([[0.0], 1 - np.searchsorted(ones, thresholds, "left") / len(ones)])
    area = float(np.trapezoid(found, alarms))
    return Roc(area, alarms, found, float(found[alarms <= 0.01].max()))
