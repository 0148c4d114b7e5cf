"""Detections → tracks, by motion and overlap. Tracking only ever adds coverage.

A detector looks at some frames and now and then misses a face; a missed face is a person exposed, a blur too many costs
nothing. So every detection that starts or joins a track is kept exactly as it was found, gaps between detections are
filled, and both ends are prolonged, since detectors see a face late and lose it early.

Everything is worked out in the coordinates of the *scene*: those of the frame that opened it, from which camera motion
has been taken out. A face that stands still while the camera pans has no velocity there.
"""

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from masquerade.errors import FaceError
from masquerade.types import Box, Face, Provenance, Track, TrackedFace

START_SCORE = 0.25
KEEP_SCORE = 0.2

LONGEST_GAP = 3.0
"""Seconds that a face may be lost and still be the same track, if it comes back where it is expected."""

UNSURE_GAP = 1.0
"""The same for a track of which no detection was sure."""

_EXTENSION = 0.4  # seconds added before the first and after the last detection
_SURE_SCORE = 0.4  # a track that never was as sure is prolonged by less: most of those are no faces
_UNSURE_EXTENSION = 0.12  # seconds: what lies between two looks
_COAST = 0.5  # seconds for which a velocity is believed
_SLOPE_DOUBT = 0.1  # seconds: a velocity measured over as long a time counts half
_GROWTH, _MOST_GROWTH = 0.75, 0.3  # of a filled box, per second to the nearest detection, and at most

# Costs are in faces; see `association_cost`.
_FARTHEST = 2.6
_FARTHEST_WEAK = 1.0
_COST_OF_A_SECOND = 0.3

Array = NDArray[np.float64]


def association_cost(expected: Array, found: Array, lost: Array) -> Array:
    """How badly detections fit tracks: 0 is a perfect fit.

    The sum of the distance of the centres in face sizes, 1 - intersection over union, twice the absolute logarithm of
    the ratio of sizes, and a little for the time a track has been lost, so that it yields to one just seen.

    Args:
        expected: where each track should be now, shape (n, 4), each row (centre x, centre y, width, height) in pixels.
        found: the detections alike, shape (m, 4).
        lost: seconds since each track was last seen, shape (n,).

    Returns:
        Shape (n, m), 0 or more; does not change when all coordinates are scaled.
    """
    a, b = expected[:, None, :], found[None, :, :]
    size_a, size_b = np.sqrt(a[..., 2] * a[..., 3]), np.sqrt(b[..., 2] * b[..., 3])
    distance = np.hypot(*np.moveaxis(a[..., :2] - b[..., :2], -1, 0)) * 2 / (size_a + size_b)
    overlap = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2) - np.maximum(
        a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2
    )
    common = np.prod(np.maximum(overlap, 0), axis=-1)
    iou = common / (size_a**2 + size_b**2 - common)
    cost: Array = distance + (1 - iou) + 2 * np.abs(np.log(size_a / size_b)) + _COST_OF_A_SECOND * lost[:, None]
    return cost


@dataclass(slots=True)
class _Scene:
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
class _Path:
    """A track in the making; all of it in the coordinates of its scene but the faces seen."""

    scene: _Scene
    place: Array
    """Where it was last seen: (centre x, centre y, width, height)."""
    velocity: Array
    """(x, y) in pixels a frame."""
    seen: list[tuple[int, Face]]
    id: int = 0
    """0 until a detection is sure enough to start a track."""

    @property
    def sure(self) -> bool:
        """Whether any detection was."""
        return any(face.score >= _SURE_SCORE for _, face in self.seen)

    def expected(self, frame: int, coast: float) -> Array:
        place = self.place.copy()
        place[:2] += self.velocity * min(frame - self.seen[-1][0], coast)
        return place

    def add(self, frame: int, face: Face, place: Array) -> None:
        speed = (place[:2] - self.place[:2]) / (frame - self.seen[-1][0])
        self.velocity = speed if len(self.seen) == 1 else (self.velocity + speed) / 2
        self.place = place
        self.seen.append((frame, face))


