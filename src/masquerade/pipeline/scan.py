"""Finding every face of a video without looking at every pixel of it.

Three looks share the work. The *coarse look* sees the whole picture, shrunk, several times a second and on both sides
of every cut. The *full look* sees every pixel, about once a second and also on both sides of every cut, and so finds
the small faces that shrinking hides. The *tile look* follows those small faces through the coarse looks, forwards, and
backwards to where they appeared, in small windows at full resolution. What lies between looks is filled by the tracker,
which also covers several frames more than looks are apart before a face is first seen and after it is last seen.

Whose faces they are is asked of an encoder, if there is one, in every look and for every face that is large and sure
enough to tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect import Detector, detect_everywhere, detect_in_tiles, detect_in_windows, iou
from masquerade.identity import Likeness, Tracker, camera_motion, scene_cut
from masquerade.media import Frame
from masquerade.pipeline.whose import whose
from masquerade.types import Box, Face, Track

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

COARSE_SIDE = 640
"""Long side of the coarse look, pixels. Faces from about 1/25 of it on are found; smaller ones need the full look."""

_NATIVE_UP_TO = 960  # a picture no larger than this is looked at as it is: then a coarse look is a full look
_LOOKS_PER_SECOND = 8.0
_TILE_EVERY = 2  # coarse looks
_REACH = 4.0  # side of a tile in faces: how far one may move from tile look to tile look
_LARGE = 120.0  # pixels in the coarse look: only as wide faces are believed of half its size, where much looks like one
_SMALL = 24.0  # pixels in the coarse look: wider faces need no tiles
_HELD_BYTES = 128 << 20  # what may wait for a full look, so that long and large videos need no more memory
_MOTION_SIDE = 160


def coarse_size(width: int, height: int) -> tuple[int, int]:
    """Size of the coarse look for a picture of width x height pixels."""
    long_side = max(width, height)
    if COARSE_SIDE // 2 <= long_side <= _NATIVE_UP_TO:
        return width, height
    scale = COARSE_SIDE / long_side
    return max(1, round(width * scale)), max(1, round(height * scale))


def _same_place(a: Box, b: Box) -> bool:
    return iou(a, b) >= 0.3


@dataclass(slots=True)
class Look:
    """A frame and what is known of it."""

    frame: Frame
    thumbnail: NDArray[np.uint8]
    cut: bool
    motion: NDArray[np.float64]
    """Camera motion since the frame before, 2x3, in pixels of the picture."""
    seen: bool = False
    faces: list[Face] = field(default_factory=list)


class Scanner:
    """Takes a video's frames in order, first through `prepare`, then through `add`, and gives its tracks.

    Args:
        detector: finds faces in RGB uint8 pictures.
        width, height: of the video, pixels.
        frame_rate: frames a second.
        encoder: says whose faces they are; None: tracks are put together by motion alone.

    Raises:
        OptionError: the encoder was not calibrated at FAR 1e-3 and 1e-4.
    """

    def __init__(
        self, detector: Detector, width: int, height: int, frame_rate: float, encoder: "Encoder | None" = None
    ) -> None:
        self._detector = detector
        self._encoder = encoder
        self._size = coarse_size(width, height)
        self._scale = (width / self._size[0], height / self._size[1])
        self._native = max(self._scale) <= 1.0
        self._every = max(1, int(frame_rate / _LOOKS_PER_SECOND))
        held_frames = max(2, min(round(frame_rate), _HELD_BYTES // (width * height * 2)))
        self._full_every = held_frames
        self._tracker = Tracker(frame_rate=frame_rate, likeness=Likeness.of(encoder) if encoder else None)
        self._held: list[Look] = []  # since the last full look
        self._small: list[Face] = []  # small faces that the tiles follow
        self._since_look = self._every
        self._looked_at = -math.inf
        self._looks = 0
        self._grey: NDArray[np.uint8] | None = None
        self._frames = 0

    def prepare(self, frame: Frame) -> Look:
        """What can be said of the next frame without looking for faces; may run in a thread ahead of `add`."""
        thumbnail = frame.thumbnail(*self._size)
        before, self._grey = self._grey, self._shrink(thumbnail)
        cut = before is not None and scene_cut(before, self._grey)
        motion = np.eye(2, 3)
        if before is not None and not cut:
            motion = camera_motion(before, self._grey)
            motion[:, 2] *= frame.width / before.shape[1]
        return Look(frame, thumbnail, cut, motion)

    def add(self, look: Look) -> None:
        """Looks for faces in the next frame, or keeps it until the next full look."""
        self._frames += 1
        if look.cut and self._held:
            self._look_closely()
            self._small = []
        self._held.append(look)
        self._since_look += 1
        # The clock counts beside the frames: some containers tell a rate of thousands where thirty a second come.
        now = look.frame.time
        if look.cut or self._since_look >= self._every or now - self._looked_at >= 1 / _LOOKS_PER_SECOND:
            self._look()
        if look.cut or len(self._held) >= self._full_every or now - self._held[0].frame.time >= 1:
            self._look_closely()

    def finish(self) -> list[Track]:
        """The tracks of all frames that were added."""
        if self._held:
            self._look_closely()
        return self._tracker.finish(self._frames)

    def _shrink(self, thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = thumbnail.shape[:2]
        scale = _MOTION_SIDE / max(width, height)
        small = cv2.resize(
            thumbnail, (max(16, round(width * scale)), max(16, round(height * scale))), interpolation=cv2.INTER_AREA
        )
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)

    def _look(self) -> None:
        """A coarse look at the newest frame, and at the small faces every few looks."""
        newest = self._held[-1]
        newest.faces = [_scaled(face, *self._scale) for face in self._see(newest.thumbnail)]
        newest.seen = True
        self._since_look, self._looked_at = 0, newest.frame.time
        self._looks += 1
        if self._small and self._looks % _TILE_EVERY == 0:
            self._small = self._follow(newest, self._small)

    def _see(self, thumbnail: NDArray[np.uint8]) -> list[Face]:
        """The faces of a thumbnail, in its pixels; very large ones are seen better at half its size."""
        if self._native:
            return detect_everywhere(self._detector, thumbnail)
        height, width = thumbnail.shape[:2]
        faces = detect_in_tiles(self._detector, thumbnail)
        half = cv2.resize(thumbnail, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        for face in detect_in_tiles(self._detector, np.asarray(half, np.uint8)):
            large = _scaled(face, width / (width // 2), height / (height // 2))
            if large.box.width >= _LARGE and not any(_same_place(large.box, f.box) for f in faces):
                faces.append(large)
        return faces

    def _follow(self, look: Look, small: Sequence[Face]) -> list[Face]:
        """Tile look: where the small faces of a neighbouring look are in this one. Adds what is new to the look."""
        windows = [face.box.scaled(_REACH) for face in small]
        found = detect_in_windows(self._detector, look.frame, windows)
        look.faces += [face for face in found if not any(_same_place(face.box, f.box) for f in look.faces)]
        return [face for face in found if face.box.width < _SMALL * self._scale[0]]

    def _look_closely(self) -> None:
        """A full look at the newest frame; what it finds anew is followed back; then all held frames are tracked."""
        newest = self._held[-1]
        if not newest.seen:
            self._look()
        if not self._native:
            whole = newest.frame.thumbnail(newest.frame.width, newest.frame.height)
            found = detect_in_tiles(self._detector, whole)
            new = [face for face in found if not any(_same_place(face.box, f.box) for f in newest.faces)]
            newest.faces += new
            self._small += new
            for look in [look for look in reversed(self._held[:-1]) if look.seen][::_TILE_EVERY]:
                if not new:
                    break
                new = self._follow(look, new)
        motion = np.eye(3)
        for look in self._held:
            motion = np.vstack([look.motion, [0, 0, 1]]) @ motion
            if look.seen:
                embeddings, qualities = whose(self._encoder, look.frame, look.faces) if self._encoder else (None, None)
                self._tracker.update(
                    look.frame.index,
                    look.faces,
                    cut=look.cut,
                    motion=motion[:2],
                    embeddings=embeddings,
                    qualities=qualities,
                )
                motion = np.eye(3)
        self._held.clear()


def _scaled(face: Face, scale_x: float, scale_y: float) -> Face:
    """A face found in a shrunk picture, in pixels of the whole one. Centres of first pixels lie at (0, 0) in both."""
    scale = np.array([scale_x, scale_y])
    x1, y1, x2, y2 = ((np.reshape(list(face.box), (2, 2)) + 0.5) * scale - 0.5).ravel().tolist()
    landmarks = None if face.landmarks is None else ((face.landmarks + 0.5) * scale - 0.5).astype(np.float32)
    return Face(Box(x1, y1, x2, y2), face.score, landmarks)
