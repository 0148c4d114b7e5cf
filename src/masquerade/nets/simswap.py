"""SimSwap (Chen et al. 2020; thesis chapter 3.2): one encoder-decoder, the identity injected into its bottleneck only.

From the published code's description: three strided convolutions, nine residual blocks that normalise their maps and
restyle them by the identity, three bilinear doublings. Attributes are kept by the weak feature matching loss
(`train.losses.feature_matching`), not by the network. Our choices: a bias that the next norm would take away is left
out, and the last layer is linear as in the newer of the two published networks.
"""

import torch
from torch import Tensor, nn

from masquerade.nets.base import Generated, Generator


class SimSwap(Generator):
    """(n, 3, side, side) and (n, 512) → (n, 3, side, side), no mask.

    Args:
        side: of the crop, a multiple of 8, at least 16; 224 in the paper.
        width: channels at full resolution; 64 in the paper.
        blocks: residual blocks in the bottleneck; 9 in the paper.
        dimensions: of the identity.
    """

    def __init__(self, *, side: int = 224, width: int = 64, blocks: int = 9, dimensions: int = 512) -> None:
        super().__init__()
        self.side, self.dimensions = side, dimensions
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normed(nn.Conv2d(3, width, 7, bias=False)),
            *_normed(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False)),
            *_normed(nn.Conv2d(2 * width, 4 * width, 3, 2, 1, bias=False)),
            *_normed(nn.Conv2d(4 * width, 8 * width, 3, 2, 1, bias=False)),
        )
        self.bottleneck = nn.ModuleList(_IdentityBlock(8 * width, dimensions) for _ in range(blocks))
        self.decoder = nn.Sequential(
            *_doubled(8 * width, 4 * width),
            *_doubled(4 * width, 2 * width),
            *_doubled(2 * width, width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
        )

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        x = self.encoder(crops)
        for block in self.bottleneck:
            x = block(x, identities)
        return Generated(self.decoder(x), None)


class _IdentityBlock(nn.Module):
    """x + style₂(conv₂(ReLU(style₁(conv₁(x)))))."""

    def __init__(self, channels: int, identity: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False)
        self.first_style = _Style(channels, identity)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False)
        self.second_style = _Style(channels, identity)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        y = torch.relu(self.first_style(self.first(x), z))
        result: Tensor = x + self.second_style(self.second(y), z)
        return result


class _Style(nn.Module):
    """(1 + γ(z)) · IN(x) + β(z): unlike FaceDancer's, the norm has no parameters of its own and γ starts about 0."""

    def __init__(self, channels: int, identity: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, eps=1e-8)
        self.style = nn.Linear(identity, 2 * channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.style(z)[:, :, None, None].chunk(2, dim=1)
        result: Tensor = (1 + scale) * self.norm(x) + shift
        return result


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def _doubled(inputs: int, outputs: int) -> list[nn.Module]:
    up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return [up, *_normed(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))]
