"""Input → Plan: who is where, frame by frame."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from masquerade.errors import InputError
from masquerade.faces.detect import Detector, detect_everywhere
from masquerade.faces.embed import open_encoder
from masquerade.identity import GOOD, START_SCORE
from masquerade.media import IMAGE_FORMATS, open_image, open_video, sha256
from masquerade.pipeline.overlap import DECODE_AHEAD, ahead
from masquerade.pipeline.progress import Progress, silent
from masquerade.pipeline.scan import Scanner
from masquerade.pipeline.whose import whose
from masquerade.plan import ManualBox, Person, Plan, Scope, Source, Treatment
from masquerade.types import Embedding, Provenance, Track, TrackedFace
from masquerade.version import __version__

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

Cast: TypeAlias = Callable[[Sequence[Track]], Sequence[Person]]
"""Tracks, which know their person, → the people of the Plan; see `identity.casting`."""


def everyone(tracks: Sequence[Track]) -> Sequence[Person]:
    """Everyone is replaced, and nobody is given a face."""
    return [Person(id=track.id, faces=track.faces) for track in tracks]


def analyze(
    path: Path,
    detector: Detector,
    *,
    treatment: Treatment | None = None,
    scope: Scope | None = None,
    manual: tuple[ManualBox, ...] = (),
    cast: Cast = everyone,
    encoder: "Encoder | Literal['driver'] | None" = "driver",
    progress: Progress = silent,
) -> Plan:
    """Finds and tracks every face of a photo or video.

    Args:
        path: the file.
        detector: finds the faces; its name is noted in the Plan.
        treatment, scope, manual: written into the Plan as they are.
        cast: decides who is kept and who wears which face.
        encoder: knows people again; "driver" opens the package's own, None puts tracks together by motion alone.
        progress: told of every frame.

    Returns:
        The Plan, without embeddings.

    Raises:
        InputError: the file cannot be read to its end.
        OptionError: the encoder was not calibrated.
    """
    treatment, scope = treatment or Treatment(), scope or Scope()
    still = path.suffix.lower() in IMAGE_FORMATS
    if still and cast is everyone:
        encoder = None  # nobody returns in a photo, and nobody asks who they are
    if encoder == "driver":
        encoder = open_encoder()
    if still:
        return _analyze_image(path, detector, treatment, scope, manual, cast, encoder, progress)
    with open_video(path) as reader:
        info = reader.info
        scanner = Scanner(detector, info.width, info.height, info.fps, encoder)
        frames = 0
        for look in ahead(map(scanner.prepare, reader), DECODE_AHEAD):
            scanner.add(look)
            frames += 1
            progress("analyze", frames, info.frames)
    if frames == 0:
        raise InputError("the video has no frames", path=path)
    people = tuple(cast(_numbered(scanner.finish())))
    source = Source(
        name=path.name, sha256=sha256(path), kind="video", width=info.width, height=info.height, frames=frames
    )
    return _plan(source, detector, treatment, scope, manual, people)


def _numbered(tracks: Sequence[Track]) -> Sequence[Track]:
    """From 1 without gaps: people who turned out to be one left some."""
    return [replace(track, id=number) for number, track in enumerate(tracks, start=1)]


def _analyze_image(
    path: Path,
    detector: Detector,
    treatment: Treatment,
    scope: Scope,
    manual: tuple[ManualBox, ...],
    cast: Cast,
    encoder: "Encoder | None",
    progress: Progress,
) -> Plan:
    frame = open_image(path).frame
    faces = detect_everywhere(detector, frame.thumbnail(frame.width, frame.height), turned=True)
    faces = [face for face in faces if face.score >= START_SCORE]
    identities: list[Embedding | None] = [None] * len(faces)
    if encoder is not None:
        embeddings, qualities = whose(encoder, frame, faces)
        identities = [e if q >= GOOD else None for e, q in zip(embeddings, qualities, strict=True)]
    progress("analyze", 1, 1)
    tracks = [
        Track(number, (TrackedFace(0, face, Provenance.DETECTED),), identity)
        for number, (face, identity) in enumerate(zip(faces, identities, strict=True), start=1)
    ]
    people = tuple(cast(tracks))
    source = Source(name=path.name, sha256=sha256(path), kind="image", width=frame.width, height=frame.height, frames=1)
    return _plan(source, detector, treatment, scope, manual, people)


def _plan(
    source: Source,
    detector: Detector,
    treatment: Treatment,
    scope: Scope,
    manual: tuple[ManualBox, ...],
    people: tuple[Person, ...],
) -> Plan:
    return Plan(
        made_by=f"masquerade {__version__}",
        source=source,
        detector=detector.name,
        treatment=treatment,
        scope=scope,
        people=people,
        manual=manual,
    )
