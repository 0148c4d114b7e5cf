"""MediaPipe's mesh of a face in torch, so that a gradient passes through it to the picture.

`python -m masquerade.train.mesh face_landmark.tflite face_mesh.npz` reads the network with OpenVINO once; the file it
writes needs none, so that machines with a GPU can open it. `train/geometry.py` asks the same network without torch.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from masquerade.errors import WeightsError
from masquerade.models.runtime import import_openvino
from masquerade.train.data import whole_file
from masquerade.train.geometry import _CENTRE, _MESH_SIDE, _SEEN

POINTS = 468

Step = dict[str, Any]
"""One operation: its kind, the numbers of the steps it reads (0 is the picture), of its weights, and its settings."""


class FaceMesh(nn.Module):
    """The mesh of aligned crops (n, 3, side, side), RGB, [−1, 1] → points (n, 468, 3), float32.

    Points are in pixels of the crop, x to the right, y down, z away from the camera, as `geometry.mesh` gives them. It
    computes in float32 under autocast too: half precision would round points to half a pixel.

    Args:
        path: what `convert` wrote.

    Raises:
        WeightsError: there is no such file, or it holds something else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise WeightsError("no such mesh", path=path, hint="Make it with 'python -m masquerade.train.mesh'")
        try:
            with np.load(path) as stored:
                self.steps: list[Step] = json.loads(str(stored["steps"]))
                for number in range(len(stored.files) - 1):
                    weight = torch.from_numpy(stored[f"weight{number}"].astype(np.float32))
                    self.register_buffer(f"weight{number}", weight)
        except (KeyError, ValueError, OSError) as error:
            raise WeightsError("not a mesh that 'python -m masquerade.train.mesh' made", path=path) from error
        self.eval()

    def forward(self, crops: Tensor) -> Tensor:
        with torch.autocast(crops.device.type, enabled=False):
            side = crops.shape[-1]
            scale = _MESH_SIDE / (_SEEN * side)
            seen = torch.arange(_MESH_SIDE, device=crops.device) - (_MESH_SIDE - 1) / 2
            columns, rows = seen / scale + (side - 1) / 2, seen / scale + _CENTRE * side
            places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), 2)
            places = ((2 * places + 1) / side - 1).expand(len(crops), -1, -1, -1)
            pictures = functional.grid_sample(
                crops.float() / 2 + 0.5, places, "bilinear", padding_mode="border", align_corners=False
            )
            points = self.points(pictures)
            start = torch.stack([columns[0], rows[0], torch.zeros_like(rows[0])])
            return points / scale + start

    def points(self, pictures: Tensor) -> Tensor:
        """What the network itself says: pictures (n, 3, 192, 192), RGB, 0 to 1 → points in their pixels (n, 468, 3)."""
        values = [pictures]
        for step in self.steps:
            first, *others = (values[number] for number in step["inputs"])
            weights = [self.get_buffer(f"weight{number}") for number in step["weights"]]
            match step["kind"]:
                case "convolution":
                    padded = functional.pad(first, step["pads"])
                    weight, bias = weights
                    values.append(functional.conv2d(padded, weight, bias, step["stride"], groups=step["groups"]))
                case "prelu":
                    values.append(functional.prelu(first, *weights))
                case "sum":
                    values.append(first + others[0])
                case "pool":
                    values.append(functional.max_pool2d(first, 2))
                case "channels":
                    values.append(functional.pad(first, (0, 0, 0, 0, 0, step["more"])))
        return values[-1].reshape(len(pictures), POINTS, 3)


