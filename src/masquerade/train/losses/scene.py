"""What around and on the face is nobody's identity and stays: light, what eyes and mouth do, the picture beside it."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from masquerade.faces.align import template

_HALVES = ((0.11, 0.065), (0.11, 0.065), (0.17, 0.10))
"""Half the width and height of the boxes about the eyes and the mouth, in parts of the crop's side."""


def light(target: Tensor, result: Tensor, places: int = 8) -> Tensor:
    """Mean absolute difference of the pictures brought down to places x places pixels.

    Args:
        target, result: (n, 3, h, w).
    """
    return functional.l1_loss(
        functional.adaptive_avg_pool2d(result, places), functional.adaptive_avg_pool2d(target, places)
    )


def features(target: Tensor, result: Tensor) -> Tensor:
    """How differently eyes and mouth look, but for the mean colour around them: lids, gaze, teeth, glasses' rims.

    The mean absolute difference in three boxes of the aligned crop at half its resolution, from which each box's mean
    is taken: whose skin it is does not count, and what is finer (lashes, the iris' pattern) neither.

    Args:
        target, result: aligned crops (n, 3, side, side).
    """
    apart = functional.avg_pool2d(result - target, 2)
    side = apart.shape[-1]
    eye, other_eye, _, *corners = template(side)
    boxes = []
    for centre, half in zip((eye, other_eye, np.mean(corners, 0)), _HALVES, strict=True):
        first, last = np.rint(centre - side * np.array(half)), np.rint(centre + side * np.array(half))
        (left, top), (right, bottom) = first.astype(int).tolist(), last.astype(int).tolist()
        box = apart[:, :, top : bottom + 1, left : right + 1]
        boxes.append((box - box.mean((2, 3), keepdim=True)).abs().mean())
    return torch.stack(boxes).mean()


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
