"""How much a crop says about whose face it is: 0, nothing, to 1."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import FaceError
from masquerade.types import Box

# Each is 0 at the first number and 1 at the second, and rises with the logarithm of what is measured. They follow the
# rate at which the packaged driver still knew people whose crops had been shrunk, blurred and dimmed.
_PIXELS = (12.0, 48.0)  # the shorter side of the box
_DETAIL = (0.001, 0.01)  # variance of the Laplacian over variance
_CONTRAST = (8.0, 24.0)  # grey levels, standard deviation
INNER = np.s_[24:104, 24:88]
"""Of a crop of 112 pixels: brow to chin, cheek to cheek."""
_TURNED = 0.6  # nose to the middle of the eyes, in distances of the eyes: only one side of the face is seen


def quality(crop: NDArray[np.uint8], landmarks: ArrayLike, box: Box) -> float:
    """What the crop shows (the poorer of size and sharpness) times contrast times how far the face looks at us.

    Our own measure; it needs no network. Below about 0.2 strangers begin to resemble each other.

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
    inner = np.ascontiguousarray(crop[INNER])  # a lamp beside the face says nothing of it
    grey = np.asarray(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY), np.uint8)
    # A small face is never sharp: it would be held against it twice if these two were multiplied.
    return min(size_quality(box), sharpness(grey)) * contrast(grey) * frontality(points)


def size_quality(box: Box) -> float:
    """By the shorter side of the box in pixels."""
    return _ramp(min(box.width, box.height), _PIXELS)


def sharpness(grey: NDArray[np.uint8]) -> float:
    """By how much fine detail a crop (height, width) has for its contrast."""
    return _ramp(float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(float(grey.var()), 1e-6), _DETAIL)


def contrast(grey: NDArray[np.uint8]) -> float:
    """By the deviation of its grey levels: in the dark all faces are alike, and noise is sharp."""
    return _ramp(float(grey.std()), _CONTRAST)


def frontality(landmarks: ArrayLike) -> float:
    """1 where the nose lies between the eyes, 0 where the face is seen from its side, by the five points."""
    points = np.asarray(landmarks, np.float64)
    eyes = points[1] - points[0]
    length = float(eyes @ eyes)
    if not length > 0:
        return 0.0
    beside = float((points[2] - points[:2].mean(axis=0)) @ eyes) / length
    return float(np.clip(1 - abs(beside) / _TURNED, 0, 1))


def _ramp(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return float(np.clip(np.log(max(value, 1e-9) / low) / np.log(high / low), 0, 1))
