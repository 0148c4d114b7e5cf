"""The judge that the compact generator trains against: plain convolutions, smoothed by the R1 penalty alone.

No norm, so that nothing couples the pictures of a small batch and the penalty's second gradient stays cheap.
"""

from itertools import pairwise

from torch import Tensor, nn

from masquerade.nets.blocks import LEAK

WIDTHS = (64, 128, 256, 256)
"""Channels at a half, a quarter, an eighth and a sixteenth of the crop's side."""


class CompactDiscriminator(nn.Module):
    """Judges overlapping patches, each most of the face wide; its inner maps serve feature matching.

    (n, 3, side, side) → the maps of all layers; the last is the logits (n, 1, side / 16, side / 16), above 0 for real.

    Args:
        widths: see `WIDTHS`.
    """

    def __init__(self, *, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.PixelUnshuffle(2), _convolution(12, widths[0])),
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


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(LEAK))
