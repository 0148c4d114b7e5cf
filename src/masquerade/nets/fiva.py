"""FIVA's generator (thesis chapter 5.4): an auto-encoder that is told who the target is and becomes somebody else.

The thesis calls FIVA an enhanced Gafni et al.; its layers are not published. From Gafni et al.: an encoder-decoder with
a descriptor of the target injected at the bottleneck, which paints a picture r and a mask m and gives m · r + (1 − m) ·
x, so that the mask learns to leave alone what covers the face and what surrounds it. Our choices: FaceDancer's residual
blocks, the identity also in every decoder block by AdaIN, no connections between encoder and decoder besides the
bottleneck (nothing of the target's face passes around it, save through the mask), and all sizes.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from masquerade.nets.base import Generated, Generator
from masquerade.nets.blocks import LEAK, ResidualDown, ResidualUp, blend, instance_norm


class FIVA(Generator):
    """(n, 3, side, side) and (n, dimensions) → (n, 3, side, side) and a mask.

    **The identity is the one to get away from**: trained with `train.losses.counterfactual`, the result of z looks like
    −z. Give the target's own embedding, or an anchor near it, to anonymise; `swap` gives the face of a source instead.

    Args:
        side: of the crop, a multiple of 32, at least 64.
        width: channels at full resolution; all others are multiples of it.
        dimensions: of the identity.
    """

    def __init__(self, *, side: int = 256, width: int = 64, dimensions: int = 512) -> None:
        super().__init__()
        self.side, self.dimensions = side, dimensions
        down = [width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), *(ResidualDown(a, b) for a, b in pairwise(down))
        )
        self.inject = nn.Conv2d(down[-1] + dimensions, down[-1], 1)
        self.decoder = nn.ModuleList(ResidualUp(a, b, dimensions) for a, b in pairwise(down[::-1]))
        self.paint = nn.Sequential(instance_norm(width), nn.LeakyReLU(LEAK), nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        x = self.encoder(crops)
        everywhere = identities[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = self.inject(torch.cat([x, everywhere], dim=1))
        for stage in self.decoder:
            x = stage(x, identities)
        painted = self.paint(x)
        picture, mask = torch.tanh(painted[:, :3]), torch.sigmoid(painted[:, 3:])
        return Generated(blend(crops, picture, mask), mask)

    def swap(self, crops: Tensor, sources: Tensor) -> Generated:
        """The faces of `sources`, (n, dimensions): G(x, −z_s), since getting away from −z_s is to arrive at z_s."""
        return self.forward(crops, -sources)
