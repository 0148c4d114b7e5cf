"""The generator that ships: small enough for a laptop's processor, shaped like FaceDancer (thesis chapter 5.3).

What the experiments behind it asked for, and where it differs from FaceDancer:

- Nothing heavy runs above half resolution: 2x2 pixels are folded into channels at the way in and unfolded at the way
  out, where one light layer at full resolution is left, so that edges stay sharp.
- Plain 3x3 convolutions, which general processors run at full speed.
- AdaIN is one multiplication and one addition for each value, and there is none at 64 px and above: a norm there costs
  more than all convolutions, and what is decided at 64 px (pores, hairs) is nobody's identity.
- AFFA (thesis 5.3.1) at 16, 32 and 64 px takes from the target what is to stay.
- No mask over the target's own pixels: one that could shut did, and the target was copied.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import AFFA, LEAK, double

WIDTHS = (48, 96, 192, 256)
"""Channels at a half, a quarter, an eighth and a sixteenth of the crop's side."""

STYLE = 256
"""Length of what the identity is mapped to, once, for all AdaINs."""

_UNFOLDED = 8


class Compact(Generator):
    """(n, 3, side, side) and (n, dimensions) → (n, 3, side, side), no mask; the last layer is linear.

    At 128 px: 5.6 M parameters, 1.2 G multiply-adds.

    Args:
        side: of the crop, a multiple of 16.
        dimensions: of the identity.
        widths: see `WIDTHS`; multiples of 4.
    """

    def __init__(
        self, *, side: int = 128, dimensions: int = 512, widths: tuple[int, int, int, int] = WIDTHS, style: int = STYLE
    ) -> None:
        super().__init__()
        self.side, self.dimensions = side, dimensions
        half, quarter, eighth, sixteenth = widths
        self.mapping = nn.Sequential(nn.Linear(dimensions, style), nn.LeakyReLU(LEAK))
        self.down = nn.ModuleList(
            [
                nn.Sequential(nn.PixelUnshuffle(2), _convolution(12, half)),
                nn.Sequential(_convolution(half, quarter, stride=2), _convolution(quarter, quarter)),
                nn.Sequential(_convolution(quarter, eighth, stride=2), _convolution(eighth, eighth)),
                _convolution(eighth, sixteenth, stride=2),
            ]
        )
        self.middle = nn.ModuleList(Residual(sixteenth, style) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(reversed(widths)))
        self.fuse = nn.ModuleList(AFFA(channels) for channels in (eighth, quarter, half))
        self.change = nn.ModuleList(Residual(channels, style) for channels in (eighth, quarter))
        self.polish = nn.Sequential(_convolution(half, half), _convolution(half, 4 * _UNFOLDED))
        self.paint = nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(_UNFOLDED, 3, 3, padding=1))
        # The four pixels that a place unfolds into begin alike: otherwise training begins with a chequered picture.
        unfolding = self.polish[1][0]  # type: ignore[index]
        for weight in (unfolding.weight, unfolding.bias):
            weight.data = weight.data[::4].repeat_interleave(4, dim=0)

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        style = self.mapping(identities)
        maps = [crops]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        x = maps.pop()
        for block in self.middle:
            x = block(x, style)
        for narrow, fuse, block in zip(self.narrow, self.fuse, [*self.change, None], strict=True):
            x = fuse(maps.pop(), double(narrow(x)))
            x = x if block is None else block(x, style)
        return Generated(self.paint(self.polish(x)), None)


class AdaIN(nn.Module):
    """(1 + γ(z)) · IN(x) + β(z), computed as a · x + b with one a and b for each channel of each picture."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, offset = self.affine(style)[:, :, None, None].split(x.shape[1], dim=1)
        mean = x.mean((2, 3), keepdim=True)
        variance = (x * x).mean((2, 3), keepdim=True) - mean * mean
        a = (1 + gain) * torch.rsqrt(functional.relu(variance) + 1e-3)
        return torch.addcmul(offset - a * mean, a, x)


class Residual(nn.Module):
    """AdaIN → LReLU → 3x3, twice, added to what came in."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaIN(channels, style) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(functional.leaky_relu(norm(y, style), LEAK))
        return x + y


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(LEAK, inplace=True))
