"""One face's way through a scene: where it was seen, where it will be, and what is covered for it.

Everything is worked out in the coordinates of the *scene*: those of the frame that opened it, from which camera motion
has been taken out. A face that stands still while the camera pans has no velocity there.
"""

import math
import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import FaceError
from masquerade.identity.running import Running
from masquerade.types import Box, Embedding, Face, Provenance, TrackedFace

COAST = 0.5
"""Seconds for which a velocity is believed."""

_EXTENSION = 0.4  # seconds added before the first and after the last detection
_SURE_SCORE = 0.4  # a track that never was as sure is prolonged by less: most of those are no faces
_UNSURE_EXTENSION = 0.12  # seconds: what lies between two looks
_SLOPE_DOUBT = 0.1  # seconds: a velocity measured over as long a time counts half
_GROWTH, _MOST_GROWTH = 0.75, 0.3  # of a filled box, per second to the nearest detection, and at most

Array: TypeAlias = NDArray[np.float64]

Sighting: TypeAlias = tuple[int, Face]
"""A frame and the face found in it."""


@dataclass(slots=True)
class Scene:
    """A stretch of video without a cut, and the way of its camera."""

    start: int
    end: int = sys.maxsize
    """The frame after its last, once known."""
    frames: list[int] = field(default_factory=list)
    cameras: list[Array] = field(default_factory=list)
    """Scene → picture, 3x3, for each of `frames`."""

    def add(self, frame: int, motion: NDArray[np.floating] | None) -> None:
        camera = self.cameras[-1] if self.cameras else np.eye(3)
        if motion is not None and self.cameras:
            camera = np.vstack([motion, [0, 0, 1]]) @ camera
        self.frames.append(frame)
        self.cameras.append(camera)

    def camera(self, frames: NDArray[np.int64]) -> Array:
        """Scene → picture at ascending frames, shape (n, 3, 3). Between two looks the camera moves evenly."""
        first = max(0, bisect_right(self.frames, frames[0]) - 1)
        last = bisect_right(self.frames, frames[-1]) + 1
        return _mixed(np.array(self.cameras[first:last]), *_between(np.array(self.frames[first:last]), frames))


@dataclass(slots=True, eq=False)
class Trail:
    """A track in the making; all of it in the coordinates of its scene but the faces seen."""

    scene: Scene
    place: Array
    """Where it was last seen: (centre x, centre y, width, height)."""
    velocity: Array
    """(x, y) in pixels a frame."""
    seen: list[Sighting]
    first: Array
    """Where it was first seen, as `place`."""
    id: int = 0
    """0 until a detection is sure enough to start a track."""
    person: int = 0
    """The id that is told: the `id` of the first trail that seems to be the same person's."""
    led_by: "Trail | None" = None
    """The trail that this one goes on from, though in between only doubtful detections were made."""
    identity: Running | None = None
    strange: int = 0
    """Good looks on end, up to the last, that were clearly not of the person seen before them."""
    usual: Embedding | None = None
    """The identity before those."""
    mixed: bool = False
    """Whether there once were so many of them that it was another person."""
    way: tuple[Sighting, Sighting] | None = None
    """From where the trail before it was lost to where this one begins; covered, too."""

    @classmethod
    def of(cls, scene: Scene, frame: int, face: Face, place: Array) -> "Trail":
        """After the first detection."""
        return cls(scene, place, np.zeros(2), [(frame, face)], place)

    @property
    def sure(self) -> bool:
        """Whether any detection was."""
        return any(face.score >= _SURE_SCORE for _, face in self.seen)

    def expected(self, frame: int, coast: float) -> Array:
        """Where it should be; its velocity is believed for `coast` frames."""
        place = self.place.copy()
        place[:2] += self.velocity * min(frame - self.seen[-1][0], coast)
        return place

    def add(self, frame: int, face: Face, place: Array) -> None:
        """One detection more."""
        speed = (place[:2] - self.place[:2]) / (frame - self.seen[-1][0])
        self.velocity = speed if len(self.seen) == 1 else (self.velocity + speed) / 2
        self.place = place
        self.seen.append((frame, face))

    def look(self, embedding: Embedding, quality: float) -> None:
        """What the last detection says of whose face it is."""
        if self.identity is None:
            self.identity = Running.of(embedding, quality)
        else:
            self.identity.add(embedding, quality)

    def covered(self, rate: float) -> list[TrackedFace]:
        """Every frame from a little before the first detection to a little after the last, within the scene.

        Args:
            rate: frames a second.
        """
        extension = max(1, round((_EXTENSION if self.sure else _UNSURE_EXTENSION) * rate))
        own = _filled(self.scene, self.seen, extension, rate)
        return united(own, _filled(self.scene, self.way, 0, rate)) if self.way else own


_BEST_FIRST = (Provenance.DETECTED, Provenance.INTERPOLATED, Provenance.EXTRAPOLATED)


def united(*ways: Iterable[TrackedFace]) -> list[TrackedFace]:
    """At most one face a frame, frames ascending, that together cover what all of them cover.

    Where there are several in one frame, the best known of them stays, grown to contain the others where it does not.
    If one of those lies elsewhere it has no landmarks any more: they would say that the face is in one place, where it
    may be in two, and a swap leaves open what is not about them.
    """
    frames: dict[int, list[TrackedFace]] = {}
    for way in ways:
        for one in way:
            frames.setdefault(one.frame, []).append(one)
    return [_one(frames[frame]) for frame in sorted(frames)]


