"""From a trained encoder to the file that ships: ONNX, weights stored in half precision, arithmetic in single.

Batch normalisation is folded into the convolution before it, so that what is left is convolutions, PReLUs and sums.
The graph is written node by node from the modules: the result is small, the same everywhere, and needs no tracer.
"""

import copy
import hashlib
import io
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnx
import torch
import typer
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from masquerade.errors import WeightsError
from masquerade.nets import aligner
from masquerade.nets.aligner import Aligner
from masquerade.nets.base import Generator, to_onnx
from masquerade.nets.encoder import ENCODERS, GRID, Driver, Guard, Residual
from masquerade.nets.generators import GENERATORS
from masquerade.nets.upscaler import Upscaler
from masquerade.train.data import INPUT, SIDE, whole_file

OPSET = 17

_PREFIX = "net."
"""What `to_onnx` puts before the names of a generator's weights."""
_SCALE = ".scale"
"""What follows the name of a weight in that of its scales."""

Weights = Literal["float32", "float16", "int8"]


def export_encoder(encoder: Driver | Guard, path: Path) -> None:
    """Write an encoder as ONNX: `face` (n, 3, 112, 112) float32 RGB in [−1, 1] → `embedding` (n, d), unit vectors.

    Weights are stored as float16 and cast when the file is opened, which engines do once; sums run in float32.
    """
    side = encoder.side
    graph = _Graph(side)
    name = graph.resized("face", INPUT, side)
    # The one step between modules that is no module: the maps are brought to the grid before their places are read.
    reader = encoder.places if isinstance(encoder, Driver) else encoder.head
    for part in encoder.children():
        if part is reader:
            name = graph.resized(name, side // 16, GRID)
        name = graph.module(part, name)
    name = graph.node("LpNormalization", [name], axis=1, p=2)
    graph.nodes.append(helper.make_node("Identity", [name], ["embedding"]))
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, ["n", 3, INPUT, INPUT])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", encoder.dimensions])
    model = helper.make_model(
        helper.make_graph(graph.nodes, type(encoder).__name__, [face], [embedding], graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as part_file:
        part_file.write_bytes(model.SerializeToString())


def read_encoder(path: Path, network: str) -> Driver | Guard:
    """An exported encoder as modules again, ready to use: it says what the file says.

    The file has no normalisation layers of its own any more, so these pass values on and add what was folded into a
    bias. Before training goes on, `settle` gives them back statistics to work with.
    """
    stored = [numpy_helper.to_array(w) for w in onnx.load(path).graph.initializer]
    # What `_unshuffle` reshapes to: [n, 3, rows, 4, columns, 4].
    rows, block = next(w for w in stored if w.dtype == np.int64)[2:4]
    encoder = ENCODERS[network](side=int(rows * block))
    weights = iter([torch.from_numpy(w.astype(np.float32)) for w in stored if w.dtype == np.float16])
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.PReLU):
                module.weight.copy_(next(weights).reshape(module.weight.shape))
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_running_stats()
                module.weight.fill_((1 + module.eps) ** 0.5)
                module.bias.copy_(next(weights))
    return encoder.eval()


@torch.no_grad()
def settle(encoder: nn.Module, faces: torch.Tensor) -> None:
    """Move the mean and variance that faces have at each normalisation layer into the layer; what it says stays.

    Args:
        encoder: from `read_encoder`, in its evaluation mode.
        faces: network input (n, 3, 112, 112), a few hundred.
    """
    seen: dict[nn.Module, torch.Tensor] = {}

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[module] = inputs[0].transpose(0, 1).flatten(1)

    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    encoder(faces)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(seen[norm].mean(1))
        norm.running_var.copy_(seen[norm].var(1))
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.add_(norm.running_mean)


def averaged_encoder(checkpoint: Path, network: str) -> Driver | Guard:
    """The encoder with the averaged weights of a run's checkpoint, which looks at whole crops, ready to use."""
    encoder = ENCODERS[network]()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    encoder.load_state_dict(state["averages"]["encoder"])
    return encoder.eval()


def export_generator(generator: Generator, path: Path, weights: Weights = "float16") -> None:
    """Write a generator as ONNX, inputs and outputs as `nets.base.to_onnx` names them.

    Weights are stored under their names in the network, so that `read_generator` finds them again, and brought to
    float32 when the file is opened, which engines do once; sums run in float32.

    Args:
        weights: how they are stored. int8 goes for filters and matrices only, with a scale for each output.
    """
    model = onnx.load_from_string(to_onnx(generator))
    # What is equal in several layers (statistics that begin alike) the exporter stores once: the others have no weight.
    names = {_PREFIX + name for name in generator.state_dict()} & {weight.name for weight in model.graph.initializer}
    if weights == "float32":
        names = set()
    casts, scales = [], []
    for weight in model.graph.initializer:
        if weight.name not in names:
            continue
        single, value = f"{weight.name}.single", numpy_helper.to_array(weight)
        if weights == "int8" and value.ndim > 1:
            scale = np.abs(value).reshape(len(value), -1).max(1) / 127 + 1e-12
            scales.append(numpy_helper.from_array(scale.astype(np.float32), f"{weight.name}{_SCALE}"))
            casts.append(helper.make_node("DequantizeLinear", [weight.name, scales[-1].name], [single], axis=0))
            value = np.round(value / scale.reshape(-1, *[1] * (value.ndim - 1))).astype(np.int8)
        else:
            casts.append(helper.make_node("Cast", [weight.name], [single], to=TensorProto.FLOAT))
            value = value.astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    model.graph.initializer.extend(scales)
    for node in model.graph.node:
        node.input[:] = [f"{name}.single" if name in names else name for name in node.input]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as part_file:
        part_file.write_bytes(model.SerializeToString())


def halve(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Store these weights of a graph as float16, to be brought to float32 when the file is opened."""
    casts = []
    for weight in model.graph.initializer:
        if weight.name in names:
            casts.append(helper.make_node("Cast", [weight.name], [f"{weight.name}.single"], to=TensorProto.FLOAT))
            half = numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(half, weight.name))
    single = {cast.input[0]: cast.output[0] for cast in casts}
    for node in model.graph.node:
        node.input[:] = [single.get(name, name) for name in node.input]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def export_upscaler(network: Upscaler, path: Path) -> None:
    """Write an upscaler as ONNX: `crop` (n, 3, 128, 128) float32 RGB in [−1, 1] → `large` (n, 3, 256, 256)."""
    _export_traced(network, path, SIDE, "large")


def export_aligner(network: Aligner, path: Path) -> None:
    """Write an aligner as ONNX: `crop` (n, 3, 64, 64) float32 RGB in [−1, 1] → `moved` (n, 4)."""
    _export_traced(network, path, aligner.SIDE, "moved")


def _export_traced(network: nn.Module, path: Path, side: int, output: str) -> None:
    """A network from crops to something else, its weights stored as float16."""
    file: Any = io.BytesIO()  # taken, though not declared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own age
        torch.onnx.export(
            copy.deepcopy(network).eval(),
            (torch.zeros(2, 3, side, side),),
            file,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,  # it would rename weights
            input_names=["crop"],
            output_names=[output],
            dynamic_axes={name: {0: "n"} for name in ("crop", output)},
        )
    model = onnx.load_from_string(file.getvalue())
    halve(model, network.state_dict().keys())
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as part_file:
        part_file.write_bytes(model.SerializeToString())


def read_upscaler(path: Path) -> Upscaler:
    """An exported upscaler as a module again, ready to use.

    Raises:
        WeightsError: the file is of another network.
    """
    network = Upscaler()
    stored = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer}
    weights = {name: stored[name].astype(np.float32) for name in network.state_dict() if name in stored}
    try:
        network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    except RuntimeError as error:
        raise WeightsError("not the weights of an upscaler", path=path) from error
    return network.eval()


def averaged_upscaler(checkpoint: Path) -> Upscaler:
    """The upscaler with the averaged weights of a run's checkpoint, ready to use."""
    network = Upscaler()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["averages"]["network"])
    return network.eval()


def averaged_aligner(checkpoint: Path) -> Aligner:
    """The aligner with the averaged weights of a run's checkpoint, ready to use."""
    network = Aligner()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["averages"]["network"])
    return network.eval()


