"""What is known of a person after many looks, some of them poor, and when two of those are one person."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from masquerade.types import Embedding

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

GOOD = 0.3
"""Quality from which a single crop is believed to show whose face it is."""

_FAR_OF_MEANS = 3e-4  # of means of two to three pictures at the threshold for FAR 1e-4 of single ones
_HIGHEST_FAR = 1e-3
_WRONG = 0.01  # of videos may call two strangers one


@dataclass(frozen=True, slots=True)
class Likeness:
    """The cosine distances by which one encoder tells people apart.

    Attributes:
        match: its threshold at FAR 1e-3, for two pictures.
        sure: at FAR 1e-4.
    """

    match: float
    sure: float

    @classmethod
    def of(cls, encoder: "Encoder") -> Self:
        """What the encoder's calibration says.

        Raises:
            OptionError: it was not calibrated at these rates.
        """
        return cls(encoder.threshold(1e-3), encoder.threshold(1e-4))

    @property
    def margin(self) -> float:
        """What half a power of ten in FAR is worth, and what a best match must be ahead of the next by."""
        return (self.match - self.sure) / 2

    @property
    def same(self) -> float:
        """Below it two means are one person.

        Averaging takes noise away, and brings strangers nearer too: means of two or three pictures of CelebA are below
        `sure` three times in 10,000, below this once.
        """
        return self.sure - self.margin

    def same_among(self, people: int) -> float:
        """Below it any two of so many means are one person.

        Among n people there are n (n - 1) / 2 chances to be wrong, and about one video in a hundred may be: the FAR is
        0.01 divided by that, and at most 1e-3. A power of ten in FAR is taken to be worth what it is from `sure` to
        `match`; below `sure` that is on the safe side, for there it is worth less.
        """
        chances = people * (people - 1) / 2
        far = min(_WRONG / max(chances, 1), _HIGHEST_FAR)
        return self.sure + 2 * self.margin * math.log10(far / _FAR_OF_MEANS)

    @property
    def apart(self) -> float:
        """Above it two good crops are clearly two people: half-way to 1, where those lie who have nothing in common."""
        return (1 + self.match) / 2


@dataclass(slots=True)
class Running:
    """Everything seen of one person: the sum of q_i e_i over crops of quality q_i and embedding e_i.

    Attributes:
        sum: shape (d,).
        weight: the sum of all q_i.
        squares: the sum of all q_i².
        last: the last e_i that was good, or the last of all where none was.
    """

    sum: NDArray[np.float64]
    weight: float
    squares: float
    last: Embedding

    @classmethod
    def of(cls, embedding: Embedding, quality: float) -> Self:
        """After the first crop."""
        return cls(quality * embedding.astype(np.float64), quality, quality**2, embedding)

    @property
    def good(self) -> bool:
        """Whether the crops that say most are: Σ q_i² / Σ q_i is the quality of what the mean is made of."""
        return self.squares / self.weight >= GOOD

    @property
    def unit(self) -> Embedding:
        """The running identity t = Σ q_i e_i / |Σ q_i e_i|."""
        unit: Embedding = (self.sum / np.linalg.norm(self.sum)).astype(np.float32)
        return unit

    def add(self, embedding: Embedding, quality: float) -> None:
        """One crop more."""
        if quality >= GOOD or not self.good:
            self.last = embedding
        self.sum += quality * embedding.astype(np.float64)
        self.weight += quality
        self.squares += quality**2

    def joined(self, other: "Running") -> "Running":
        """Both as one, `other` the later."""
        last = other.last if other.good or not self.good else self.last
        return Running(self.sum + other.sum, self.weight + other.weight, self.squares + other.squares, last)

    def distance(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each embedding (n, d) to the mean or to the last crop, whichever is nearer, (n,).

        Someone who turns away leaves the mean, but not all at once.
        """
        known = np.stack([self.unit, self.last])
        nearest: NDArray[np.float64] = 1 - (embeddings @ known.T).max(axis=1).astype(np.float64)
        return nearest
