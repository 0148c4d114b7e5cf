"""What walks through the house, and the one convention it walks by.

Coordinates
    Pixels of the picture as a person sees it (rotation already honoured): x to the right, y down, the centre of the
    first pixel at (0, 0). A box is (x1, y1, x2, y2) with x1 < x2 and y1 < y2 and may reach outside the picture.
Landmarks
    Five points, rows in this order: the eye on the picture's left, the eye on its right, nose tip, the mouth corner on
    the left, the one on the right. Float32 array of shape (5, 2), each row (x, y).
Colour
    RGB, height x width x 3, uint8 in 0..255 or, for deeper sources, uint16 in 0..65535. Networks get what their card
    says; only their adapter knows it.
Crops
    Square and aligned by `faces.align` alone, to the ArcFace template scaled to the crop's side.
Time
    Frames count from 0 in presentation order; seconds are those of the container's own timestamps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""RGB, shape (height, width, 3)."""

Points: TypeAlias = NDArray[np.float32]
"""Shape (n, 2), each row (x, y) in pixels."""

Embedding: TypeAlias = NDArray[np.float32]
"""An identity: a vector of length 1, shape (dimensions,)."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels; edges are real numbers and may lie outside the picture."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Pixels."""
        return self.y2 - self.y1

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def scaled(self, factor: float) -> "Box":
        """The box grown (factor > 1) or shrunk about its centre."""
        x, y = self.centre
        half_w, half_h = self.width * factor / 2, self.height * factor / 2
        return Box(x - half_w, y - half_h, x + half_w, y + half_h)

    def __iter__(self) -> Iterator[float]:
        return iter((self.x1, self.y1, self.x2, self.y2))


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one picture.

    Attributes:
        box: where it is, in pixels.
        score: the detector's confidence, 0 to 1.
        landmarks: five points in pixels, shape (5, 2), or None where nobody measured them.
    """

    box: Box
    score: float
    landmarks: Points | None = None


class Provenance(StrEnum):
    """How we know that a face is there."""

    DETECTED = "detected"
    INTERPOLATED = "interpolated"
    """Between two frames in which it was detected."""
    EXTRAPOLATED = "extrapolated"
    """Just before the first or after the last detection, where a detector often comes late."""
    MANUAL = "manual"
    """Put there by a person."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face in one frame of a track."""

    frame: int
    face: Face
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Track:
    """One person's way through a video, at most one face a frame, frames ascending.

    A person who leaves and returns has one track, in several stretches.

    Attributes:
        id: positive, unique within a video, stable across runs.
        faces: what is known of each frame in which the person is covered.
        identity: the person's mean, weighted by quality, of length 1, by the encoder that tracked them; None where no
            face was good enough. Biometric data: it lives in memory only and is never written.
        mixed: whether another person seems to have taken the first one's place on the way, so that the mean is of both.
    """

    id: int
    faces: tuple[TrackedFace, ...]
    identity: Embedding | None = None
    mixed: bool = False
