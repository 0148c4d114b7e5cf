"""Face recognisers as losses need them: frozen, in torch, so that a gradient passes through them to the face.

None of these may judge a result later: a network learns to please whoever it is trained with. The guard and dlib's
network are left out here for that reason.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from masquerade.errors import WeightsError
from masquerade.train.export import read_encoder
from masquerade.train.losses.ifsr import block_features


class Recogniser(nn.Module):
    """112 px aligned crops (n, 3, 112, 112), RGB, [−1, 1] → inner maps for IFSR, shallow first, and unit vectors."""

    def forward(self, crops: Tensor) -> tuple[list[Tensor], Tensor]:
        raise NotImplementedError


class DriverRecogniser(Recogniser):
    """Our own driver, from its exported file. Maps: its stem (64, 28, 28) and its middle (160, 14, 14)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.encoder = read_encoder(path, "driver")
        self.requires_grad_(False).eval()

    def forward(self, crops: Tensor) -> tuple[list[Tensor], Tensor]:
        *maps, vectors = block_features(self.encoder, ["stem", "middle", "head"], crops)
        return maps, functional.normalize(vectors.float())


class FeatureRecogniser(Recogniser):
    """The driver's teacher, `fr_feature_512d.onnx`. Maps: its residual stages (64, 28, 28) and (128, 14, 14)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.network = OnnxNetwork(path)
        # The sums that end the first two stages: four blocks at 28 px, then six at 14 px.
        self.sums = [self.network.sums[3], self.network.sums[9]]
        self.requires_grad_(False).eval()

    def forward(self, crops: Tensor) -> tuple[list[Tensor], Tensor]:
        *maps, vectors = self.network((crops.flip(1) * 127.5 + 0.5) / 128, self.sums)
        return maps, functional.normalize(vectors.float())


class OnnxNetwork(nn.Module):
    """An ONNX file of convolutions, PReLUs, sums and one flattening at the end, as a module.

    Attributes:
        sums: names of the values that sums give, in order.

    Raises:
        WeightsError: there is no such file, or it holds something else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise WeightsError("no such network", path=path, hint="Point --teachers at the folder that holds it")
        graph = onnx.load(path).graph
        stored = {item.name: np.array(numpy_helper.to_array(item)) for item in graph.initializer}
        self.nodes = [(node.op_type, list(node.input), node.output[0], _attributes(node)) for node in graph.node]
        if unknown := {kind for kind, *_ in self.nodes} - {"Conv", "PRelu", "Add", "Reshape"}:
            raise WeightsError(f"the network holds {', '.join(sorted(unknown))}, which is not read", path=path)
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.sums = [output for kind, _, output, _ in self.nodes if kind == "Add"]
        self.numbers: dict[str, str] = {}
        for number, (name, value) in enumerate(stored.items()):
            if value.dtype == np.float32:
                self.numbers[name] = f"weight{number}"
                self.register_buffer(f"weight{number}", torch.from_numpy(value))

    def forward(self, x: Tensor, others: list[str]) -> list[Tensor]:
        """The values of the given names, then the output (n, d)."""
        values = {self.input: x}
        weight = {name: self.get_buffer(number) for name, number in self.numbers.items()}
        for kind, inputs, output, attributes in self.nodes:
            first = values[inputs[0]]
            if kind == "Conv":
                bias = weight[inputs[2]] if len(inputs) > 2 else None
                top, left, *_ = attributes["pads"]
                values[output] = functional.conv2d(
                    first, weight[inputs[1]], bias, attributes["strides"], (top, left), groups=attributes["group"][0]
                )
            elif kind == "PRelu":
                values[output] = functional.prelu(first, weight[inputs[1]].flatten())
            elif kind == "Add":
                values[output] = first + values[inputs[1]]
            else:
                values[output] = first.flatten(1)
        return [values[name] for name in [*others, self.output]]


def _attributes(node: onnx.NodeProto) -> dict[str, list[int]]:
    given = {"pads": [0, 0, 0, 0], "strides": [1, 1], "group": [1]}
    return given | {item.name: list(item.ints) or [item.i] for item in node.attribute}
