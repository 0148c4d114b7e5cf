"""An adversary that `train.attack` has trained and exported, run without torch (thesis 5.4)."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import WeightsError

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder
    from masquerade.models.runtime import Engine, Session

_BATCH = 16


class Adversary:
    """Guesses at the originals of anonymized crops: R(X, E(X)).

    Args:
        session: with the inputs `target` and `identity` and the output `crop`, as exported.
        encoder: E, the one it was trained with: the package's driver.

    Attributes:
        side: of the crops, pixels.

    Raises:
        WeightsError: the network has other inputs, or identities of another length.
    """

    def __init__(self, session: "Session", encoder: "Encoder") -> None:
        shapes = {port.name: port.shape for port in session.inputs}
        if shapes.keys() != {"target", "identity"} or shapes["identity"][1] != encoder.dimensions:
            raise WeightsError("this network is no adversary, or was trained with another encoder")
        self.side = int(shapes["target"][2])
        self._session, self._encoder = session, encoder

    def guess(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the originals were, as far as it can tell.

        Args:
            crops: anonymized, RGB, (n, h, h, 3), aligned to the ArcFace template.

        Returns:
            RGB, (n, side, side, 3).
        """
        guesses = [self._few(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]
        return np.concatenate(guesses) if guesses else np.empty((0, self.side, self.side, 3), np.uint8)

    def _few(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        how = cv2.INTER_AREA if crops.shape[1] > self.side else cv2.INTER_CUBIC
        sized = np.stack([cv2.resize(crop, (self.side, self.side), interpolation=how) for crop in crops])
        target = np.ascontiguousarray(sized.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1)
        made = self._session.run({"target": target, "identity": self._encoder.embed_crops(sized.astype(np.uint8))})
        return np.rint((made["crop"].clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)


def open_adversary(
    model: Path,
    *,
    encoder: "Encoder | None" = None,
    engine: "Engine" = "auto",
    provider: str | None = None,
    threads: int = 0,
) -> Adversary:
    """An exported adversary, ready to run.

    Args:
        model: `adversary.onnx` of a run.
        encoder: the one it was trained with; None for the package's driver.
        engine, provider, threads: as for `models.runtime.open_session`.

    Raises:
        WeightsError: the file is missing or is no adversary.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.faces.embed import open_encoder  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - as above

    driver = open_encoder("driver") if encoder is None else encoder
    return Adversary(open_session(model, engine=engine, provider=provider, threads=threads), driver)
