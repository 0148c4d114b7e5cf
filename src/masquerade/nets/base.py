"""The one protocol of every network that makes faces, and its way to ONNX.

A crop in [−1, 1] and a unit vector go in; a crop comes out, and a mask from those networks that learn one. Networks
that paint a face into a hole (CIAGAN, DeepPrivacy) need to be told where: their conditions go through the same call
by keyword, and `conditions` says which they are, so that training, export and benchmarks serve all networks alike.
"""

import copy
import io
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Generated(NamedTuple):
    """What a generator makes.

    Attributes:
        crops: (n, 3, side, side), RGB, about [−1, 1]; networks without a tanh may step outside, so clip before use.
        masks: (n, 1, side, side) in [0, 1], how much of each pixel of `crops` is the network's own; None if the network
            has no mask. `crops` is already blended by it.
    """

    crops: Tensor
    masks: Tensor | None


class Generator(nn.Module):
    """Base of all face generators.

    Attributes:
        side: pixels of the square aligned crop.
        dimensions: length of the identity vector.
    """

    side: int
    dimensions: int

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        """Name → shape of one sample, of what `forward` needs by keyword besides crop and identity."""
        return {}

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        """Imposes identities.

        Args:
            crops: targets, (n, 3, side, side), RGB, [−1, 1].
            identities: (n, dimensions), rows of length 1.
            conditions: what `self.conditions` names, each with n in front of its shape.
        """
        raise NotImplementedError

    def examples(self, batch: int = 1) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Random inputs of the right shapes and ranges: crops, identities, conditions in [0, 1]."""
        crops = torch.rand(batch, 3, self.side, self.side) * 2 - 1
        identities = nn.functional.normalize(torch.randn(batch, self.dimensions))
        return crops, identities, {name: torch.rand(batch, *shape) for name, shape in self.conditions.items()}


def to_onnx(net: Generator) -> bytes:
    """ONNX of a generator; the batch size is free.

    Inputs: `target`, `identity` and the conditions by their names. Outputs: `crop` and, if the network has one, `mask`.
    What is exported is a copy in evaluation mode, its spectral norms computed once and for all.
    """
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if parametrize.is_parametrized(module, "weight"):
            norms: Any = module.parametrizations
            norms.weight[0] = _Fixed(norms.weight().detach())
    crops, identities, conditions = net.examples(batch=2)
    with torch.no_grad():
        masked = net(crops, identities, **conditions).masks is not None
    inputs = ["target", "identity", *conditions]
    outputs = ["crop", "mask"] if masked else ["crop"]
    file: Any = io.BytesIO()  # taken, though not declared
    with warnings.catch_warnings():
        # The exporter warns of its own age and of norms that use the statistics of what they are given, as they should.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Positional(net, tuple(conditions)).eval(),
            (crops, identities, *conditions.values()),
            file,
            dynamo=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in inputs + outputs},
        )
    return bytes(file.getvalue())


class _Positional(nn.Module):
    """A generator as the exporter wants it: all inputs by position, no None among the outputs."""

    def __init__(self, net: Generator, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, crops: Tensor, identities: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        made = self.net(crops, identities, **dict(zip(self.names, conditions, strict=True)))
        return (made.crops,) if made.masks is None else (made.crops, made.masks)


class _Fixed(nn.Module):
    """A parametrization that has been computed."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, original: Tensor) -> Tensor:
        return self.value
