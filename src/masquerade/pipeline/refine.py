"""A Plan whose faces were looked for in every frame, as a swap needs them.

Redaction is content with a box between two looks; a face that is put in another's place has to sit on the eyes of this
very frame. Where the tracker only supposed a face, it is looked for again, close up. Where it cannot be found it stays
supposed, and a swap leaves it to redaction.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.signal import savgol_filter

from masquerade.faces.aligner import Aligner
from masquerade.faces.detect import Detector, detect_in_windows
from masquerade.faces.detect.boxes import iou_matrix
from masquerade.identity.tracker import KEEP_SCORE
from masquerade.media import open_image, open_video
from masquerade.pipeline.overlap import DECODE_AHEAD, ahead
from masquerade.pipeline.progress import Progress, silent
from masquerade.plan import Person, Plan
from masquerade.types import Face, Provenance, TrackedFace

_WINDOW = 2.0
"""Side of the window in faces: what lies between two looks is off by less than half a face."""

_SAME = 0.25
"""Intersection over union from which a face found is the one supposed."""

_JUMP = 0.5
"""Faces: what moves farther from one frame to the next was cut, not moved."""

_FRAMES = 5
"""As many lie on one parabola."""


def refine(
    path: Path, plan: Plan, detector: Detector, aligner: Aligner | None = None, *, progress: Progress = silent
) -> Plan:
    """Looks for every supposed face of a video in its own frame, aligns all that were seen, and takes the tremble out
    of their landmarks.

    Args:
        path: the file the Plan was made for. Of a photo, where nothing is supposed, faces are only aligned.
        plan: from `analyze`.
        detector: the one that made the Plan.
        aligner: says how faces lie; without one, landmarks are the detector's.
        progress: told of every frame.

    Returns:
        The Plan with the same people in the same frames.

    Raises:
        InputError: the file cannot be read to its end.
        EngineError: a network failed.
    """
    wanted: dict[int, list[tuple[int, TrackedFace]]] = defaultdict(list)
    seen: dict[int, dict[int, Face]] = defaultdict(dict)
    for person in plan.people:
        for tracked in person.faces:
            if tracked.provenance is Provenance.DETECTED:
                seen[tracked.frame][person.id] = tracked.face
            # Without landmarks it may be in several places, and what is found in one says nothing of the others.
            elif tracked.provenance is not Provenance.MANUAL and tracked.face.landmarks is not None:
                wanted[tracked.frame].append((person.id, tracked))
    found: dict[tuple[int, int], Face] = {}
    if plan.source.kind == "image":
        if aligner is not None:
            settled = aligner.settle_faces(open_image(path).frame, list(seen[0].values()))
            found = {(owner, 0): face for owner, face in zip(seen[0], settled, strict=True)}
        return plan.model_copy(update={"people": tuple(_with(person, found) for person in plan.people)})
    with open_video(path) as reader:
        for done, frame in enumerate(ahead(reader, DECODE_AHEAD), start=1):
            here = seen[frame.index]
            if supposed := wanted.get(frame.index):
                windows = [tracked.face.box.scaled(_WINDOW) for _, tracked in supposed]
                faces = [f for f in detect_in_windows(detector, frame, windows) if f.score >= KEEP_SCORE]
                here = here | {owner: face for (owner, _), face in _matched(supposed, list(here.values()), faces)}
            if aligner is not None:
                here = dict(zip(here, aligner.settle_faces(frame, list(here.values())), strict=True))
            found |= {(owner, frame.index): face for owner, face in here.items()}
            progress("refine", done, plan.source.frames)
    people = tuple(_steady(_with(person, found)) for person in plan.people)
    return plan.model_copy(update={"people": people})


def _matched(
    supposed: Sequence[tuple[int, TrackedFace]], seen: Sequence[Face], faces: Sequence[Face]
) -> Iterator[tuple[tuple[int, TrackedFace], Face]]:
    """Which of the faces found is whose, so that together they overlap most.

    Who was seen in this frame already is found again, and is nobody whose face was only supposed beside theirs.
    """
    if not faces:
        return
    overlap = iou_matrix(
        np.array([list(face.box) for face in [*(tracked.face for _, tracked in supposed), *seen]], np.float32),
        np.array([list(face.box) for face in faces], np.float32),
    )
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row < len(supposed) and overlap[row, column] >= _SAME:
            yield supposed[row], faces[column]


def _with(person: Person, found: Mapping[tuple[int, int], Face]) -> Person:
    """The same person, with the faces (id, frame) that were seen."""
    return person.model_copy(
        update={
            "faces": tuple(
                TrackedFace(t.frame, found[person.id, t.frame], Provenance.DETECTED)
                if (person.id, t.frame) in found
                else t
                for t in person.faces
            )
        }
    )


def _steady(person: Person) -> Person:
    """The same person without the tremble of landmarks."""
    faces = list(person.faces)
    for start, end in _runs(faces):
        points = np.array([faces[i].face.landmarks for i in range(start, end)], np.float64)
        for i, smooth in zip(range(start, end), steadied(points).astype(np.float32), strict=True):
            face = faces[i].face
            faces[i] = TrackedFace(faces[i].frame, Face(face.box, face.score, smooth), faces[i].provenance)
    return person.model_copy(update={"faces": tuple(faces)})


def _runs(faces: Sequence[TrackedFace]) -> Iterator[tuple[int, int]]:
    """(start, end) of stretches of frames on end in which landmarks are known and move, but do not jump."""
    start = 0
    for i in range(1, len(faces) + 1):
        if i == len(faces) or not _goes_on(faces[i - 1], faces[i]):
            if faces[start].face.landmarks is not None and i - start > 1:
                yield start, i
            start = i


def _goes_on(before: TrackedFace, after: TrackedFace) -> bool:
    a, b = before.face, after.face
    if a.landmarks is None or b.landmarks is None or after.frame != before.frame + 1:
        return False
    moved = float(np.linalg.norm(b.landmarks - a.landmarks, axis=1).mean())
    return moved < _JUMP * min(a.box.width, b.box.width)


def steadied(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks through time without their tremble: each on the parabola that fits it and two frames to either side.

    What moves evenly or speeds up evenly stays as it is (Savitzky and Golay), and nothing comes later than it was.

    Args:
        points: (frames, 5, 2). Fewer than five frames stay as they are.
    """
    if len(points) < _FRAMES:
        return points
    steady: NDArray[np.float64] = savgol_filter(points, _FRAMES, polyorder=2, axis=0)
    return steady
