"""A pair of files → what was seen in it: the audit's only look at pixels. Everything after it counts.

Several times a second both files are looked at by the audit's own detector, each time at another place between the
looks that an analysis takes. Each face found in the original is followed to the output. Evidence of many files adds up.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from heapq import heappop, heappush, nlargest, nsmallest
from operator import add
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.audit.attacks.leakage import outside_only
from masquerade.audit.attacks.linkage import Means
from masquerade.audit.compare import Pair, SameScene, walk
from masquerade.audit.expression import STRANGERS, expression_error
from masquerade.audit.quality import (
    boundary_visibility,
    colour_shift,
    detail_lost,
    flow_between,
    sharpness_kept,
    warped_difference,
)
from masquerade.audit.utility import gaze_error, head_pose, landmark_error, openness, pose_error
from masquerade.audit.utility_networks import GazeNetwork, LandmarkNetwork, PoseNetwork, cut_square
from masquerade.errors import FaceError, InputError, MachineError, MasqueradeError, PlanError, UnexpectedError
from masquerade.faces.align import align
from masquerade.faces.detect import Detector, detect_everywhere, iou
from masquerade.faces.embed import Encoder
from masquerade.faces.expression import ExpressionReader
from masquerade.faces.quality import quality
from masquerade.identity import GOOD, START_SCORE
from masquerade.media import Frame, probe, sha256
from masquerade.models.cards import cards
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.progress import Progress, silent
from masquerade.plan import Person, Plan
from masquerade.types import Box, Face, Points, Provenance, TrackedFace

LOOKS = 4.0
"""Looks a second, about, and at the least one a file."""
SURE = 0.5
"""Detector's score from which a face counts as one without doubt."""
UNCHANGED = 0.1
"""A face was left as it was where no more of its fine detail is lost than this share,"""
COMPRESSED = 2.5
"""or than so many times the share that is lost around it, where nothing was done and only the encoder takes away,"""
GONE = 0.8
"""but never where more than this share is lost. Blur loses 0.9 and more, a swap that is true to its target 0.15."""
MOST_PICTURES = 12

_SAME_PLACE = 0.3  # intersection over union
_COVERED = 0.5  # of a face's box
_AROUND = 4.0  # face boxes, in which lies what a face's loss of detail is compared with
_SIDE = 112
_CLOSE = 256  # pixels, of the place that a face is looked for in: it is a third as wide
_LEAST_SIDE = 8  # pixels
_REGION = 96  # pixels, of the crops whose quality is measured
_SHOWN = 96  # pixels, of the report's pictures
_HIDDEN = 6  # pixels that are left of a picture that is not to be recognised

_TEACHER = "6e524bb134157e6f9b3f2afd911fb66519a1a305b0e1022db02683a098e1ca93"  # fr_feature_512d.onnx


def trained_with(encoder: Encoder) -> bool:
    """Whether a recogniser took part in training swappers: it believes in what it made, and never decides.

    The driver did, and its teacher, whose file people have under any name: so these are known by their weights.
    """
    return encoder.name == "driver" or encoder.sha256 in (_TEACHER, _packaged("driver"))


def is_guard(encoder: Encoder) -> bool:
    """Whether a recogniser is the one that swapped faces are shown to before they are written, under any name."""
    return encoder.name == "guard" or encoder.sha256 == _packaged("guard")


def _packaged(name: str) -> str:
    return cards()[name].sha256


