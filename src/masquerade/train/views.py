"""How recognisers are made to look at a result in training: never twice the same way.

A network that is judged by one fixed look learns to please that look, with lipstick and eye-shadow. So target and
result are moved, lit and coloured a little, both by the same amounts, and only then recognised.
"""

import torch
from torch import Tensor
from torch.nn import functional

from masquerade.train import processes
from masquerade.train.data import INPUT

_TURN, _SCALE, _SHIFT = 0.07, 0.04, 0.03
"""Standard deviations: radians, of the logarithm, and in half sides."""
_CONTRAST, _GAIN, _BRIGHTNESS = 0.15, 0.08, 0.1
"""Standard deviations: of the logarithm, twice, and in the unit of [−1, 1]."""
_GREY, _COARSE = 0.1, 0.25
"""How often a face loses its colour, and a batch every second pixel."""


class View:
    """One way to look at a batch, drawn at random (from the CPU's generator, so alike on every device)."""

    def __init__(self, batch: int) -> None:
        own, batch = processes.own, batch * processes.count()
        turn = _TURN * torch.randn(batch)
        scale = torch.exp(_SCALE * torch.randn(batch))
        shift = _SHIFT * torch.randn(batch, 2, 1)
        cos, sin = scale * turn.cos(), scale * turn.sin()
        matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        self.warp = own(torch.cat([matrix, shift], 2))
        self.gain = own(torch.exp(_CONTRAST * torch.randn(batch, 1, 1, 1) + _GAIN * torch.randn(batch, 3, 1, 1)))
        self.offset = own(_BRIGHTNESS * torch.randn(batch, 1, 1, 1))
        self.grey = own((torch.rand(batch, 1, 1, 1) < _GREY).float())
        self.coarse = bool(torch.rand(()) < _COARSE)

    def __call__(self, crops: Tensor) -> Tensor:
        """(n, 3, side, side), RGB, about [−1, 1] → (n, 3, 112, 112), float32."""
        # Half precision would move points by a quarter of a pixel.
        with torch.autocast(crops.device.type, enabled=False):
            return self._seen(crops.float())

    def _seen(self, crops: Tensor) -> Tensor:
        grid = functional.affine_grid(self.warp.to(crops), [len(crops), 3, INPUT, INPUT], align_corners=False)
        seen = functional.grid_sample(crops, grid, padding_mode="border", align_corners=False)
        seen = seen * self.gain.to(crops) + self.offset.to(crops)
        grey = self.grey.to(crops)
        seen = torch.lerp(seen, seen.mean(1, keepdim=True).expand_as(seen), grey)
        if self.coarse:
            seen = functional.interpolate(functional.avg_pool2d(seen, 2), (INPUT, INPUT), mode="bilinear")
        return seen
