"""Quality against scikit-image, scipy and loops."""

import cv2
import numpy as np
import pytest
from scipy import linalg, ndimage
from skimage.color import rgb2lab

from masquerade.audit.quality import (
    Moments,
    boundary_visibility,
    colour_shift,
    detail_lost,
    flow_between,
    frechet_distance,
    kernel_distance,
    sharpness_kept,
    warped_difference,
)


def texture(seed=0, side=112):
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    rough = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(128 + 30 * rough / rough.std(), 0, 255).astype(np.uint8)


def coded(picture, quality=70):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def test_sharpness():
    face = texture()
    assert sharpness_kept(face, face) == 1
    by_scipy = [ndimage.laplace(one.astype(float), mode="mirror").var() for one in (face, texture(1) // 2)]
    assert sharpness_kept(face, texture(1) // 2) == pytest.approx(by_scipy[1] / by_scipy[0])
    assert sharpness_kept(face, cv2.GaussianBlur(face, (0, 0), 4)) < 0.1
    assert np.isnan(sharpness_kept(np.full((9, 9), 7, np.uint8), face[:9, :9]))


def test_colour_shift_is_scikit_images():
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 256, (20, 30, 3)).astype(np.uint8) for _ in range(2))
    expected = np.linalg.norm(rgb2lab(one).mean((0, 1)) - rgb2lab(two).mean((0, 1)))
    assert colour_shift(one, two) == pytest.approx(expected, abs=0.05)
    assert colour_shift(one, one) == 0


def test_a_hard_edge_is_seen_and_a_soft_one_is_not():
    face = cv2.GaussianBlur(texture(), (0, 0), 3)
    y, x = np.mgrid[:112, :112]
    away = np.hypot(x - 56, y - 56)
    hard = np.where(away < 30, 255 - face // 2, face).astype(np.uint8)
    weight = np.clip((45 - away) / 40, 0, 1)
    soft = np.rint(face + weight * 25).astype(np.uint8)
    assert boundary_visibility(face, hard) > 2.5
    assert 0.7 < boundary_visibility(face, soft) < 1.5
    assert np.isnan(boundary_visibility(face, face))


def test_the_edge_by_scipy():
    """A bright square that was set in: its band is five pixels wide about where the smoothed change passes 8 levels."""
    face = cv2.GaussianBlur(texture(), (0, 0), 3)
    after = face.copy()
    after[30:80, 40:90] = np.minimum(after[30:80, 40:90].astype(int) + 60, 255)
    change = ndimage.gaussian_filter(np.abs(after.astype(float) - face), 1.5, mode="mirror")
    inside, five = change > 8, np.ones((5, 5))
    band = ndimage.binary_dilation(inside, five) & ~ndimage.binary_erosion(inside, five)
    steep = [
        np.hypot(*(ndimage.sobel(one.astype(float), axis, mode="mirror") for axis in (0, 1)))[band].mean()
        for one in (face, after)
    ]
    assert boundary_visibility(face, after) == pytest.approx(steep[1] / steep[0], rel=0.02)


def everywhere(picture):
    return np.ones(picture.shape, bool)


@pytest.mark.parametrize("side", [24, 56, 112])
def test_what_is_only_encoded_again_loses_little_detail(side):
    face, sigma = cv2.resize(texture(), (side, side), interpolation=cv2.INTER_AREA), side / 12

    def lost(after):
        return detail_lost(face, after, sigma, everywhere(face))

    assert lost(face) == 0
    assert lost(coded(face)) < 0.3
    assert lost(np.zeros_like(face)) == pytest.approx(1, abs=1e-6)
    assert 0.8 < lost(cv2.GaussianBlur(face, (0, 0), 0.16 * side)) < 1.1
    assert lost(cv2.resize(texture(5), (side, side), interpolation=cv2.INTER_AREA)) > 0.8


def test_detail_is_that_of_the_pixels_that_count():
    face, half = texture(), np.zeros((112, 112), bool)
    half[:, :56] = True
    after = face.copy()
    after[:, 60:] = 0
    assert detail_lost(face, after, 1, half) < 0.01
    assert detail_lost(face, after, 1, ~half) > 0.9


def test_where_there_is_no_detail_nothing_is_said():
    flat = np.full((40, 40), 90, np.uint8)
    assert np.isnan(detail_lost(flat, flat, 3, everywhere(flat)))
    assert np.isnan(detail_lost(flat, texture(side=40), 3, everywhere(flat)))
    assert np.isnan(detail_lost(texture(), texture(), 3, np.zeros((112, 112), bool)))


def test_motion_is_no_flicker_and_flicker_is():
    long = texture(side=160)
    first, second = long[10:122, 10:122], long[10:122, 13:125]
    flow = flow_between(first, second)
    assert np.median(flow[20:-20, 20:-20, 0]) == pytest.approx(-3, abs=0.3)
    still = float(np.abs(first.astype(float) - second).mean())
    own = warped_difference(first, second, flow)
    assert own < still / 3
    assert warped_difference(first, cv2.add(second, 20), flow) == pytest.approx(20, abs=own + 1)
    nothing = np.zeros((112, 112, 2), np.float32)
    assert warped_difference(first, second, nothing) == pytest.approx(still, abs=0.01)


def features(seed, count=200, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 6)) @ rng.normal(size=(6, 6)) + shift


def test_frechet_distance_from_sums_that_add_up():
    a, b = features(0), features(1, shift=0.5)
    together = Moments.of(a[:50]) + Moments.of(a[50:])
    assert together.mean == pytest.approx(a.mean(0))
    assert together.covariance == pytest.approx(np.cov(a, rowvar=False))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(linalg.sqrtm(ca @ cb).real)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * root
    assert frechet_distance(together, Moments.of(b)) == pytest.approx(expected)
    assert frechet_distance(together, together) == pytest.approx(0, abs=1e-6)
    assert np.isnan(frechet_distance(Moments.of(a[:1]), together))


def test_kernel_distance_by_a_loop():
    a, b = features(0, 12), features(1, 9, shift=0.5)

    def k(x, y):
        return (float(x @ y) / 6 + 1) ** 3

    xx = np.mean([k(a[i], a[j]) for i in range(12) for j in range(12) if i != j])
    yy = np.mean([k(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    xy = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(xx + yy - 2 * xy)
    assert np.isnan(kernel_distance(a[:1], b))
