"""The one protocol by which a face becomes another face.

Every method, from a grey box to a generator, edits a `Canvas` around one face. Methods that impose an identity are
`Swapper`s: they see an aligned crop and a vector and nothing else. No swapper's output reaches a canvas before
a `Guard` has looked at it; what the guard turns down is redacted.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from masquerade.types import Face, Pixels


class Canvas(Protocol):
    """A picture that is read and written by region. `media` provides them for stills and for video frames."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """A copy of a region that lies inside the picture."""

    def write(self, x: int, y: int, pixels: Pixels) -> None:
        """Puts an edited region back at (x, y); what equals the picture stays untouched."""


class Replacer(Protocol):
    """Makes one face on a canvas unrecognisable."""

    def replace(self, canvas: Canvas, face: Face) -> None:
        """Edits the canvas in place. When it returns, no pixel of the original face is left inside the face.

        Raises:
            FaceError: the face's box or landmarks are not finite or have no extent.
        """


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a swapper makes.

    Attributes:
        crops: float32 (n, 3, side, side) in [-1, 1], RGB.
        masks: float32 (n, 1, side, side) in [0, 1], 1 where the crop replaces the picture; None if it has none.
    """

    crops: NDArray[np.float32]
    masks: NDArray[np.float32] | None


class Swapper(Protocol):
    """A target-oriented network: keeps everything of the target but who it is (thesis chapter 3.2)."""

    @property
    def side(self) -> int:
        """Side of the aligned square crop, pixels."""

    @property
    def dimensions(self) -> int:
        """Length of the identity vector."""

    def swap(self, crops: NDArray[np.float32], identities: NDArray[np.float32]) -> Swapped:
        """Imposes identities on aligned crops.

        Args:
            crops: float32 (n, 3, side, side) in [-1, 1], RGB.
            identities: float32 (n, dimensions), of nobody who lives: each row of length 1, or truncated
                (`identity.truncation`) if that is how this swapper is used.
        """


class Guard(Protocol):
    """Looks at a swapped face with an encoder that took no part in making it."""

    def gone(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether the person can no longer be recognised, neither by the identity z nor by its negation -z.

        Args:
            originals, swapped: RGB uint8 (n, side, side, 3), both aligned alike to the ArcFace template.

        Returns:
            bool (n,): False where the face must not be written.
        """

    def gone_on_average(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> bool:
        """Whether the person can no longer be recognised by whoever averages what n pictures of them say.

        What is by chance in a single picture averages out, and what the person left in all of them stays. Arguments as
        `gone`.
        """
