"""A swapped face with twice as many pixels: for faces that are larger in the picture than a swapper draws them.

The network sees what was drawn and nothing of the face before, so nothing of that one can come back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import EngineError, FaceError, WeightsError

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine, Session

NAME = "upscaler"
"""Of the card of the packaged weights."""
TIMES = 2
"""By how much the side grows."""

_INPUT, _OUTPUT = "crop", "large"


class Enlarger(Protocol):
    """Draws crops at twice their side."""

    @property
    def side(self) -> int:
        """Of the crops it takes, pixels."""

    def enlarge(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 RGB in [−1, 1]: (n, 3, side, side) → (n, 3, 2 side, 2 side)."""


def enlarged_by(enlarger: Enlarger) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The same for one crop, as `swap.blend` has it: (side, side, 3) → (2 side, 2 side, 3)."""

    def enlarge(crop: NDArray[np.float32]) -> NDArray[np.float32]:
        large = enlarger.enlarge(np.ascontiguousarray(crop.transpose(2, 0, 1)[None]))[0]
        return np.ascontiguousarray(large.transpose(1, 2, 0))

    return enlarge


class OnnxEnlarger:
    """An `Enlarger` from an ONNX file. Safe to call from several threads, as far as the session is.

    Args:
        session: the network: `crop` (n, 3, side, side) RGB in [−1, 1] → `large` (n, 3, 2 side, 2 side).
        name: what people call it.

    Attributes:
        side: see `Enlarger`.

    Raises:
        WeightsError: it is another network.
    """

    def __init__(self, session: "Session", *, name: str) -> None:
        inputs, outputs = ([port.name for port in ports] for ports in (session.inputs, session.outputs))
        shape = session.inputs[0].shape
        if inputs != [_INPUT] or outputs != [_OUTPUT] or shape[2] <= 0 or shape[1:] != (3, shape[2], shape[2]):
            raise WeightsError(f"{name} enlarges no crops: it takes {', '.join(inputs)}, gives {', '.join(outputs)}")
        self.name, self.side = name, shape[2]
        self._session = session

    def enlarge(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Enlarger`. What comes back is clipped to [−1, 1].

        Raises:
            FaceError: crops of another shape or type.
            EngineError: the engine failed, or the network gave something that is no picture.
        """
        if crops.dtype != np.float32 or crops.shape[1:] != (3, self.side, self.side):
            raise FaceError(
                f"{self.name} takes float32 (n, 3, {self.side}, {self.side}), not {crops.dtype} {crops.shape}"
            )
        large = self._session.run({_INPUT: np.ascontiguousarray(crops)})[_OUTPUT].astype(np.float32)
        wanted = (len(crops), 3, TIMES * self.side, TIMES * self.side)
        if large.shape != wanted or not np.isfinite(large).all():
            raise EngineError(f"{self.name} gave {large.shape} for {crops.shape}, or values that are not finite")
        return large.clip(-1, 1)


def open_enlarger(
    path: Path | None = None, *, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0
) -> OnnxEnlarger:
    """The packaged upscaler, or that of a file, ready to run.

    Args:
        path: what `python -m masquerade.train.export upscaler` wrote; None for the packaged one.
        engine, provider, threads: as for `models.runtime.open_session`.

    Raises:
        WeightsError: there is no such file, or it holds another network.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.store import weights_of  # noqa: PLC0415 - as above

    model, name = weights_of(NAME, path)
    return OnnxEnlarger(open_session(model, engine=engine, provider=provider, threads=threads), name=name)
