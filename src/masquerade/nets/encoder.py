"""The two identity encoders: aligned 112 px crop in [−1, 1], RGB → unit vector.

Both are plain 3x3 convolutions, which general processors run at full speed (depthwise ones are slow there), and both
leave full resolution at once: the stem folds 4x4 pixels into channels. Otherwise they are unlike on purpose, so that
the guard does not repeat the driver's mistakes: the driver is residual and weighs every place of its last map by
itself; the guard is a plain stack in the manner of VGG whose last map is flattened.

Inside, both can look at fewer pixels than come in: at 80 of the 112 they do half the work. The last maps are brought to
7 by 7 places, so that the same weights can go on learning with another `side`.
"""

from torch import Tensor, nn
from torch.nn import functional

INPUT = 112
"""Pixels: the side of the crops that come in."""

GRID = 7
"""Places, in both directions, at which the last maps are read."""


class Driver(nn.Module):
    """Conditions swappers. (n, 3, 112, 112) → unit vectors (n, 512); about 190 M multiply-adds, 1.9 M weights.

    Attributes:
        side: pixels that it looks at, a multiple of 16.
    """

    dimensions = 512

    def __init__(self, *, side: int = INPUT) -> None:
        super().__init__()
        self.side = side
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), _convolution(48, 64))
        self.middle = nn.Sequential(_convolution(64, 160, stride=2), Residual(160))
        self.late = nn.Sequential(_convolution(160, 224, stride=2), Residual(224))
        self.places = nn.Sequential(nn.Conv2d(224, 224, 7, groups=224, bias=False), nn.BatchNorm2d(224))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(224, self.dimensions, bias=False), nn.BatchNorm1d(512))

    def forward(self, faces: Tensor) -> Tensor:
        return functional.normalize(
            self.head(self.places(_grid(self.late(self.middle(self.stem(_at(faces, self.side)))))))
        )


class Guard(nn.Module):
    """Checks results. (n, 3, 112, 112) → unit vectors (n, 256); about 147 M multiply-adds, 1.4 M weights.

    Attributes:
        side: pixels that it looks at, a multiple of 16.
    """

    dimensions = 256

    def __init__(self, *, side: int = INPUT) -> None:
        super().__init__()
        self.side = side
        self.stack = nn.Sequential(
            nn.PixelUnshuffle(4),
            _convolution(48, 96),
            _convolution(96, 128, stride=2),
            _convolution(128, 128),
            _convolution(128, 128),
            _convolution(128, 192, stride=2),
            _convolution(192, 192),
        )
        self.narrow = nn.Sequential(nn.Conv2d(192, 32, 1, bias=False), nn.BatchNorm2d(32))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 49, self.dimensions, bias=False), nn.BatchNorm1d(256))

    def forward(self, faces: Tensor) -> Tensor:
        return functional.normalize(self.head(_grid(self.narrow(self.stack(_at(faces, self.side))))))


ENCODERS: dict[str, type[Driver] | type[Guard]] = {"driver": Driver, "guard": Guard}


class Residual(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(x + self.second(self.first(x)))
        return result


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs)
    )


def _at(maps: Tensor, side: int) -> Tensor:
    if maps.shape[-1] == side:
        return maps
    return functional.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


def _grid(maps: Tensor) -> Tensor:
    return _at(maps, GRID)
