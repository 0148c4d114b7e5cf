"""In which frames a person's fabricated face can be worn, so that it neither sits beside the place nor flickers."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from masquerade.faces.quality import frontality
from masquerade.plan import Person
from masquerade.swap.impose import SMALLEST, Outcome
from masquerade.types import Face, Provenance, TrackedFace

BRIDGED = 3
"""Frames on end in which a face may go unseen: for so long it lies on the straight line between its neighbours."""

_STILL = 0.15
"""Faces: who moves farther meanwhile may be anywhere."""

_BRIEFLY = "seen too briefly"

_LARGEST = 6.0
"""Sides of a face's box in the larger of the ways from eye to eye and from eyes to mouth; about 2.6 is usual."""

BRIEF = 5
"""Frames: who is redacted before or after is not worth a face for less, which would only flash up."""

MOMENT = 12
"""Frames: whom the guard turns down twice within them it may turn down again and again."""
PATIENCE = 8
"""Frames on end in which it must then let a face pass before that is shown again."""


def worn_frames(person: Person) -> frozenset[int]:
    """The frames in which this person's face is to be swapped; in all others it is to be redacted.

    A face that was seen in its own frame, large enough and not from the side, can be. One that was not may be beside
    the place it is supposed at, and a swap would leave it in the open; it can be only for a moment between two frames
    in which it was seen and hardly moved.
    """
    faces = person.faces
    able = [_seen(tracked) for tracked in faces]
    for start, end in list(_runs(faces, able, False)):
        if _bridged(faces, start, end, able):
            able[start:end] = [True] * (end - start)
    for start, end in list(_runs(faces, able, True)):
        beside = (start > 0 and _on_end(faces, start - 1)) or _on_end(faces, end - 1)
        if beside and end - start < BRIEF:
            able[start:end] = [False] * (end - start)
    return frozenset(tracked.frame for tracked, can in zip(faces, able, strict=True) if can)


class Patience:
    """Keeps faces from flashing up and away: whom the guard turned down twice within a moment waits, redacted, until it
    has let them pass for a while. A single frame makes nobody wait.
    """

    def __init__(self) -> None:
        self._turned_down: dict[int, int] = {}
        self._passed: dict[int, int] = {}

    def waits(self, person: int) -> bool:
        """Whether the person's face is not to be shown, though the guard is to be asked."""
        return person in self._passed

    def hears(self, person: int, frame: int, outcome: Outcome) -> None:
        """What became of the person's face in a frame; frames ascend."""
        if outcome is Outcome.RECOGNISED:
            if frame - self._turned_down.get(person, frame - MOMENT - 1) <= MOMENT:
                self._passed[person] = 0
            self._turned_down[person] = frame
        elif outcome is Outcome.WAITING:
            self._passed[person] += 1
            if self._passed[person] >= PATIENCE:
                del self._passed[person]


def hindrance(tracked: TrackedFace) -> str:
    """Why a face that is not in `worn_frames` is not."""
    if tracked.provenance is not Provenance.DETECTED:
        return "not seen in this frame"
    if tracked.face.landmarks is None or tracked.face.box.width < SMALLEST or not _of_one_face(tracked.face):
        return str(Outcome.TOO_SMALL)
    return str(Outcome.OBLIQUE) if frontality(tracked.face.landmarks) == 0 else _BRIEFLY


def _of_one_face(face: Face) -> bool:
    """Whether box and landmarks speak of one face: a box that somebody moved or widened is to be covered, too."""
    assert face.landmarks is not None
    points, box = face.landmarks, face.box
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    x, y = (eyes + mouth) / 2
    extent = max(np.linalg.norm(mouth - eyes), np.linalg.norm(points[1] - points[0]))
    inside = box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2
    return bool(inside and max(box.width, box.height) <= _LARGEST * extent)


def _seen(tracked: TrackedFace) -> bool:
    return hindrance(tracked) == _BRIEFLY


def _on_end(faces: Sequence[TrackedFace], i: int) -> bool:
    """Whether the next face stands in the next frame."""
    return i + 1 < len(faces) and faces[i + 1].frame == faces[i].frame + 1


def _runs(faces: Sequence[TrackedFace], able: Sequence[bool], wanted: bool) -> Iterator[tuple[int, int]]:
    """(start, end) of stretches of frames on end that are alike."""
    start = 0
    for i in range(1, len(faces) + 1):
        if i == len(faces) or able[i] != able[i - 1] or not _on_end(faces, i - 1):
            if able[start] == wanted:
                yield start, i
            start = i


def _bridged(faces: Sequence[TrackedFace], start: int, end: int, able: Sequence[bool]) -> bool:
    if start == 0 or end == len(faces) or end - start > BRIDGED or not (able[start - 1] and able[end]):
        return False
    between = faces[start - 1 : end + 1]
    if any(b.frame != a.frame + 1 for a, b in pairwise(between)):
        return False
    if any(t.provenance is not Provenance.INTERPOLATED or t.face.landmarks is None for t in between[1:-1]):
        return False
    before, after = between[0].face, between[-1].face
    if before.landmarks is None or after.landmarks is None:
        return False
    moved = float(np.linalg.norm(after.landmarks - before.landmarks, axis=1).mean())
    return moved < _STILL * min(before.box.width, after.box.width)
