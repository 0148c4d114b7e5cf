"""What the networks that paint into a hole are told of an aligned crop: where the hole is and where landmarks lie.

A crop is aligned by its five landmarks, so they lie at the template, in every crop alike, and all conditions follow
from the side alone. The published networks are told more of the target: CIAGAN the contours of 68 landmarks,
DeepPrivacy the detected eyes, ears and shoulders. Five landmarks are what this project's detectors give; what is made
of them is ours.
"""

from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from masquerade.faces.align import template
from masquerade.nets.base import Generator
from masquerade.train.losses.scene import outside

_SHIFT = 4
"""Bits behind the point in OpenCV's coordinates."""


def conditions(generator: Generator, batch: int, device: torch.device) -> dict[str, Tensor]:
    """Those that the generator asks for, the same for every crop of the batch; none for most networks."""
    return {
        name: _CONDITIONS[name](generator.side).to(device).expand(batch, *shape)
        for name, shape in generator.conditions.items()
    }


@cache
def hole(side: int) -> Tensor:
    """(1, side, side): 1 on the face, 0 around it."""
    return (outside(side) == 0).float()[None]


@cache
def landmarks(side: int) -> Tensor:
    """CIAGAN's drawing, (3, side, side) in [0, 1]: white lines for the face's contour, its nose and its mouth."""
    points = template(side)
    left, right, nose, *mouth = points
    drawn = np.zeros((side, side), np.uint8)
    contours, _ = cv2.findContours(hole(side)[0].numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # The jaw: landmarks end at the ears, about the height of the eyes.
    jaw = np.array([point for point in contours[0][:, 0] if point[1] >= (left[1] + right[1]) / 2])
    drawn[jaw[:, 1], jaw[:, 0]] = 255
    for line in ([(left + right) / 2, nose], mouth):
        fixed = np.round(np.stack(line) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(drawn, [fixed], False, 255, 1, cv2.LINE_8, _SHIFT)
    return torch.from_numpy(drawn).float().div(255).expand(3, -1, -1)


@cache
def keypoints(side: int) -> Tensor:
    """DeepPrivacy's, (7, 2) in parts of the side: nose, subject's left and right eye; ears, shoulders: nobody knows."""
    left, right, nose, *_ = torch.from_numpy((template(side) + 0.5) / side).float()
    unknown = torch.full((4, 2), -1.0)
    return torch.cat([torch.stack([nose, right, left]), unknown])


_CONDITIONS = {"hole": hole, "landmarks": landmarks, "keypoints": keypoints}
