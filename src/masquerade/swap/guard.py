"""Where the loop closes: a swapped face is looked at, before it is written, by an encoder that took no part in it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import OptionError

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

FAR = 1e-3
"""At the threshold of this false acceptance rate two faces count as one person's."""

MARGIN = 0.08
"""Cosine distance beyond the threshold: other pictures of the person lie nearer than this one now and then, and so does
this one where somebody else's detector sees the eyes a pixel farther on (up to 0.09 was seen)."""

ON_AVERAGE = 0.16
"""The same for the average of a few frames, which stands for that of all: the noise of a single frame, which hides a
person a little, is gone from it."""


class EncoderGuard:
    """See `swap.base.Guard`.

    A face may be written where its distance d from the original keeps away from both ends (thesis 5.4):

        t + margin < d < 2 − (t + margin),

    since d(−x, y) = 2 − d(x, y): what lies too near to 2 is found by whoever negates it.

    Args:
        encoder: with a calibrated threshold t at FAR 1e-3.
        margin: added to t.

    Attributes:
        encoder: the one it looks with.

    Raises:
        OptionError: the encoder was not calibrated, or the window is empty.
    """

    def __init__(self, encoder: "Encoder", *, margin: float = MARGIN) -> None:
        self.encoder = encoder
        self._nearest = encoder.threshold(FAR) + margin
        self._nearest_on_average = encoder.threshold(FAR) + max(margin, ON_AVERAGE)
        if not 0 < self._nearest < 1:
            raise OptionError(f"with a threshold of {self._nearest:.2f} the encoder {encoder.name} can guard nothing")

    def gone_on_average(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> bool:
        """See `swap.base.Guard`. The margin is `ON_AVERAGE`."""
        before, after = (self.encoder.embed_crops(crops).mean(axis=0) for crops in (originals, swapped))
        distance = 1 - float(before @ after) / float(np.linalg.norm(before) * np.linalg.norm(after))
        return self._nearest_on_average < distance < 2 - self._nearest_on_average

    def distances(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Cosine distances (n,), 0 to 2, between the faces before and after; arguments as `gone`."""
        before, after = self.encoder.embed_crops(originals), self.encoder.embed_crops(swapped)
        distances: NDArray[np.float32] = 1 - (before * after).sum(axis=1)
        return distances

    def gone(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `swap.base.Guard`."""
        distances = self.distances(originals, swapped)
        gone: NDArray[np.bool_] = (distances > self._nearest) & (distances < 2 - self._nearest)
        return gone
