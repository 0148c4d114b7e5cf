"""Sample grids: what a network makes of a few faces, as one picture to be looked at."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from masquerade.train.data import whole_file


def pixels(crops: Tensor) -> NDArray[np.uint8]:
    """(n, 3, h, w), RGB, [−1, 1], clipped → uint8 (n, h, w, 3)."""
    scaled = (crops.detach().float().cpu().clamp(-1, 1) * 127.5 + 127.5).round()
    return np.asarray(scaled.permute(0, 2, 3, 1).numpy(), np.uint8)


def write_grid(rows: list[NDArray[np.uint8]], path: Path) -> None:
    """Write rows of crops as a PNG; all rows are uint8 RGB (n, h, w, 3) of one shape."""
    picture = np.vstack([np.hstack(list(row)) for row in rows])
    coded = cv2.imencode(".png", picture[..., ::-1])[1]
    with whole_file(path) as part:
        part.write_bytes(coded.tobytes())
