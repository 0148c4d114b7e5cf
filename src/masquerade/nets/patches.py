"""The patch discriminator of pix2pixHD (Wang et al. 2018), which SimSwap, FaceShifter and CIAGAN judge with."""

from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.blocks import LEAK


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches at several scales; its inner maps serve weak feature matching.

    (n, 3, side, side) → for each scale, full size first, the maps of all its layers; the last is the logits
    (n, 1, h, w), above 0 for real.

    Args:
        scales: how often the picture is judged, each time at half the size: 2 in SimSwap's paper, 3 in FaceShifter's.
        width: channels of the first layer; they double up to 8 times that.
        layers: strided layers.
    """

    def __init__(self, *, scales: int = 2, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.judges = nn.ModuleList(_judge(width, layers) for _ in range(scales))

    def forward(self, crops: Tensor) -> list[list[Tensor]]:
        results = []
        for level, judge in enumerate(self.judges):
            if level:
                crops = functional.avg_pool2d(crops, 3, stride=2, padding=1, count_include_pad=False)
            maps = [crops]
            for layer in judge.children():
                maps.append(layer(maps[-1]))
            results.append(maps[1:])
        return results


def _judge(width: int, layers: int) -> nn.ModuleList:
    channels = [min(width << level, 8 * width) for level in range(layers + 1)]
    stages: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, width, 4, 2, 2), nn.LeakyReLU(LEAK))]
    for level in range(1, layers + 1):
        stages.append(
            nn.Sequential(
                nn.Conv2d(channels[level - 1], channels[level], 4, 2 if level < layers else 1, 2, bias=False),
                nn.InstanceNorm2d(channels[level], affine=True),
                nn.LeakyReLU(LEAK),
            )
        )
    return nn.ModuleList([*stages, nn.Conv2d(channels[-1], 1, 4, padding=2)])