def read_generator(path: Path, network: str = "compact") -> Generator:
    """An exported generator as modules again, ready to use or to go on learning.

    Raises:
        WeightsError: the file is of another network.
    """
    generator = GENERATORS[network]()
    stored = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer}

    def value(name: str) -> torch.Tensor:
        scale = stored.get(f"{name}{_SCALE}", np.ones(1, np.float32))
        return torch.from_numpy(stored[name].astype(np.float32) * scale.reshape(-1, *[1] * (stored[name].ndim - 1)))

    weights = {name: value(_PREFIX + name) for name in generator.state_dict() if _PREFIX + name in stored}
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"not the weights of {network}", path=path) from error
    return generator.eval()


def averaged_generator(checkpoint: Path, network: str = "compact", **sizes: int) -> Generator:
    """The generator with the averaged weights of a run's checkpoint, ready to use.

    Args:
        sizes: as the network takes them, where the run had others than the network's own.
    """
    generator = GENERATORS[network](**sizes)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    generator.load_state_dict(state["averages"]["generator"])
    return generator.eval()


class _Graph:
    """ONNX nodes and weights in the order in which they run, of an encoder that looks at `side` pixels."""

    def __init__(self, side: int) -> None:
        self._side = side
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def module(self, module: nn.Module, x: str) -> str:
        """Append a module that reads the value `x`; returns the name of what it makes."""
        if isinstance(module, nn.Sequential):
            return self._sequence(list(module), x)
        if isinstance(module, Residual):
            inner = self._sequence([module.first, *module.second], x)
            return self.module(module.activation, self.node("Add", [x, inner]))
        if isinstance(module, nn.PReLU):
            return self.node("PRelu", [x, self.weight(module.weight.reshape(-1, 1, 1))])
        if isinstance(module, nn.PixelUnshuffle):
            return self._unshuffle(module.downscale_factor, x)
        if isinstance(module, nn.Flatten):
            return self.node("Flatten", [x], axis=1)
        raise NotImplementedError(type(module).__name__)

    def _sequence(self, modules: list[nn.Module], x: str) -> str:
        while modules:
            first, *modules = modules
            if isinstance(first, nn.Conv2d | nn.Linear):
                norm, *modules = modules
                assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
                x = self._folded(first, norm, x)
            else:
                x = self.module(first, x)
        return x

    def _folded(self, linear: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d, x: str) -> str:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = linear.weight * scale.reshape(-1, *[1] * (linear.weight.ndim - 1))
        names = [x, self.weight(weight), self.weight(norm.bias - norm.running_mean * scale)]
        if isinstance(linear, nn.Linear):
            return self.node("Gemm", names, transB=1)
        pads = [*linear.padding, *linear.padding]
        return self.node("Conv", names, strides=list(linear.stride), pads=pads, group=linear.groups)

    def _unshuffle(self, side: int, x: str) -> str:
        """nn.PixelUnshuffle: channel, then row, then column inside a block; SpaceToDepth orders them otherwise."""
        places = self._side // side
        cut = self.node("Reshape", [x, self._shape([0, 3, places, side, places, side])])
        turned = self.node("Transpose", [cut], perm=[0, 1, 3, 5, 2, 4])
        return self.node("Reshape", [turned, self._shape([0, 3 * side * side, places, places])])

    def resized(self, x: str, side: int, new_side: int) -> str:
        """Square maps brought from one side to another, bilinearly."""
        if side == new_side:
            return x
        name = f"scales{len(self.weights)}"
        # Engines round the new side down: a hair more than the ratio keeps it from falling short.
        ratio = new_side / side * (1 + 1e-6)
        self.weights.append(numpy_helper.from_array(np.array([1, 1, ratio, ratio], np.float32), name))
        return self.node("Resize", [x, "", name], mode="linear", coordinate_transformation_mode="half_pixel")

    def _shape(self, dimensions: list[int]) -> str:
        name = f"shape{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(dimensions, np.int64), name))
        return name

    def weight(self, value: torch.Tensor) -> str:
        """Store a weight as float16; returns the name of its float32 form."""
        name = f"weight{len(self.weights)}"
        half = value.detach().numpy().astype(np.float16)
        self.weights.append(numpy_helper.from_array(half, name))
        return self.node("Cast", [name], to=TensorProto.FLOAT)

    def node(self, kind: str, inputs: list[str], **attributes: int | str | list[int]) -> str:
        """Append a node with one output; returns the output's name."""
        name = f"{kind.lower()}{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name


def export(
    network: Annotated[str, typer.Argument(help="driver, guard, upscaler, aligner, or a generator such as compact.")],
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of a run.")],
    output: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    side: Annotated[int | None, typer.Option(help="A generator's, if the recipe names one.")] = None,
    width: Annotated[int | None, typer.Option(help="The same.")] = None,
    weights: Annotated[Weights, typer.Option(help="How a generator's are stored.")] = "float16",
) -> None:
    """Write the averaged weights of a run as ONNX, and print what its card says of the file."""
    if network in ENCODERS:
        export_encoder(averaged_encoder(checkpoint, network), output)
    elif network == "upscaler":
        export_upscaler(averaged_upscaler(checkpoint), output)
    elif network == "aligner":
        export_aligner(averaged_aligner(checkpoint), output)
    else:
        sizes = {name: size for name, size in (("side", side), ("width", width)) if size is not None}
        export_generator(averaged_generator(checkpoint, network, **sizes), output, weights)
    written = output.read_bytes()
    typer.echo(f'sha256 = "{hashlib.sha256(written).hexdigest()}"\nsize = {len(written)}')


if __name__ == "__main__":
    typer.run(export)
