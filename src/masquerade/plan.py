"""The Plan: what will be done to which face in which frame, as a file that people may read and edit.

`analyze` writes it, `render` follows it and adds nothing of its own. It holds places, never embeddings: where a face
is says little about whose it is. One face stands on one line, so that two Plans can be compared line by line.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from masquerade.errors import PlanError
from masquerade.types import Box, Face, Provenance, TrackedFace

_FARTHEST = 1e6  # pixels: nothing that is photographed is larger


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _FaceRow(_Strict):
    """How a tracked face is spelled in the file."""

    frame: int = Field(ge=0)
    box: list[float] = Field(min_length=4, max_length=4)
    landmarks: list[Annotated[list[float], Field(min_length=2, max_length=2)]] | None = Field(
        default=None, min_length=5, max_length=5
    )
    score: float = Field(default=1.0, ge=0, le=1)
    origin: Literal["detected", "interpolated", "extrapolated", "manual"] = Field(default="manual", alias="from")


def _read_box(value: object) -> Box:
    if isinstance(value, Box):
        return value
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(isinstance(v, int | float) for v in value):
        raise ValueError("a box is four numbers: [x1, y1, x2, y2]")
    box = Box(*(float(v) for v in value))
    if not (max(map(abs, box)) <= _FARTHEST and box.x1 < box.x2 and box.y1 < box.y2):
        raise ValueError(f"box {list(box)} is not finite, or has no area: [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return box


def _read_face(value: object) -> TrackedFace:
    if isinstance(value, TrackedFace):
        return value
    row = _FaceRow.model_validate(value)
    landmarks = None if row.landmarks is None else np.array(row.landmarks, np.float32)
    return TrackedFace(row.frame, Face(_read_box(row.box), row.score, landmarks), Provenance(row.origin))


def _write_box(box: Box) -> list[float]:
    return [round(float(v), 2) for v in box]


def _write_face(tracked: TrackedFace) -> dict[str, Any]:
    row: dict[str, Any] = {"frame": tracked.frame, "box": _write_box(tracked.face.box)}
    if tracked.face.landmarks is not None:
        row["landmarks"] = [[round(float(x), 2), round(float(y), 2)] for x, y in tracked.face.landmarks]
    row["score"] = round(float(tracked.face.score), 3)
    row["from"] = str(tracked.provenance)
    return row


PlanBox = Annotated[Box, PlainValidator(_read_box), PlainSerializer(_write_box)]
PlanFace = Annotated[TrackedFace, PlainValidator(_read_face), PlainSerializer(_write_face)]


class Source(_Strict):
    """The file the Plan was made for. `render` refuses another one.

    Attributes:
        name: file name without its folder.
        sha256: of the whole file, hexadecimal.
        kind: "image" or "video".
        width, height: pixels, as a person sees the picture.
        frames: how many; 1 for an image.
    """

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    kind: Literal["image", "video"]
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    frames: int = Field(gt=0)


class Treatment(_Strict):
    """How faces are replaced.

    Attributes:
        method: "swap" for fabricated faces, where who cannot wear one is blurred, or "blur", "pixelate" or "solid".
        shape: "ellipse" or "box".
        margin: share of the face's size added on every side, 0 to 2.
        color: of "solid", as red, green, blue, 0 to 255.
    """

    method: Literal["swap", "blur", "pixelate", "solid"] = "blur"
    shape: Literal["ellipse", "box"] = "ellipse"
    margin: float = Field(default=0.3, ge=0, le=2)
    color: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)] = [0, 0, 0]


class Span(_Strict):
    """From `start` up to and with `end`, in seconds of the file's own clock."""

    start: float = Field(ge=0)
    end: float

    @model_validator(mode="after")
    def _ordered(self) -> "Span":
        if self.end < self.start:
            raise ValueError(f"the span ends ({self.end} s) before it starts ({self.start} s)")
        return self


class Scope(_Strict):
    """Where and when faces are replaced. Empty lists mean everywhere and always.

    Attributes:
        spans: only in these spans of time. A photo has no time, and they say nothing of it.
        regions: only faces that touch one of these boxes.
        min_face: only faces at least this wide or high, in pixels. Manual boxes are always replaced.
    """

    spans: tuple[Span, ...] = ()
    regions: tuple[PlanBox, ...] = ()
    min_face: float = Field(default=0.0, ge=0)

    def holds(self, tracked: TrackedFace, time: float | None) -> bool:
        """Whether a face in a frame at `time` seconds, or in a photo (None), is to be replaced."""
        if self.spans and time is not None and not any(span.start <= time <= span.end for span in self.spans):
            return False
        box = tracked.face.box
        if self.regions and not any(
            box.x1 < r.x2 and r.x1 < box.x2 and box.y1 < r.y2 and r.y1 < box.y2 for r in self.regions
        ):
            return False
        return tracked.provenance is Provenance.MANUAL or max(box.width, box.height) >= self.min_face


