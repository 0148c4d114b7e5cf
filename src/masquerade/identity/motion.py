"""What moves between two frames that is not a face: the camera, and the cut.

Both look at small grey pictures, about 160 pixels wide, so that they cost about a millisecond a frame.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
"""Shape (height, width)."""

_LEAST_LIKENESS = 0.6  # of the structure of two frames of one scene; on real clips 0.7 to 1, over cuts up to 0.5
_LEAST_CHANGE = 8.0  # grey levels: nothing darker or duller than this is called a cut
_FLAT = 1.0  # grey levels of deviation: black, white, or a flash
_CORNERS = 100
_LEAST_CORNERS = 10
_WINDOW = (15, 15)
_MOST_SCALE = 1.25  # a frame's zoom beyond this is a mistake


def scene_cut(previous: Grey, current: Grey) -> bool:
    """Whether a new scene begins between two successive frames.

    Compares structure, not brightness: both pictures are shrunk, freed of mean and contrast, and correlated at the
    best small shift, so that flashes, fades and pans are no cuts.

    Args:
        previous, current: uint8 (height, width), equally large.
    """
    if np.abs(previous.astype(np.int16) - current).mean() < _LEAST_CHANGE:
        return False
    a, b = (
        cv2.resize(picture, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float32)
        for picture in (previous, current)
    )
    inner = b[3:-3, 6:-6]  # leaves room to find a pan of a tenth of the picture
    if min(a.std(), inner.std()) < _FLAT:  # black, or a flash: the scene behind it may go on
        return False
    return float(cv2.matchTemplate(a, inner, cv2.TM_CCOEFF_NORMED).max()) < _LEAST_LIKENESS


def camera_motion(previous: Grey, current: Grey) -> NDArray[np.float64]:
    """The similarity that most of the picture moves by.

    Corners are followed by pyramidal Lucas-Kanade there and back, and fitted with RANSAC, so that people who
    walk through the picture are outvoted.

    Args:
        previous, current: uint8 (height, width), equally large.

    Returns:
        2x3 affine that maps points (x, y, 1) of `previous` to `current`, in their pixels; the identity where nothing
        can be said.
    """
    still = np.eye(2, 3)
    if min(previous.std(), current.std()) < _FLAT:
        return still
    before, after = _even(previous), _even(current)
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 5)
    if corners is None:
        return still
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners), winSize=_WINDOW)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, np.empty_like(there), winSize=_WINDOW)
    kept = ((found == 1) & (returned == 1)).ravel() & (np.linalg.norm(back - corners, axis=2).ravel() < 1.0)
    if kept.sum() < _LEAST_CORNERS:
        return still
    motion, inliers = cv2.estimateAffinePartial2D(
        corners[kept], there[kept], method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    if motion is None or inliers.sum() < max(_LEAST_CORNERS, 0.4 * kept.sum()):
        return still
    scale = float(np.hypot(motion[0, 0], motion[1, 0]))
    return np.asarray(motion, np.float64) if 1 / _MOST_SCALE < scale < _MOST_SCALE else still


def _even(grey: Grey) -> Grey:
    """The same picture at a fixed brightness and contrast, for flow follows brightness."""
    values = (grey - grey.mean(dtype=np.float32)) * np.float32(48 / grey.std()) + 128
    return np.asarray(np.clip(values, 0, 255), np.uint8)