@dataclass(frozen=True, slots=True)
class Instruments:
    """What the audit looks with.

    Attributes:
        detector: finds faces in both files.
        encoders: recognisers, calibrated at the FAR that is asked.
        pose, landmarks: the user's own networks; None: five landmarks must do.
        gaze: the user's own network; None: gaze is not measured.
        detector_sha256: of the detector's weights, for the report; None where they are no file.
        expression: reads what faces express; None: that is not measured.
    """

    detector: Detector
    encoders: Sequence[Encoder]
    pose: PoseNetwork | None = None
    landmarks: LandmarkNetwork | None = None
    expression: ExpressionReader | None = None
    gaze: GazeNetwork | None = None
    detector_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One face in one frame of both files.

    Attributes:
        file, person: names; the person's is unique over all files.
        time: seconds.
        distances: by recogniser, cosine distance of the face to itself before; empty where it was too small or unclear
            to be judged.
        measures: of utility and quality, by name, as far as they could be taken; of a face that was not judged only
            whether it is still found.
    """

    file: str
    person: str
    time: float
    distances: Mapping[str, float]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A face of the original that was left as it was, or that the Plan does not know.

    Attributes:
        file: its name.
        time: seconds.
        box: pixels.
        score: the detector's, 0 to 1.
        why: "unchanged": its pixels are there as they were. "not in the plan": no treated place of the Plan covers it.
        picture: of it, a JPEG.
    """

    file: str
    time: float
    box: Box
    score: float
    why: Literal["unchanged", "not in the plan"]
    picture: bytes

    @property
    def sure(self) -> bool:
        """Whether the detector has no doubt that it is a face."""
        return self.score >= SURE


@dataclass(frozen=True, slots=True)
class Weak:
    """The face of a person that came nearest to being recognised by a recogniser that decides.

    Attributes:
        file, person, time: which.
        recogniser: that came nearest.
        distance: its cosine distance to the face before.
        ratio: distance from the nearer end (0, or 2 where negation leads) over the threshold; below 1 it is recognised.
        before, after: pictures, JPEG.
    """

    file: str
    person: str
    time: float
    recogniser: str
    distance: float
    ratio: float
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class FileEvidence:
    """What is known of one pair.

    Attributes:
        name, original, output: the pair's, and file names.
        original_sha256, output_sha256, plan_sha256: of the files; the last None where the audit found people itself.
        kind: "image" or "video".
        frames: of each file.
        looks: frames that were looked at.
        people: in the Plan.
        faces: found in the original by the audit, counted once a look.
        kept: of these, left as they were because the Plan says so.
        kept_people: whose the Plan says so.
        judged: of the faces, looked at by recognisers.
        unfollowed: of the faces, covered but in no track, and so in no figure.
    """

    name: str
    original: str
    output: str
    original_sha256: str
    output_sha256: str
    plan_sha256: str | None
    kind: str
    frames: int
    looks: int
    people: int
    faces: int
    kept: int
    kept_people: int
    judged: int
    unfollowed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A pair that could not be compared."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stray:
    """A photo or video beside the outputs that has no original: nothing was looked at in it."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was seen. Holds embeddings: biometric data that stays in memory.

    Attributes:
        files, refused: pairs that were looked at, and those that could not be.
        sightings: faces that were followed.
        vectors: by recogniser (originals, anonymized), unit vectors of the sightings that have distances, in order.
        surroundings: by recogniser, of each person what it says of the output where the face is painted over.
        uncovered, weakest: see there; of the first only the surest `MOST_PICTURES` keep their pictures.
        strays: what lies beside the outputs.
    """

    files: tuple[FileEvidence, ...] = ()
    refused: tuple[Refused, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    vectors: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)
    uncovered: tuple[Uncovered, ...] = ()
    weakest: tuple[Weak, ...] = ()
    surroundings: Mapping[str, Means] = field(default_factory=dict)
    strays: tuple[Stray, ...] = ()

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence.together([self, other])

    @staticmethod
    def together(parts: Iterable["Evidence"]) -> "Evidence":
        """Of many files, or of many machines, as one machine would have seen it all.

        Files of one name that have different originals are told apart by these originals' hashes.

        Raises:
            InputError: the same file twice, whose people would count twice.
        """
        some = _apart(list(parts))
        known = [part.vectors for part in some if part.vectors]
        names = list(known[0]) if known else []
        return Evidence(
            files=tuple(file for part in some for file in part.files),
            refused=tuple(one for part in some for one in part.refused),
            sightings=tuple(one for part in some for one in part.sightings),
            vectors={
                name: (
                    np.concatenate([vectors[name][0] for vectors in known]),
                    np.concatenate([vectors[name][1] for vectors in known]),
                )
                for name in names
            },
            uncovered=_pictured(one for part in some for one in part.uncovered),
            weakest=_weakest(weak for part in some for weak in part.weakest),
            surroundings={
                name: reduce(add, (part.surroundings[name] for part in some if name in part.surroundings))
                for name in dict.fromkeys(name for part in some for name in part.surroundings)
            },
            strays=_strays(some),
        )