class Tracker:
    """Puts the faces of a video's frames together into tracks.

    Args:
        frame_rate: frames a second, above 0.
        start_score: a detection at least this sure starts a track, even if it is the only one.
        keep_score: one at least this sure continues a track, or is kept if it leads to one that starts a track without
            a gap of more than a second; others are dropped.
    """

    def __init__(self, *, frame_rate: float, start_score: float = START_SCORE, keep_score: float = KEEP_SCORE) -> None:
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"a frame rate of {frame_rate}")
        self._rate = frame_rate
        self._start_score = start_score
        self._keep_score = keep_score
        self._scenes = [_Scene(0)]
        self._alive: list[_Path] = []
        self._tracks: list[_Path] = []
        self._last = -1

    def update(
        self, frame: int, faces: Sequence[Face], *, cut: bool = False, motion: NDArray[np.floating] | None = None
    ) -> list[int]:
        """Takes the faces found in a frame. Frames ascend and may be skipped.

        Args:
            frame: counts from 0.
            faces: in pixels of this frame; boxes may reach outside.
            cut: this frame opens a new scene: no track goes on into it.
            motion: camera motion, shape (2, 3): maps points of the frame of the previous call to this one. None: none.

        Returns:
            For each face the id of its track, or 0 if it is not, or not yet, in one.

        Raises:
            FaceError: a box is not finite or is empty.
            ValueError: the frame does not come after the one before.
        """
        if frame <= self._last:
            raise ValueError(f"frame {frame} after frame {self._last}")
        self._last = frame
        found = np.array([_row(face) for face in faces]).reshape(-1, 4)
        if cut and frame > 0:
            self._scenes[-1].end = frame
            self._scenes.append(_Scene(frame))
            self._alive = []
        scene = self._scenes[-1]
        scene.add(frame, motion)
        self._alive = [
            path for path in self._alive if self._lost(path, frame) <= (LONGEST_GAP if path.sure else UNSURE_GAP)
        ]

        places = _move(np.linalg.inv(scene.cameras[-1:]), found)
        owners: dict[int, _Path] = {}
        free = self._alive
        strong = [i for i, face in enumerate(faces) if face.score >= self._start_score]
        weak = [i for i, face in enumerate(faces) if self._keep_score <= face.score < self._start_score]
        for candidates, farthest in ((strong, _FARTHEST), (weak, _FARTHEST_WEAK)):
            for number, chosen in self._match(frame, free, places[candidates], farthest):
                owners[candidates[chosen]] = free[number]
            free = [path for path in free if path not in owners.values()]
        for index in strong + weak:
            if index in owners:
                owners[index].add(frame, faces[index], places[index])
            else:
                owners[index] = _Path(scene, places[index], np.zeros(2), [(frame, faces[index])])
                self._alive.append(owners[index])
            if index in strong and not owners[index].id:
                self._tracks.append(owners[index])
                owners[index].id = len(self._tracks)
        return [owners[index].id if index in owners else 0 for index in range(len(faces))]

    def finish(self, frames: int) -> list[Track]:
        """The tracks, gaps filled and ends prolonged, in the order of their ids.

        Args:
            frames: how many the video has; nothing reaches beyond.

        Raises:
            ValueError: there are frames beyond.
        """
        if frames <= self._last:
            raise ValueError(f"frame {self._last} of {frames}")
        self._scenes[-1].end = frames
        return [Track(path.id, tuple(self._filled(path))) for path in self._tracks]

    def _lost(self, path: _Path, frame: int) -> float:
        """Seconds since a path was last seen."""
        return (frame - path.seen[-1][0]) / self._rate

    def _match(self, frame: int, paths: Sequence[_Path], places: Array, farthest: float) -> list[tuple[int, int]]:
        """Pairs (path, place): all that are near enough, chosen so that together they fit best."""
        if not paths or not len(places):
            return []
        expected = np.array([path.expected(frame, _COAST * self._rate) for path in paths])
        lost = np.array([self._lost(path, frame) for path in paths])
        # What a pair gains over leaving both alone. Were every near pair worth the same, two poor pairs would beat a
        # perfect one, and tracks would change persons.
        gain = np.maximum(farthest - association_cost(expected, places, lost), 0)
        rows, columns = linear_sum_assignment(gain, maximize=True)
        return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0]

    def _filled(self, path: _Path) -> list[TrackedFace]:
        """Every frame from a little before the first detection to a little after the last, within the scene."""
        scene, rate = path.scene, self._rate
        seen = dict(path.seen)
        times = np.array(list(seen))
        extension = max(1, round((_EXTENSION if path.sure else _UNSURE_EXTENSION) * rate))
        frames = np.arange(max(scene.start, times[0] - extension), min(scene.end, times[-1] + extension + 1))
        before, after = np.minimum(frames - times[0], 0), np.maximum(frames - times[-1], 0)

        places = _move(np.linalg.inv(scene.camera(times)), np.array([_row(face) for face in seen.values()]))
        index, share = _between(times, frames)
        following = np.minimum(index + 1, len(times) - 1)
        filled = _mixed(places, index, share)
        landmarks = _mixed(np.array([_relative_landmarks(face) for face in seen.values()]), index, share)
        filled[:, :2] += before[:, None] * _speed(times, places, times - times[0] <= _COAST * rate, rate)
        filled[:, :2] += after[:, None] * _speed(times, places, times[-1] - times <= _COAST * rate, rate)
        filled = _move(scene.camera(frames), filled)
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
                min(path.seen[index[i]][1].score, path.seen[following[i]][1].score),
                points if np.isfinite(points).all() else None,
            )
            inside = times[0] < frame < times[-1]
            result.append(TrackedFace(frame, face, Provenance.INTERPOLATED if inside else Provenance.EXTRAPOLATED))
        return result


def _row(face: Face) -> tuple[float, float, float, float]:
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


def _move(matrices: NDArray[np.floating], boxes: Array) -> Array:
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
