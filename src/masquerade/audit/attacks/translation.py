"""The parrot attack on people nobody has a list of: from anonymized to original vectors by one linear map.

The adversary learns from people of her own what an anonymizer does to a recogniser's vectors, and undoes it for others.
Unlike the reconstruction attack this takes a second to train, and it needs no picture: vectors will do.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def fit_translation(anonymized: Vectors, originals: Vectors, *, ridge: float = 1e-2) -> NDArray[np.float64]:
    """W = (AᵀA + λnI)⁻¹ AᵀO, A with a column of ones: (dimensions + 1, dimensions).

    Args:
        anonymized, originals: A and O, unit vectors, row by row of one face, (n, dimensions).
        ridge: λ.
    """
    a = _affine(anonymized)
    return np.asarray(np.linalg.solve(a.T @ a + ridge * len(a) * np.eye(a.shape[1]), a.T @ originals), np.float64)


def translated(translation: NDArray[np.float64], anonymized: Vectors) -> Vectors:
    """Guesses at the originals' vectors, unit length, (n, dimensions)."""
    guesses = _affine(anonymized) @ translation
    return np.asarray(guesses / np.maximum(np.linalg.norm(guesses, axis=1, keepdims=True), 1e-12), np.float32)


def _affine(vectors: Vectors) -> NDArray[np.float64]:
    return np.concatenate([vectors, np.ones((len(vectors), 1), np.float32)], axis=1).astype(np.float64)
