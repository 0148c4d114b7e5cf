"""A picture read by region and written by region.

The whole picture is never turned into RGB at full size: what nobody writes to keeps its samples, deep sources stay
deep, and a 1080p frame costs little.
"""

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.media.color import Coding
from masquerade.types import Pixels

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter


_SWSCALE_MATRIX = {6: 5, 10: 9}  # where libswscale's number of a matrix is not FFmpeg's

_NOTHING: tuple[tuple[int, int, int, int], Pixels] = (0, 0, 0, 0), np.zeros((0, 0, 3), np.uint8)


class Frame(ABC):
    """One picture of a video, or a photo.

    Attributes:
        index: place in presentation order, from 0.
        time: the container's own timestamp in seconds; 0.0 for stills.
        width: in pixels, as a person sees it (rotation honoured).
        height: likewise.
    """

    index: int
    time: float
    width: int
    height: int
    _last_read: tuple[tuple[int, int, int, int], Pixels] = _NOTHING
    """Saves `write` from reading again what was just read."""

    @abstractmethod
    def thumbnail(self, width: int, height: int) -> NDArray[np.uint8]:
        """The whole picture at another size, area-averaged where it shrinks.

        Returns:
            RGB, shape (height, width, 3), uint8, whatever the depth of the source.
        """

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """A copy of the region whose first pixel is (x, y).

        Returns:
            RGB, shape (height, width, 3); uint8, or uint16 over the full 0..65535 for deeper sources.

        Raises:
            ValueError: the region is empty or reaches outside the picture.
        """
        self._check(x, y, width, height)
        pixels = self._read(x, y, width, height)
        self._last_read = (x, y, width, height), pixels.copy()
        return pixels

    def write(self, x: int, y: int, pixels: Pixels) -> None:
        """Put an edited region back, its first pixel at (x, y).

        Only pixels that differ from what `read` gives are changed; where chroma is subsampled, the chroma samples that
        cover a changed pixel become the mean of the new colours they cover, so nothing of the old one stays in them.

        Args:
            pixels: shape (height, width, 3) and the type that `read` gives.

        Raises:
            ValueError: the region reaches outside the picture, or shape or type are not those.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"pixels must have shape (height, width, 3), not {pixels.shape}")
        height, width = pixels.shape[:2]
        self._check(x, y, width, height)
        region, old = self._last_read
        if region != (x, y, width, height):
            old = self._read(x, y, width, height)
        self._last_read = _NOTHING
        if pixels.dtype != old.dtype:
            raise ValueError(f"pixels must be {old.dtype} as read gives, not {pixels.dtype}")
        differs = pixels != old
        changed = differs[..., 0] | differs[..., 1] | differs[..., 2]  # ten times faster than any(axis=2)
        if changed.any():
            self._write(x, y, pixels, changed)

    def _check(self, x: int, y: int, width: int, height: int) -> None:
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"region {width}x{height} at ({x}, {y}) is not inside a {self.width}x{self.height} picture"
            )

    @abstractmethod
    def _read(self, x: int, y: int, width: int, height: int) -> Pixels: ...

    @abstractmethod
    def _write(self, x: int, y: int, pixels: Pixels, changed: NDArray[np.bool_]) -> None: ...


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned to stand upright: transposed first, then mirrored."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_exif(cls, orientation: int) -> "Orientation":
        """EXIF's 1 to 8; anything else means upright, as viewers take it."""
        transpose, flip_x, flip_y = {
            2: (False, True, False),
            3: (False, True, True),
            4: (False, False, True),
            5: (True, False, False),
            6: (True, True, False),
            7: (True, True, True),
            8: (True, False, True),
        }.get(orientation, (False, False, False))
        return cls(transpose, flip_x, flip_y)

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.int32]) -> "Orientation":
        """The display matrix of MP4 and MOV: nine numbers, multiplied by (x, y, 1) from the left.

        A turn that is no multiple of 90 degrees is taken for none; the player still does it.
        """
        a, b, _, c, d = (int(v) for v in matrix[:5])
        if b == c == 0 and a and d:
            return cls(False, a < 0, d < 0)
        if a == d == 0 and b and c:
            return cls(True, c < 0, b < 0)
        return cls()

    @property
    def rotation(self) -> int:
        """Degrees clockwise that the stored picture is turned by, its mirroring aside: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after turning; the same way back."""
        return (height, width) if self.transpose else (width, height)

    def upright(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A view of an array (height, width, ...) as a person sees it."""
        turned = stored.swapaxes(0, 1) if self.transpose else stored
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def stored(self, upright: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `upright`, a view too."""
        turned = upright[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return turned.swapaxes(0, 1) if self.transpose else turned

    def stored_region(self, x: int, y: int, width: int, height: int, full: tuple[int, int]) -> "Region":
        """Where a region of the upright picture, whose size is `full`, lies in the stored one."""
        if self.flip_x:
            x = full[0] - x - width
        if self.flip_y:
            y = full[1] - y - height
        return Region(y, x, height, width) if self.transpose else Region(x, y, width, height)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """What all frames of one video share.

    Attributes:
        pix_fmt: FFmpeg's name of the planar format.
        gray: there is only luma.
        shift_x: a chroma sample covers 2 ** shift_x columns.
        shift_y: likewise rows.
        coding: matrix, range and depth.
        orientation: from the stored picture to the upright one.
        scaler: makes their thumbnails.
    """

    pix_fmt: str
    gray: bool
    shift_x: int
    shift_y: int
    coding: Coding
    orientation: Orientation
    scaler: "Scaler"

    def thumbnail(self, picture: "av.VideoFrame", width: int, height: int) -> NDArray[np.uint8]:
        """RGB of the whole stored picture, turned upright."""
        width, height = self.orientation.size(width, height)
        small = self.scaler.rgb(picture, width, height, self.coding)
        return np.ascontiguousarray(self.orientation.upright(small))


class Scaler:
    """libswscale, kept open between frames; one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reformatter: VideoReformatter | None = None

    def rgb(self, picture: "av.VideoFrame", width: int, height: int, coding: Coding) -> NDArray[np.uint8]:
        """The picture as RGB, shape (height, width, 3), straight from its planes."""
        from av.video.reformatter import Interpolation, VideoReformatter  # noqa: PLC0415 - 0.2 s, and stills need no FFmpeg

        with self._lock:
            self._reformatter = self._reformatter or VideoReformatter()
            small = self._reformatter.reformat(
                picture,
                width,
                height,
                "rgb24",
                src_colorspace=_SWSCALE_MATRIX.get(coding.matrix, coding.matrix),
                src_color_range=2 if coding.full else 1,
                dst_color_range=2,
                interpolation=Interpolation.AREA,
                threads=1,
            )
        return plane_of(small, 0, np.dtype(np.uint8))[:, : 3 * width].reshape(height, width, 3)


def plane_of(picture: "av.VideoFrame", index: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A view of one plane, shape (rows, samples in a row's memory)."""
    plane: Any = picture.planes[index]  # a buffer, which its stub does not say
    return np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)


class VideoFrame(Frame):
    """A frame of a video: the decoder's planes until somebody writes, then a private copy of them.

    Chroma is read without interpolation: each sample stands for the pixels it covers, so that what was read and not
    changed is exactly what is there.
    """

    def __init__(self, picture: "av.VideoFrame", index: int, time: float, layout: Layout) -> None:
        self.index = index
        self.time = time
        self.width, self.height = layout.orientation.size(picture.width, picture.height)
        self.picture = picture
        self._layout = layout

    def thumbnail(self, width: int, height: int) -> NDArray[np.uint8]:
        return self._layout.thumbnail(self.picture, width, height)

    def _read(self, x: int, y: int, width: int, height: int) -> Pixels:
        turn = self._layout.orientation
        region = turn.stored_region(x, y, width, height, (self.width, self.height))
        return np.ascontiguousarray(turn.upright(self._read_stored(region)))

    def _write(self, x: int, y: int, pixels: Pixels, changed: NDArray[np.bool_]) -> None:
        turn, layout = self._layout.orientation, self._layout
        region = turn.stored_region(x, y, pixels.shape[1], pixels.shape[0], (self.width, self.height))
        # Grown to whole chroma samples, since each of them covers several pixels.
        grown = self._aligned(region)
        top, left = region.y - grown.y, region.x - grown.x
        inner = np.s_[top : top + region.height, left : left + region.width]
        rgb = self._read_stored(grown)
        rgb[inner] = turn.stored(pixels)
        mask = np.zeros(rgb.shape[:2], np.bool_)
        mask[inner] = turn.stored(changed)

        self.picture.make_writable()  # copies the planes if the decoder, or anyone, still refers to them
        yuv = layout.coding.from_rgb(rgb)
        planes = self._planes()
        rows, columns = slice(grown.y, grown.y + grown.height), slice(grown.x, grown.x + grown.width)
        np.copyto(planes[0][rows, columns], np.rint(yuv[..., 0]).astype(planes[0].dtype), where=mask)
        if layout.gray:
            return
        sx, sy = layout.shift_x, layout.shift_y
        touched = reduce(np.bitwise_or, _in_block(mask, sx, sy))
        chroma = reduce(np.add, _in_block(yuv[..., 1:], sx, sy)) / np.float32(1 << (sx + sy))
        height, width = touched.shape
        for index in (1, 2):
            samples = planes[index][grown.y >> sy :, grown.x >> sx :][:height, :width]
            np.copyto(samples, np.rint(chroma[..., index - 1]).astype(samples.dtype), where=touched)

    def _read_stored(self, region: Region) -> Pixels:
        layout = self._layout
        sx, sy = layout.shift_x, layout.shift_y
        planes = self._planes()
        yuv = np.empty((region.height, region.width, 3), np.float32)
        yuv[..., 0] = planes[0][region.y : region.y + region.height, region.x : region.x + region.width]
        if layout.gray:
            yuv[..., 1:] = 1 << (layout.coding.depth - 1)
            return layout.coding.to_rgb(yuv)
        rows = np.arange(region.y, region.y + region.height) >> sy
        columns = np.arange(region.x, region.x + region.width) >> sx
        for index in (1, 2):
            chroma = planes[index][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            if sx:
                chroma = chroma[:, columns - columns[0]]
            if sy:
                chroma = chroma[rows - rows[0]]
            yuv[..., index] = chroma
        return layout.coding.to_rgb(yuv)

    def _aligned(self, region: Region) -> Region:
        sx, sy = self._layout.shift_x, self._layout.shift_y
        x, y = region.x >> sx << sx, region.y >> sy << sy
        right = min(-(-(region.x + region.width) >> sx) << sx, self.picture.width)
        bottom = min(-(-(region.y + region.height) >> sy) << sy, self.picture.height)
        return Region(x, y, right - x, bottom - y)

    def _planes(self) -> list[NDArray[Any]]:
        dtype = np.dtype(np.uint8 if self._layout.coding.depth == 8 else np.uint16)
        return [plane_of(self.picture, index, dtype) for index in range(1 if self._layout.gray else 3)]


def _in_block(array: NDArray[Any], shift_x: int, shift_y: int) -> list[NDArray[Any]]:
    """Views of the first, second, ... element of each block that one chroma sample covers, as large as the plane.

    A last block that the picture's edge cuts repeats what it has.
    """
    wide, high = 1 << shift_x, 1 << shift_y
    pad = [(0, -array.shape[0] % high), (0, -array.shape[1] % wide)]
    if any(after for _, after in pad):
        array = np.pad(array, pad + [(0, 0)] * (array.ndim - 2), mode="edge")
    return [array[y::high, x::wide] for y in range(high) for x in range(wide)]


class StillFrame(Frame):
    """A photo: an upright array, grey or RGB, of 8 or 16 bits."""

    def __init__(self, samples: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Args:
        samples: shape (height, width) for grey or (height, width, 3) for RGB; kept and written to, not copied.
        """
        self.index = 0
        self.time = 0.0
        self.height, self.width = samples.shape[:2]
        self.samples = samples

    def thumbnail(self, width: int, height: int) -> NDArray[np.uint8]:
        shrinks = width <= self.width and height <= self.height
        kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(self.samples, (width, height), interpolation=kind))
        return _as_rgb(small if small.dtype == np.uint8 else np.rint(small / np.float32(257)).astype(np.uint8))

    def _read(self, x: int, y: int, width: int, height: int) -> Pixels:
        return _as_rgb(self.samples[y : y + height, x : x + width].copy())

    def _write(self, x: int, y: int, pixels: Pixels, changed: NDArray[np.bool_]) -> None:
        region = self.samples[y : y + pixels.shape[0], x : x + pixels.shape[1]]
        if self.samples.ndim == 2:
            np.copyto(region, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).reshape(region.shape), where=changed)
        else:
            np.copyto(region, pixels, where=changed[..., None])


def _as_rgb(samples: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(samples[..., None], 3, axis=2) if samples.ndim == 2 else np.ascontiguousarray(samples)