def _pair(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_Score = Annotated[float, Field(ge=0, le=1)]
Apparent = Annotated[tuple[_Score, _Score], BeforeValidator(_pair)]


class Person(_Strict):
    """One track and what is done to it.

    Attributes:
        id: positive, unique within the Plan.
        action: "replace", or "keep" to leave this person as they are.
        anchor: name of the fabricated identity that will be worn; None means redaction.
        apparent: how old and how much like a woman's the face under it looks (`identity.attributes.NAMES`, 0 to 1,
            coarsely); the fabricated face is drawn so. None for what the fabricated identity brings.
        faces: frames ascending, at most one a frame.
    """

    id: int = Field(gt=0)
    action: Literal["replace", "keep"] = "replace"
    anchor: str | None = None
    apparent: Apparent | None = None
    faces: tuple[PlanFace, ...]

    @model_validator(mode="after")
    def _ascending(self) -> "Person":
        frames = [face.frame for face in self.faces]
        if any(a >= b for a, b in pairwise(frames)):
            raise ValueError(f"person {self.id}: frames must ascend, one face a frame")
        return self


class ManualBox(_Strict):
    """A place that a person wants covered, for the whole file or from `start` to `end` seconds; always in a photo."""

    box: PlanBox
    start: float = Field(default=0.0, ge=0)
    end: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "ManualBox":
        if self.end is not None and self.end < self.start:
            raise ValueError(f"the box's time ends ({self.end} s) before it starts ({self.start} s)")
        return self

    def holds(self, time: float | None) -> bool:
        """Whether the place is covered at `time` seconds, or in a photo (None)."""
        return time is None or (self.start <= time and (self.end is None or time <= self.end))


class Plan(_Strict):
    """Everything `render` needs beside the file itself.

    Attributes:
        format: version of this layout.
        made_by: the program and version that wrote it.
        source: the file it belongs to.
        detector: which detector found the faces.
        treatment: how faces are replaced.
        scope: where and when.
        people: who, frame by frame.
        manual: boxes added by hand.
    """

    format: Literal["masquerade-plan/1"] = "masquerade-plan/1"
    made_by: str
    source: Source
    detector: str
    treatment: Treatment = Treatment()
    scope: Scope = Scope()
    people: tuple[Person, ...] = ()
    manual: tuple[ManualBox, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> "Plan":
        ids = [person.id for person in self.people]
        if len(ids) != len(set(ids)):
            raise ValueError("two people have the same id")
        beyond = [f.frame for p in self.people for f in p.faces[-1:] if f.frame >= self.source.frames]
        if beyond:
            raise ValueError(f"frame {max(beyond)} lies beyond the {self.source.frames} frames of {self.source.name}")
        return self

    def faces_by_frame(self) -> dict[int, list[tuple[Person, TrackedFace]]]:
        """The same faces, ordered for a walk through the frames."""
        frames: dict[int, list[tuple[Person, TrackedFace]]] = {}
        for person in self.people:
            for face in person.faces:
                frames.setdefault(face.frame, []).append((person, face))
        return frames

    def dumps(self) -> str:
        """JSON with one face a line."""
        head = self.model_dump(exclude={"people"}, mode="json")
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        people = []
        for person in self.people:
            faces = ",\n    ".join(json.dumps(_write_face(face)) for face in person.faces)
            rest = json.dumps(person.model_dump(exclude={"faces"}, mode="json"))[:-1]
            people.append(f'  {rest}, "faces": [\n    {faces}\n  ]}}')
        lines.append('"people": [\n' + ",\n".join(people) + "\n]")
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @staticmethod
    def load(path: Path) -> "Plan":
        """Reads a Plan.

        Raises:
            PlanError: the file is missing, not JSON, or says something a Plan cannot mean.
        """
        try:
            return Plan.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise PlanError("no such Plan", path=path, hint="`masquerade analyze` writes one") from error
        except OSError as error:
            raise PlanError(f"the Plan cannot be read: {error.strerror}", path=path) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PlanError(
                f"not a valid Plan: {where}: {first['msg']}" if where else f"not a valid Plan: {first['msg']}",
                path=path,
                hint="Compare it with a fresh one from `masquerade analyze`",
            ) from error
