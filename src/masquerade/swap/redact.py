"""A face → no face: blur, pixelate or paint over a region of pixels. Pure functions.

Everything is measured in faces, not in pixels: the width of the blur and the cells of the mosaic are fractions of the
longer side of the face's box, margin and feather of both its sides. A face loses the same detail at 360p and at 4K.

The walk is: `window` says which pixels to read, `redact` changes them, the caller writes them back.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import FaceError, OptionError
from masquerade.types import Box, Pixels

Method: TypeAlias = Literal["blur", "pixelate", "solid"]
Shape: TypeAlias = Literal["ellipse", "box"]

FEATHER = 0.12
"""How far the soft edge reaches outwards, as a fraction of the core's half width and half height."""

BLUR_SIGMA = 0.16
"""Standard deviation of the Gaussian in faces. Of a detail that repeats k times across the face, the share
exp(-2 (pi sigma k)^2) is left: 13 % at k = 2, 1 % at k = 3."""

CELLS_ACROSS = 6
"""Mosaic cells along the face's longer side."""

SMALLEST_CELL = 3
"""Pixels. A mosaic of cells of one or two pixels would be the picture itself, so tiny faces get fewer cells."""

_ROUNDING = 1e-6
"""Masks are of single precision, so a pixel that lies beyond their edge by so small a share may be in them."""

_BAND = 32_768
"""Pixels blended at a time, so that what lies between stays in the processor's cache."""

