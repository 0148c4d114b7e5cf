"""Faces of every size, in pictures of every size: recall first, in bounded memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect.base import Detector
from masquerade.faces.detect.boxes import (
    Floats,
    View,
    areas,
    intersections,
    non_maximum_suppression,
    resize,
    scaled_view,
)
from masquerade.types import Box, Face, Pixels

SMALL = 320
"""A picture is halved until its long side is at most this. Large faces that are dark, blurred, in profile or cut by the
picture's border are found there and missed at full size."""
TINY = 640
"""Pictures whose long side is less than this are looked at twice as large too."""
TILE = (1920, 1088)
"""Width and height of the largest part the detector sees at once."""
OVERLAP = 256
"""Pixels that neighbouring tiles share. A face cut by all tiles of one size lies whole in a tile of half the size."""
TURNED_SIDE = 1280
"""Turned passes look at the sizes up to this long side."""
TURNED_SCORE = 0.5
"""What a face that only a turned pass sees must score."""
LEAST_WINDOW = 128
"""A window is widened to this many pixels, so that the detector sees some surroundings."""
SAME = 0.4
"""Boxes with a higher IoU are one face."""


class Readable(Protocol):
    """A picture that is read by region, such as `media.Frame`."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB of a region."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    face: Face
    cut: bool
    """Whether the face reaches the border of what was looked at while the picture goes on behind it."""


def detect_everywhere(detector: Detector, image: NDArray[np.uint8], *, turned: bool = False) -> list[Face]:
    """The faces of one picture, looked for at its own size and at every half, quarter, ... of it.

    Large sizes are looked at in overlapping tiles, pictures smaller than `TINY` twice as large too. Of the same face at
    several sizes the best scored stays; a face cut by a tile's border stays only if no tile has it whole.

    Args:
        image: RGB uint8, (height, width, 3); 50 megapixels need no more memory than a tile beside the picture.
        turned: look also at the picture turned by 90, 180 and 270 degrees, for people who lie or stand on their head;
            up to four times the work.

    Returns:
        Faces in pixels of the picture, best score first. The rows of a turned face's landmarks keep their meaning as
        the face itself stands: row 0 is the eye that lies left once the face is upright.
    """
    height, width = image.shape[:2]
    sightings: list[_Sighting] = []
    for size in _sizes(width, height):
        smaller, view = resize(image, size), scaled_view((width, height), size)
        sightings += _moved(_in_tiles(detector, smaller), view)
        if turned and max(size) <= TURNED_SIDE:
            for quarters in (1, 2, 3):
                found = _in_tiles(detector, np.ascontiguousarray(np.rot90(smaller, quarters)))
                sure = [s for s in found if s.face.score >= TURNED_SCORE]
                upright = [_Sighting(_turned_back(s.face, quarters, size), s.cut) for s in sure]
                sightings += _moved(upright, view)
    return _merged(sightings)


def detect_in_tiles(detector: Detector, image: NDArray[np.uint8]) -> list[Face]:
    """The faces of one picture at its own size only, in overlapping tiles where it is large.

    Args:
        image: RGB uint8, (height, width, 3).

    Returns:
        Faces in pixels of the picture, best score first.
    """
    return _merged(_in_tiles(detector, image))


def detect_in_windows(detector: Detector, picture: Readable, windows: Sequence[Box]) -> list[Face]:
    """The faces in parts of a picture, at the picture's own size.

    Args:
        picture: read window by window; it is never read as a whole.
        windows: where to look, pixels; parts outside the picture are left out. Windows that overlap are joined where
            that saves work.

    Returns:
        Faces in pixels of the whole picture, each once, best score first.
    """
    sightings: list[_Sighting] = []
    for x, y, right, bottom in _joined([_grown(window, picture.width, picture.height) for window in windows]):
        pixels = picture.read(x, y, right - x, bottom - y)
        inner = (x > 0, y > 0, right < picture.width, bottom < picture.height)
        found = _sightings(detector, _eight_bit(pixels), inner)
        sightings += _moved(found, View((1, 1), (-x, -y)))
    return _merged(sightings)


def _sizes(width: int, height: int) -> Iterator[tuple[int, int]]:
    scale = 2.0 if max(width, height) < TINY else 1.0
    while True:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        yield size
        if max(size) <= SMALL:
            return
        scale /= 2


def _in_tiles(detector: Detector, image: NDArray[np.uint8]) -> list[_Sighting]:
    height, width = image.shape[:2]
    across, down = (TILE[1], TILE[0]) if height > width else TILE
    sightings: list[_Sighting] = []
    for y, bottom in _spans(height, down):
        for x, right in _spans(width, across):
            inner = (x > 0, y > 0, right < width, bottom < height)
            found = _sightings(detector, np.ascontiguousarray(image[y:bottom, x:right]), inner)
            sightings += _moved(found, View((1, 1), (-x, -y)))
    return sightings


def _spans(length: int, tile: int) -> list[tuple[int, int]]:
    """(start, end) of equal tiles that cover a length and overlap by at least `OVERLAP`."""
    if length <= tile:
        return [(0, length)]
    count = int(np.ceil((length - OVERLAP) / (tile - OVERLAP)))
    return [(start, start + tile) for start in np.linspace(0, length - tile, count).round().astype(int).tolist()]


def _sightings(detector: Detector, image: NDArray[np.uint8], inner: tuple[bool, bool, bool, bool]) -> list[_Sighting]:
    """What the detector sees in one part; `inner`: does the picture go on to the left, top, right, bottom of it."""
    height, width = image.shape[:2]
    sightings = []
    for face in detector.detect([image])[0]:
        box = face.box
        reaches = (box.x1 < 1, box.y1 < 1, box.x2 > width - 2, box.y2 > height - 2)
        sightings.append(_Sighting(face, any(r and i for r, i in zip(reaches, inner, strict=True))))
    return sightings


def _moved(sightings: Sequence[_Sighting], view: View) -> list[_Sighting]:
    return [_Sighting(view.face_to_picture(s.face), s.cut) for s in sightings]


def _turned_back(face: Face, quarters: int, size: tuple[int, int]) -> Face:
    """A face found in a picture of (width, height) after `quarters` turns to the left, in the picture as it was."""
    width, height = size

    def back(points: Floats) -> Floats:
        x, y = points[:, 0], points[:, 1]
        turns = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}
        return np.column_stack(turns[quarters]).astype(np.float32)

    corners = back(np.array([[face.box.x1, face.box.y1], [face.box.x2, face.box.y2]], np.float32))
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Face(Box(x1, y1, x2, y2), face.score, None if face.landmarks is None else back(face.landmarks))


def _merged(sightings: Sequence[_Sighting]) -> list[Face]:
    """Each face once: whole ones first, then cut ones of which less than half is covered by those."""
    whole = _thinned([s.face for s in sightings if not s.cut])
    cut = [s.face for s in sightings if s.cut]
    if whole and cut:
        boxes = _boxes(cut)
        covered = intersections(boxes, _boxes(whole)).max(axis=1) > areas(boxes) / 2
        cut = [face for face, has in zip(cut, covered, strict=True) if not has]
    return sorted(whole + _thinned(cut), key=lambda face: -face.score)


def _thinned(faces: Sequence[Face]) -> list[Face]:
    scores = np.array([face.score for face in faces], np.float32)
    return [faces[i] for i in non_maximum_suppression(_boxes(faces), scores, SAME)]


def _boxes(faces: Sequence[Face]) -> Floats:
    return np.array([list(face.box) for face in faces], np.float32).reshape(-1, 4)


_Rectangle = tuple[int, int, int, int]


def _grown(window: Box, width: int, height: int) -> _Rectangle:
    """(x1, y1, x2, y2) around a window: large enough, of sides in steps of 64, moved and cut to lie in the picture."""

    def span(start: float, end: float, length: int) -> tuple[int, int]:
        # Whole pixels first: else a side that is a multiple of 64 leaves a part of one out.
        low, high = math.floor(start), math.floor(end) + 1
        side = min(max(math.ceil((high - low) / 64) * 64, LEAST_WINDOW), length)
        first = round(min(max((low + high - side) / 2, 0), length - side))
        return first, first + side

    (x1, x2), (y1, y2) = span(window.x1, window.x2, width), span(window.y1, window.y2, height)
    return x1, y1, x2, y2


def _joined(windows: Sequence[_Rectangle]) -> list[_Rectangle]:
    """Fewer windows that cover the same: two become one where that one is no larger than both together."""
    left = list(windows)
    done: list[_Rectangle] = []
    while left:
        window = left.pop()
        for other in left:
            both = (
                min(window[0], other[0]),
                min(window[1], other[1]),
                max(window[2], other[2]),
                max(window[3], other[3]),
            )
            if _area(both) <= _area(window) + _area(other):
                left.remove(other)
                left += [*done, both]
                done = []
                break
        else:
            done.append(window)
    return done


def _area(window: _Rectangle) -> int:
    return (window[2] - window[0]) * (window[3] - window[1])


def _eight_bit(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(pixels if pixels.dtype == np.uint8 else pixels // 257, np.uint8)
