"""How a face lies in its crop: by which shift, size and turn it misses the template.

Every archive of aligned faces teaches it without labels: move a crop, and ask how it was moved.
"""

from itertools import pairwise

from torch import Tensor, nn

from masquerade.nets.blocks import LEAK

SIDE = 64
"""Pixels that it looks at."""
WIDTHS = (16, 32, 48, 64)
"""Channels at 32, 16, 8 and 4 places a side."""
_READ, _INNER = 24, 48


class Aligner(nn.Module):
    """(n, 3, 64, 64) RGB in [−1, 1] → (n, 4): shift to the right and down in sides of the crop, the logarithm of the
    face's size, and its turn in radians, clockwise as one sees it; all 0 for a face that lies as the template has it.

    134 k parameters, 9 M multiply-adds.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *_, last = WIDTHS
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_convolution(12, first),
            *(layer for a, b in pairwise(WIDTHS) for layer in (*_convolution(a, b, stride=2), *_convolution(b, b))),
        )
        places = SIDE >> len(WIDTHS)
        self.head = nn.Sequential(
            nn.Conv2d(last, _READ, 1),
            nn.Flatten(),
            nn.Linear(_READ * places**2, _INNER),
            nn.LeakyReLU(LEAK),
            nn.Linear(_INNER, 4),
        )

    def forward(self, crops: Tensor) -> Tensor:
        moved: Tensor = self.head(self.body(crops))
        return moved


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(LEAK)
