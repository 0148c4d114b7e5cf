"""Landmarks made exact by a look at the crop that they give.

A detector places five points each for itself, a few per cent of the distance of the eyes off, in another way in every
frame and at every size. The aligner looks at the crop that follows from them and says by which similarity the face lies
beside the template; all five are moved by it together. So faces come to lie as in the crops that everything here was
trained on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import EngineError, FaceError, WeightsError
from masquerade.faces.align import Matrix, crop_around, estimate_similarity, invert, template, transform
from masquerade.faces.detect.everywhere import Readable
from masquerade.types import Face, Points

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine, Session

NAME = "aligner"
"""Of the card of the packaged weights."""
SIDE = 64
"""Pixels that it looks at."""
LOOKS = 2
"""The second one sees what the first one left."""

UNIT = 128
"""Side of the crop that matrices here are about."""
CENTRE = np.array([0.5, 0.57]) * UNIT - 0.5
"""Of what it looks at, a square of the crop from brows to mouth; about it faces are turned and scaled."""

_SEEN = 0.66  # side of that square, in sides of the crop
_FARTHEST = (0.15, 0.15, 0.3, 0.35)
"""Shift, logarithm of the size, and turn that are believed; beyond them something else was mistaken for the face."""

_INPUT, _OUTPUT = "crop", "moved"


def window() -> Matrix:
    """An aligned crop of 128 px → the 64 px of it that the network sees."""
    scale = SIDE / (_SEEN * UNIT)
    return np.column_stack([scale * np.eye(2), (SIDE - 1) / 2 - scale * CENTRE])


def movement(moved: ArrayLike) -> Matrix:
    """What the network says, (4,), as a similarity of a crop of 128 px: where the face should lie → where it lies."""
    right, down, size, turn = np.asarray(moved, np.float64).tolist()
    cos, sin = np.exp(size) * np.cos(turn), np.exp(size) * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, CENTRE + UNIT * np.array([right, down]) - linear @ CENTRE])


class Aligner:
    """Says how faces lie. Safe to call from several threads, as far as the session is.

    Args:
        session: the network: `crop` (n, 3, 64, 64) RGB in [−1, 1] → `moved` (n, 4), see `nets.aligner`.
        name: what people call it.

    Raises:
        WeightsError: it is another network.
    """

    def __init__(self, session: "Session", *, name: str) -> None:
        inputs, outputs = ([port.name for port in ports] for ports in (session.inputs, session.outputs))
        if inputs != [_INPUT] or outputs != [_OUTPUT] or session.inputs[0].shape[1:] != (3, SIDE, SIDE):
            raise WeightsError(f"{name} aligns no faces: it takes {', '.join(inputs)}, gives {', '.join(outputs)}")
        self.name = name
        self._session = session

    def settle(self, picture: Readable, landmarks: Sequence[Points]) -> list[Points]:
        """The landmarks where faces are as in the archives that the network was trained on.

        Args:
            picture: read only around the faces.
            landmarks: of faces in it, (5, 2) each, pixels.

        Returns:
            Theirs, moved; those of a face that cannot be told stay as they are.

        Raises:
            EngineError: the engine failed.
        """
        settled = list(landmarks)
        fixed: dict[int, Matrix] = {}
        for number, points in enumerate(landmarks):
            try:
                fixed[number] = estimate_similarity(points, template(UNIT))
            except FaceError:
                continue
        current = dict(fixed)
        for _ in range(LOOKS):
            crops = {number: crop_around(picture, _then(matrix, window()), SIDE) for number, matrix in current.items()}
            seen = {number: crop for number, crop in crops.items() if crop is not None}
            if not seen:
                break
            for number, moved in zip(seen, self.look(np.stack(list(seen.values()))), strict=True):
                current[number] = _then(current[number], invert(movement(moved.clip(-1, 1))))
        for number, before in fixed.items():
            # Where the face lies in the crop that the detector's points give.
            lies = _then(invert(current[number]), before)
            if _believed(lies):
                moved_points = transform(landmarks[number], _then(_then(before, lies), invert(before)))
                settled[number] = moved_points.astype(np.float32)
        return settled

    def settle_faces(self, picture: Readable, faces: Sequence[Face]) -> list[Face]:
        """The same for faces, some of which may have no landmarks."""
        known = [face.landmarks for face in faces if face.landmarks is not None]
        settled = iter(self.settle(picture, known))
        return [face if face.landmarks is None else Face(face.box, face.score, next(settled)) for face in faces]

    def look(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network says of what it sees: uint8 RGB (n, 64, 64, 3) → (n, 4).

        Raises:
            EngineError: the engine failed, or the network gave numbers that are none.
        """
        entrance = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)
        moved = self._session.run({_INPUT: entrance})[_OUTPUT].astype(np.float32)
        if moved.shape != (len(crops), 4) or not np.isfinite(moved).all():
            raise EngineError(f"{self.name} gave {moved.shape} for {len(crops)} crops, or values that are not finite")
        return moved


def _believed(lies: Matrix) -> bool:
    """Whether a face may lie so: a detector is not that far off."""
    shift = (transform([CENTRE], lies)[0] - CENTRE) / UNIT
    size, turn = np.log(np.linalg.norm(lies[:, 0])), np.arctan2(lies[1, 0], lies[0, 0])
    return bool((np.abs([*shift, size, turn]) <= _FARTHEST).all())


def _then(first: Matrix, second: Matrix) -> Matrix:
    """One similarity after the other."""
    both: Matrix = second @ np.vstack([first, [0, 0, 1]])
    return both


def open_aligner(
    path: Path | None = None, *, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0
) -> Aligner:
    """The packaged aligner, or that of a file, ready to run.

    Args:
        path: what `python -m masquerade.train.export aligner` wrote; None for the packaged one.
        engine, provider, threads: as for `models.runtime.open_session`.

    Raises:
        WeightsError: there is no such file, or it holds another network.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.store import weights_of  # noqa: PLC0415 - as above

    model, name = weights_of(NAME, path)
    return Aligner(open_session(model, engine=engine, provider=provider, threads=threads), name=name)
