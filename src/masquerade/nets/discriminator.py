"""The judges that the compact generator trains against: plain convolutions, smoothed by the R1 penalty alone.

No norm, so that nothing couples the pictures of a small batch and the penalty's second gradient stays cheap.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from masquerade.faces.align import template
from masquerade.nets.blocks import LEAK

WIDTHS = (64, 128, 256, 256)
"""Channels at a half, a quarter, an eighth and a sixteenth of the crop's side."""
FEATURE_WIDTHS = (32, 64, 128)
"""Channels at full size, a half and a quarter, for eyes and mouths."""

_MAGNIFIED = 8.0
_EYE, _MOUTH = (0.19, 0.15), (0.22, 0.14)
"""Half the width and height of what is judged, in parts of the crop's side; an eye's holds the brow."""


class CompactDiscriminator(nn.Module):
    """Judges overlapping patches, each most of the face wide; its inner maps serve feature matching.

    (n, 3, side, side) → the maps of all layers; the last is the logits (n, 1, side / 16, side / 16), above 0 for real.

    Args:
        widths: see `WIDTHS`.
        channels: of what it sees.
    """

    def __init__(self, *, widths: tuple[int, ...] = WIDTHS, channels: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.PixelUnshuffle(2), _convolution(4 * channels, widths[0])),
                *(_convolution(a, b, stride=2) for a, b in pairwise(widths)),
                _convolution(widths[-1], widths[-1]),
                nn.Conv2d(widths[-1], 1, 3, padding=1),
            ]
        )

    def forward(self, crops: Tensor) -> list[Tensor]:
        maps = [crops]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return maps[1:]


class FeatureDiscriminator(nn.Module):
    """Judges the face, and on their own the eyes and the mouth, which are few of its pixels and what people look at.

    One judge has both eyes, the right one mirrored. GFPGAN (Wang et al. 2021) judges eyes and mouth so. All see the
    picture and beside it what is fine in it, magnified: begun beside a generator that draws well, judges who saw the
    picture alone could not tell its faces from photographs after 170 steps, these 3 in 4 after 40.

    Aligned crops (n, 3, side, side) → for each judge the maps to be matched and, last, the logits; those of eyes and
    mouth are logits alone, as what lies deeper there is the person's own.

    Args:
        side: of the crops, pixels.
        widths: of the judge of the face, see `WIDTHS`.
    """

    def __init__(self, *, side: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.face = CompactDiscriminator(widths=widths, channels=6)
        self.eye, self.mouth = _feature_judge(), _feature_judge()
        points = template(side)
        lifted = np.array([0, -0.3 * _EYE[1] * side])
        self._eyes = [_box(point + lifted, _EYE, side) for point in points[:2]]
        self._lips = _box(points[3:].mean(0), _MOUTH, side)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)

    def forward(self, crops: Tensor) -> list[list[Tensor]]:
        seen = torch.cat([crops, detail(crops)], 1)
        left, right = (seen[:, :, rows, columns] for rows, columns in self._eyes)
        rows, columns = self._lips
        eyes = self.eye(torch.cat([left, right.flip(3)]))
        # Both eyes of a face lie in its own row, as the logits of one picture do.
        eyes = torch.cat(eyes.chunk(2), 1)
        return [self.face(seen), [eyes], [self.mouth(seen[:, :, rows, columns])]]


def detail(pictures: Tensor) -> Tensor:
    """What is finer than 5 pixels, magnified to about the range of pictures: (n, 3, h, w) → the same."""
    coarse = functional.avg_pool2d(pictures, 5, stride=1, padding=2, count_include_pad=False)
    return (pictures - coarse) * _MAGNIFIED


def _box(centre: NDArray[np.float32], half: tuple[float, float], side: int) -> tuple[slice, slice]:
    """Rows and columns, of the same number wherever the centre lies."""
    width, height = (int(2 * part * side) for part in half)
    x, y = (round(float(c) - size / 2) for c, size in zip(centre, (width, height), strict=True))
    return slice(y, y + height), slice(x, x + width)


def _feature_judge() -> nn.Sequential:
    first, *_, last = FEATURE_WIDTHS
    return nn.Sequential(
        _convolution(6, first),
        *(_convolution(a, b, stride=2) for a, b in pairwise(FEATURE_WIDTHS)),
        _convolution(last, last),
        nn.Conv2d(last, 1, 3, padding=1),
    )


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(LEAK))
