"""RetinaFace with a MobileNet-0.25 backbone: the thesis's detector in its small form (arXiv 1905.00641)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect.base import Candidates, Detector
from masquerade.faces.detect.boxes import Floats, anchors, decode_offsets, decode_points

LEVELS = ((8, (10, 20)), (16, (32, 64)), (32, (128, 256)))
VARIANCES = (0.1, 0.2)


class RetinaFace(Detector):
    """Reads the ONNX file that `nets.retinaface.export` makes of a public PyTorch state dict.

    The network eats BGR minus (104, 117, 123) and gives, one row for each anchor: offsets of the box (4), the logits
    of no face and face (2), and offsets of the landmarks (10), in this order.
    """

    name: ClassVar[str] = "retinaface"
    bgr: ClassVar[bool] = True
    mean: ClassVar[tuple[float, float, float]] = (104, 117, 123)
    outputs: ClassVar[tuple[int, ...]] = (3,)

    def _decode(self, outputs: Mapping[str, NDArray[np.float32]], width: int, height: int) -> Candidates:
        offsets, logits, points = (output[0] for output in outputs.values())
        scores: Floats = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        sure = scores >= self.threshold
        around = anchors(width, height, LEVELS)[sure]
        return Candidates(
            boxes=decode_offsets(offsets[sure], around, VARIANCES),
            scores=scores[sure],
            landmarks=decode_points(points[sure], around[:, :2], around[:, 2:] * VARIANCES[0]),
        )
