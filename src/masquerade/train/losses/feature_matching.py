"""Attributes kept by comparing inner maps of networks that are being trained too."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def weak_feature_matching(target: Sequence[Sequence[Tensor]], result: Sequence[Sequence[Tensor]], last: int) -> Tensor:
    """SimSwap's: Σ over scales, Σ over the deepest layers i of mean |D_i(target) − D_i(result)|.

    pix2pixHD compares all layers; the shallow ones, which hold texture and with it identity, are left out here, hence
    weak. The logits take no part, as in pix2pixHD.

    Args:
        target, result: for each scale the maps of all layers, the logits last, as `nets.patches` gives them; no
            gradient reaches the target's.
        last: how many layers before the logits are compared.
    """
    parts = [
        functional.l1_loss(b, a.detach())
        for scale_a, scale_b in zip(target, result, strict=True)
        for a, b in zip(scale_a[-1 - last : -1], scale_b[-1 - last : -1], strict=True)
    ]
    return sum(parts[1:], start=parts[0])


def attribute_matching(target: Sequence[Tensor], result: Sequence[Tensor]) -> Tensor:
    """FaceShifter's: ½ Σ_k mean (z_k(target) − z_k(result))², z_k the maps of its attribute encoder; weight 10."""
    parts = [functional.mse_loss(b, a) / 2 for a, b in zip(target, result, strict=True)]
    return sum(parts[1:], start=parts[0])