_SMALL_SIGMA = 5.0
"""Pixels of blur at the reduced size. Above 4 or so, linear enlargement adds nothing that one could see."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """How a face is made unrecognisable without putting another in its place.

    Attributes:
        method: "blur" is a wide Gaussian. It leaves the low frequencies: colour of skin, hair and clothes, the outline,
            the direction of the light; a trained network turns them into a plausible face and may match it against a
            short list of candidates (Todt et al., Fantomas, reverse most blurs and mosaics at least in part).
            "pixelate" is a mosaic of a few cells. It leaves one average per cell and frame; over many frames in which
            the face moves under the grid, averages add up to a sharper picture (super-resolution), and the same attacks
            as on blur apply. "solid" leaves nothing of the face but its place, size and time.
        shape: "ellipse" inscribed in the grown box, or the grown "box" itself. From a margin of 0.21 on, the ellipse
            too covers the whole of the box that was given.
        margin: added on each side, as a fraction of the box's width (left, right) and height (above, below), 0 or more.
            The default takes in forehead, chin and ears.
        strength: 1 or more; widens the blur and the cells. Has no effect on "solid".
        color: of "solid", RGB, each 0 to 255 (scaled for deeper pixels).

    Raises:
        OptionError: a value out of its range.
    """

    method: Method = "blur"
    shape: Shape = "ellipse"
    margin: float = 0.3
    strength: float = 1.0
    color: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.method not in ("blur", "pixelate", "solid"):
            raise OptionError(f"no redaction is called {self.method!r}", hint="Use blur, pixelate or solid")
        if self.shape not in ("ellipse", "box"):
            raise OptionError(f"no shape is called {self.shape!r}", hint="Use ellipse or box")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise OptionError(f"a margin of {self.margin} is not a fraction of a face", hint="Use 0 or more")
        if not (math.isfinite(self.strength) and self.strength >= 1):
            raise OptionError(f"a strength of {self.strength} would not redact", hint="Use 1 or more")
        if len(self.color) != 3 or not all(0 <= value <= 255 for value in self.color):
            raise OptionError(f"{self.color} is not a colour", hint="Use red, green and blue, each 0 to 255")


def window(
    box: Box, margin: float, frame_width: int, frame_height: int, feather: float = FEATHER
) -> tuple[int, int, int, int] | None:
    """The pixels to read and write back: every pixel of the picture whose mask is above 0.

    Args:
        box: the face in pixels of the frame; may reach outside.
        margin, feather: as in `face_mask`.
        frame_width, frame_height: of the picture, pixels.

    Returns:
        (x, y, width, height) inside the picture, or None where the face lies wholly outside.

    Raises:
        FaceError: the box is not finite or is empty.
    """
    (x, half_w), (y, half_h) = _core(box, margin)
    reach = (1 + feather) * (1 + _ROUNDING)
    x1, x2 = _span(x, half_w * reach, frame_width)
    y1, y2 = _span(y, half_h * reach, frame_height)
    return (x1, y1, x2 - x1, y2 - y1) if x1 < x2 and y1 < y2 else None


def face_mask(
    shape: Shape, box: Box, size: tuple[int, int], margin: float, feather: float = FEATHER
) -> NDArray[np.float32]:
    """How much of each pixel is replaced.

    Args:
        shape: "ellipse" or "box".
        box: the face, in pixels of the region.
        size: (height, width) of the region in pixels.
        margin: added on each side of the box, as a fraction of its width and height: this is the core.
        feather: how far the soft edge reaches beyond the core, as a fraction of the core's half width and half height.

    Returns:
        Shape `size`, in 0..1: exactly 1 at every pixel whose centre lies in the core, falling to 0 outside of it only.

    Raises:
        FaceError: the box is not finite or is empty.
    """
    (x, half_w), (y, half_h) = _core(box, margin)
    height, width = size
    across = (((np.arange(width) - x) / half_w) ** 2).astype(np.float32)[None, :]
    down = (((np.arange(height) - y) / half_h) ** 2).astype(np.float32)[:, None]
    # The squared distance from the centre in units of the core: 1 on its edge, and no root to take.
    mask = np.add(across, down) if shape == "ellipse" else np.maximum(across, down)
    if feather == 0:
        return (mask <= 1).astype(np.float32)
    # Written as 1 + (1 - d), so that rounding leaves an exact 1 on the edge of the core.
    np.subtract(1, mask, out=mask)
    mask /= np.float32((1 + feather) ** 2 - 1)
    mask += 1
    return np.clip(mask, 0, 1, out=mask)


def redact(pixels: Pixels, box: Box, redaction: Redaction) -> Pixels:
    """Makes the face unrecognisable.

    Only pixels under the mask are averaged, so the result neither takes in what stands beside the face nor depends on
    how much of the surroundings was read. The same input gives the same output.

    Args:
        pixels: RGB, (height, width, 3), uint8 or uint16: `window` or more.
        box: the face, in pixels of this region.
        redaction: what to do.

    Returns:
        New pixels of the same shape and dtype. Where the mask is 0 they are those that came in.

    Raises:
        FaceError: the box is not finite or is empty, or the pixels are of another kind.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise FaceError(f"pixels of shape {pixels.shape} and type {pixels.dtype} are not RGB of 8 or 16 bits")
    out = pixels.copy()
    inside = window(box, redaction.margin, pixels.shape[1], pixels.shape[0])
    if inside is None:
        return out
    x, y, width, height = inside
    face = out[y : y + height, x : x + width]
    place = Box(box.x1 - x, box.y1 - y, box.x2 - x, box.y2 - y)
    mask = face_mask(redaction.shape, place, (height, width), redaction.margin)
    _blend(face, _METHODS[redaction.method](face, place, mask, redaction), mask)
    return out


