"""SCRFD: two anchors a cell on three levels (Guo et al., arXiv 2105.04714)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import WeightsError
from masquerade.faces.detect.base import Candidates, Detector
from masquerade.faces.detect.boxes import cells, decode_distances, decode_points

STRIDES = (8, 16, 32)
ANCHORS = 2


class SCRFD(Detector):
    """For weights that the user brings; those of the authors are for non-commercial research.

    The network eats RGB, (x - 127.5) / 128, and gives for each level scores (n, 1), distances from the cell's corner to
    the box's edges in cells (n, 4) and, in the variants with landmarks, their offsets (n, 10). Exports differ in names,
    order and a leading batch axis, so outputs are told apart by their shapes.
    """

    name: ClassVar[str] = "scrfd"
    mean: ClassVar[tuple[float, float, float]] = (127.5, 127.5, 127.5)
    divisor: ClassVar[float] = 128
    outputs: ClassVar[tuple[int, ...]] = (9, 6)

    def _decode(self, outputs: Mapping[str, NDArray[np.float32]], width: int, height: int) -> Candidates:
        by_shape = {output.shape[-2:]: output.reshape(output.shape[-2:]) for output in outputs.values()}
        boxes, scores, landmarks = [], [], []
        for stride in STRIDES:
            corners = cells(width, height, stride, ANCHORS) * stride
            try:
                score = by_shape[len(corners), 1][:, 0]
                distances = by_shape[len(corners), 4]
            except KeyError:
                raise WeightsError(
                    f"no SCRFD: {len(corners)} anchors were expected at stride {stride}, the outputs are "
                    f"{sorted(by_shape)}"
                ) from None
            sure = score >= self.threshold
            boxes.append(decode_distances(distances[sure] * stride, corners[sure]))
            scores.append(score[sure])
            if (len(corners), 10) in by_shape:
                points = by_shape[len(corners), 10][sure]
                landmarks.append(decode_points(points, corners[sure], float(stride)))
        return Candidates(
            np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks) if landmarks else None
        )
