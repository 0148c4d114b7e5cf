"""Margin softmax losses: pull a face toward its person's prototype and away from everybody else's.

With θ_j the angle between embedding and prototype j, y the right person and s a scale, both are cross entropy over the
logits s·cos θ_j in which the right person's logit is made harder:

    CosFace (Wang et al. 2018):  s·(cos θ_y − m)
    ArcFace (Deng et al. 2019):  s·cos(θ_y + m)
"""

import torch
from torch import Tensor
from torch.nn import functional


def cosface(cosines: Tensor, people: Tensor, *, margin: float = 0.35, scale: float = 32.0) -> Tensor:
    """Mean loss of a batch.

    Args:
        cosines: between embeddings and prototypes, shape (n, k), −1 to 1.
        people: the right prototype of each row, int64, shape (n,).
        margin: in units of cosine.
        scale: sharpness of the softmax.
    """
    return _with_logit(cosines, people, _right(cosines, people) - margin, scale)


def arcface(cosines: Tensor, people: Tensor, *, margin: float = 0.5, scale: float = 32.0) -> Tensor:
    """Mean loss of a batch; arguments as for `cosface`, but the margin is an angle in radians.

    Beyond θ = π − m the angle would pass π and the logit would rise again; there the loss goes on falling by the
    straight line cos θ − m·sin m, as the paper's authors do.
    """
    right = _right(cosines, people)
    angle = torch.acos(right.clamp(-1 + 1e-6, 1 - 1e-6))
    margin_tensor = torch.as_tensor(margin)
    harder = torch.where(
        angle + margin <= torch.pi, torch.cos(angle + margin), right - margin * torch.sin(margin_tensor)
    )
    return _with_logit(cosines, people, harder, scale)


def _right(cosines: Tensor, people: Tensor) -> Tensor:
    return cosines.gather(1, people[:, None])[:, 0]


def _with_logit(cosines: Tensor, people: Tensor, right: Tensor, scale: float) -> Tensor:
    return functional.cross_entropy(
        scale * cosines.scatter(1, people[:, None], right[:, None].to(cosines.dtype)), people
    )
