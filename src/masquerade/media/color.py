"""RGB and Y'CbCr: the matrix and the range, nothing else.

Transfer curve and primaries are never converted; their tags travel with the file. R'G'B' here are therefore the
display's code values in the video's own colour space, which is what a swap wants: it puts back what it took.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.types import Pixels

YuvArray: TypeAlias = NDArray[np.float32]
"""Y', Cb, Cr as code values of the stream's depth, shape (height, width, 3), not rounded."""

_KR_KB = {  # FFmpeg's AVColorSpace (the numbers of ITU-T H.273) → the weights of red and blue in luma
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),  # BT.2020 constant luminance, approximated
}
BT601, BT709 = 6, 1
UNSPECIFIED = 2
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


def matrix_or_default(colorspace: int, width: int, height: int) -> int:
    """The matrix a stream names, or the one players take where it names none: BT.709 from HD on, below it BT.601."""
    if colorspace in _KR_KB:
        return colorspace
    return BT709 if width >= 1280 or height > 576 else BT601


@dataclass(frozen=True)
class Coding:
    """How a stream codes colour.

    A round trip RGB → Y'CbCr → RGB of 8-bit code values changes no channel by more than 2 levels; Y'CbCr → RGB →
    Y'CbCr of colours inside the RGB cube changes no sample by more than 1 level at 8 bits, and none at 10 and 12 bits,
    where RGB has 16.

    Attributes:
        matrix: a key known to `matrix_or_default`.
        full: whether code values use the full range (0 to 255 for 8 bits) or the limited one (16 to 235, 240).
        depth: bits of a code value.
    """

    matrix: int
    full: bool
    depth: int

    def to_rgb(self, yuv: YuvArray) -> Pixels:
        """RGB of the same shape: uint8 where the depth is 8, else uint16 over the full 0..65535."""
        rgb = cv2.transform(yuv, self._decode)
        if self.depth == 8:
            return np.clip(np.rint(rgb, out=rgb), 0, 255, out=rgb).astype(np.uint8)
        return np.clip(np.rint(rgb, out=rgb), 0, 65535, out=rgb).astype(np.uint16)

    def from_rgb(self, rgb: Pixels) -> YuvArray:
        """Code values, not rounded, inside the range by construction."""
        return np.asarray(cv2.transform(rgb.astype(np.float32), self._encode), np.float32)

    @cached_property
    def _encode(self) -> NDArray[np.float32]:
        """Shape (3, 4): multiplies (R, G, B, 1)."""
        kr, kb = _KR_KB[self.matrix]
        luma = np.array([kr, 1 - kr - kb, kb])
        rows = np.stack([luma, ([0, 0, 1] - luma) / (2 * (1 - kb)), ([1, 0, 0] - luma) / (2 * (1 - kr))])
        step = 2.0 ** (self.depth - 8)
        top = 2.0**self.depth - 1
        scale = np.array([top, top, top]) if self.full else step * np.array([219, 224, 224])
        offset = step * np.array([0 if self.full else 16, 128, 128])
        peak = 255 if self.depth == 8 else 65535
        return np.column_stack([rows * (scale / peak)[:, None], offset]).astype(np.float32)

    @cached_property
    def _decode(self) -> NDArray[np.float32]:
        square = np.vstack([self._encode.astype(np.float64), [0, 0, 0, 1]])
        return np.linalg.inv(square)[:3].astype(np.float32)
