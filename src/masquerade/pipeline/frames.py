"""The walk for those who bring their own frames, boxes, landmarks or aligned crops."""

from collections.abc import Sequence

import numpy as np

from masquerade.errors import FaceError, OptionError
from masquerade.faces.align import template
from masquerade.faces.detect import Detector, detect_everywhere, open_detector
from masquerade.identity import START_SCORE
from masquerade.media import StillFrame
from masquerade.plan import Treatment
from masquerade.swap import Redactor
from masquerade.types import Box, Face, Pixels, Points


class Anonymizer:
    """Replaces faces in single pictures held in memory.

    Args:
        treatment: how faces are replaced; the default blurs. "swap" is for files, where the guard has a person's whole
            way before it.
        detector: finds faces when none are handed in; opened on first use if not given.

    Raises:
        OptionError: the treatment is "swap".

    Example:
        >>> anonymizer = masquerade.Anonymizer()  # doctest: +SKIP
        >>> safe = anonymizer(frame)  # doctest: +SKIP
    """

    def __init__(self, treatment: Treatment | None = None, *, detector: Detector | None = None) -> None:
        treatment = treatment or Treatment()
        if treatment.method == "swap":
            raise OptionError("single pictures in memory are redacted, not swapped", hint="Use masquerade.anonymize")
        self._redactor = Redactor(treatment)
        self._detector = detector

    def detect(self, image: Pixels) -> list[Face]:
        """Finds faces at every scale.

        Args:
            image: RGB (height, width, 3), uint8 or uint16.

        Returns:
            Boxes and landmarks in pixels, best first, all that would be replaced.
        """
        if self._detector is None:
            self._detector = open_detector()
        frame = StillFrame(_checked(image))
        faces = detect_everywhere(self._detector, frame.thumbnail(frame.width, frame.height), turned=True)
        return [face for face in faces if face.score >= START_SCORE]

    def __call__(
        self,
        image: Pixels,
        *,
        faces: Sequence[Face] | None = None,
        boxes: Sequence[tuple[float, float, float, float]] | None = None,
        landmarks: Sequence[Points] | None = None,
    ) -> Pixels:
        """Returns a copy of the picture with every face replaced.

        Args:
            image: RGB (height, width, 3), uint8 in 0..255 or uint16 in 0..65535. Not changed.
            faces: where they are, if known; otherwise they are detected, unless boxes or landmarks are given.
            boxes: (x1, y1, x2, y2) in pixels, may reach outside the picture.
            landmarks: five points each, shape (5, 2), in pixels; the box is derived from them.

        Raises:
            FaceError: the picture has another shape or type, or a box or landmark is not finite or has no extent.
        """
        frame = StillFrame(_checked(image).copy())
        todo = list(faces or ())
        todo += [Face(Box(*map(float, box)), 1.0) for box in boxes or ()]
        todo += [Face(box_around(points), 1.0, points) for points in landmarks or ()]
        if faces is None and boxes is None and landmarks is None:
            todo = self.detect(image)
        for face in todo:
            self._redactor.replace(frame, face)
        return frame.samples

    def crop(self, crop: Pixels) -> Pixels:
        """Replaces the face in a crop that is aligned to the ArcFace template.

        Args:
            crop: RGB (side, side, 3), uint8 or uint16. Not changed.

        Raises:
            FaceError: the crop is not square, or of another shape or type.
        """
        side = _checked(crop).shape[0]
        if crop.shape[1] != side:
            raise FaceError(f"an aligned crop is square, this one is {crop.shape[1]} x {side}")
        return self(crop, landmarks=[template(side)])


def box_around(landmarks: Points) -> Box:
    """The box of a face of which five landmarks are known.

    From brow to chin the face is about 2.6 times as high as the way from eyes to mouth, and as wide as a detector's
    boxes usually are, three quarters of that; turned faces are covered by taking the larger of both extents.

    Args:
        landmarks: shape (5, 2), pixels.

    Raises:
        FaceError: not five finite points, or all in one place.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise FaceError("landmarks are five finite points, shape (5, 2)")
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    extent = max(float(np.linalg.norm(mouth - eyes)), float(np.linalg.norm(points[1] - points[0])))
    if extent <= 0:
        raise FaceError("the landmarks of a face cannot all lie in one place")
    x, y = (eyes + mouth) / 2
    half_w, half_h = 1.0 * extent, 1.3 * extent
    return Box(x - half_w, y - half_h, x + half_w, y + half_h)


def _checked(image: Pixels) -> Pixels:
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise FaceError("a picture is an RGB array of shape (height, width, 3)")
    if image.dtype not in (np.uint8, np.uint16):
        raise FaceError(f"a picture is uint8 or uint16, not {image.dtype}")
    return image