def _blur(face: Pixels, box: Box, mask: NDArray[np.float32], redaction: Redaction) -> Pixels:
    """A Gaussian over the pixels of the mask: blurred (colour x weight) over blurred weight, at a small size."""
    sigma = BLUR_SIGMA * redaction.strength * _face_size(box)
    height, width = face.shape[:2]
    shrink = max(1, int(min(sigma / _SMALL_SIGMA, max(height, width))))
    # A whole number of pixels into one: an exact average, and several times faster.
    padded = cv2.copyMakeBorder(face, 0, -height % shrink, 0, -width % shrink, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (padded.shape[1] // shrink, padded.shape[0] // shrink), interpolation=cv2.INTER_AREA)
    small_box = Box(*((edge - (shrink - 1) / 2) / shrink for edge in box))
    weight = face_mask(redaction.shape, small_box, small.shape[:2], redaction.margin)[..., None]
    sums = cv2.GaussianBlur(
        np.concatenate([small * weight, weight], axis=2), (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT
    )
    # Far out in the corners, where the mask is 0 anyway, hardly any weight arrives.
    mean = (sums[..., :3] / np.maximum(sums[..., 3:], 1e-6)).astype(np.float32)
    large = cv2.resize(_rounded(mean, face.dtype), padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cast(Pixels, large[:height, :width])


def _pixelate(face: Pixels, box: Box, mask: NDArray[np.float32], redaction: Redaction) -> Pixels:
    """Each cell of a grid that hangs on the face's upper left corner becomes the average of its pixels in the mask."""
    cell = max(_face_size(box) * redaction.strength / CELLS_ACROSS, SMALLEST_CELL)
    height, width = face.shape[:2]
    counted = (mask > 0).view(np.uint8)
    out = np.empty_like(face)
    rows, columns = _edges(box.y1, cell, height), _edges(box.x1, cell, width)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            tile = slice(top, bottom), slice(left, right)
            out[tile] = np.rint(cv2.mean(face[tile], counted[tile])[:3])
    return out


def _solid(face: Pixels, box: Box, mask: NDArray[np.float32], redaction: Redaction) -> Pixels:
    color = np.array(redaction.color, face.dtype) * (np.iinfo(face.dtype).max // 255)
    return np.broadcast_to(np.tile(color, (face.shape[1], 1)), face.shape).copy()


_METHODS: dict[Method, Callable[[Pixels, Box, NDArray[np.float32], Redaction], Pixels]] = {
    "blur": _blur,
    "pixelate": _pixelate,
    "solid": _solid,
}


def _blend(original: Pixels, redacted: Pixels, mask: NDArray[np.float32]) -> None:
    """original becomes redacted x mask + original x (1 - mask), in whole numbers: 1 and 0 leave exactly one of them."""
    most = int(np.iinfo(original.dtype).max)
    rows = max(1, _BAND // original.shape[1])
    for top in range(0, original.shape[0], rows):
        band = slice(top, top + rows)
        share = cv2.merge([_rounded(mask[band] * most, original.dtype)] * 3)
        new = cv2.multiply(redacted[band], share, scale=1 / most)
        old = cv2.multiply(original[band], cv2.bitwise_not(share), scale=1 / most)
        cv2.add(new, old, dst=original[band])


def _rounded(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    return cast(Pixels, np.rint(values).astype(dtype))


def _core(box: Box, margin: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and half length of what must be covered, across and down."""
    if not (all(map(math.isfinite, box)) and box.width > 0 and box.height > 0):
        raise FaceError(f"the box {tuple(box)} is not finite or is empty")
    x, y = box.centre
    return (x, box.width * (0.5 + margin)), (y, box.height * (0.5 + margin))


def _span(centre: float, half: float, length: int) -> tuple[int, int]:
    """The pixels from..before whose centres lie within `half` of `centre`, inside 0..length."""
    first, last = max(0.0, math.ceil(centre - half)), min(length - 1.0, math.floor(centre + half))
    return int(first), int(last) + 1


def _edges(origin: float, cell: float, length: int) -> list[int]:
    """Where the cells that cover 0..length begin, and the end; one cell begins at `origin`."""
    first, last = math.ceil(-origin / cell), math.floor((length - origin) / cell)
    inner = [math.ceil(origin + number * cell) for number in range(first, last + 1)]
    return sorted({0, length, *(edge for edge in inner if 0 < edge < length)})


def _face_size(box: Box) -> float:
    return max(box.width, box.height)
