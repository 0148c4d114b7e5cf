"""Truncation: a generator that is asked for less of a person draws it better.

Far from the middle of what it has learnt a generator paints what recognisers look for, brows, lids and lips, and not a
face; nearer to it, faces look like photographs (the truncation trick of Brock et al., BigGAN, 2019, and Karras et al.,
StyleGAN, 2019). The middle of ours is a man of forty-five, so age and sex, which a fabricated face was chosen for
(`attributes`), are not truncated but held.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masquerade.identity.attributes import NAMES
from masquerade.types import Embedding

if TYPE_CHECKING:
    from masquerade.identity.bank import Bank
    from masquerade.models.cards import Truncation

Vectors = NDArray[np.float32]


def attribute_directions(members: Vectors, scores: Vectors) -> Vectors:
    """In which direction identities differ by each attribute, the others being equal.

    Least squares of the members on their scores; of each score's slope the direction.

    Args:
        members: unit vectors (n, d).
        scores: (n, k).

    Returns:
        Unit vectors (k, d).
    """
    design = np.column_stack([np.ones(len(members)), scores])
    slopes = np.linalg.lstsq(design, members, rcond=None)[0][1:]
    return np.asarray(slopes / np.linalg.norm(slopes, axis=1, keepdims=True), np.float32)


class Truncator:
    """What a generator is given for a fabricated face a:

        c = ψ a + Σ_k g_k (s_k − m_k) d_k,

    where s_k are the scores of whom it is to look like, m_k those of the face that the generator draws when it is given
    nothing, and d_k the `attribute_directions`. Its length is not 1. Two faces keep their cosine but for what age and
    sex bring them together.

    Args:
        bank: that the faces are from.
        amount: ψ, g and m, from the generator's card; see `models.cards.Truncation`.

    Raises:
        BankError: the bank cannot tell age and sex.
    """

    def __init__(self, bank: "Bank", amount: "Truncation") -> None:
        self._bank, self._amount = bank, amount
        self._gains = np.array([getattr(amount, name) for name in NAMES], np.float32)
        self._middle = np.array(amount.middle, np.float32)
        self._directions = attribute_directions(bank.members, bank.scores(bank.members))

    def __call__(self, faces: Embedding | Vectors, apparent: Vectors | None = None) -> Vectors:
        """What the generator is to be given.

        Args:
            faces: unit vectors (d,) or (n, d).
            apparent: the wearers' scores, (2,) or (n, 2), 0 to 1; None for what the bank's probe reads off the faces.

        Returns:
            Shaped as the faces.
        """
        rows = np.atleast_2d(faces)
        scores = self._bank.scores(rows) if apparent is None else np.atleast_2d(apparent)
        leaning = self._gains * (scores - self._middle) @ self._directions
        return np.asarray(self._amount.identity * rows + leaning, np.float32).reshape(faces.shape)