def _one(faces: list[TrackedFace]) -> TrackedFace:
    best = min(faces, key=lambda one: _BEST_FIRST.index(one.provenance))
    boxes = [one.face.box for one in faces]
    box = hull(boxes)
    if box == best.face.box:
        return best
    elsewhere = any(not _holds(best.face.box, other.centre) for other in boxes)
    return replace(best, face=replace(best.face, box=box, landmarks=None if elsewhere else best.face.landmarks))


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box.x1 <= point[0] <= box.x2 and box.y1 <= point[1] <= box.y2


def hull(boxes: Collection[Box]) -> Box:
    """The smallest box that contains all."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return Box(min(x1), min(y1), max(x2), max(y2))


def _filled(scene: Scene, sightings: Sequence[Sighting], extension: int, rate: float) -> list[TrackedFace]:
    """The detections, what lies between them, and `extension` frames on both sides, within the scene."""
    seen = dict(sightings)
    times = np.array(list(seen))
    frames = np.arange(max(scene.start, times[0] - extension), min(scene.end, times[-1] + extension + 1))
    before, after = np.minimum(frames - times[0], 0), np.maximum(frames - times[-1], 0)

    places = move(np.linalg.inv(scene.camera(times)), np.array([row(face) for face in seen.values()]))
    index, share = _between(times, frames)
    following = np.minimum(index + 1, len(times) - 1)
    filled = _mixed(places, index, share)
    landmarks = _mixed(np.array([_relative_landmarks(face) for face in seen.values()]), index, share)
    filled[:, :2] += before[:, None] * _speed(times, places, times - times[0] <= COAST * rate, rate)
    filled[:, :2] += after[:, None] * _speed(times, places, times[-1] - times <= COAST * rate, rate)
    filled = move(scene.camera(frames), filled)
    away = np.abs(frames[:, None] - times[np.stack([index, following], axis=1)]).min(axis=1) / rate
    growth = 1 + np.minimum(_GROWTH * away, _MOST_GROWTH)

    result = []
    for i, frame in enumerate(frames.tolist()):
        if frame in seen:
            result.append(TrackedFace(frame, seen[frame], Provenance.DETECTED))
            continue
        x, y, width, height = filled[i].tolist()
        points = (filled[i, :2] + landmarks[i] * filled[i, 2:]).astype(np.float32)
        face = Face(
            Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2).scaled(float(growth[i])),
            min(sightings[index[i]][1].score, sightings[following[i]][1].score),
            points if np.isfinite(points).all() else None,
        )
        inside = times[0] < frame < times[-1]
        result.append(TrackedFace(frame, face, Provenance.INTERPOLATED if inside else Provenance.EXTRAPOLATED))
    return result


def row(face: Face) -> tuple[float, float, float, float]:
    """(centre x, centre y, width, height) of a sound box."""
    box = face.box
    if not (all(map(math.isfinite, box)) and box.width > 0 and box.height > 0):
        raise FaceError(f"the box {tuple(box)} is not finite or is empty")
    return (*box.centre, box.width, box.height)


def _relative_landmarks(face: Face) -> Array:
    """Landmarks from the box's centre in units of its width and height; NaN where there are none."""
    if face.landmarks is None:
        return np.full((5, 2), np.nan)
    relative: Array = (face.landmarks.astype(np.float64) - face.box.centre) / (face.box.width, face.box.height)
    return relative


def move(matrices: NDArray[np.floating], boxes: Array) -> Array:
    """Rows (centre x, centre y, width, height) under a 3x3 matrix each, or one: sizes follow its scale."""
    centres = (matrices[:, :2, :2] @ boxes[:, :2, None])[..., 0] + matrices[:, :2, 2]
    scale = np.sqrt(np.abs(np.linalg.det(matrices[:, :2, :2])))
    return np.concatenate([centres, boxes[:, 2:] * scale[:, None]], axis=1)


def _between(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """For each wanted frame the index of the known one before it, and how far it is to the next, 0 to 1.

    Before the first and after the last known frame, the nearest stands for all.
    """
    index = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, max(0, len(known) - 2))
    following = np.minimum(index + 1, len(known) - 1)
    step = np.maximum(known[following] - known[index], 1)
    return index, np.clip((wanted - known[index]) / step, 0.0, 1.0)


def _mixed(values: Array, index: NDArray[np.int64], share: Array) -> Array:
    """Linear interpolation along the first axis, from `values[index]` to the one after."""
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    result: Array = values[index] * (1 - share) + values[np.minimum(index + 1, len(values) - 1)] * share
    return result


def _speed(times: NDArray[np.int64], places: Array, chosen: NDArray[np.bool_], rate: float) -> Array:
    """Pixels a frame, by least squares through the chosen detections; the less time they span, the less it counts."""
    t, centres = times[chosen], places[chosen, :2]
    span = t[-1] - t[0]
    if span == 0:
        return np.zeros(2)
    offset = t - t.mean()
    slope: Array = offset @ centres / (offset @ offset) * span / (span + _SLOPE_DOUBT * rate)
    return slope
