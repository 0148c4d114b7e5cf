"""FaceDancer (thesis chapter 5.3): a U-net whose decoder is told who to become and learns what to take over.

The encoder halves the crop five times. The decoder normalises every map by the identity (AdaIN) and at each stage may
fuse it with the encoder's map of the same size. Which stages fuse, and how, is all that tells the configurations of
table 5.4 apart, so a `Configuration` is that list. The structure follows the published code's description; it is
checked against that code by `benchmarks/facedancer_parity.py`.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import torch
from torch import Tensor, nn

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import AFFA, LEAK, ResidualDown, ResidualUp, mapping


class Fusion(StrEnum):
    """How a decoder stage takes in the encoder's map of its input size."""

    NONE = "none"
    ADD = "add"
    CONCAT = "concat"
    AFFA = "affa"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of table 5.4.

    Attributes:
        fusions: of the six decoder stages, small maps first. At 256 px their inputs are 8, 16, 32, 64, 128, 256 px.
        mapping_depth: linear layers between the identity and the AdaINs; 0 hands the identity over as it is.
        ifsr: whether the row was trained with Interpreted Feature Similarity Regularization; the network is the same.
        milliseconds, gigabytes: the thesis's run time and memory, on hardware it does not name.
    """

    fusions: tuple[Fusion, ...]
    mapping_depth: int
    ifsr: bool
    milliseconds: float
    gigabytes: float


CONFIGURATIONS = {
    "baseline-1": Configuration((Fusion.CONCAT,) * 6, 4, True, 74.9, 1.25),
    "baseline-2": Configuration((Fusion.ADD,) * 6, 4, True, 70.2, 1.25),
    "a": Configuration((Fusion.NONE,) * 3 + (Fusion.AFFA,) * 3, 4, False, 75.8, 1.18),
    "b": Configuration((Fusion.NONE,) * 3 + (Fusion.AFFA,) * 3, 4, True, 75.8, 1.18),
    "c": Configuration((Fusion.NONE,) * 2 + (Fusion.AFFA,) * 3 + (Fusion.CONCAT,), 4, True, 78.3, 1.26),
    "d": Configuration((Fusion.AFFA,) * 5 + (Fusion.CONCAT,), 4, True, 78.2, 1.27),
    "e": Configuration((Fusion.AFFA,) * 5 + (Fusion.CONCAT,), 0, True, 64.6, 1.21),
}
"""The rows of table 5.4. C, D and E are those of the published code. The thesis says what A and B lack but not where
their AFFAs sit, and nothing about the baselines: putting AFFA at 64, 128 and 256 px, and taking Baseline 1 for
concatenation (the slower row) and Baseline 2 for addition, is our choice."""

WIDTH = 64


class FaceDancer(Generator):
    """(n, 3, side, side) and (n, 512) → (n, 3, side, side), no mask; the last layer is linear.

    Args:
        configuration: a row of table 5.4.
        side: of the crop, a multiple of 32; the network is fully convolutional, the thesis's is 256.
        width: channels at full resolution; the thesis's is 64, and all others are multiples of it.
        dimensions: of the identity; also the width of the mapping network.

    The published code feeds embeddings as the encoder gives them. Here an identity has length 1 like everywhere in
    this project, which changes nothing that training cannot undo (the first layer is linear); imported weights expect
    vectors of their encoder's length.
    """

    def __init__(
        self, configuration: Configuration, *, side: int = 256, width: int = WIDTH, dimensions: int = 512
    ) -> None:
        super().__init__()
        self.configuration, self.side, self.dimensions = configuration, side, dimensions
        down = [width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        up = [8 * width, 8 * width, 4 * width, 2 * width, width, 3]
        self.mapping = mapping(dimensions, dimensions, configuration.mapping_depth)
        self.first = nn.Conv2d(3, down[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(down))
        self.bottom = ResidualDown(down[-1], down[-1], pool=False)
        self.turn = ResidualUp(down[-1], down[-1], dimensions, grow=False)
        self.decoder = nn.ModuleList(
            _Stage(fusion, skip, outputs, dimensions, grow=outputs != 3)
            for fusion, skip, outputs in zip(configuration.fusions, reversed(down), up, strict=True)
        )

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        z = self.mapping(identities)
        skips = [self.first(crops)]
        for stage in self.encoder:
            skips.append(stage(skips[-1]))
        x = self.turn(self.bottom(skips[-1]), z)
        for stage, skip in zip(self.decoder, reversed(skips), strict=True):
            x = stage(skip, x, z)
        return Generated(x, None)


class _Stage(nn.Module):
    """Fusion with the encoder's map, then a residual AdaIN block."""

    def __init__(self, fusion: Fusion, channels: int, outputs: int, identity: int, *, grow: bool) -> None:
        super().__init__()
        self.fusion = fusion
        self.affa = AFFA(channels) if fusion is Fusion.AFFA else None
        inputs = 2 * channels if fusion is Fusion.CONCAT else channels
        self.up = ResidualUp(inputs, outputs, identity, grow=grow)

    def forward(self, skip: Tensor, x: Tensor, z: Tensor) -> Tensor:
        if self.affa is not None:
            x = self.affa(skip, x)
        elif self.fusion is Fusion.CONCAT:
            x = torch.cat([skip, x], dim=1)
        elif self.fusion is Fusion.ADD:
            x = skip + x
        result: Tensor = self.up(x, z)
        return result


class Discriminator(nn.Module):
    """FaceDancer's: (n, 3, side, side) → logits (n,), above 0 for real.

    Args:
        side: a multiple of 64, at least 128 (the last norm needs more than one pixel); the thesis's is 256.
        width: channels at full resolution.
    """

    def __init__(self, *, side: int = 256, width: int = WIDTH) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width, 8 * width]
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            *(ResidualDown(a, b, deep=True) for a, b in pairwise(channels)),
            nn.Conv2d(channels[-1], channels[-1], side // 64),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(channels[-1], 1, 1),
        )

    def forward(self, crops: Tensor) -> Tensor:
        logits: Tensor = self.body(crops)
        return logits.flatten()
