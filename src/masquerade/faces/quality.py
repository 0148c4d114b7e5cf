"""How much a crop says about whose face it is: 0, nothing, to 1."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import FaceError
from masquerade.types import Box

_SMALL, _LARGE = 16.0, 112.0
"""Pixels of the face's width: at most `_SMALL` tell nothing, more than `_LARGE` add nothing."""
_SHARP = 0.02
_TURNED = 0.6
"""Where the nose lies beside the middle of the eyes, in distances of the eyes, when only one side is seen."""


def quality(crop: NDArray[np.uint8], landmarks: ArrayLike, box: Box) -> float:
    """Size, sharpness and how far the face is turned towards us, multiplied. Our own measure; it needs no network.

    Args:
        crop: RGB uint8, aligned, 112 pixels a side.
        landmarks: five points in pixels of the picture, shape (5, 2), in the order of `types`.
        box: in pixels of the picture.

    Raises:
        FaceError: crop or landmarks are of another shape.
    """
    points = np.asarray(landmarks, np.float64)
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or points.shape != (5, 2):
        raise FaceError(f"quality wants an RGB crop of uint8 and five points, not {crop.shape} and {points.shape}")
    return size_quality(box) * sharpness(crop) * frontality(points)


def size_quality(box: Box) -> float:
    """0 for a face of 16 pixels and less, 1 from 112 pixels; every doubling counts the same."""
    side = max(min(box.width, box.height), 1e-6)
    return float(np.clip(np.log(side / _SMALL) / np.log(_LARGE / _SMALL), 0, 1))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """0 for a flat or wholly blurred crop, towards 1 the more fine detail it has for its contrast."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    contrast = float(grey.var())
    if contrast < 1:
        return 0.0
    detail = float(cv2.Laplacian(grey, cv2.CV_32F).var()) / contrast
    return detail / (detail + _SHARP)


def frontality(landmarks: ArrayLike) -> float:
    """1 where the nose lies between the eyes, 0 where the face is seen from its side, by the five points."""
    points = np.asarray(landmarks, np.float64)
    eyes = points[1] - points[0]
    length = float(eyes @ eyes)
    if not length > 0:
        return 0.0
    beside = float((points[2] - points[:2].mean(axis=0)) @ eyes) / length
    return float(np.clip(1 - abs(beside) / _TURNED, 0, 1))
