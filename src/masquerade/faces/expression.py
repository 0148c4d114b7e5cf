"""What a face expresses, whoever it is: faces in, vectors that tell expressions apart and readings of them out.

Two faces are compared by the Euclidean distance of their embeddings (PAPER II, thesis 5.2): 0 for the same expression,
at most 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import EngineError, FaceError, WeightsError
from masquerade.faces.align import estimate_similarity, template, warp

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine, Session

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""In the order of the network's probabilities."""

MEASURES = (
    "mouth open",
    "jaw drop",
    "mouth width",
    "corners up",
    "upper lip up",
    "lips full",
    "eyes open",
    "inner brows up",
    "outer brows up",
    "brows apart",
)
"""In the order of the network's geometry."""

NAME = "expression"
"""Of the card of the packaged weights."""

_SIDE = 112
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Expressions:
    """What n faces express.

    Attributes:
        embedding: unit vectors (n, d).
        classes: probabilities (n, 7), in the order of `CLASSES`.
        affect: valence and arousal, (n, 2), each −1 to 1.
        geometry: (n, 10), in the order of `MEASURES`, in standard deviations from the mean face.
    """

    embedding: NDArray[np.float32]
    classes: NDArray[np.float32]
    affect: NDArray[np.float32]
    geometry: NDArray[np.float32]


_OUTPUTS = tuple(one.name for one in fields(Expressions))


class ExpressionReader:
    """A network that reads expressions. Safe to call from several threads, as far as the session is.

    Args:
        session: the network; `face` (n, 3, 112, 112), RGB in [−1, 1] → the fields of `Expressions`.
        name: what people call it.
        sha256: of its file.

    Raises:
        WeightsError: it is another network.
    """

    def __init__(self, session: "Session", *, name: str, sha256: str) -> None:
        found = [port.name for port in session.outputs]
        if [port.name for port in session.inputs] != ["face"] or set(found) != set(_OUTPUTS):
            raise WeightsError(f"{name} reads no expressions: it gives {', '.join(found)}, not {', '.join(_OUTPUTS)}")
        self.name, self.sha256 = name, sha256
        self._session = session

    def read_crops(self, crops: NDArray[np.uint8]) -> Expressions:
        """Faces that are aligned already.

        Args:
            crops: RGB uint8, shape (n, side, side, 3), aligned by `faces.align` to the ArcFace template at that side.

        Raises:
            FaceError: crops of another shape or type, or none.
            EngineError: the engine failed, or the network gave something that is not finite.
        """
        if crops.ndim != 4 or not len(crops) or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
            raise FaceError(f"expressions are read in square RGB crops, not {crops.shape}")
        if crops.dtype != np.uint8:
            raise FaceError(f"expressions are read in crops of uint8, not {crops.dtype}")
        if crops.shape[1] != _SIDE:
            matrix = estimate_similarity(template(crops.shape[1]), template(_SIDE))
            crops = np.stack([warp(crop, matrix, (_SIDE, _SIDE)) for crop in crops])
        parts = [self._run(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]
        said = {name: np.concatenate([part[name] for part in parts]) for name in _OUTPUTS}
        if not all(np.isfinite(values).all() for values in said.values()):
            raise EngineError(f"the network {self.name} gave something that is not finite for a face")
        return Expressions(**said)

    def read(self, image: NDArray[np.uint8], landmarks: Sequence[ArrayLike]) -> Expressions:
        """Faces of one picture.

        Args:
            image: RGB uint8, shape (height, width, 3).
            landmarks: of each face five points in pixels of the picture, shape (5, 2), in the order of `types`.

        Raises:
            FaceError: the picture or landmarks are not what they must be, or there are none.
            EngineError: as `read_crops`.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size or not len(landmarks):
            raise FaceError("expressions are read in RGB pictures of uint8, of one face or more")
        goal = template(_SIDE)
        crops = [warp(image, estimate_similarity(points, goal), (_SIDE, _SIDE)) for points in landmarks]
        return self.read_crops(np.stack(crops))

    def _run(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        pixels = crops.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)
        said = self._session.run({"face": np.ascontiguousarray(pixels)})
        return {name: np.asarray(said[name], np.float32) for name in _OUTPUTS}


def open_expression(
    path: Path | None = None, *, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0
) -> ExpressionReader:
    """The packaged reader of expressions, or that of a file, ready to run.

    Args:
        path: what `python -m masquerade.train.expression_export` wrote; None for the packaged one.
        engine, provider, threads: as for `models.runtime.open_session`.

    Raises:
        WeightsError: there is no such file, or it holds another network.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.media.files import sha256  # noqa: PLC0415 - loads the media libraries
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.store import weights_of  # noqa: PLC0415 - as above

    model, name = weights_of(NAME, path)
    return ExpressionReader(
        open_session(model, engine=engine, provider=provider, threads=threads), name=name, sha256=sha256(model)
    )
