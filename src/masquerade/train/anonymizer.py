"""What an adversary is shown: faces anonymized on the training device, defended or not.

The adversary is a black-box one, it gets pairs of originals and results and nothing else. It sees what a picture shows
after `swap.blend` has put the face into it: the new face in a soft oval, the old surroundings around it, in 8 bits and
before any video encoder touched them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from masquerade.faces.align import template
from masquerade.nets.base import Generator
from masquerade.swap.blend import face_mask
from masquerade.swap.redact import BLUR_SIGMA, CELLS_ACROSS
from masquerade.train.conditions import conditions
from masquerade.train.grids import pixels
from masquerade.train.recipe import Defence, Method

FACE = 0.81
"""The longer side of a detector's face box, in sides of an aligned crop: what `swap.redact` measures in."""

Change = Callable[[Tensor], Tensor]


class Anonymizer(nn.Module):
    """Crops (n, 3, side, side), RGB, [−1, 1], and identities (n, d) → what is published, likewise, in 256 steps.

    Args:
        method: how faces are anonymized; all but "swapper" ignore the identities.
        generator: of "swapper".
        defences: what is done besides, in this order: to the target, to the swapper's weights, to the result. See
            `recipe.Defence`.
        reconstruct: whom "fgsm" defends against: crops → crops, differentiable.
        told: what the generator is told, of crops and identities; None for the identities.

    Everything random comes from torch's generators, so a seed fixes it.
    """

    def __init__(
        self,
        method: Method,
        generator: Generator | None = None,
        defences: list[Defence] | None = None,
        reconstruct: Change | None = None,
        told: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.method, self.generator = method, generator
        self.defences = defences or []
        self._reconstruct, self._told = reconstruct, told
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, crops: Tensor, identities: Tensor) -> Tensor:
        # Half precision would add noise of its own, which the published pictures do not have.
        with torch.autocast(crops.device.type, enabled=False):
            if self._told is not None:
                identities = self._told(crops, identities)
            target = crops
            for defence in self.defences:
                target = _BEFORE[defence.kind](target, defence.strength) if defence.kind in _BEFORE else target
            shown = self._put_into(crops, self._anonymized(target, identities))
            for defence in self.defences:
                shown = self._put_into(shown, self._after(shown, identities, defence))
            return shown

    def _put_into(self, old: Tensor, new: Tensor) -> Tensor:
        """As it is published: `new` where the face is."""
        new = new.float().clamp(-1, 1)
        return published(new if self.method in WHOLE else torch.lerp(old, new, oval(old.shape[-1]).to(old)))

    def _anonymized(self, crops: Tensor, identities: Tensor) -> Tensor:
        if self.method != "swapper":
            return REDACTIONS[self.method](crops)
        assert self.generator is not None
        told = conditions(self.generator, len(crops), crops.device)
        weights: dict[str, Any] = {}
        for defence in self.defences:
            if defence.kind == "parameters":
                weights = {
                    name: weight + defence.strength * _spread(weight) * torch.randn_like(weight)
                    for name, weight in self.generator.named_parameters()
                }
        made: Tensor = functional_call(self.generator, weights, (crops, identities), told).crops
        return made

    def _after(self, shown: Tensor, identities: Tensor, defence: Defence) -> Tensor:
        if defence.kind == "again":
            for _ in range(round(defence.strength)):
                shown = self._anonymized(shown, identities)
        elif defence.kind == "fgsm":
            assert self._reconstruct is not None
            shown = fgsm(shown, defence.strength, self._reconstruct)
        elif defence.kind in _AFTER:
            shown = _AFTER[defence.kind](shown, defence.strength)
        return shown


@cache
def oval(side: int) -> Tensor:
    """(1, side, side): 1 on the face of an aligned crop, 0 where `swap.blend` leaves the picture as it was."""
    return torch.from_numpy(face_mask(template(side), side))[None]


def published(crops: Tensor) -> Tensor:
    """Clipped and rounded to the 256 steps of an 8-bit picture, still in [−1, 1]."""
    return (crops.float().clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1


def low_resolution(crops: Tensor, side: float) -> Tensor:
    """Bottleneck: what the swapper is shown has been `side` pixels wide and is brought back without a new detail."""
    small = functional.adaptive_avg_pool2d(crops, round(side))
    return functional.interpolate(small, crops.shape[2:], mode="bilinear", align_corners=False)


def quantised(crops: Tensor, levels: float) -> Tensor:
    """Bottleneck: `levels` steps a channel, evenly spread over [−1, 1]."""
    steps = (levels - 1) / 2
    return ((crops.clamp(-1, 1) + 1) * steps).round() / steps - 1


def uniform_noise(crops: Tensor, size: float) -> Tensor:
    """X + ε · U(−1, 1), clipped (thesis table 5.8, "Noise Defense"; ε = 0.15 there)."""
    return (crops + size * (2 * torch.rand_like(crops) - 1)).clamp(-1, 1)


def fgsm(crops: Tensor, size: float, reconstruct: Change) -> Tensor:
    """clip(X + ε · sign ∇ mean|0 − R(X)|), R the attack that is known (table 5.8, "Adversarial Defense"; ε = 0.15)."""
    with torch.enable_grad():
        crops = crops.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(reconstruct(crops).abs().mean(), crops)
    return (crops.detach() + size * gradient.sign()).clamp(-1, 1)


def jpeg(crops: Tensor, quality: float) -> Tensor:
    """Through a JPEG file of that quality, 1 to 100, colour at half resolution."""

    def through(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        coded = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), np.uint8)

    with ThreadPoolExecutor() as pool:
        back = np.stack(list(pool.map(through, pixels(crops))))
    return torch.from_numpy(back).to(crops.device).permute(0, 3, 1, 2).float() / 127.5 - 1


def blurred(crops: Tensor) -> Tensor:
    """As wide as `swap.redact` blurs at strength 1."""
    sigma = BLUR_SIGMA * FACE * crops.shape[-1]
    reach = torch.arange(-round(3 * sigma), round(3 * sigma) + 1, device=crops.device)
    kernel = torch.exp(-((reach / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    radius = len(reach) // 2
    padded = functional.pad(crops, [radius] * 4, mode="replicate")
    across = functional.conv2d(padded, kernel[:, :, None], groups=3)
    return functional.conv2d(across, kernel[..., None], groups=3)


def pixelated(crops: Tensor) -> Tensor:
    """Cells about as large as those of `swap.redact` at strength 1."""
    cells = functional.adaptive_avg_pool2d(crops, round(CELLS_ACROSS / FACE))
    return functional.interpolate(cells, crops.shape[2:], mode="nearest-exact")


REDACTIONS: dict[str, Change] = {
    "blur": blurred,
    "pixelate": pixelated,
    "solid": torch.zeros_like,
    "hole": torch.zeros_like,
    "none": torch.Tensor.clone,
}
WHOLE = ("blur", "pixelate", "solid")
"""They cover a face's surroundings too: a margin of 0.3 is about the whole crop."""
_BEFORE: dict[str, Callable[[Tensor, float], Tensor]] = {"low_resolution": low_resolution, "quantised": quantised}
_AFTER: dict[str, Callable[[Tensor, float], Tensor]] = {"noise": uniform_noise, "jpeg": jpeg}


def _spread(weight: Tensor) -> Tensor:
    """How far a parameter's values lie apart; an offset that is one number has none."""
    return weight.std() if weight.numel() > 1 else torch.zeros_like(weight.sum())
