"""Trying on: what a fabricated face is to look like, and whether it hides its wearer, before a single frame is written.

In a few frames of the file it is read how old each person looks, and how much like a man or a woman; then their face is
put on in them and shown to the guard. Whom it still knows gets another one, for the whole file, so that nobody's face
changes on the way.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masquerade.errors import FaceError
from masquerade.media import Frame, StillFrame, open_image, open_video
from masquerade.pipeline.overlap import DECODE_AHEAD, ahead
from masquerade.pipeline.people import Director
from masquerade.pipeline.progress import Progress, silent
from masquerade.pipeline.wearing import worn_frames
from masquerade.plan import Person, Plan
from masquerade.swap.impose import Imposer, Outcome, Task, guard_crop
from masquerade.types import Box, Embedding, Face, Pixels

if TYPE_CHECKING:
    from masquerade.pipeline.tailor import Tailor

SAMPLES = 5
"""Frames, spread over the file, in which a face is tried on."""

EXCHANGES = 3
"""As often somebody gets another face; after that the guard redacts what it still knows, frame by frame."""

_AROUND = 2.5
"""Side of what is kept of a frame, in faces: more than a swapper's crop."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A face in a piece of its frame."""

    pixels: Pixels
    face: Face


def fit(path: Path, plan: Plan, tailor: "Tailor", director: Director, *, progress: Progress = silent) -> Plan:
    """Makes faces look as old as their wearers do, and as much like a man's or a woman's, and exchanges those in which
    the guard would still know them.

    Args:
        path: the file the Plan was made for.
        plan: from `refine`.
        tailor: puts the faces on.
        director: who cast the Plan, and was the last to cast.
        progress: told of every frame.

    Returns:
        The Plan, with what people look like, and with other anchors where that was needed.

    Raises:
        InputError: the file cannot be read to its end.
        VaultError: the vault, which learns of every exchange, cannot be used.
    """
    looks = _looks(path, plan, progress)
    if tailor.holds_attributes and director.fits:
        seen = {id: said for id, some in looks.items() if (said := _apparent(tailor, some)) is not None}
        people = tuple(p.model_copy(update={"apparent": seen[p.id]}) if p.id in seen else p for p in plan.people)
        plan = plan.model_copy(update={"people": people})
    for _ in range(EXCHANGES):
        wardrobe = tailor.wardrobe(plan)
        known = [id for id in looks if _knows(wardrobe.imposer, wardrobe.identities[id], looks[id])]
        others = {id: name for id in known if (name := director.another(id)) is not None}
        if not others:
            break
        looks = {id: looks[id] for id in others}
        people = tuple(p.model_copy(update={"anchor": others[p.id]}) if p.id in others else p for p in plan.people)
        plan = plan.model_copy(update={"people": people})
    return plan


def _apparent(tailor: "Tailor", looks: Sequence[_Look]) -> tuple[float, float] | None:
    """As the Plan holds it; None where landmarks fit no face."""
    crops = []
    for look in looks:
        with suppress(FaceError):
            crops.append(guard_crop(look.pixels, look.face))
    if not crops:
        return None
    age, sex = tailor.apparent(np.stack(crops)).tolist()
    return round(age, 2), round(sex, 2)


def _knows(imposer: Imposer, identity: Embedding, looks: Sequence[_Look]) -> bool:
    """Whether the guard knows the person in any of these frames, or by the average of them."""
    before, after = [], []
    for look in looks:
        frame = StillFrame(look.pixels.copy())
        [outcome] = imposer.impose(frame, [Task(look.face, identity)], again=False)
        if outcome is Outcome.RECOGNISED:
            return True
        if outcome is Outcome.SWAPPED:
            before.append(guard_crop(look.pixels, look.face))
            after.append(guard_crop(frame.samples, look.face))
    return len(after) > 1 and not imposer.hides(np.stack(before), np.stack(after))


def _looks(path: Path, plan: Plan, progress: Progress) -> Mapping[int, Sequence[_Look]]:
    """A few frames of everyone who wears a face and can, by person id."""
    wanted: dict[int, list[tuple[int, Face]]] = defaultdict(list)
    for person in plan.people:
        if person.action == "replace" and person.anchor is not None:
            for frame, face in _spread(person):
                wanted[frame].append((person.id, face))
    looks: dict[int, list[_Look]] = defaultdict(list)
    if not wanted:
        return looks
    for done, frame_ in enumerate(_frames(path, plan), start=1):
        for id, face in wanted.get(frame_.index, ()):
            look = _cut(frame_, face)
            if look is not None:
                looks[id].append(look)
        progress("fit", done, plan.source.frames)
    return looks


def _frames(path: Path, plan: Plan) -> Iterator[Frame]:
    if plan.source.kind == "image":
        yield open_image(path).frame
        return
    with open_video(path) as reader:
        yield from ahead(reader, DECODE_AHEAD)


def _spread(person: Person) -> list[tuple[int, Face]]:
    """Evenly spread over the frames in which a swap is possible."""
    worn = worn_frames(person)
    seen = [(t.frame, t.face) for t in person.faces if t.frame in worn]
    picked = np.unique(np.linspace(0, len(seen) - 1, SAMPLES).round().astype(int)) if seen else ()
    return [seen[i] for i in picked]


def _cut(frame: Frame, face: Face) -> _Look | None:
    """The piece of the frame around the face; None where nothing of it lies in the picture."""
    around = face.box.scaled(_AROUND)
    x1, y1 = max(0, int(around.x1)), max(0, int(around.y1))
    x2, y2 = min(frame.width, int(around.x2) + 1), min(frame.height, int(around.y2) + 1)
    if x1 >= x2 or y1 >= y2 or face.landmarks is None:
        return None
    box = Box(face.box.x1 - x1, face.box.y1 - y1, face.box.x2 - x1, face.box.y2 - y1)
    here = Face(box, face.score, face.landmarks - np.array([x1, y1], np.float32))
    return _Look(frame.read(x1, y1, x2 - x1, y2 - y1), here)
