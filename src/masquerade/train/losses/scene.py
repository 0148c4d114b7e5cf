"""What around and on the face is nobody's identity and must stay: its light and colour, and the picture beside it."""

import torch
from torch import Tensor
from torch.nn import functional


def light(target: Tensor, result: Tensor, places: int = 8) -> Tensor:
    """Mean absolute difference of the pictures brought down to places x places pixels.

    Args:
        target, result: (n, 3, h, w).
    """
    return functional.l1_loss(
        functional.adaptive_avg_pool2d(result, places), functional.adaptive_avg_pool2d(target, places)
    )


def surroundings(target: Tensor, result: Tensor, front: Tensor | None = None) -> Tensor:
    """Mean absolute difference outside the face, (n, 3, side, side) each; between in and out it sets in gradually.

    Args:
        front: what lies before the face counts too, (n, side, side) from 0 to 1.
    """
    where = outside(target.shape[-1]).to(target).expand(len(target), -1, -1)
    if front is not None:
        where = torch.maximum(where, front.to(target))
    return ((target - result).abs() * where[:, None]).mean()


def outside(side: int) -> Tensor:
    """(side, side): 0 on the face of an aligned crop, 1 well beside it, where hair and background are.

    The face is an ellipse about the point between nose and mouth that holds brows, cheeks and chin.
    """
    places = (torch.arange(side) + 0.5) / side
    radius = torch.hypot((places[None] - 0.5) / 0.38, (places[:, None] - 0.56) / 0.48)
    return ((radius - 1) / 0.3).clamp(0, 1)
