"""From a trained embedder of expressions to the file that ships, and back.

Normalisation is folded into the layer before it. Weights are stored as float16 under their names in the folded
network, and cast when the file is opened, which engines do once; sums run in float32.
"""

import copy
import hashlib
import io
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import torch
import typer
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from masquerade.errors import WeightsError
from masquerade.faces.expression import CLASSES, MEASURES
from masquerade.nets.expression import SIDE, ExpressionEmbedder
from masquerade.train.data import whole_file
from masquerade.train.export import halve, settle

OUTPUTS = ("embedding", "classes", "affect", "geometry")
_PREFIX = "network."
"""What the exporter puts before the names of the weights."""


def export_expression(network: ExpressionEmbedder, path: Path) -> None:
    """Write an embedder as ONNX.

    `face` (n, 3, 112, 112) float32 RGB in [−1, 1] → `embedding` (n, 128) unit vectors, `classes` (n, 7) probabilities,
    `affect` (n, 2) valence and arousal, `geometry` (n, 10) in standard deviations.
    """
    shipped = _Shipped(folded(network)).eval()
    file: Any = io.BytesIO()  # taken, though not declared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own age
        torch.onnx.export(
            shipped,
            (torch.zeros(2, 3, SIDE, SIDE),),
            file,
            dynamo=False,
            opset_version=17,
            do_constant_folding=False,  # it would rename weights
            input_names=["face"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in ("face", *OUTPUTS)},
        )
    model = onnx.load_from_string(file.getvalue())
    halve(model, [name for name, weight in shipped.state_dict().items() if weight.is_floating_point()])
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as part:
        part.write_bytes(model.SerializeToString())


def read_expression(path: Path) -> ExpressionEmbedder:
    """An exported embedder as a module again, ready to use (as a loss, say); its normalisation is folded away.

    Raises:
        WeightsError: the file is of another network.
    """
    network = folded(_untrained())
    stored = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer}
    weights = {
        name: torch.from_numpy(stored[_PREFIX + name].astype(np.float32))
        for name in network.state_dict()
        if _PREFIX + name in stored
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError("not the weights of an embedder of expressions", path=path) from error
    return network.eval()


def averaged_expression(checkpoint: Path) -> ExpressionEmbedder:
    """The embedder with the averaged weights of a run's checkpoint, ready to use."""
    network = _untrained()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["averages"]["network"])
    return network.eval()


def begun(path: Path, faces: Tensor) -> ExpressionEmbedder:
    """An embedder to go on training: the averaged one of a checkpoint, or that of an exported file.

    The file's has no normalisation of its own any more: it gets layers that pass values on, and then what faces have
    there as mean and variance.

    Args:
        path: `checkpoint.pt` of a run, or what `export_expression` wrote.
        faces: network input (n, 3, 112, 112), a few hundred.

    Raises:
        WeightsError: the exported file is of another network.
    """
    if path.suffix != ".onnx":
        return averaged_expression(path)
    network = _untrained().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.fill_((1 + module.eps) ** 0.5)
    into = network.state_dict()
    for name, value in read_expression(path).state_dict().items():
        # A layer without a bias has got that of the normalisation, which comes next in its row.
        if name not in into:
            row, place, _ = name.rsplit(".", 2)
            name = f"{row}.{int(place) + 1}.bias"  # noqa: PLW2901
        into[name].copy_(value)
    settle(network, faces)
    return network


def folded(network: ExpressionEmbedder) -> ExpressionEmbedder:
    """A copy that says the same in evaluation mode, each normalisation part of the layer before it."""
    network = copy.deepcopy(network).eval()
    for row in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for i in range(len(row) - 1):
            layer, norm = row[i], row[i + 1]
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                row[i], row[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                row[i], row[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
    return network


def _untrained() -> ExpressionEmbedder:
    return ExpressionEmbedder(len(CLASSES), len(MEASURES))


class _Shipped(nn.Module):
    """What the file says: probabilities, where training has logits."""

    def __init__(self, network: ExpressionEmbedder) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        said = self.network(faces)
        return said.embedding, said.classes.softmax(1), said.affect, said.geometry


def export(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of a run.")],
    output: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
) -> None:
    """Write the averaged weights of a run as ONNX, and print what its card says of the file."""
    export_expression(averaged_expression(checkpoint), output)
    written = output.read_bytes()
    typer.echo(f'sha256 = "{hashlib.sha256(written).hexdigest()}"\nsize = {len(written)}')


if __name__ == "__main__":
    typer.run(export)
