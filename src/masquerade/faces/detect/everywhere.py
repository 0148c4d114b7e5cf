"""Faces of every size, in pictures of every size: recall first, in bounded memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
TURNED_LESS = 0.25
"""By so much a turned pass must see a face better than an upright one. Of upright portraits it scored up to .1 better,
with landmarks a third of the distance of the eyes off; of people who lie, an upright pass sees little."""
LEAST_WINDOW = 128
"""A window is widened to this many pixels, so that the detector sees some surroundings."""
SAME = 0.4
"""Boxes with a higher IoU are one face."""
LARGE = 420
"""Pixels of a face's longer side up to which detectors see landmarks where they are. The same face drawn larger had
them off by 1 % of the distance of the eyes up to there, and by 8 to 20 % beyond, with as high a score."""
SURE = 0.5
"""Score from which on a face that was seen at such a size is taken as it was seen there."""
PART = 0.8
"""Share of a box that lies in another face's, from which on it is a part of that face."""
BEYOND_DOUBT = 0.9
"""Score of a face whose parts are no faces. Of 40 generated portraits of 256 to 1,200 pixels it had .94 and more, its
parts .54 to .86."""


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
    side: float
    """The longer side of the face as the detector saw it, pixels."""
    turned: bool = False
    """Whether the picture was turned."""


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
                upright = [replace(s, face=_turned_back(s.face, quarters, size), turned=True) for s in sure]
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
    """The faces in parts of a picture, at the picture's own size and large parts at half of it, too.

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
        found = _halved(detector, _eight_bit(pixels), inner)
        sightings += _moved(found, View((1, 1), (-x, -y)))
    return _merged(sightings)


def _halved(detector: Detector, image: NDArray[np.uint8], inner: tuple[bool, bool, bool, bool]) -> list[_Sighting]:
    """What is seen in a part of a picture at its own size and, while a face in it may be too large, at half of it."""
    height, width = image.shape[:2]
    size, sightings = (width, height), _sightings(detector, image, inner)
    while max(size) > 2 * LARGE:
        size = (max(size[0] // 2, 1), max(size[1] // 2, 1))
        found = _sightings(detector, resize(image, size), inner)
        sightings += _moved(found, scaled_view((width, height), size))
    return sightings


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
        cut = any(r and i for r, i in zip(reaches, inner, strict=True))
        sightings.append(_Sighting(face, cut, max(box.width, box.height)))
    return sightings


def _moved(sightings: Sequence[_Sighting], view: View) -> list[_Sighting]:
    return [replace(s, face=view.face_to_picture(s.face)) for s in sightings]


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
    whole = _thinned([s for s in sightings if not s.cut])
    cut = [s for s in sightings if s.cut]
    if whole and cut:
        boxes = _boxes([s.face for s in cut])
        covered = intersections(boxes, _boxes(whole)).max(axis=1) > areas(boxes) / 2
        cut = [s for s, has in zip(cut, covered, strict=True) if not has]
    faces = _without_parts(whole + _thinned(cut), [s.face for s in sightings])
    return sorted(faces, key=lambda face: -face.score)


def _without_parts(faces: list[Face], seen: Sequence[Face]) -> list[Face]:
    """Those that are no part of a larger face among all that were `seen`.

    In a face of several hundred pixels a detector sees further ones, a cheek with an eye, say. Behind nobody's face
    there is another to be seen, and before it none without hiding it; so what lies within a face that is beyond doubt
    belongs to it.
    """
    if not faces:
        return faces
    boxes, others = _boxes(faces), _boxes(seen)
    scores, surest = (np.array([face.score for face in some], np.float32) for some in (faces, seen))
    inside = intersections(boxes, others) > PART * areas(boxes)[:, None]
    larger = (surest >= BEYOND_DOUBT) & (surest > scores[:, None])
    # Less than that, and it is the same face, seen once more.
    larger &= areas(others) > areas(boxes)[:, None] / SAME
    parts: NDArray[np.bool_] = np.any(inside & larger, axis=1)
    return [face for face, part in zip(faces, parts.tolist(), strict=True) if not part]


def _thinned(sightings: Sequence[_Sighting]) -> list[Face]:
    """Each face once: as it was seen at a size that detectors know, best scored, else as it was seen best."""
    ranks = np.array([_rank(s) for s in sightings], np.float32)
    kept = non_maximum_suppression(_boxes([s.face for s in sightings]), ranks, SAME)
    return [sightings[i].face for i in kept]


def _rank(sighting: _Sighting) -> float:
    known = sighting.side <= LARGE and sighting.face.score >= SURE
    return sighting.face.score + known - TURNED_LESS * sighting.turned


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
