"""Is what is not identity still there? Head pose, gaze, landmarks, how far mouth and eyes are open. Pure functions.

Each compares the same face in the same frame before and after. Faces in which nothing is found any more have no such
figures: how many these are is a figure of its own.
"""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import FaceError
from masquerade.types import Points

_MEAN_FACE = np.array(
    [(-0.5, 0, 0), (0.5, 0, 0), (0, 0.57, -0.55), (-0.41, 1.15, -0.1), (0.41, 1.15, -0.1)], np.float64
)
"""The five landmarks of an average head in distances of its eyes, x to the right, y down, z away from us. Ours: x and y
are the ArcFace template's, the depths those with which yaw agrees best with a pose network's on CelebA."""

_ROUNDING = 1e-5
_FAR = 1000.0
"""Focal length for a face of about 20 units: so far away that a face's perspective plays no part."""


def head_pose(landmarks: Points) -> NDArray[np.float64]:
    """Yaw, pitch and roll of a head, from five landmarks, by a perspective-n-point fit to a mean face.

    Without a network. Faces differ from the mean face, which shifts what is found for a person, mostly the pitch: only
    differences between two pictures of one face mean much. On 497 faces of CelebA yaw goes with a pose network's by a
    correlation of .96, pitch by .52.

    Args:
        landmarks: shape (5, 2), pixels, in the order of `types`.

    Returns:
        Degrees, shape (3,): yaw, positive where the face looks to the picture's right; pitch, positive upwards; roll,
        positive clockwise.

    Raises:
        FaceError: the landmarks fix no pose.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise FaceError("head pose takes five finite landmarks, shape (5, 2)")
    centred = points - points.mean(axis=0)
    size = float(np.linalg.norm(centred, axis=1).max())
    if not size > 0:
        raise FaceError("the landmarks of a face cannot all lie in one place")
    camera = np.diag([_FAR, _FAR, 1.0])
    found, turn, _ = cv2.solvePnP(_MEAN_FACE, centred / size * 20, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        raise FaceError("the landmarks fix no head pose")
    rotation = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    return np.degrees(
        [
            np.arctan2(-rotation[0, 2], rotation[2, 2]),
            np.arcsin(np.clip(rotation[1, 2], -1, 1)),
            np.arctan2(rotation[1, 0], rotation[1, 1]),
        ]
    )


def pose_error(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """By how much yaw, pitch and roll differ, the shorter way round: degrees, 0 to 180, shape of the arguments."""
    difference = np.abs(np.asarray(before, np.float64) - np.asarray(after, np.float64)) % 360
    return np.asarray(np.minimum(difference, 360 - difference))


def gaze_error(before: ArrayLike, after: ArrayLike) -> float:
    """Angle between two directions of gaze, degrees, 0 to 180; of unit vectors, shape (3,)."""
    cosine = float(np.dot(np.asarray(before, np.float64), np.asarray(after, np.float64)))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def landmark_error(before: ArrayLike, after: ArrayLike, eyes: tuple[int, int] = (0, 1)) -> float:
    """Mean distance between landmarks, over the distance of two of them before: sum |b_i - a_i| / (n |b_l - b_r|).

    Args:
        before, after: shape (n, 2), pixels.
        eyes: which two points the distance is measured in; (36, 45), the outer corners of the eyes, of 68 points.

    Raises:
        FaceError: the two points coincide.
    """
    b, a = np.asarray(before, np.float64), np.asarray(after, np.float64)
    apart = float(np.linalg.norm(b[eyes[0]] - b[eyes[1]]))
    if not apart > 0:
        raise FaceError("the two eyes of a face cannot lie in one place")
    return float(np.linalg.norm(b - a, axis=1).mean() / apart)


def openness(points: ArrayLike) -> tuple[float, float]:
    """How far mouth and eyes are open: height over width of the inner lips, and of both eyes together.

    Args:
        points: 68 landmarks in the usual order (iBUG), shape (68, 2).

    Returns:
        (mouth, eyes), 0 where closed; not a number where a mouth or eye has no width.
    """
    marks = np.asarray(points, np.float64)

    def gap(*pairs: tuple[int, int]) -> float:
        return float(np.mean([np.linalg.norm(marks[a] - marks[b]) for a, b in pairs]))

    mouth, eyes = gap((60, 64)), gap((36, 39), (42, 45))
    return (
        gap((61, 67), (62, 66), (63, 65)) / mouth if mouth else np.nan,
        gap((37, 41), (38, 40), (43, 47), (44, 46)) / eyes if eyes else np.nan,
    )


def correlation(before: ArrayLike, after: ArrayLike) -> float:
    """Pearson's correlation, -1 to 1; not a number where one of the two changes by no more than rounding."""
    b, a = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if min(np.ptp(b), np.ptp(a)) < _ROUNDING:
        return float("nan")
    b, a = b - b.mean(), a - a.mean()
    return float((b * a).sum() / np.sqrt((b**2).sum() * (a**2).sum()))
