"""The parts the generators are made of (thesis chapters 3.2 and 5.3).

Where FaceDancer's published code is the source, numbers that the code leaves to its library are that library's: an
instance norm adds 1e-3 to the variance there, an upsampling holds the edge pixel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Each channel of each picture to mean 0 and variance 1, then a learnt gain and offset."""
    return nn.InstanceNorm2d(channels, eps=1e-3, affine=True)


class AdaIN(nn.Module):
    """Adaptive instance norm: y = γ(z) · IN(x) + β(z), γ and β linear in the identity z.

    FaceDancer's norm has a learnt gain and offset of its own and adds no 1 to γ.
    """

    def __init__(self, channels: int, identity: int) -> None:
        super().__init__()
        self.norm = instance_norm(channels)
        self.scale = nn.Linear(identity, channels)
        self.shift = nn.Linear(identity, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        result: Tensor = self.scale(z)[:, :, None, None] * normed + self.shift(z)[:, :, None, None]
        return result


class AFFA(nn.Module):
    """Adaptive Feature Fusion Attention (thesis chapter 5.3): a mask m learns which of two sources each value is from.

        m = σ(W₂ · IN(LReLU(W₁ · [skip, features])))        out = (1 − m) · skip + m · features

    `skip` is the encoder's map, which knows nothing of the new identity; `features` the decoder's, which is conditioned
    on it. m has as many channels as they: one decision for every pixel and channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(2 * channels, channels // 4, 3, padding=1)
        self.norm = instance_norm(channels // 4)
        self.decide = nn.Conv2d(channels // 4, channels, 1)

    def mask(self, skip: Tensor, features: Tensor) -> Tensor:
        """m, shape of `skip`, 0 to 1."""
        looked = functional.leaky_relu(self.look(torch.cat([skip, features], dim=1)), LEAK)
        return torch.sigmoid(self.decide(self.norm(looked)))

    def forward(self, skip: Tensor, features: Tensor) -> Tensor:
        return blend(skip, features, self.mask(skip, features))


class ResidualDown(nn.Module):
    """IN → LReLU → 3x3 → average pool, beside 1x1 → average pool; `deep`: a second IN → LReLU → 3x3."""

    def __init__(self, inputs: int, outputs: int, *, pool: bool = True, deep: bool = False) -> None:
        super().__init__()
        self.pool = pool
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.norm = instance_norm(inputs)
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.deep = (
            nn.Sequential(instance_norm(outputs), nn.LeakyReLU(LEAK), nn.Conv2d(outputs, outputs, 3, padding=1))
            if deep
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        main = self.convolution(functional.leaky_relu(self.norm(x), LEAK))
        skip = self.skip(x)
        if self.pool:
            main, skip = functional.avg_pool2d(main, 2), functional.avg_pool2d(skip, 2)
        result: Tensor = self.deep(main) + skip
        return result


class ResidualUp(nn.Module):
    """AdaIN → LReLU → 3x3 → bilinear x2, beside 1x1 → bilinear x2."""

    def __init__(self, inputs: int, outputs: int, identity: int, *, grow: bool = True) -> None:
        super().__init__()
        self.grow = grow
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.adain = AdaIN(inputs, identity)
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        # Doubling is linear and acts per channel, so doubling the sum once equals doubling both halves.
        both: Tensor = self.convolution(functional.leaky_relu(self.adain(x, z), LEAK)) + self.skip(x)
        return double(both) if self.grow else both


def blend(closed: Tensor, opened: Tensor, mask: Tensor) -> Tensor:
    """(1 − m) · closed + m · opened, exact at both ends; under autocast the three may differ in precision."""
    return (1 - mask) * closed + mask * opened


def double(x: Tensor) -> Tensor:
    """Twice the side, bilinear between pixel centres."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def mapping(dimensions: int, width: int, depth: int) -> nn.Module:
    """The mapping network: `depth` linear layers, LReLU between them; none at all for depth 0."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.LeakyReLU(LEAK)] if layer else []
        layers += [nn.Linear(width if layer else dimensions, width)]
    return nn.Sequential(*layers)
