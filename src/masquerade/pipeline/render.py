"""File + Plan → file. Follows the Plan, adds nothing, and decides nothing but how to fail: closed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from masquerade.errors import PlanError
from masquerade.identity import Remarks
from masquerade.media import (
    Frame,
    VideoReader,
    VideoWriter,
    disclosure,
    open_image,
    open_video,
    save_image,
    sha256,
)
from masquerade.pipeline.overlap import DECODE_AHEAD, Behind, ahead
from masquerade.pipeline.progress import Progress, silent
from masquerade.pipeline.wearing import Patience, hindrance, worn_frames
from masquerade.plan import Person, Plan
from masquerade.swap import Redactor, Replacer
from masquerade.swap.impose import Imposer, Outcome, Shown, Task
from masquerade.types import Embedding, Face, Provenance, TrackedFace


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """Who wears which fabricated face, and what puts it on.

    Attributes:
        imposer: makes the faces and checks them.
        identities: by person id, what the swapper is to be given: unit vectors (d,) of nobody who lives. Who is not
            in it is redacted.
        defences: what the imposer's swapper stands behind, by name (see `swap.defences`).
    """

    imposer: Imposer
    identities: Mapping[int, Embedding]
    defences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to one file.

    Attributes:
        source, output: the files.
        kind: "image" or "video".
        frames: written.
        people: tracks in the Plan.
        replaced: faces redacted or swapped, counted once a frame, by how they were known.
        kept: faces left as they were because the Plan says so, counted once a frame.
        outcomes: faces that should have been swapped, by what became of them; all but `Outcome.SWAPPED` were redacted.
        dropped: what the output does not have on purpose (data streams, attached pictures, chapters) or because its
            container knows no metadata, one phrase each.
        lost: what the output does not have though a viewer would miss it, one phrase each. A person should look.
        remarks: on who is who; `render` itself does not know.
        defences: behind which faces were swapped, by name.
    """

    source: Path
    output: Path
    kind: str
    frames: int
    people: int
    replaced: Mapping[str, int]
    kept: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    remarks: Remarks = field(default_factory=Remarks)
    defences: tuple[str, ...] = ()


def render(
    path: Path,
    plan: Plan,
    output: Path,
    *,
    encoder: str | None = None,
    quality: int | None = None,
    wardrobe: Wardrobe | None = None,
    mark: bool = False,
    progress: Progress = silent,
) -> Report:
    """Writes the file that the Plan describes.

    A pure function of the file, the Plan and the wardrobe: the same three give the same bytes, unless a defence draws
    noise. A file in which anybody wears a fabricated face says so in its metadata (`media.disclosure`).

    Args:
        path: the file the Plan was made for.
        plan: from `analyze`, edited or not.
        output: where to write; appears there complete or not at all.
        encoder: FFmpeg's name of the video encoder; None chooses one like the source's.
        quality: on that encoder's own scale, smaller is better; None is close to the source.
        wardrobe: the faces people wear; None redacts everyone.
        mark: whether a picture says in a corner, too, that its faces are fabricated.
        progress: told of every frame.

    Raises:
        PlanError: the Plan belongs to another file.
        InputError: the file cannot be read to its end.
        OutputError: the output cannot be written, or is the input.
    """
    found = sha256(path)
    if found != plan.source.sha256:
        raise PlanError(
            f"the Plan was made for another file (its sha256 is {plan.source.sha256[:12]}…, this one's {found[:12]}…)",
            path=path,
            hint="Run `masquerade analyze` on this file",
        )
    walk = Walk(plan, Redactor(plan.treatment), wardrobe)
    dropped: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    if plan.source.kind == "image":
        still = open_image(path)
        walk.edit(still.frame)
        fabricated = walk.outcomes[Outcome.SWAPPED] > 0
        if fabricated and mark:
            disclosure.draw_mark(still.frame)
        save_image(still, output, xmp=disclosure.XMP if fabricated else None)
        progress("render", 1, 1)
    else:
        # A video's metadata come before its frames, so what counts is whether anybody is to wear a face.
        fabricated = wardrobe is not None and len(wardrobe.identities) > 0
        note = disclosure.NOTE if fabricated else None
        with (
            open_video(path) as reader,
            VideoWriter(output, reader, encoder=encoder, quality=quality, note=note) as writer,
        ):
            _render_video(reader, writer, walk, fabricated and mark, progress)
        dropped, lost = writer.dropped, writer.lost
    return Report(
        source=path,
        output=output,
        kind=plan.source.kind,
        frames=plan.source.frames,
        people=len(plan.people),
        replaced=dict(walk.replaced),
        kept=walk.kept,
        outcomes=dict(walk.outcomes),
        dropped=dropped,
        lost=lost,
        defences=wardrobe.defences if wardrobe is not None and walk.outcomes[Outcome.SWAPPED] else (),
    )


