"""The walk of a swap: picture → crop → swapper → blend → guard → picture. What fails on the way is not written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import EngineError, FaceError
from masquerade.faces.align import Matrix, estimate_similarity, invert, template, transform, warp
from masquerade.faces.quality import INNER, contrast, frontality
from masquerade.swap.base import Canvas, Guard, Swapper
from masquerade.swap.blend import Crop, Mask, blend, cut, eye_masks, face_mask, to_pixels
from masquerade.swap.enlarge import Enlarger, enlarged_by
from masquerade.types import Embedding, Face, Pixels

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

SMALLEST = 24.0
"""Pixels of a face's width below which no encoder can say whether the person is gone."""

AWAY = 0.15
"""Step away from the person, in lengths of the identity, for another try where the guard says no. Farther on, the
negated embedding finds the person, and the guard says no as often (docs/concepts/fabricated-faces.md)."""

GUARD_SIDE = 112
_BATCH = 8
_AROUND = 4  # pixels about a crop that take part in smoothing it back into the picture


class Outcome(StrEnum):
    """What became of a face. All but the first leave the picture as it was: the caller must redact."""

    SWAPPED = "swapped"
    TOO_SMALL = "too small"
    """Or without the landmarks that alignment needs."""
    OBLIQUE = "seen from the side"
    """The nose lies outside the eyes: landmarks are guessed there, and half of what makes the face is out of sight."""
    DARK = "too dark"
    """Or without any contrast: there all faces are alike, also to a guard."""
    RECOGNISED = "recognised"
    """The guard still knew the person."""
    WAITING = "recognised a moment ago"
    """The guard lets this one pass; but see `Task.waits`."""
    FAILED = "failed"
    """The network gave nothing usable, or the face lies outside the picture."""


