"""Is this the person? Matching at a threshold, plainly and negated. Pure functions of unit vectors."""

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.intervals import Estimate, share_of
from masquerade.audit.verification import cosine_distance, distance_matrix, threshold_at_far

Vectors = NDArray[np.float32]


def negation(anonymized: Vectors, originals: Vectors, people: NDArray[np.generic], threshold: float) -> Estimate | None:
    """¬ID of pairs: the share with d(−a, o) < t (thesis 5.4); None where there are none.

    A face driven as far from its person as can be has the opposite vector, and whoever knows that negates it.

    Args:
        anonymized, originals: row by row of one face, (n, dimensions).
        people: whose face it is, (n,).
        threshold: t, cosine distance.
    """
    return share_of(cosine_distance(-anonymized, originals) < threshold, people)


def found_at_far(
    queries: Vectors, originals: Vectors, people: NDArray[np.generic], far: float = 1e-3
) -> tuple[Estimate | None, float]:
    """The share of queries that match their original, at the threshold at which strangers seldom do.

    The threshold is that of these very queries, not the recogniser's own: what an attack makes (blurred faces,
    averages, heads without a face) may resemble everybody, and at a fixed threshold that would look like success.

    Args:
        queries, originals: row by row of one face, (n, dimensions).
        people: whose face it is, (n,).
        far: share of pairs of two people that match.

    Returns:
        The share, or None where there are no queries or no two people; and the threshold.
    """
    distances = distance_matrix(queries, originals)
    strangers = distances[people[:, None] != people[None, :]]
    if not len(strangers):
        return None, 0.0
    threshold = threshold_at_far(strangers, far)
    return share_of(np.diagonal(distances) < threshold, people), threshold
