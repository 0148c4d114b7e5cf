"""dlib's face recognition network in torch, for machines whose GPU should run it: it teaches the guard."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from masquerade.errors import WeightsError


class DlibNetwork(nn.Module):
    """The ResNet of `dlib_resnet29_128d.onnx`: chips (n, 3, 150, 150), RGB, 0 to 255 → (n, 128), of any length.

    28 convolutions in pairs after the first, each pair around a shortcut; where a pair begins with stride 2 the
    shortcut is averaged over 2x2 places and gets more channels, all zero.

    Raises:
        WeightsError: there is no such file, or it holds another network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise WeightsError("no such network", path=path, hint="Point --teachers at the folder that holds it")
        graph = onnx.load(path).graph
        stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        constants = [node for node in graph.node if node.op_type == "Constant"]
        stored |= {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in constants}
        users = {node.input[0]: node for node in graph.node if node.op_type in ("Mul", "Add")}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        first = {node.op_type: node.input[1] for node in reversed(graph.node) if len(node.input) > 1}
        if len(convolutions) != 29 or not first.keys() >= {"Sub", "Div", "MatMul"}:
            raise WeightsError("not dlib's face recognition network", path=path)
        for name, kind in (("mean", "Sub"), ("scale", "Div"), ("out", "MatMul")):
            self._keep(name, stored[first[kind]])
        self.strides = []
        for number, node in enumerate(convolutions):
            scaled = users[node.output[0]]
            scale, shift = stored[scaled.input[1]], stored[users[scaled.output[0]].input[1]]
            weight, bias = (stored[name] for name in node.input[1:])
            self._keep(f"weight{number}", weight * scale.reshape(-1, 1, 1, 1))
            self._keep(f"bias{number}", bias * scale.reshape(-1) + shift.reshape(-1))
            self.strides.append(next(a.ints[0] for a in node.attribute if a.name == "strides"))
        self.requires_grad_(False).eval()

    def _keep(self, name: str, value: np.ndarray[Any, Any]) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, chips: Tensor) -> Tensor:
        x = functional.relu(self._convolved((chips - self.get_buffer("mean")) / self.get_buffer("scale"), 0))
        x = functional.max_pool2d(x, 3, 2)
        for number in range(1, len(self.strides), 2):
            made = self._convolved(functional.relu(self._convolved(x, number)), number + 1)
            if self.strides[number] == 2:
                x = functional.avg_pool2d(x, 2)
            rows, columns = (a - b for a, b in zip(x.shape[2:], made.shape[2:], strict=True))
            x = functional.pad(x, (0, 0, 0, 0, 0, made.shape[1] - x.shape[1]))
            x = functional.relu(x + functional.pad(made, (0, columns, 0, rows)))
        return x.mean((2, 3)) @ self.get_buffer("out")

    def _convolved(self, x: Tensor, number: int) -> Tensor:
        stride = self.strides[number]
        weight, bias = self.get_buffer(f"weight{number}"), self.get_buffer(f"bias{number}")
        return functional.conv2d(x, weight, bias, stride, 0 if stride == 2 else 1)