def _apart(parts: Sequence[Evidence]) -> list[Evidence]:
    """The same, in which no two files have one name, as people are named after their files."""
    named: dict[str, list[FileEvidence]] = {}
    for part in parts:
        for file in part.files:
            named.setdefault(_first_name(file), []).append(file)
    for name, files in named.items():
        if len({file.original_sha256 for file in files}) < len(files):
            raise InputError(
                f"{name} was audited twice, and its people would count twice", hint="Put it into one evidence only"
            )
    return [
        _renamed(part, {file.name: _own_name(file) for file in part.files if len(named[_first_name(file)]) > 1})
        for part in parts
    ]


def _first_name(file: FileEvidence) -> str:
    return file.name.removesuffix(f" [{file.original_sha256[:12]}]")


def _own_name(file: FileEvidence) -> str:
    return f"{_first_name(file)} [{file.original_sha256[:12]}]"


def _renamed(part: Evidence, names: Mapping[str, str]) -> Evidence:
    """With other names for files, and so for the people in them."""
    if not names:
        return part

    def person(old: str) -> str:
        file, _, number = old.rpartition("#")
        return f"{names.get(file, file)}#{number}"

    return replace(
        part,
        files=tuple(replace(one, name=names.get(one.name, one.name)) for one in part.files),
        sightings=tuple(
            replace(one, file=names.get(one.file, one.file), person=person(one.person)) for one in part.sightings
        ),
        uncovered=tuple(replace(one, file=names.get(one.file, one.file)) for one in part.uncovered),
        weakest=tuple(
            replace(one, file=names.get(one.file, one.file), person=person(one.person)) for one in part.weakest
        ),
        surroundings={
            name: Means(
                {person(old): value for old, value in means.sums.items()},
                {person(old): value for old, value in means.counts.items()},
            )
            for name, means in part.surroundings.items()
        },
    )


def _strays(parts: Sequence[Evidence]) -> tuple[Stray, ...]:
    """Each once, and none that is the output of a file that another machine has looked at."""
    checked = {file.output_sha256 for part in parts for file in part.files}
    found = {one for part in parts for one in part.strays if one.sha256 not in checked}
    return tuple(sorted(found, key=lambda one: (one.name, one.sha256)))


def gather(
    pairs: Sequence[Pair],
    instruments: Instruments,
    *,
    far: float,
    show_faces: bool = False,
    silent_allowed: bool = False,
    strays: Sequence[tuple[str, Path]] = (),
    progress: Progress = silent,
    done: Callable[[], None] = lambda: None,
) -> Evidence:
    """Looks at many pairs, one after the other; one that cannot be compared does not stop the others.

    Args:
        pairs: from `compare.find_pairs`.
        instruments: what to look with.
        far: false acceptance rate at which recognisers must be calibrated.
        show_faces: whether pictures are left recognisable.
        silent_allowed: whether an output may lack sound.
        strays: from `compare.find_strays`: named in the evidence, and not looked at.
        progress: told of every frame.
        done: called after each pair.

    Raises:
        MasqueradeError: the only pair cannot be compared.
        InputError: of several pairs none can be compared.
        OptionError: a recogniser was not calibrated at that rate.
    """
    thresholds = {encoder.name: encoder.threshold(far) for encoder in instruments.encoders}
    parts = []
    for pair in pairs:
        try:
            parts.append(_Examination(pair, instruments, thresholds, show_faces, silent_allowed).examine(progress))
        except Exception as error:  # a bug that one file brings to light must not stop the files after it
            if len(pairs) == 1:
                raise
            parts.append(Evidence(refused=(_refused(pair, error),)))
        done()
    if not any(part.files for part in parts):
        raise InputError(f"none of {len(pairs)} pairs can be compared; the first: {parts[0].refused[0].message}")
    return Evidence.together([*parts, Evidence(strays=tuple(Stray(name, sha256(path)) for name, path in strays))])


