"""Truncation: a generator that is asked for less of a person draws it better.

Far from the middle of what it has learnt a generator paints what recognisers look for, brows, lids and lips, and not a
face; nearer to it, faces look like photographs (the truncation trick of Brock et al., BigGAN, 2019, and Karras et al.,
StyleGAN, 2019). What it draws near the middle is of one age and sex, so these are told besides, along the directions
in which identities change them in what is drawn (`train.directions`).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import WeightsError
from masquerade.identity.attributes import NAMES
from masquerade.media.files import atomic_output
from masquerade.types import Embedding

if TYPE_CHECKING:
    from masquerade.models.cards import Truncation

Vectors = NDArray[np.float32]


class Truncator:
    """What a generator is given for a fabricated face a:

        c = ψ a + Σ_k g_k (s_k − m_k) d_k,

    where s_k are the scores of whom it is to look like, d_k the directions in which identities change them in what is
    drawn, and m_k the scores of who need not be pushed either way. Its length is not 1. Two faces keep their cosine but
    for what age and sex bring them together.

    Args:
        amount: ψ, g and m, from the generator's card; see `models.cards.Truncation`.
        directions: unit vectors (k, d), one for each of `attributes.NAMES`; None for a generator that is told neither.
    """

    def __init__(self, amount: "Truncation", directions: Vectors | None = None) -> None:
        self._amount, self._directions = amount, directions
        self._gains = np.array([getattr(amount, name) for name in NAMES], np.float32)
        self._middle = np.array(amount.middle, np.float32)

    @property
    def holds(self) -> bool:
        """Whether the generator is told an age and a sex."""
        return self._directions is not None

    def __call__(self, faces: Embedding | Vectors, apparent: Vectors | None = None) -> Vectors:
        """What the generator is to be given.

        Args:
            faces: unit vectors (d,) or (n, d).
            apparent: the wearers' scores, (2,) or (n, 2), 0 to 1; None for a face of any age and sex.

        Returns:
            Shaped as the faces.
        """
        told = np.float32(self._amount.identity) * np.atleast_2d(faces)
        if apparent is not None and self._directions is not None:
            told = told + self._gains * (np.atleast_2d(apparent) - self._middle) @ self._directions
        return np.asarray(told, np.float32).reshape(faces.shape)


def save_directions(path: Path, directions: Vectors, swapper: str) -> None:
    """Write directions (k, d) of the swapper with that SHA-256, in half precision.

    Raises:
        OutputError: they cannot be written there.
    """
    header = json.dumps({"swapper": swapper}).encode()
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        np.savez(file, header=np.frombuffer(header, np.uint8), directions=directions.astype(np.float16))


def load_directions(path: Path, swapper: str) -> Vectors:
    """Read them back.

    Raises:
        WeightsError: there are none, or they are of another swapper.
    """
    if not path.is_file():
        raise WeightsError("there are no directions of age and sex", path=path)
    with np.load(path, allow_pickle=False) as file:
        header, directions = json.loads(bytes(file["header"])), file["directions"].astype(np.float32)
    if header["swapper"] != swapper:
        raise WeightsError("holds the directions of another swapper", path=path, hint="Run masquerade.train.directions")
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), np.float32)
