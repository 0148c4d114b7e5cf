"""The recognisers that students learn from: third-party networks, used here and never shipped.

Each function takes aligned uint8 RGB crops (n, 128, 128, 3) and returns unit vectors (n, d).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import WeightsError
from masquerade.faces.align import template
from masquerade.faces.embed import dlib_template
from masquerade.models.runtime import import_openvino
from masquerade.train.data import SIDE, inputs

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def fr_feature(models: Path) -> Embed:
    """MobileFaceNet-type recogniser, 512-d (`fr_feature_512d.onnx`)."""
    run = openvino_model(models / "fr_feature_512d.onnx")

    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        bgr = inputs(faces)[..., ::-1].astype(np.float32)
        return _unit(run((bgr.transpose(0, 3, 1, 2) - np.float32(127)) / np.float32(128)))

    return embed


def dlib(models: Path) -> Embed:
    """dlib's face recognition ResNet, 128-d, not centred (`dlib_resnet29_128d.onnx`)."""
    run = openvino_model(models / "dlib_resnet29_128d.onnx")
    warp = cv2.estimateAffinePartial2D(template(SIDE), dlib_template(150), method=cv2.LMEDS)[0]

    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        chips = [cv2.warpAffine(face, warp, (150, 150), borderMode=cv2.BORDER_REPLICATE) for face in faces]
        return _unit(run(np.stack(chips).transpose(0, 3, 1, 2).astype(np.float32)))

    return embed


TEACHERS: dict[str, Callable[[Path], Embed]] = {"dlib": dlib, "fr_feature": fr_feature}


def both_ways(embed: Embed, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The teacher's view of each face: the unit mean of the embeddings of the crop and of its mirror image.

    A target that does not change with the mirror is steadier than either embedding, and a student's mirrored input
    needs no target of its own.
    """
    return _unit(embed(faces) + embed(faces[:, :, ::-1]))


def openvino_model(model: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network of that file as a function of one batch; several threads may call it at once."""
    openvino = import_openvino()
    if not model.is_file():
        raise WeightsError("no such network", path=model, hint="Point --teachers at the folder that holds it")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        # One request a call: several threads may ask at once.
        request = compiled.create_infer_request()
        return np.array(next(iter(request.infer([np.ascontiguousarray(batch)]).values())), np.float32)

    return run


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
