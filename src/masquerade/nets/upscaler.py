"""Twice as many pixels for a face that a swapper has drawn: what lies between its pixels, guessed as skin and hair are.

Pixels are folded 2 by 2 into channels, so that all blocks run at half the crop's side; nothing is normalised, so that
light and colour pass as they are. The network says only what differs from a plain enlargement. Its last layer begins
at 0: before it has learnt anything it is that enlargement.
"""

from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.blocks import LEAK

CHANNELS, BLOCKS = 32, 6
TIMES = 2
"""By how much the side grows."""
_UNFOLDED = 16


class Upscaler(nn.Module):
    """(n, 3, h, w) → (n, 3, 2 h, 2 w), RGB in about [−1, 1]; h and w even.

    132 k parameters; 0.6 G multiply-adds for a crop of 128 px.

    Args:
        channels: at half the side.
        blocks: of two 3x3 convolutions each, added to what came in.
    """

    def __init__(self, *, channels: int = CHANNELS, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.fold = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, channels, 3, padding=1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.LeakyReLU(LEAK, inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.unfold = nn.Sequential(
            nn.Conv2d(channels, 4 * _UNFOLDED, 3, padding=1), nn.PixelShuffle(2), nn.LeakyReLU(LEAK, inplace=True)
        )
        self.paint = nn.Sequential(nn.Conv2d(_UNFOLDED, 3 * TIMES**2, 3, padding=1), nn.PixelShuffle(TIMES))
        for parameter in self.paint.parameters():
            nn.init.zeros_(parameter)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.fold(crops)
        for block in self.blocks:
            x = x + block(x)
        detail: Tensor = self.paint(self.unfold(x))
        return enlarged(crops) + detail


def enlarged(crops: Tensor) -> Tensor:
    """The plain enlargement: bicubic, as OpenCV has it."""
    return functional.interpolate(crops, scale_factor=float(TIMES), mode="bicubic", align_corners=False)
