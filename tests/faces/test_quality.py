"""Quality falls with size, detail, light and turning, and knows what is no measure of it."""

import cv2
import numpy as np
import pytest

from masquerade.errors import FaceError
from masquerade.faces.align import template
from masquerade.faces.quality import contrast, frontality, quality, sharpness, size_quality
from masquerade.types import Box

FRONT = template(112)
LARGE = Box(0, 0, 80, 100)


@pytest.fixture
def crop():
    """Fine structure of full contrast, as skin, lashes and hair have."""
    rng = np.random.default_rng(1)
    coarse = cv2.resize(rng.integers(0, 255, (28, 28), np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)
    return np.repeat(coarse[..., None], 3, axis=2)


def test_best(crop):
    assert quality(crop, FRONT, LARGE) > 0.8


@pytest.mark.parametrize(
    "worse",
    [
        lambda crop: (cv2.GaussianBlur(crop, (0, 0), 8), FRONT, LARGE),
        lambda crop: ((crop * 0.1).astype(np.uint8), FRONT, LARGE),
        lambda crop: (crop, FRONT, Box(0, 0, 20, 26)),
        lambda crop: (crop, FRONT + np.float32([[0, 0], [0, 0], [14, 0], [0, 0], [0, 0]]), LARGE),
    ],
    ids=["blurred", "dark", "small", "turned"],
)
def test_each_reason_alone_is_enough(crop, worse):
    assert quality(*worse(crop)) < 0.5


def test_what_lies_beside_the_face_does_not_count(crop):
    lamp = np.full_like(crop, 30)
    lamp[:20, :20] = 255
    assert quality(lamp, FRONT, LARGE) == 0


def test_ends(crop):
    grey = np.ascontiguousarray(crop[..., 0])
    assert (size_quality(Box(0, 0, 12, 90)), size_quality(Box(0, 0, 48, 48))) == (0, 1)
    assert sharpness(np.full((20, 20), 9, np.uint8)) == 0 and contrast(np.full((20, 20), 9, np.uint8)) == 0
    assert contrast(grey) == 1
    assert frontality(np.zeros((5, 2))) == 0
    # Moved, turned and scaled, a face looks at us as before.
    turned = (FRONT @ [[0.6, 0.8], [-0.8, 0.6]]) * 3 + 50
    assert frontality(turned) == pytest.approx(frontality(FRONT), abs=1e-4)


def test_what_is_no_crop(crop):
    for bad in ((crop[..., 0], FRONT), (crop.astype(np.float32), FRONT), (crop, FRONT[:4])):
        with pytest.raises(FaceError, match="quality"):
            quality(*bad, LARGE)
