"""FaceShifter's first stage (Li et al. 2020; thesis chapter 3.2).

A U-net reads the target's attributes at every resolution; a generator grows from the identity alone and at each
resolution decides, value by value, between a map coloured by attributes and one coloured by the identity: adaptive
attentional denormalisation (AAD), the forerunner of FaceDancer's AFFA. Layers as in a public reimplementation.

Our choices: the output goes through a tanh (crops live in [−1, 1] here), a bias that the next norm would take away is
left out, and the second stage, which repairs occlusions, is not built.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import blend, double

_LEAK = 0.1
_SMALLEST = 2


class FaceShifter(Generator):
    """(n, 3, side, side) and (n, dimensions) → (n, 3, side, side), no mask.

    Args:
        side: of the crop, a power of 2, at least 16; 256 in the paper.
        width: channels of the encoder's first layer, at half resolution; 32 in the reimplementation. All others are
            multiples of it, 32 times at most.
        dimensions: of the identity.
    """

    def __init__(self, *, side: int = 256, width: int = 32, dimensions: int = 512) -> None:
        super().__init__()
        self.side, self.dimensions = side, dimensions
        self.attributes = AttributeEncoder(side, width)
        most = 32 * width
        sizes = [_SMALLEST << level for level in range(len(self.attributes.channels))]
        channels = [min(most, 2 * width * side // size) for size in sizes]
        self.seed = nn.ConvTranspose2d(dimensions, channels[0], _SMALLEST, bias=False)
        self.stages = nn.ModuleList(
            _AADBlock(inputs, outputs, attributes, dimensions, last=outputs == 3)
            for inputs, outputs, attributes in zip(channels, [*channels[1:], 3], self.attributes.channels, strict=True)
        )

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        x = self.seed(identities[:, :, None, None])
        for level, (stage, attributes) in enumerate(zip(self.stages, self.attributes(crops), strict=True)):
            x = stage(double(x) if level else x, attributes, identities)
        return Generated(torch.tanh(x), None)


class AttributeEncoder(nn.Module):
    """The target's attributes, from 2 px to the crop's side: (n, 3, side, side) → [(n, c, 2, 2), (n, c, 4, 4), ...].

    The attribute loss compares these lists for target and result.

    Attributes:
        channels: of each map.
    """

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        halvings = side.bit_length() - _SMALLEST.bit_length()
        down = [min(width << level, 32 * width) for level in range(halvings)]
        self.encoder = nn.ModuleList(_strided(nn.Conv2d, a, b) for a, b in pairwise([3, *down]))
        back = down[::-1]
        inputs = [back[0], *(2 * c for c in back[1:-1])]
        self.decoder = nn.ModuleList(_strided(nn.ConvTranspose2d, a, b) for a, b in zip(inputs, back[1:], strict=True))
        self.channels = [back[0], *(2 * c for c in back[1:]), 2 * back[-1]]

    def forward(self, crops: Tensor) -> list[Tensor]:
        seen = [crops]
        for stage in self.encoder:
            seen.append(stage(seen[-1]))
        maps = [seen.pop()]
        for stage in self.decoder:
            maps.append(torch.cat([stage(maps[-1]), seen.pop()], dim=1))
        return [*maps, double(maps[-1])]


class _AAD(nn.Module):
    """m = σ(conv(BN h)); (1 − m) · (γₐ · BN h + βₐ) + m · (γᵢ · BN h + βᵢ), a from attributes, i from the identity."""

    def __init__(self, channels: int, attributes: int, identity: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.decide = nn.Conv2d(channels, channels, 3, padding=1)
        self.by_attributes = nn.Conv2d(attributes, 2 * channels, 3, padding=1)
        self.by_identity = nn.Linear(identity, 2 * channels)

    def forward(self, h: Tensor, attributes: Tensor, z: Tensor) -> Tensor:
        h = self.norm(h)
        scale, shift = self.by_attributes(attributes).chunk(2, dim=1)
        id_scale, id_shift = self.by_identity(z)[:, :, None, None].chunk(2, dim=1)
        return blend(scale * h + shift, id_scale * h + id_shift, torch.sigmoid(self.decide(h)))


class _AADBlock(nn.Module):
    """Twice AAD → ReLU → 3x3, beside nothing or, where the channels change, AAD → ReLU → 3x3."""

    def __init__(self, inputs: int, outputs: int, attributes: int, identity: int, *, last: bool) -> None:
        super().__init__()
        self.first, self.second = _AAD(inputs, attributes, identity), _AAD(inputs, attributes, identity)
        self.first_convolution = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.second_convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=last)
        self.side = _AAD(inputs, attributes, identity) if inputs != outputs else None
        self.side_convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False) if inputs != outputs else None

    def forward(self, h: Tensor, attributes: Tensor, z: Tensor) -> Tensor:
        y = self.first_convolution(torch.relu(self.first(h, attributes, z)))
        y = self.second_convolution(torch.relu(self.second(y, attributes, z)))
        if self.side is not None and self.side_convolution is not None:
            h = self.side_convolution(torch.relu(self.side(h, attributes, z)))
        result: Tensor = h + y
        return result


def _strided(kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(kind(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(_LEAK))
