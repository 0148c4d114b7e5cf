"""Input → Plan: who is where, frame by frame."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from masquerade.errors import InputError
from masquerade.faces.detect import Detector, detect_everywhere
from masquerade.identity import START_SCORE
from masquerade.media import IMAGE_FORMATS, open_image, open_video, sha256
from masquerade.pipeline.overlap import DECODE_AHEAD, ahead
from masquerade.pipeline.progress import Progress, silent
from masquerade.pipeline.scan import Scanner
from masquerade.plan import ManualBox, Person, Plan, Scope, Source, Treatment
from masquerade.types import Provenance, Track, TrackedFace
from masquerade.version import __version__

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
    progress: Progress = silent,
) -> Plan:
    """Finds and tracks every face of a photo or video.

    Args:
        path: the file.
        detector: finds the faces; its name is noted in the Plan.
        treatment, scope, manual: written into the Plan as they are.
        cast: decides who is kept and who wears which face.
        progress: told of every frame.

    Returns:
        The Plan, without embeddings.

    Raises:
        InputError: the file cannot be read to its end.
    """
    treatment, scope = treatment or Treatment(), scope or Scope()
    if path.suffix.lower() in IMAGE_FORMATS:
        return _analyze_image(path, detector, treatment, scope, manual, cast, progress)
    with open_video(path) as reader:
        info = reader.info
        scanner = Scanner(detector, info.width, info.height, info.fps)
        frames = 0
        for look in ahead(map(scanner.prepare, reader), DECODE_AHEAD):
            scanner.add(look)
            frames += 1
            progress("analyze", frames, info.frames)
    if frames == 0:
        raise InputError("the video has no frames", path=path)
    people = tuple(cast(scanner.finish()))
    source = Source(
        name=path.name, sha256=sha256(path), kind="video", width=info.width, height=info.height, frames=frames
    )
    return _plan(source, detector, treatment, scope, manual, people)


def _analyze_image(
    path: Path,
    detector: Detector,
    treatment: Treatment,
    scope: Scope,
    manual: tuple[ManualBox, ...],
    cast: Cast,
    progress: Progress,
) -> Plan:
    frame = open_image(path).frame
    faces = detect_everywhere(detector, frame.thumbnail(frame.width, frame.height), turned=True)
    progress("analyze", 1, 1)
    tracks = [
        Track(number, (TrackedFace(0, face, Provenance.DETECTED),))
        for number, face in enumerate((face for face in faces if face.score >= START_SCORE), start=1)
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