def convert(network: Path, output: Path) -> int:
    """Write the part of `face_landmark.tflite` that gives the points; returns how many weights it has.

    Raises:
        WeightsError: there is no such file, or it holds something else.
        EngineError: OpenVINO is not installed.
    """
    if not network.is_file():
        raise WeightsError("no such network", path=network)
    try:
        model = import_openvino().Core().read_model(network)
    except RuntimeError as error:
        raise WeightsError("not a network that OpenVINO reads", path=network) from error
    found = [result for result in model.get_results() if list(result.get_output_shape(0)) == [1, 1, 1, 3 * POINTS]]
    if len(found) != 1:
        raise WeightsError(f"not a network that gives {POINTS} points", path=network)
    steps, weights = _read(found[0], network)
    with whole_file(output) as part, part.open("wb") as file:
        arrays: dict[str, Any] = {f"weight{number}": weight for number, weight in enumerate(weights)}
        np.savez_compressed(file, steps=np.array(json.dumps(steps)), **arrays)
    return sum(weight.size for weight in weights)


def _read(result: Any, path: Path) -> tuple[list[Step], list[NDArray[np.float16]]]:  # noqa: ANN401 - OpenVINO's
    """The steps that lead to a result, and their weights. Channels come first, so transpositions are left out."""
    steps: list[Step] = []
    weights: list[NDArray[np.float16]] = []
    numbers: dict[str, int] = {}

    def stored(node: Any, shape: tuple[int, ...]) -> int:  # noqa: ANN401
        weights.append(node.get_data().reshape(shape).astype(np.float16))
        return len(weights) - 1

    for node in _ancestors(result):
        kind, sources = node.get_type_name(), [port.get_node() for port in node.input_values()]
        inputs = [numbers[source.get_friendly_name()] for source in sources if source.get_type_name() != "Constant"]
        attributes = node.get_attributes()
        step: Step = {"inputs": inputs, "weights": []}
        match kind:
            case "Parameter" | "Transpose" | "Result":
                numbers[node.get_friendly_name()] = inputs[0] if inputs else 0
                continue
            case "Add" if len(inputs) == 1:
                (bias,) = (source for source in sources if source.get_type_name() == "Constant")
                steps[inputs[0] - 1]["weights"].append(stored(bias, (-1,)))
                numbers[node.get_friendly_name()] = inputs[0]
                continue
            case "Convolution" | "GroupConvolution":
                shape = sources[1].get_output_shape(0)
                groups = shape[0] if kind == "GroupConvolution" else 1
                step["weights"] = [stored(sources[1], (-1, *shape[-3:]))]
                (top, left), (bottom, right) = attributes["pads_begin"], attributes["pads_end"]
                pads = [left, right, top, bottom]
                step |= {"kind": "convolution", "stride": attributes["strides"], "pads": pads, "groups": groups}
            case "PRelu":
                step |= {"kind": "prelu", "weights": [stored(sources[1], (-1,))]}
            case "Add":
                step["kind"] = "sum"
            case "MaxPool" if attributes["kernel"] == attributes["strides"] == [2, 2]:
                step["kind"] = "pool"
            case "Pad":
                step |= {"kind": "channels", "more": int(sources[2].get_data()[1])}
            case _:
                raise WeightsError(f"the network holds {kind}, which is not read", path=path)
        steps.append(step)
        numbers[node.get_friendly_name()] = len(steps)
    return steps, weights


def _ancestors(result: Any) -> list[Any]:  # noqa: ANN401
    """What a result depends on, constants left out, each after what it reads; the result is the last."""
    order: dict[str, Any] = {}

    def visit(node: Any) -> None:  # noqa: ANN401
        if node.get_friendly_name() not in order and node.get_type_name() != "Constant":
            for port in node.input_values():
                visit(port.get_node())
            order[node.get_friendly_name()] = node

    visit(result)
    return list(order.values())


def main(
    network: Annotated[Path, typer.Argument(help="MediaPipe's face_landmark.tflite.")],
    output: Annotated[Path, typer.Argument(help="The .npz to write.")],
) -> None:
    """Convert the face mesh into a file that torch opens without OpenVINO."""
    typer.echo(f"{convert(network, output)} weights, {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
