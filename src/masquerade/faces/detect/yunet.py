"""YuNet: anchor-free, tiny, three levels (Wu et al., Machine Intelligence Research 2023)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect.base import Candidates, Detector
from masquerade.faces.detect.boxes import cells, decode_points

STRIDES = (8, 16, 32)


class YuNet(Detector):
    """Quick even on small processors; it misses more of the small faces than CenterFace.

    The network eats BGR in 0..255 and gives for each level outputs named `cls`, `obj`, `bbox` and `kps`, with one row
    for each cell. The score is the geometric mean of the first two. The box's centre and the landmarks are in cells
    from the cell's corner, its size is the logarithm in cells.
    """

    name: ClassVar[str] = "yunet"
    bgr: ClassVar[bool] = True
    outputs: ClassVar[tuple[int, ...]] = (12,)

    def _decode(self, outputs: Mapping[str, NDArray[np.float32]], width: int, height: int) -> Candidates:
        boxes, scores, landmarks = [], [], []
        for stride in STRIDES:
            level = {name: outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps")}
            score = np.sqrt(np.clip(level["cls"][:, 0], 0, 1) * np.clip(level["obj"][:, 0], 0, 1))
            sure = score >= self.threshold
            corners = cells(width, height, stride)[sure] * stride - 0.5  # the first pixel's centre is (0, 0)
            centres = corners + level["bbox"][sure, :2] * stride
            half = np.exp(level["bbox"][sure, 2:]) * stride / 2
            boxes.append(np.concatenate([centres - half, centres + half], axis=1))
            scores.append(score[sure])
            landmarks.append(decode_points(level["kps"][sure], corners, float(stride)))
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks))
