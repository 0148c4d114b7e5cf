"""The recognisers that students learn from: third-party networks, used here and never shipped.

Each teacher takes aligned uint8 RGB crops (n, 128, 128, 3) and returns unit vectors (n, d). A GPU does the work where
there is one, else OpenVINO.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from masquerade.errors import WeightsError
from masquerade.faces.align import template
from masquerade.faces.embed import dlib_template
from masquerade.models.runtime import import_openvino
from masquerade.train.data import INPUT, SIDE, inputs
from masquerade.train.dlib import DlibNetwork
from masquerade.train.recognisers import FeatureRecogniser

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Look = Callable[[Tensor], Tensor]
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_CHIP = 150
"""Pixels: the side of dlib's crops."""


def fr_feature(models: Path) -> Embed:
    """MobileFaceNet-type recogniser, 512-d (`fr_feature_512d.onnx`)."""
    if torch.cuda.is_available():
        return _of_arrays(fr_feature_in_torch(models, torch.device("cuda")))
    run = openvino_model(models / "fr_feature_512d.onnx")

    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        bgr = inputs(faces)[..., ::-1].astype(np.float32)
        return _unit(run((bgr.transpose(0, 3, 1, 2) - np.float32(127)) / np.float32(128)))

    return embed


def dlib(models: Path) -> Embed:
    """dlib's face recognition ResNet, 128-d, not centred (`dlib_resnet29_128d.onnx`)."""
    if torch.cuda.is_available():
        return _of_arrays(dlib_in_torch(models, torch.device("cuda")))
    run = openvino_model(models / "dlib_resnet29_128d.onnx")
    warp = _into_chip()

    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        chips = [cv2.warpAffine(face, warp, (_CHIP, _CHIP), borderMode=cv2.BORDER_REPLICATE) for face in faces]
        return _unit(run(np.stack(chips).transpose(0, 3, 1, 2).astype(np.float32)))

    return embed


def fr_feature_in_torch(models: Path, device: torch.device) -> Look:
    """The same as `fr_feature` but for rounding, on that device."""
    network = FeatureRecogniser(models / "fr_feature_512d.onnx").to(device)
    area = _area(SIDE, INPUT).to(device)

    def embed(faces: Tensor) -> Tensor:
        small = (area @ faces @ area.T).round()
        unit: Tensor = network(small / 127.5 - 1)[1]
        return unit

    return _in_torch(embed, device)


def dlib_in_torch(models: Path, device: torch.device) -> Look:
    """The same as `dlib` but for rounding, on that device."""
    network = DlibNetwork(models / "dlib_resnet29_128d.onnx").to(device)
    back = cv2.invertAffineTransform(_into_chip())
    places = np.stack(np.meshgrid(np.arange(_CHIP), np.arange(_CHIP)), -1) @ back[:, :2].T + back[:, 2]
    grid = torch.from_numpy(places * 2 / (SIDE - 1) - 1).float().to(device)

    def embed(faces: Tensor) -> Tensor:
        places = grid.expand(len(faces), -1, -1, -1)
        vectors: Tensor = network(functional.grid_sample(faces, places, padding_mode="border", align_corners=True))
        return vectors

    return _in_torch(embed, device)


def _in_torch(embed: Look, device: torch.device) -> Look:
    """`embed`, of (n, 3, 128, 128) from 0 to 255, for uint8 crops (n, 128, 128, 3) from anywhere."""

    @torch.no_grad()
    def look(faces: Tensor) -> Tensor:
        return functional.normalize(embed(faces.to(device, non_blocking=True).permute(0, 3, 1, 2).float()))

    return look


def _of_arrays(look: Look) -> Embed:
    return lambda faces: look(torch.from_numpy(np.array(faces))).cpu().numpy()


def _into_chip() -> NDArray[np.float64]:
    warp = cv2.estimateAffinePartial2D(template(SIDE), dlib_template(_CHIP), method=cv2.LMEDS)[0]
    return np.asarray(warp, np.float64)


def _area(side: int, smaller: int) -> Tensor:
    """(smaller, side): the share of each pixel in each larger one, as OpenCV's INTER_AREA has it."""
    edges = np.linspace(0, side, smaller + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(side)
    covered = (np.minimum(high, pixels + 1) - np.maximum(low, pixels)).clip(0)
    return torch.from_numpy(covered / covered.sum(1, keepdims=True)).float()


TEACHERS: dict[str, Callable[[Path], Embed]] = {"dlib": dlib, "fr_feature": fr_feature}
_IN_TORCH: dict[str, Callable[[Path, torch.device], Look]] = {"dlib": dlib_in_torch, "fr_feature": fr_feature_in_torch}


def look_of(name: str, models: Path) -> Look:
    """A teacher for crops that are tensors already: uint8 (n, 128, 128, 3) → (n, d), left on the GPU where it is."""
    if torch.cuda.is_available():
        return _IN_TORCH[name](models, torch.device("cuda"))
    embed = TEACHERS[name](models)
    return lambda faces: torch.from_numpy(embed(faces.numpy()))


def both_ways(embed: Embed, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The teacher's view of each face: the unit mean of the embeddings of the crop and of its mirror image.

    A target that does not change with the mirror is steadier than either embedding, and a student's mirrored input
    needs no target of its own.
    """
    return _unit(embed(faces) + embed(faces[:, :, ::-1]))


def poses(model: Path, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Yaw, pitch and roll in degrees, (n, 3), of crops (n, 128, 128, 3), by `fr_pose.onnx`."""
    compiled = import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def angles(face: NDArray[np.uint8]) -> NDArray[np.float32]:
        large = cv2.resize(face, (224, 224)).astype(np.float32) / np.float32(255)
        read = compiled([np.ascontiguousarray(((large - _MEAN) / _STD).transpose(2, 0, 1)[None])])
        logits = np.concatenate(list(read.values()))
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray((shares * np.arange(66)).sum(1) / shares.sum(1) * 3 - 99, np.float32)

    return np.stack([angles(face) for face in faces])


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
