"""Is the expression still there? PAPER II's way to say so (thesis 5.2.2, table 5.2). Pure functions.

A swap takes the identity of a source s and should keep the expression of its target t; c is the changed face. With a
measure of expressions that ignores who shows them, c is as far from s as t is, and nearer to t than to s.

Distances are Euclidean, between vectors of any kind: embeddings, or the coordinates of landmarks, which are the
baseline. So that kinds can be compared, they are divided by the mean distance of targets from their sources: 1 is how
far two people's expressions are apart. The thesis calls its distances normalized and does not say how; this is our way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import InputError
from masquerade.faces.align import estimate_similarity, transform

STRANGERS = 1.12
"""Mean distance between two people's faces by the packaged embedder, on 800 of CelebA's validation faces: a unit."""

_JAW = 17
"""The first points of 68 in iBUG's order go around the face."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A row of table 5.2.

    Attributes:
        error: mean |s2t − s2c|, in mean distances s2t; 0 is perfect.
        moved: mean t2c, in the same unit; 0 where nothing changed.
        ratio: share of pairs with t2c < s2c, 0 to 1; about a half where nothing of the target's expression is left.
        pairs: how many.
    """

    error: float
    moved: float
    ratio: float
    pairs: int


def retention(target: ArrayLike, source: ArrayLike, changed: ArrayLike) -> Retention:
    """How well the expressions of targets are kept.

    Args:
        target, source, changed: vectors, row i of each belongs to one swap; (n, d).

    Raises:
        InputError: the shapes differ, there is nothing in them, or all sources are as their targets.
    """
    t, s, c = (np.asarray(vectors, np.float64) for vectors in (target, source, changed))
    if not t.shape == s.shape == c.shape or t.ndim != 2 or not t.size:
        raise InputError(f"targets, sources and results must be of one shape, not {t.shape}, {s.shape}, {c.shape}")
    s2t, s2c, t2c = (np.linalg.norm(one - other, axis=1) for one, other in ((s, t), (s, c), (t, c)))
    unit = s2t.mean()
    if not unit > 0:
        raise InputError("sources that look like their targets cannot show whose expression is kept")
    return Retention(
        error=float(np.abs(s2t - s2c).mean() / unit),
        moved=float(t2c.mean() / unit),
        ratio=float((t2c < s2c).mean()),
        pairs=len(t),
    )


def landmark_vectors(points: ArrayLike, *, jaw: bool, onto: ArrayLike | None = None) -> NDArray[np.float64]:
    """Landmarks of aligned crops as vectors: the baseline of FSGAN that table 5.2 compares with.

    Args:
        points: iBUG's 68, in pixels of a crop, (n, 68, 2).
        jaw: whether the 17 points around the face belong to them.
        onto: 68 points of a face, (68, 2), upon which each face is laid by the similarity that fits best, so that
            place, size and roll play no part. None: points stay where they lie in the crop.

    Returns:
        (n, 136), or (n, 102) without the jaw.
    """
    all_points = np.asarray(points, np.float64)
    if all_points.ndim != 3 or all_points.shape[1:] != (68, 2):
        raise InputError(f"the baseline takes 68 landmarks of each face, not {all_points.shape}")
    kept = all_points[:, 0 if jaw else _JAW :]
    if onto is not None:
        goal = np.asarray(onto, np.float64)[0 if jaw else _JAW :]
        kept = np.stack([transform(face, estimate_similarity(face, goal)) for face in kept])
    return kept.reshape(len(kept), -1)


def expression_error(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Distance of faces' expressions before and after, 0 to 2, shape (n,), of unit vectors (n, d)."""
    b, a = np.asarray(before, np.float64), np.asarray(after, np.float64)
    return np.asarray(np.linalg.norm(b - a, axis=-1))


def told_apart(same: ArrayLike, other: ArrayLike) -> float:
    """How often a distance that should be the smaller one is: share of `same` < `other`, draws by half; 0.5 is chance.

    Args:
        same, other: distances, (n,) and (m,): every one of the first is compared with every one of the second.

    Raises:
        InputError: there are none of one kind.
    """
    small, large = (np.sort(np.asarray(values, np.float64)) for values in (same, other))
    if not (len(small) and len(large)):
        raise InputError("both kinds of pairs are needed")
    below, upto = (np.searchsorted(large, small, side) for side in ("left", "right"))
    return float(1 - (below + upto).mean() / (2 * len(large)))
