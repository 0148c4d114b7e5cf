"""The geometry that detectors share, as pure functions on arrays.

Boxes are float32 (n, 4), each row (x1, y1, x2, y2) in pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.types import Box, Face

Floats = NDArray[np.float32]


# --- overlap ------------------------------------------------------------------------------------------------------


def areas(boxes: Floats) -> Floats:
    """Area of each box in square pixels, 0 for boxes turned inside out. Shape (n,)."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: Floats = sides[:, 0] * sides[:, 1]
    return product


def intersections(a: Floats, b: Floats) -> Floats:
    """Common area of every box of `a` (n) with every box of `b` (m), in square pixels. Shape (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    product: Floats = sides[..., 0] * sides[..., 1]
    return product


def iou_matrix(a: Floats, b: Floats) -> Floats:
    """Intersection over union, 0 to 1, shape (n, m). Two boxes without area have 0."""
    common = intersections(a, b)
    union = areas(a)[:, None] + areas(b)[None] - common
    ratio: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return ratio


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    return float(iou_matrix(np.array([list(a)], np.float32), np.array([list(b)], np.float32))[0, 0])


def non_maximum_suppression(boxes: Floats, scores: Floats, limit: float) -> NDArray[np.intp]:
    """The boxes that stay when each, best first, removes the worse ones that overlap it by an IoU above `limit`.

    Returns:
        Indices into `boxes`, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[iou_matrix(boxes[best][None], boxes[order])[0] <= limit]
    return np.array(kept, np.intp)


# --- decoding -----------------------------------------------------------------------------------------------------


def cells(width: int, height: int, stride: int, repeats: int = 1) -> Floats:
    """(column, row) of every cell of a feature map, row by row, each one `repeats` times in a row.

    Args:
        width: of the network's input in pixels, a multiple of the stride; so is the height.

    Returns:
        Shape (width / stride * height / stride * repeats, 2).
    """
    rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
    return np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), repeats, axis=0).astype(np.float32)


def anchors(width: int, height: int, levels: tuple[tuple[int, tuple[int, ...]], ...]) -> Floats:
    """Square anchor boxes in the middle of every cell, level by level.

    Args:
        width: of the network's input in pixels, a multiple of every stride; so is the height.
        levels: (stride, (side, side, ...)) for each level, in pixels.

    Returns:
        Shape (n, 4), each row (centre x, centre y, width, height) in pixels.
    """
    rows = []
    for stride, sides in levels:
        centres = (cells(width, height, stride, len(sides)) + 0.5) * stride
        side = np.tile(np.array(sides, np.float32), len(centres) // len(sides))
        rows.append(np.column_stack([centres, side, side]))
    return np.concatenate(rows)


def decode_offsets(offsets: Floats, around: Floats, variances: tuple[float, float]) -> Floats:
    """Boxes from the offsets of a single-shot detector.

    Args:
        offsets: (n, 4): the centre's shift in anchor sizes over variances[0], the logarithm of the size's ratio over
            variances[1].
        around: anchors as `anchors` makes them.
    """
    centre = around[:, :2] + offsets[:, :2] * variances[0] * around[:, 2:]
    half = around[:, 2:] * np.exp(offsets[:, 2:] * variances[1]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def decode_points(offsets: Floats, centres: Floats, unit: Floats | float) -> Floats:
    """Landmarks from their offsets.

    Args:
        offsets: (n, 2 k): x and y in turn, in units.
        centres: (n, 2) in pixels.
        unit: pixels, one number or (n, 2).

    Returns:
        Shape (n, k, 2) in pixels.
    """
    pairs = offsets.reshape(len(offsets), offsets.shape[1] // 2, 2)
    pixels: Floats = centres[:, None] + pairs * (unit if isinstance(unit, float) else unit[:, None])
    return pixels


def decode_distances(distances: Floats, centres: Floats) -> Floats:
    """Boxes from the distances (n, 4) of their left, top, right and bottom edge from a point (n, 2), in pixels."""
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)


# --- other scales -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """How a picture lies on a canvas: canvas = picture * scale + shift, for x and y.

    Pixels have their centres at whole numbers on both, so that even a pure scaling has a shift.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]

    def to_canvas(self, points: Floats) -> Floats:
        """Points (n, 2) of the picture, on the canvas."""
        moved: Floats = (points * np.array(self.scale) + np.array(self.shift)).astype(np.float32)
        return moved

    def to_picture(self, points: Floats) -> Floats:
        """Points (n, 2) of the canvas, in the picture."""
        moved: Floats = ((points - np.array(self.shift)) / np.array(self.scale)).astype(np.float32)
        return moved

    def face_to_picture(self, face: Face) -> Face:
        """A face found on the canvas, in pixels of the picture."""
        corners = np.array([[face.box.x1, face.box.y1], [face.box.x2, face.box.y2]], np.float32)
        (x1, y1), (x2, y2) = self.to_picture(corners).tolist()
        landmarks = None if face.landmarks is None else self.to_picture(face.landmarks)
        return Face(Box(x1, y1, x2, y2), face.score, landmarks)


def scaled_view(picture: tuple[int, int], canvas: tuple[int, int]) -> View:
    """The view when a picture of (width, height) is resized to fill a canvas of (width, height)."""
    x, y = canvas[0] / picture[0], canvas[1] / picture[1]
    return View((x, y), ((x - 1) / 2, (y - 1) / 2))


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture at (width, height), averaged over areas where it shrinks, bilinear where it grows."""
    height, width = image.shape[:2]
    if size == (width, height):
        return image
    shrinks = size[0] < width or size[1] < height
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return smaller.astype(np.uint8, copy=False)


def letterbox(image: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], View]:
    """The picture as large as it fits into (width, height), at the top left, the rest black."""
    height, width = image.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    inner = max(round(width * factor), 1), max(round(height * factor), 1)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: inner[1], : inner[0]] = resize(image, inner)
    return canvas, scaled_view((width, height), inner)
