"""DeepPrivacy (Hukkelås et al. 2019; thesis chapter 4.2): paints a random face into a hole, guided by seven keypoints.

From the published code's description of version 1: a U-net of pairs of 3x3 convolutions with equalised learning rate
and pixel-wise norm, keypoints as one-hot pictures at every resolution of the decoder, a latent map at the bottleneck.

Our choices: the latent is the identity, scaled from length 1 to the length that a normal sample of its size would have,
so that one vector gives one face; the hole is 0 in [−1, 1], which is mid-grey.
"""

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import LEAK, blend

_BOTTOM = 4
_KEYPOINTS = 7


class DeepPrivacy(Generator):
    """(n, 3, side, side) and (n, dimensions) → (n, 3, side, side) and, as the mask, the hole.

    Conditions:
        keypoints: (n, 7, 2): nose, eyes, ears, shoulders in COCO's order, x and y as parts of the side; those outside
            [0, 1) are ignored.
        hole: (n, 1, side, side), 1 where the face is to be removed and painted, 0 elsewhere.

    Args:
        side: of the crop, a power of 2, at least 16; 128 as published.
        width: channels of the first layer, 128 as published; all others are multiples of it.
        dimensions: of the identity, a multiple of 16; 512 as published.
    """

    def __init__(self, *, side: int = 128, width: int = 128, dimensions: int = 512) -> None:
        super().__init__()
        self.side, self.dimensions = side, dimensions
        halvings = side.bit_length() - _BOTTOM.bit_length()
        down = [2 * width] + [4 * width] * halvings
        up = [4 * width] * (halvings - 1) + [2 * width, width]
        self.first = _convolution(3, width, 1)
        self.encoder = nn.ModuleList(_pair(a, b) for a, b in zip([width, *down], down, strict=False))
        latent = dimensions // _BOTTOM**2
        skips = down[::-1]
        joined = [skips[0] + latent + _KEYPOINTS, *(a + b + _KEYPOINTS for a, b in zip(up, skips[1:], strict=False))]
        self.join = nn.ModuleList(_convolution(a, b, 1) for a, b in zip(joined, [skips[0], *up], strict=False))
        self.decoder = nn.ModuleList(_pair(a, b) for a, b in zip([skips[0], *up], up, strict=False))
        self.last = _Scaled(up[-1], 3, 1)

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        return {"keypoints": (_KEYPOINTS, 2), "hole": (1, self.side, self.side)}

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        keypoints, hole = conditions["keypoints"], conditions["hole"]
        x = self.first(crops * (1 - hole))
        skips = []
        for level, stage in enumerate(self.encoder):
            x = stage(functional.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        # The bottleneck is joined by the latent as the other levels are by the encoder's maps.
        skip = sqrt(self.dimensions) * identities.reshape(-1, self.dimensions // _BOTTOM**2, _BOTTOM, _BOTTOM)
        skips.pop()
        for level, (join, stage) in enumerate(zip(self.join, self.decoder, strict=True)):
            if level:
                x, skip = functional.interpolate(x, scale_factor=2.0), skips.pop()
            x = stage(join(torch.cat([x, skip, draw(keypoints, _BOTTOM << level)], dim=1)))
        return Generated(blend(crops, self.last(x), hole), hole)


def draw(keypoints: Tensor, side: int) -> Tensor:
    """One picture a keypoint, 1 in its pixel: (n, k, 2) in parts of the side → (n, k, side, side)."""
    pixels = torch.arange(side, device=keypoints.device)
    hit = (keypoints[..., None] * side).floor() == pixels  # (n, k, 2, side)
    return (hit[:, :, 1, :, None] & hit[:, :, 0, None, :]).to(keypoints.dtype)


class _Scaled(nn.Module):
    """Convolution with equalised learning rate: weights of variance 1, scaled as He et al. at run time."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = sqrt(2 / (inputs * size * size))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class _PixelNorm(nn.Module):
    """Each pixel's channels to a mean square of 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(_Scaled(inputs, outputs, size), nn.LeakyReLU(LEAK), _PixelNorm())


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 3), _convolution(outputs, outputs, 3))