def _render_video(reader: VideoReader, writer: VideoWriter, walk: "Walk", mark: bool, progress: Progress) -> None:
    frames = walk.plan.source.frames
    done = 0
    with Behind(writer.write, 4) as encoder:
        for frame in ahead(reader, DECODE_AHEAD):
            walk.edit(frame)
            if mark:
                disclosure.draw_mark(frame)
            encoder.put(frame)
            done += 1
            progress("render", done, frames)
    if done != frames:
        hint = "Run `masquerade analyze` again"
        raise PlanError(f"the Plan has {frames} frames, the video {done}", path=reader.path, hint=hint)


class Walk:
    """Edits frames as the Plan says and counts."""

    def __init__(self, plan: Plan, replacer: Replacer, wardrobe: Wardrobe | None = None) -> None:
        self.plan = plan
        self._replacer = replacer
        self._wardrobe = wardrobe
        self._faces = plan.faces_by_frame()
        self._worn = {p.id: worn_frames(p) for p in plan.people if wardrobe and p.id in wardrobe.identities}
        self._patience = Patience()
        self.replaced: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.kept = 0

    def edit(self, frame: Frame) -> None:
        todo = []
        time = frame.time if self.plan.source.kind == "video" else None
        for person, tracked in self._faces.get(frame.index, ()):
            if person.action == "keep" or not self.plan.scope.holds(tracked, time):
                self.kept += 1
            else:
                todo.append((person, tracked))
        rest, shown = self._swap(frame, todo)
        supposed = [tracked for tracked in rest if tracked.provenance is not Provenance.DETECTED]
        # Redaction comes last: what it covers, no swap beside it may bring back. But who was not seen in this frame
        # gives way to a fabricated face on one that was, of which nothing but itself is laid upon the redaction.
        worn = [(face, face.seen_on(frame)) for face in shown if supposed]
        for tracked in supposed:
            self._replace(frame, tracked)
        for face, was in worn:
            face.upon(frame, was)
        for tracked in rest:
            if tracked.provenance is Provenance.DETECTED:
                self._replace(frame, tracked)
        for manual in self.plan.manual:
            if manual.holds(time):
                self._replace(frame, TrackedFace(frame.index, Face(manual.box, 1.0), Provenance.MANUAL))

    def _swap(self, frame: Frame, faces: Sequence[tuple[Person, TrackedFace]]) -> tuple[list[TrackedFace], list[Shown]]:
        """Swaps whom it can; returns the faces that are left to redact, and those that are worn."""
        if self._wardrobe is None:
            return [tracked for _, tracked in faces], []
        identities = self._wardrobe.identities
        worn, rest = [], []
        for person, tracked in faces:
            if person.id not in identities:
                rest.append(tracked)
            elif tracked.frame in self._worn[person.id]:
                worn.append((person, tracked))
            else:
                self.outcomes[hindrance(tracked)] += 1
                rest.append(tracked)
        seeds = [frame.index * 1_000_003 + person.id for person, _ in worn]
        tasks = [
            Task(t.face, identities[p.id], seed, waits=self._patience.waits(p.id))
            for (p, t), seed in zip(worn, seeds, strict=True)
        ]
        outcomes, shown = self._wardrobe.imposer.impose_and_show(frame, tasks)
        for (person, tracked), outcome in zip(worn, outcomes, strict=True):
            self._patience.hears(person.id, frame.index, outcome)
            self.outcomes[str(outcome)] += 1
            if outcome is Outcome.SWAPPED:
                self.replaced[str(tracked.provenance)] += 1
            else:
                rest.append(tracked)
        return rest, shown

    def _replace(self, frame: Frame, tracked: TrackedFace) -> None:
        self._replacer.replace(frame, tracked.face)
        self.replaced[str(tracked.provenance)] += 1
