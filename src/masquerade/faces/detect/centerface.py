"""CenterFace: one map of face centres at a quarter of the picture's size (Xu et al., arXiv 1911.03599)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect.base import Candidates, Detector
from masquerade.faces.detect.boxes import decode_points

STRIDE = 4


class CenterFace(Detector):
    """The default detector: small, quick, permissively licensed.

    The network eats RGB in 0..255 and gives, in this order: how likely a face has its centre in a cell (1 channel), the
    logarithm of its height and width in cells (2), where in the cell the centre lies (y, x), and the landmarks, y
    before x, from the box's top left corner in units of its size (10).
    """

    name: ClassVar[str] = "centerface"
    outputs: ClassVar[tuple[int, ...]] = (4,)

    def _decode(self, outputs: Mapping[str, NDArray[np.float32]], width: int, height: int) -> Candidates:
        heat, scale, offset, marks = (output[0] for output in outputs.values())
        rows, columns = np.nonzero(heat[0] >= self.threshold)
        sizes = np.exp(scale[::-1, rows, columns].T) * STRIDE
        # A cell's middle is half a cell in; half a pixel goes off because the first pixel's centre is (0, 0).
        centres = (np.column_stack([columns, rows]) + offset[::-1, rows, columns].T + 0.5) * STRIDE - 0.5
        top_left = (centres - sizes / 2).astype(np.float32)
        pairs = marks[:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1].reshape(-1, 10)
        return Candidates(
            boxes=np.concatenate([top_left, top_left + sizes], axis=1).astype(np.float32),
            scores=heat[0, rows, columns],
            landmarks=decode_points(pairs, top_left, sizes.astype(np.float32)),
        )
