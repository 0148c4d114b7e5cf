"""The walk for those who bring their own frames, boxes, landmarks or aligned crops."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import BankError, FaceError
from masquerade.faces.align import template
from masquerade.faces.detect import Detector, detect_everywhere, open_detector
from masquerade.identity import START_SCORE, Keyring
from masquerade.media import StillFrame
from masquerade.pipeline.fitting import EXCHANGES
from masquerade.pipeline.tailor import tailor_for, usual_treatment
from masquerade.plan import Treatment
from masquerade.swap import Redactor
from masquerade.swap.impose import Outcome, Task, guard_crop
from masquerade.types import Box, Face, Pixels, Points


class Anonymizer:
    """Replaces faces in single pictures held in memory.

    Args:
        treatment: how faces are replaced; the default puts a fabricated face on everyone, or blurs where the package
            brings no swapper. Who cannot wear one, and whoever is known by a box alone, is redacted.
        detector: finds faces when none are handed in; opened on first use if not given.

    Attributes:
        outcomes: faces that should have worn another, over all pictures, by what became of them; all but
            `Outcome.SWAPPED` were redacted.

    Raises:
        OptionError, WeightsError, EngineError, BankError: as `Tailor`.

    Example:
        >>> anonymizer = masquerade.Anonymizer()  # doctest: +SKIP
        >>> safe = anonymizer(frame)  # doctest: +SKIP
    """

    def __init__(self, treatment: Treatment | None = None, *, detector: Detector | None = None) -> None:
        treatment = treatment or usual_treatment()
        self._redactor = Redactor(treatment)
        self._detector = detector
        self._tailor = tailor_for(treatment, None, ())
        self._keyring = None if self._tailor is None else Keyring(self._tailor.bank)
        self._dressed: set[int] = set()
        self._apparent: dict[int, NDArray[np.float32]] = {}
        self.outcomes: Counter[Outcome] = Counter()

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
        faces = [face for face in faces if face.score >= START_SCORE]
        return faces if self._tailor is None else self._tailor.aligner.settle_faces(frame, faces)

    def __call__(
        self,
        image: Pixels,
        *,
        faces: Sequence[Face] | None = None,
        boxes: Sequence[tuple[float, float, float, float]] | None = None,
        landmarks: Sequence[Points] | None = None,
        people: Sequence[int] | None = None,
    ) -> Pixels:
        """Returns a copy of the picture with every face replaced.

        Args:
            image: RGB (height, width, 3), uint8 in 0..255 or uint16 in 0..65535. Not changed.
            faces: where they are, if known; otherwise they are detected, unless boxes or landmarks are given.
            boxes: (x1, y1, x2, y2) in pixels, may reach outside the picture.
            landmarks: five points each, shape (5, 2), in pixels; the box is derived from them.
            people: a number for each face handed in, in the order of these arguments: who has the same number has the
                same fabricated face in every picture that this object is given. Without, everyone has a new one each
                time.

        Raises:
            FaceError: the picture has another shape or type, a box or landmark is not finite or has no extent, or
                there are more or fewer numbers than faces.
        """
        frame = StillFrame(_checked(image).copy())
        todo = list(faces or ())
        todo += [Face(Box(*map(float, box)), 1.0) for box in boxes or ()]
        todo += [Face(box_around(points), 1.0, points) for points in landmarks or ()]
        if faces is None and boxes is None and landmarks is None:
            todo = self.detect(image)
        if people is not None and len(people) != len(todo):
            raise FaceError(f"{len(todo)} faces handed in, but {len(people)} numbers of people")
        # Redaction comes last: what it covers, no swap beside it may bring back.
        for face in self._wear(frame, todo, people):
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

    def _wear(self, frame: StillFrame, faces: Sequence[Face], people: Sequence[int] | None) -> list[Face]:
        """Puts faces on whom it can; returns those who are left to redact."""
        if self._tailor is None:
            return list(faces)
        tailor, bank = self._tailor, self._tailor.bank
        keyring, dressed = (Keyring(bank), set[int]()) if people is None else (self._keyring, self._dressed)
        assert keyring is not None
        who = {n: f for n, f in zip(people or range(len(faces)), faces, strict=True) if f.landmarks is not None}
        rest = [face for face in faces if not any(face is one for one in who.values())]
        picture = frame.thumbnail(frame.width, frame.height)
        points = [face.landmarks for face in who.values() if face.landmarks is not None]
        own = dict(zip(who, tailor.encoder.embed(picture, points), strict=True))
        try:
            anchors = keyring.assign(own, {n: bank.misfit(z) for n, z in own.items()} if bank.probe else None)
        except BankError:  # so many people, and no face left
            self.outcomes[Outcome.FAILED] += len(who)
            return list(faces)
        apparent = {} if people is None else self._apparent
        new = [number for number in who if number not in apparent]
        apparent |= {n: tailor.apparent(guard_crop(picture, who[n])[None]) for n in new}
        for number, face in who.items():
            # Whoever is new tries on other faces first; whoever is not keeps theirs.
            for again in (True,) if number in dressed else (*[False] * EXCHANGES, True):
                identity = tailor.condition(anchors[number].face, apparent[number])
                [outcome] = tailor.imposer.impose(frame, [Task(face, identity, seed=number)], again=again)
                if outcome is not Outcome.RECOGNISED:
                    break
                if not again:
                    with suppress(BankError):
                        anchors[number] = keyring.another(number)
            dressed.add(number)
            self.outcomes[outcome] += 1
            if outcome is not Outcome.SWAPPED:
                rest.append(face)
        return rest


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