def _refused(pair: Pair, error: Exception) -> Refused:
    match error:
        case MasqueradeError():
            told = error
        case OSError():
            told = MachineError(error, path=pair.original)
        case _:
            told = UnexpectedError(error, path=pair.original)
    return Refused(pair.name, told.code, str(told))


@dataclass(slots=True)
class _Open:
    """A sighting whose flicker waits for the next frame."""

    person: str
    time: float
    region: tuple[int, int, int, int]
    """x, y, right, bottom in pixels."""
    greys: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    distances: dict[str, float]
    measures: dict[str, float]


class _Examination:
    """Of one pair."""

    def __init__(
        self,
        pair: Pair,
        instruments: Instruments,
        thresholds: Mapping[str, float],
        show_faces: bool,
        silent_allowed: bool,
    ) -> None:
        self._pair, self._with, self._thresholds = pair, instruments, thresholds
        self._show, self._silent_allowed = show_faces, silent_allowed
        self._deciding = {encoder.name for encoder in instruments.encoders if not trained_with(encoder)}
        self._sightings: list[Sighting] = []
        self._vectors: dict[str, tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = {
            encoder.name: ([], []) for encoder in instruments.encoders
        }
        self._around: dict[str, dict[str, NDArray[np.float64]]] = {encoder.name: {} for encoder in instruments.encoders}
        self._times = Counter[str]()  # that each person was judged
        self._uncovered: list[Uncovered] = []
        self._surest: list[tuple[float, int]] = []  # a heap: scores and places of those with pictures
        self._weak: dict[str, Weak] = {}
        self._open: list[_Open] = []
        self._beside: list[Box] = []
        self._looks = self._faces = self._kept = self._unfollowed = 0

    def examine(self, progress: Progress) -> Evidence:
        pair, digest = self._pair, sha256(self._pair.original)
        next(walk(pair, silent_allowed=self._silent_allowed))  # what can be refused at once is not analysed first
        self._plan = plan = self._read_plan(digest, progress)
        self._known = plan.faces_by_frame()
        frames = plan.source.frames
        # Odd, so that looks fall on every place between those of an analysis, which takes twice as many.
        step = int(probe(pair.original).fps / LOOKS) | 1 if plan.source.kind == "video" else 1
        looks = range(min(step // 2, (frames - 1) // 2), frames, step)
        scene = SameScene(pair, (plan.source.width, plan.source.height), self._places(frames))
        done = 0
        for before, after in walk(pair, silent_allowed=self._silent_allowed):
            scene.add(before, after)
            if self._open:
                self._close((_rgb(before), _rgb(after)))
            if before.index in looks:
                self._look(before, _rgb(before), _rgb(after))
            done += 1
            progress("audit", done, frames)
        scene.finish()
        self._close(None)
        return self._evidence(digest, done)

    def _read_plan(self, digest: str, progress: Progress) -> Plan:
        """The Plan of this original, or what the audit itself finds out."""
        if self._pair.plan is None:
            driver = next((one for one in self._with.encoders if one.name == "driver"), None)
            return analyze(self._pair.original, self._with.detector, encoder=driver or "driver", progress=progress)
        plan = Plan.load(self._pair.plan)
        if plan.source.sha256 != digest:
            raise PlanError(
                f"the Plan was made for another file than {self._pair.original.name}",
                path=self._pair.plan,
                hint="Name the Plan by which this output was made",
            )
        return plan

    def _places(self, frames: int) -> dict[int, list[Box]]:
        """By frame, what may differ: whatever the Plan has anything to do with."""
        manual = [one.box for one in self._plan.manual]
        return {
            frame: [tracked.face.box for _, tracked in self._known.get(frame, ())] + manual
            for frame in (range(frames) if manual else self._known)
        }

    def _look(self, frame: Frame, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
        """One frame, before and after in RGB."""
        self._looks += 1
        found = [f for f in detect_everywhere(self._with.detector, before) if f.score >= START_SCORE]
        known = [tracked.face.box for _, tracked in self._known.get(frame.index, ())]
        self._beside = [box.scaled(2.0) for box in known + [face.box for face in found]]
        self._beside += [manual.box for manual in self._plan.manual]
        for face in found:
            self._faces += 1
            person = self._whose(frame.index, face)
            seen = TrackedFace(frame.index, face, Provenance.DETECTED)
            if (person is not None and person.action == "keep") or not self._plan.scope.holds(seen, self._time(frame)):
                self._kept += 1
                continue
            self._check_covered(frame, face, before, after)
            if person is None:
                self._unfollowed += 1
                continue
            self._follow(f"{self._pair.name}#{person.id}", frame.time, face, before, after)

    def _time(self, frame: Frame) -> float | None:
        """As a Plan's scope counts it: a photo has none."""
        return frame.time if self._plan.source.kind == "video" else None

    def _whose(self, frame: int, face: Face) -> Person | None:
        """The person of the Plan whose face this is."""
        best = max(self._known.get(frame, ()), key=lambda one: iou(one[1].face.box, face.box), default=None)
        return best[0] if best is not None and iou(best[1].face.box, face.box) >= _SAME_PLACE else None

    def _check_covered(self, frame: Frame, face: Face, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
        why: Literal["unchanged", "not in the plan"] | None = None
        if self._unchanged(face.box, before, after):
            why = "unchanged"
        elif self._pair.plan is not None and not self._treated(frame, face.box):
            why = "not in the plan"
        if why is not None:
            picture = self._picture(_region(before, face.box, 1.5))
            heappush(self._surest, (face.score, len(self._uncovered)))
            self._uncovered.append(Uncovered(self._pair.name, frame.time, face.box, face.score, why, picture))
            if len(self._surest) > MOST_PICTURES:
                _, least = heappop(self._surest)
                self._uncovered[least] = replace(self._uncovered[least], picture=b"")

    def _unchanged(self, box: Box, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
        """Whether a face lost no more detail than what is around it and beside all faces."""
        around = _inside(box.scaled(_AROUND), before)
        scale = min(1.0, _REGION / max(box.width, box.height))
        greys = [_grey(_cut(image, around, scale)) for image in (before, after)]
        face, free = np.zeros(greys[0].shape, bool), np.ones(greys[0].shape, bool)
        _fill(face, box, around, scale, True)
        for place in self._beside:
            _fill(free, place, around, scale, False)
        own, others = (detail_lost(greys[0], greys[1], box.width * scale / 12, where) for where in (face, free))
        allowed = UNCHANGED if np.isnan(others) else min(max(UNCHANGED, COMPRESSED * others), GONE)
        return own <= allowed  # not where there is no detail: then it is not a number

    def _treated(self, frame: Frame, box: Box) -> bool:
        """Whether the Plan covers most of a place in a frame."""
        plan, time = self._plan, self._time(frame)
        places = [
            tracked.face.box.scaled(1 + 2 * plan.treatment.margin)
            for person, tracked in self._known.get(frame.index, ())
            if person.action == "replace" and plan.scope.holds(tracked, time)
        ]
        places += [manual.box for manual in plan.manual if manual.holds(time)]
        return any(_share(box, place) >= _COVERED for place in places)

    def _follow(
        self, person: str, time: float, face: Face, before: NDArray[np.uint8], after: NDArray[np.uint8]
    ) -> None:
        """One face from the original to the output."""
        near, now = self._closely(face.box, before), self._closely(face.box, after)
        measures = {"found": float(now is not None), "found_before": float(near is not None)}
        distances: dict[str, float] = {}
        place = _inside(face.box, before)
        greys = _grey(_cut(before, place)), _grey(_cut(after, place))
        if self._clear(face, before):
            old = face if near is None or near.landmarks is None else near
            distances = self._judge(person, time, old, now, before, after)
            measures |= _looks(face.box, before, after)
            if now is not None:
                measures |= self._utility(old, now, before, after)
        self._open.append(_Open(person, time, place, greys, distances, measures))

    def _closely(self, box: Box, image: NDArray[np.uint8]) -> Face | None:
        """The face that the detector sees in a place when it looks at that alone, at the same size before and after."""
        around = box.scaled(3.0)
        crop, scale = cut_square(image, around, _CLOSE), max(around.width, around.height) / _CLOSE
        x, y = (middle - scale * _CLOSE / 2 for middle in around.centre)
        seen = []
        for found in self._with.detector.detect([crop])[0]:
            there = Box(*(edge * scale + shift for edge, shift in zip(found.box, (x, y, x, y), strict=True)))
            marks = None if found.landmarks is None else (found.landmarks * scale + (x, y)).astype(np.float32)
            if found.score >= START_SCORE and iou(there, box) >= _SAME_PLACE:
                seen.append(Face(there, found.score, marks))
        return max(seen, key=lambda one: iou(one.box, box), default=None)

    def _clear(self, face: Face, image: NDArray[np.uint8]) -> bool:
        """Whether a face is surely one, and large and clear enough to say whose it is and what it does."""
        if face.landmarks is None or face.score < SURE:
            return False
        try:
            crop, _ = align(image, face.landmarks, _SIDE)
        except FaceError:
            return False
        return quality(crop, face.landmarks, face.box) >= GOOD

    def _utility(self, old: Face, now: Face, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> dict[str, float]:
        measures: dict[str, float] = {}
        try:
            # The user's networks look at one place in both pictures, so that a detector's tremble is not theirs.
            if self._with.pose is not None:
                poses = self._with.pose(before, old.box), self._with.pose(after, old.box)
            elif old.landmarks is not None and now.landmarks is not None:
                poses = head_pose(old.landmarks), head_pose(now.landmarks)
            else:
                return measures
            yaw, pitch, roll = pose_error(*poses).tolist()
            measures |= {"yaw": yaw, "pitch": pitch, "roll": roll, "pose": float(np.linalg.norm([yaw, pitch, roll]))}
            if self._with.landmarks is not None:
                marks = self._with.landmarks(before, old.box), self._with.landmarks(after, old.box)
                measures["landmarks"] = landmark_error(*marks, (36, 45))
                (measures["mouth"], measures["eyes"]) = openness(marks[0])
                (measures["mouth_after"], measures["eyes_after"]) = openness(marks[1])
            elif old.landmarks is not None and now.landmarks is not None:
                measures["landmarks"] = landmark_error(old.landmarks, now.landmarks)
            if self._with.gaze is not None and old.landmarks is not None:
                looks = [self._with.gaze(picture, old.landmarks) for picture in (before, after)]
                measures["gaze"] = gaze_error(*looks)
            if self._with.expression is not None and old.landmarks is not None:
                said = [self._with.expression.read(picture, [old.landmarks]) for picture in (before, after)]
                apart = expression_error(said[0].embedding, said[1].embedding)
                measures["expression"] = float(apart[0]) / STRANGERS
        except FaceError:  # landmarks that fix nothing: a face of which nothing can be measured
            pass
        return measures

    def _judge(
        self,
        person: str,
        time: float,
        old: Face,
        now: Face | None,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
    ) -> dict[str, float]:
        """What every recogniser says."""
        assert old.landmarks is not None  # it is clear
        # Where no face is found any more, the place where it was: whoever has the output can guess that too.
        there = old.landmarks if now is None or now.landmarks is None else now.landmarks
        distances: dict[str, float] = {}
        for encoder in self._with.encoders:
            try:
                rows = encoder.embed(before, [old.landmarks])[0], encoder.embed(after, [there])[0]
            except FaceError:  # of a face found in a blur, landmarks may fix nothing
                rows = encoder.embed(before, [old.landmarks])[0], encoder.embed(after, [old.landmarks])[0]
            for kept, row in zip(self._vectors[encoder.name], rows, strict=True):
                kept.append(row)
            distances[encoder.name] = float(1 - rows[0] @ rows[1])
        self._note_surroundings(person, after, old.landmarks)
        self._note_weakness(person, time, old, before, after, distances)
        return distances

    def _note_surroundings(self, person: str, after: NDArray[np.uint8], landmarks: Points) -> None:
        """What recognisers say of the output where the face was, with that painted over."""
        around = outside_only(align(after, landmarks, _SIDE)[0][None])
        self._times[person] += 1
        for encoder in self._with.encoders:
            sums = self._around[encoder.name]
            sums[person] = sums.get(person, 0.0) + encoder.embed_crops(around)[0].astype(np.float64)

    def _note_weakness(
        self,
        person: str,
        time: float,
        face: Face,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        distances: Mapping[str, float],
    ) -> None:
        ratios = {
            name: min(distance, 2 - distance) / self._thresholds[name]
            for name, distance in distances.items()
            if name in self._deciding
        }
        if not ratios:
            return
        nearest = min(ratios, key=lambda name: ratios[name])
        if person not in self._weak or ratios[nearest] < self._weak[person].ratio:
            pictures = [self._picture(_region(image, face.box, 1.5)) for image in (before, after)]
            self._weak[person] = Weak(
                self._pair.name, person, time, nearest, distances[nearest], ratios[nearest], *pictures
            )

    def _close(self, following: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None) -> None:
        """Flicker of the faces that wait for the next frame; without one there is none."""
        for one in self._open:
            if following is not None and one.distances:
                old, new = (_grey(_cut(image, one.region)) for image in following)
                flow = flow_between(one.greys[0], old)
                one.measures["flicker"] = warped_difference(one.greys[0], old, flow)
                one.measures["flicker_after"] = warped_difference(one.greys[1], new, flow)
            self._sightings.append(Sighting(self._pair.name, one.person, one.time, one.distances, one.measures))
        self._open.clear()

    def _evidence(self, digest: str, frames: int) -> Evidence:
        pair, plan = self._pair, self._plan
        record = FileEvidence(
            name=pair.name,
            original=pair.original.name,
            output=pair.output.name,
            original_sha256=digest,
            output_sha256=sha256(pair.output),
            plan_sha256=None if pair.plan is None else sha256(pair.plan),
            kind=plan.source.kind,
            frames=frames,
            looks=self._looks,
            people=len(plan.people),
            faces=self._faces,
            kept=self._kept,
            kept_people=sum(person.action == "keep" for person in plan.people),
            judged=sum(bool(sighting.distances) for sighting in self._sightings),
            unfollowed=self._unfollowed,
        )
        vectors = {
            encoder.name: (
                _stacked(self._vectors[encoder.name][0], encoder.dimensions),
                _stacked(self._vectors[encoder.name][1], encoder.dimensions),
            )
            for encoder in self._with.encoders
        }
        return Evidence(
            files=(record,),
            sightings=tuple(self._sightings),
            vectors=vectors,
            uncovered=tuple(self._uncovered),
            weakest=_weakest(self._weak.values()),
            surroundings={name: Means(sums, self._times) for name, sums in self._around.items()},
        )

    def _picture(self, crop: NDArray[np.uint8]) -> bytes:
        """A JPEG for the report, reduced to a few colours unless faces may be shown."""
        if not self._show:
            crop = np.asarray(cv2.resize(crop, (_HIDDEN, _HIDDEN), interpolation=cv2.INTER_AREA), np.uint8)
        shown = cv2.resize(crop, (_SHOWN, _SHOWN), interpolation=cv2.INTER_LINEAR)
        return cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _weakest(weak: Iterable[Weak]) -> tuple[Weak, ...]:
    return tuple(nsmallest(MOST_PICTURES, weak, key=lambda one: one.ratio))


def _pictured(uncovered: Iterable[Uncovered]) -> tuple[Uncovered, ...]:
    """In their order; what may be no face at all gives its picture away first."""
    some = list(uncovered)
    surest = nlargest(MOST_PICTURES, (i for i, one in enumerate(some) if one.picture), key=lambda i: some[i].score)
    return tuple(one if i in surest else replace(one, picture=b"") for i, one in enumerate(some))


def _looks(box: Box, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> dict[str, float]:
    """Sharpness, colour and seam of one face."""
    old, new = _region(before, box), _region(after, box)
    around = _grey(_region(before, box, 2.0)), _grey(_region(after, box, 2.0))
    return {
        "sharpness": sharpness_kept(_grey(old), _grey(new)),
        "colour": colour_shift(old, new),
        "boundary": boundary_visibility(*around),
    }


def _rgb(frame: Frame) -> NDArray[np.uint8]:
    return frame.thumbnail(frame.width, frame.height)


def _region(image: NDArray[np.uint8], box: Box, factor: float = 1.0) -> NDArray[np.uint8]:
    """What lies in a box and in the picture, shrunk to `_REGION` pixels where it is larger."""
    return _cut(image, _inside(box.scaled(factor), image))


def _inside(box: Box, image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """(x, y, right, bottom) of at least 8 pixels each way, or what the picture has."""
    height, width = image.shape[:2]

    def span(low: float, high: float, length: int) -> tuple[int, int]:
        start, end = round(max(0.0, low)), round(min(float(length), high + 1))
        if end - start < _LEAST_SIDE:
            start = max(0, min(start, length - _LEAST_SIDE))
            end = min(length, start + _LEAST_SIDE)
        return start, end

    (x, right), (y, bottom) = span(box.x1, box.x2, width), span(box.y1, box.y2, height)
    return x, y, right, bottom


def _cut(image: NDArray[np.uint8], region: tuple[int, int, int, int], scale: float | None = None) -> NDArray[np.uint8]:
    """A part of a picture at a scale; None: no larger than `_REGION` pixels."""
    x, y, right, bottom = region
    part = image[y:bottom, x:right]
    scale = min(1.0, _REGION / max(part.shape[:2])) if scale is None else scale
    if scale >= 1:
        return np.ascontiguousarray(part)
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def _fill(mask: NDArray[np.bool_], box: Box, region: tuple[int, int, int, int], scale: float, value: bool) -> None:
    """Sets what of a box lies in a region that was cut out at a scale."""
    x1, x2 = (max(0, round((edge - region[0]) * scale)) for edge in (box.x1, box.x2))
    y1, y2 = (max(0, round((edge - region[1]) * scale)) for edge in (box.y1, box.y2))
    mask[y1 : y2 + 1, x1 : x2 + 1] = value


def _grey(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)


def _share(box: Box, place: Box) -> float:
    """How much of a box lies in a place, 0 to 1."""
    width = min(box.x2, place.x2) - max(box.x1, place.x1)
    height = min(box.y2, place.y2) - max(box.y1, place.y1)
    return max(0.0, width) * max(0.0, height) / (box.width * box.height)


def _stacked(rows: Sequence[NDArray[np.float32]], dimensions: int) -> NDArray[np.float32]:
    return np.stack(rows) if rows else np.zeros((0, dimensions), np.float32)
