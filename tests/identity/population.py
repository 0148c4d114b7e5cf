"""People as a real encoder sees them, made up: a spectrum that decays, identities on it, and noise about each."""

import numpy as np

SPECTRUM = np.exp(-np.arange(128) / 45)
DIMENSIONS = 512


def basis(rng):
    return np.linalg.qr(rng.standard_normal((DIMENSIONS, len(SPECTRUM))))[0].T


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class Population:
    """Identities spread with an impostor distance of 1 ± 0.1, as the driver's teacher has on real faces."""

    def __init__(self, people, seed=0):
        rng = np.random.default_rng(seed)
        self.axes = np.sqrt(SPECTRUM / SPECTRUM.sum())[:, None] * basis(np.random.default_rng(1234))
        self.identities = unit(rng.standard_normal((people, len(SPECTRUM))) @ self.axes)

    def seen(self, rng, noise=1.0):
        """Everyone once more: embeddings at a distance of about 0.3 (noise 1) from the identity."""
        return unit(self.identities + noise * rng.standard_normal((len(self.identities), len(SPECTRUM))) @ self.axes)
