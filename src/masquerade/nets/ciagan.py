"""CIAGAN (Maximov et al. 2020; thesis chapter 4.2): paints one of 1200 known people into a hole, guided by landmarks.

From the published code's description: an encoder of residual blocks with spectral norm, the one-hot identity brought by
a perceptron to a 4x4 map that joins the bottleneck, four residual blocks, a decoder with nearest-neighbour doubling.
Our choices: the hole is 0 in [−1, 1], which is mid-grey, and a bias that the next norm would take away is left out.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import LEAK, blend

_BOTTOM = 4


class CIAGAN(Generator):
    """(n, 3, side, side) and one-hot (n, people) → (n, 3, side, side) and, as the mask, the hole.

    Conditions:
        landmarks: a drawing of face contour, mouth and nose, (n, 3, side, side), [0, 1].
        hole: (n, 1, side, side), 1 where the face is to be removed and painted, 0 elsewhere.

    The identity is a person's number, one-hot, which is a unit vector too: between two of them lies nobody it knows.

    Args:
        side: of the crop, 128 as published or a smaller power of 2, at least 16.
        width: channels of the first layer at 128 px; all others are multiples of it; even, 32 as published.
        people: length of the one-hot vector, 1200 as published.
    """

    def __init__(self, *, side: int = 128, width: int = 32, people: int = 1200) -> None:
        super().__init__()
        self.side, self.dimensions = side, people
        halvings = side.bit_length() - _BOTTOM.bit_length()
        down = [width, 2 * width, 4 * width, 8 * width, 8 * width][-halvings:]
        up = [8 * width, 8 * width, 4 * width, 2 * width, width, width // 2][: halvings + 1]
        bottom = down[-1]
        self.encoder = nn.Sequential(*(_Down(a, b) for a, b in pairwise([6, *down])))
        widths = [people, *[bottom] * 4, *[32 * _BOTTOM**2] * 3]
        self.perceptron = nn.Sequential(
            *(layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.LeakyReLU(LEAK)))
        )
        self.person = nn.Sequential(
            *(
                layer
                for a, b in pairwise([32, 64, 128, bottom])
                for layer in (_Convolution(a, b), nn.LeakyReLU(LEAK), nn.InstanceNorm2d(b, affine=True))
            )
        )
        self.embed = nn.Sequential(_Convolution(2 * bottom, bottom, bias=False), nn.InstanceNorm2d(bottom, affine=True))
        self.bottleneck = nn.Sequential(*(_Residual(bottom) for _ in range(4)))
        self.decoder = nn.Sequential(*(_Up(a, b) for a, b in pairwise(up)))
        self.last = nn.Conv2d(up[-1], 3, 3, padding=1)

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        return {"landmarks": (3, self.side, self.side), "hole": (1, self.side, self.side)}

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        landmarks, hole = conditions["landmarks"], conditions["hole"]
        x = self.encoder(torch.cat([landmarks, crops * (1 - hole)], dim=1))
        person = self.person(self.perceptron(identities).unflatten(1, (32, _BOTTOM, _BOTTOM)))
        x = self.bottleneck(self.embed(torch.cat([x, person], dim=1)))
        return Generated(blend(crops, self.last(self.decoder(x)), hole), hole)


class _Convolution(nn.Module):
    """Reflecting, spectrally normed."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, *, bias: bool = True) -> None:
        super().__init__()
        self.inner = spectral_norm(
            nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect", bias=bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x)
        return result


class _Down(nn.Module):
    """ReLU → 3x3 → ReLU → 3x3 → pool, beside 1x1 → pool, then instance norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _Convolution(inputs, outputs)
        self.second = _Convolution(outputs, outputs, bias=False)
        self.skip = _Convolution(inputs, outputs, 1, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(torch.relu(x))))
        result: Tensor = self.norm(functional.avg_pool2d(y + self.skip(x), 2))
        return result


class _Up(nn.Module):
    """IN → ReLU → double → 3x3 → IN → ReLU → 3x3, beside double → 1x1, then instance norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm, self.last_norm = (
            nn.InstanceNorm2d(channels, affine=True) for channels in (inputs, outputs, outputs)
        )
        self.first = _Convolution(inputs, outputs, bias=False)
        self.second = _Convolution(outputs, outputs, bias=False)
        self.skip = _Convolution(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(functional.interpolate(torch.relu(self.first_norm(x)), scale_factor=2.0))
        y = self.second(torch.relu(self.second_norm(y)))
        skip = functional.interpolate(self.skip(x), scale_factor=2.0)
        result: Tensor = self.last_norm(y + skip)
        return result


class _Residual(nn.Module):
    """3x3 → IN → ReLU → 3x3 → IN, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Convolution(channels, channels, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            _Convolution(channels, channels, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result
