"""Reads published FaceDancer weights (Keras, HDF5), which users fetch themselves: their licence is non-commercial.

Nothing in the file is run; only its arrays are read. Keras numbers the layers of each kind as they are created, and the
modules of our network stand in the order in which the published code creates its layers, so the k-th of a kind there is
the k-th of that kind here. Every pair must agree in shape, and no layer may be left over on either side.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masquerade.errors import WeightsError
from masquerade.nets.blocks import AFFA, AdaIN
from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer

_KINDS = {"conv2d": "convolution", "instance_normalization": "norm", "ada_in": "adain", "dense": "linear"}
_SHOWN = 8
_HINT = "Import a file of the published model zoo, such as FaceDancer_config_c_HQ.h5"


def import_facedancer(weights: Path) -> tuple[str, FaceDancer]:
    """The network that a Keras file of FaceDancer holds.

    Args:
        weights: `.h5`, saved by Keras 2 as a whole model or as weights.

    Returns:
        The name of the configuration, and the network on the CPU. A and B are one network; it is called "b".

    Raises:
        WeightsError: h5py is missing, the file is no HDF5 file of Keras, or no configuration fits it; then every
            mismatch with the closest one is counted and the first are named.
    """
    layers = read_keras(weights)
    if not all(kind in layers for kind in ("convolution", "norm", "adain")):
        raise WeightsError("this Keras file holds no FaceDancer: layers are missing", path=weights, hint=_HINT)
    width = layers["convolution"][0].arrays[0].shape[-1]
    dimensions = layers["adain"][0].arrays[0].shape[0]
    mismatches: dict[str, list[str]] = {}
    for name in sorted(CONFIGURATIONS, key=lambda name: name == "a"):  # "a" last: "b" is the same network
        with torch.device("meta"):
            net = FaceDancer(CONFIGURATIONS[name], width=width, dimensions=dimensions)
        state, wrong = match(net, layers)
        if not wrong:
            net.load_state_dict(state, assign=True)
            return name, net
        mismatches[name] = wrong
    closest = min(mismatches, key=lambda name: len(mismatches[name]))
    wrong = mismatches[closest]
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    raise WeightsError(
        f"these are not the weights of a FaceDancer of table 5.4; the closest is configuration {closest.upper()}, "
        f"with {len(wrong)} mismatches: {'; '.join(wrong[:_SHOWN])}{more}",
        path=weights,
        hint=_HINT,
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a Keras file: its name there and its arrays in the order in which the layer made them."""

    name: str
    arrays: tuple[NDArray[np.float32], ...]


def read_keras(weights: Path) -> dict[str, list[Layer]]:
    """All layers that have weights, by kind, each kind in the order of creation.

    Kinds: `convolution`, `norm`, `adain`, `linear`, and `named` for those that the author named (AFFA's last ones).

    Raises:
        WeightsError: h5py is missing, or the file is no HDF5 file of Keras.
    """
    try:
        import h5py  # noqa: PLC0415 - only people who import Keras weights need it
    except ImportError as error:
        raise WeightsError("reading Keras weights needs h5py", hint="pip install h5py") from error
    found: dict[str, list[Layer]] = defaultdict(list)
    try:
        with h5py.File(weights, "r") as file:
            group = file.get("model_weights", file)
            for name in map(_text, group.attrs["layer_names"]):
                names = list(map(_text, group[name].attrs["weight_names"]))
                if names:
                    arrays = tuple(np.asarray(group[name][key], np.float32) for key in names)
                    found[_kind(name)].append(Layer(name, arrays))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError("this is no HDF5 file of Keras", path=weights, hint=str(error).splitlines()[0]) from error
    for layers in found.values():
        layers.sort(key=lambda layer: _order(layer.name))
    return dict(found)


def match(net: nn.Module, layers: dict[str, list[Layer]]) -> tuple[dict[str, Tensor], list[str]]:
    """Puts the layers of a file in the places of a network.

    Args:
        net: a network of `nets.facedancer`; may be on the meta device.
        layers: as `read_keras` gives them.

    Returns:
        The state dict of what fits, and one line for everything that does not.
    """
    state: dict[str, Tensor] = {}
    wrong: list[str] = []
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    places = _places(net)
    for kind in sorted(places.keys() | layers.keys()):
        ours, theirs = places.get(kind, []), layers.get(kind, [])
        wrong += [f"{place[0]} has no counterpart in the file" for place in ours[len(theirs) :]]
        wrong += [f"{layer.name} of the file has no place" for layer in theirs[len(ours) :]]
        for place, layer in zip(ours, theirs, strict=False):
            if len(place) != len(layer.arrays):
                wrong.append(f"{layer.name} has {len(layer.arrays)} arrays, not {len(place)}")
                continue
            for name, array in zip(place, layer.arrays, strict=True):
                value = torch.from_numpy(np.ascontiguousarray(array.transpose(_AXES[array.ndim])))
                if tuple(value.shape) == shapes[name]:
                    state[name] = value
                else:
                    wrong.append(f"{layer.name} {tuple(value.shape)} is not {name} {shapes[name]}")
    return state, wrong


_AXES: dict[int, tuple[int, ...]] = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
"""From Keras' order of axes to torch's: vectors, linear layers, convolutions."""


def _places(net: nn.Module) -> dict[str, list[tuple[str, ...]]]:
    """Names of the arrays in the network's state dict, by kind of layer, in the order of creation."""
    places: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    inside: set[nn.Module] = set()
    for path, module in net.named_modules():
        if isinstance(module, AdaIN):
            # The norm in it is a layer of its own there and stays among the norms.
            places["adain"].append(tuple(f"{path}.{part}" for part in _ADAIN))
            inside |= {module.scale, module.shift}
        elif isinstance(module, AFFA):
            places["named"].append((f"{path}.decide.weight", f"{path}.decide.bias"))
            inside.add(module.decide)
        elif module not in inside:
            for type_, kind in _TYPES.items():
                if isinstance(module, type_):
                    places[kind].append((f"{path}.weight", f"{path}.bias"))
    return places


_ADAIN = ("scale.weight", "scale.bias", "shift.weight", "shift.bias")
_TYPES: dict[type[nn.Module], str] = {nn.Conv2d: "convolution", nn.InstanceNorm2d: "norm", nn.Linear: "linear"}


def _kind(name: str) -> str:
    return _KINDS.get(re.sub(r"_\d+$", "", name), "named")


def _order(name: str) -> int:
    """conv2d → 0, conv2d_7 → 7; of the author's names, 64x64 → 64, and `final` comes last."""
    number = re.search(r"(?:_|^)(\d+)(?:x\d+)?$", name)
    if number:
        return int(number[1])
    return 0 if name in _KINDS else 1 << 30


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()