@dataclass(frozen=True, slots=True)
class Task:
    """A face and whom it shall show.

    Attributes:
        face: with landmarks of this very picture.
        identity: what the swapper is to be given, (d,); of nobody who lives.
        seed: of the grain; the same one gives the same picture.
        waits: whether the guard is only asked, and the picture left as it is.
    """

    face: Face
    identity: Embedding
    seed: int = 0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A face that was written.

    Attributes:
        x, y: of the first pixel.
        before, after: the pixels there, (height, width, 3).
        weight: how much of them is the new face, float32 (height, width), 0 to 1.
    """

    x: int
    y: int
    before: Pixels
    after: Pixels
    weight: Mask

    def seen_on(self, canvas: Canvas) -> Pixels:
        """What the canvas shows at its place."""
        height, width = self.weight.shape
        return canvas.read(self.x, self.y, width, height)

    def upon(self, canvas: Canvas, was: Pixels) -> None:
        """Lays the new face, and nothing that was about it, on what has changed since the canvas showed `was` there.

        after = w · new + (1 − w) · before, so w · new + (1 − w) · now = after + (1 − w) · (now − before).
        """
        now = self.seen_on(canvas)
        laid = self.after + (1 - self.weight[..., None]) * (now.astype(np.float32) - self.before)
        changed = (now != was).any(axis=2, keepdims=True)
        pixels = np.where(changed, laid.round().clip(0, np.iinfo(now.dtype).max), now)
        canvas.write(self.x, self.y, cast("Pixels", pixels.astype(now.dtype)))


@dataclass(frozen=True, slots=True)
class _Job:
    """What was asked for and what became of it."""

    tasks: Sequence[Task]
    again: bool
    outcomes: list[Outcome]
    shown: list[Shown]
    """In the order in which they were written."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """One face taken out of the picture."""

    x: int
    y: int
    pixels: Pixels
    """The part of the picture around the crop."""
    matrix: Matrix
    """That part's pixels → the swapper's crop."""
    upright: Matrix
    """That part's pixels → the guard's crop."""
    crop: NDArray[np.float32]
    """What the swapper sees."""
    before: NDArray[np.uint8]
    """What the guard saw of the face as it was."""


class Imposer:
    """Puts fabricated faces on a canvas, each only after the guard has seen it as it will be written.

    Args:
        swapper: makes the faces.
        template: where the five landmarks lie in its crops, (5, 2), pixels.
        guard: has the last word.
        encoder: whose identities the swapper follows. With it, a face that the guard turns down is made again with an
            identity a little farther away from the person (`AWAY`), as thesis 5.4 drives it away in training.
        enlarger: draws the detail of faces that are larger than the swapper's crop; of the same side as that.
    """

    def __init__(
        self,
        swapper: Swapper,
        template: NDArray[np.float32],
        guard: Guard,
        encoder: "Encoder | None" = None,
        enlarger: Enlarger | None = None,
    ) -> None:
        self._swapper, self._template, self._guard, self._encoder = swapper, template, guard, encoder
        self._enlarge = None if enlarger is None else enlarged_by(enlarger)
        self._mask, self._eyes = face_mask(template, swapper.side), eye_masks(template, swapper.side)

    def impose(self, canvas: Canvas, tasks: Sequence[Task], *, again: bool = True) -> list[Outcome]:
        """Swaps the faces of one picture.

        Args:
            canvas: edited in place, where the outcome is `SWAPPED` and nowhere else.
            tasks: in the order in which they are to lie upon each other.
            again: whether there is another try for whom the guard turns down.

        Returns:
            An outcome for each task.
        """
        return self.impose_and_show(canvas, tasks, again=again)[0]

    def impose_and_show(
        self, canvas: Canvas, tasks: Sequence[Task], *, again: bool = True
    ) -> tuple[list[Outcome], list[Shown]]:
        """As `impose`; also the faces that were written, in that order."""
        cuts = [self._cut(canvas, task.face) for task in tasks]
        outcomes = [found if isinstance(found, Outcome) else Outcome.FAILED for found in cuts]
        job = _Job(tasks, again, outcomes, [])
        todo = [(i, found) for i, found in enumerate(cuts) if isinstance(found, _Cut)]
        for number, apart in enumerate(_rounds([found for _, found in todo])):
            for start in range(0, len(apart), _BATCH):
                some = [todo[place] for place in apart[start : start + _BATCH]]
                if number:
                    # What a neighbour wears is what the swapper is to see beside the face: it draws that again.
                    some = [(i, self._as_it_is_now(canvas, old)) for i, old in some]
                self._try(canvas, some, job)
        return job.outcomes, job.shown

    def hides(self, originals: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> bool:
        """Whether the guard no longer knows the person by averaging these pictures; see `Guard.gone_on_average`."""
        return self._guard.gone_on_average(originals, swapped)

    def _try(self, canvas: Canvas, some: Sequence[tuple[int, "_Cut"]], job: _Job) -> None:
        """One batch of faces that do not overlap, and again, a step farther away, whom the guard turns down."""
        identities = np.stack([job.tasks[i].identity for i, _ in some])
        self._wear(canvas, some, identities, job)
        left = [place for place, (i, _) in enumerate(some) if job.outcomes[i] is Outcome.RECOGNISED]
        if left and job.again and self._encoder is not None:
            people = self._encoder.embed_crops(np.stack([some[place][1].before for place in left]))
            turned = turned_away(identities[left], people, AWAY)
            self._wear(canvas, [some[place] for place in left], turned, job)

    def _as_it_is_now(self, canvas: Canvas, old: "_Cut") -> "_Cut":
        """The same place after others were written; the guard goes on comparing with the face as it was."""
        height, width = old.pixels.shape[:2]
        pixels = canvas.read(old.x, old.y, width, height)
        return replace(old, pixels=pixels, crop=cut(pixels, old.matrix, self._swapper.side))

    def _wear(
        self, canvas: Canvas, some: Sequence[tuple[int, "_Cut"]], identities: NDArray[np.float32], job: _Job
    ) -> None:
        """One batch; notes what became of each."""
        crops = np.stack([old.crop.transpose(2, 0, 1) for _, old in some])
        try:
            made = self._swapper.swap(crops, identities)
        except EngineError:
            return
        for place, (i, old) in enumerate(some):
            mask = self._mask if made.masks is None else self._mask * made.masks[place, 0]
            new = np.ascontiguousarray(made.crops[place].transpose(1, 2, 0))
            written = self._write(canvas, old, new, mask, job.tasks[i])
            if isinstance(written, Shown):
                job.shown.append(written)
            job.outcomes[i] = Outcome.SWAPPED if isinstance(written, Shown) else written

    def _cut(self, canvas: Canvas, face: Face) -> "_Cut | Outcome":
        if face.landmarks is None or face.box.width < SMALLEST:
            return Outcome.TOO_SMALL
        try:
            matrix = estimate_similarity(face.landmarks, self._template)
            upright = estimate_similarity(face.landmarks, template(GUARD_SIDE))
        except FaceError:
            return Outcome.TOO_SMALL
        if frontality(face.landmarks) == 0:
            return Outcome.OBLIQUE
        side = self._swapper.side
        corners = transform([[0, 0], [side, 0], [side, side], [0, side]], invert(matrix))
        limit = np.array([canvas.width, canvas.height])
        (x1, y1), (x2, y2) = (
            np.clip(np.floor(corners.min(axis=0)) - _AROUND, 0, limit).astype(int).tolist(),
            np.clip(np.ceil(corners.max(axis=0)) + _AROUND, 0, limit).astype(int).tolist(),
        )
        if x2 - x1 < 1 or y2 - y1 < 1:
            return Outcome.FAILED
        pixels = canvas.read(x1, y1, x2 - x1, y2 - y1)
        matrix, upright = _seen_from(matrix, x1, y1), _seen_from(upright, x1, y1)
        before = to_pixels(cut(pixels, upright, GUARD_SIDE))
        if contrast(np.asarray(cv2.cvtColor(before[INNER], cv2.COLOR_RGB2GRAY), np.uint8)) == 0:
            return Outcome.DARK
        return _Cut(x1, y1, pixels, matrix, upright, cut(pixels, matrix, side), before)

    def _write(self, canvas: Canvas, old: _Cut, new: Crop, mask: Mask, task: Task) -> Shown | Outcome:
        # Neighbours may overlap: what was written meanwhile stays.
        height, width = old.pixels.shape[:2]
        now = canvas.read(old.x, old.y, width, height)
        try:
            after = blend(
                now, new, old.matrix, mask, old=old.crop, eyes=self._eyes, seed=task.seed, enlarge=self._enlarge
            )
        except EngineError:
            return Outcome.FAILED
        swapped = to_pixels(cut(after, old.upright, GUARD_SIDE))
        if not self._guard.gone(old.before[None], swapped[None])[0]:
            return Outcome.RECOGNISED
        if task.waits:
            return Outcome.WAITING
        canvas.write(old.x, old.y, after)
        return Shown(old.x, old.y, now, after, warp(mask, invert(old.matrix), (width, height)).clip(0, 1))


def guard_crop(picture: Pixels, face: Face) -> NDArray[np.uint8]:
    """A face as the guard sees it: RGB (112, 112, 3), aligned to the ArcFace template.

    Raises:
        FaceError: it has no landmarks, or they fit no template.
    """
    if face.landmarks is None:
        raise FaceError("a face without landmarks cannot be aligned")
    return to_pixels(cut(picture, estimate_similarity(face.landmarks, template(GUARD_SIDE)), GUARD_SIDE))


def _rounds(cuts: Sequence[_Cut]) -> list[list[int]]:
    """Numbers of the cuts in rounds: those of one do not overlap, and who overlaps an earlier one comes after it."""
    rounds: list[int] = []
    for i, one in enumerate(cuts):
        before = [rounds[j] for j in range(i) if _overlap(one, cuts[j])]
        rounds.append(1 + max(before, default=-1))
    return [[i for i, which in enumerate(rounds) if which == number] for number in range(1 + max(rounds, default=-1))]


def _overlap(one: _Cut, other: _Cut) -> bool:
    return all(
        start < other_start + other_size and other_start < start + size
        for start, size, other_start, other_size in (
            (one.x, one.pixels.shape[1], other.x, other.pixels.shape[1]),
            (one.y, one.pixels.shape[0], other.y, other.pixels.shape[0]),
        )
    )


def turned_away(identities: NDArray[np.float32], people: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Identities a, farther from the people z: b · |a| / |b| with b = a / |a| − step · z, row by row, all (n, d)."""
    lengths = np.linalg.norm(identities, axis=1, keepdims=True)
    moved = identities / lengths - step * people
    return np.asarray(moved * (lengths / np.linalg.norm(moved, axis=1, keepdims=True)), np.float32)


def _seen_from(matrix: Matrix, x: int, y: int) -> Matrix:
    """The same map for a part of the picture whose first pixel lies at (x, y)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (x, y)
    return moved
