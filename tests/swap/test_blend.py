import cv2
import numpy as np
import pytest

from masquerade.errors import FaceError
from masquerade.faces.align import align, estimate_similarity, template, transform
from masquerade.swap.blend import (
    blend,
    cut,
    eye_masks,
    face_mask,
    grained,
    matched,
    natural_eyes,
    sharpened,
    to_pixels,
    unstained,
)

SIDE = 128


def picture(height=300, width=400, dtype=np.uint8, seed=0):
    """Slow changes of light and colour, as on walls and faces."""
    coarse = np.random.default_rng(seed).uniform(0.2, 0.8, (6, 8, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return (smooth * np.iinfo(dtype).max).astype(dtype)


def landmarks(scale=1.5, angle=10.0, x=120, y=80):
    turn = np.deg2rad(angle)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (template(112) @ spin.T * scale + [x, y]).astype(np.float32)


def test_the_mask_covers_the_face_and_no_corner():
    mask = face_mask(template(SIDE), SIDE)
    assert mask.dtype == np.float32
    assert 0 <= mask.min() <= mask.max() <= 1
    points = template(SIDE).round().astype(int)
    assert (mask[points[:, 1], points[:, 0]] == 1).all()
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() < 0.03
    # Soft everywhere: no step that an eye could see.
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2
    assert np.abs(np.diff(mask, axis=1)).max() < 0.2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_face_that_did_not_change_leaves_a_smooth_picture_as_it_was(dtype):
    image = picture(dtype=dtype)
    matrix = estimate_similarity(landmarks(), template(SIDE))
    same = blend(image, cut(image, matrix, SIDE), matrix, face_mask(template(SIDE), SIDE))
    worst = np.abs(same.astype(float) - image).max() / np.iinfo(dtype).max
    assert worst < 0.02
    assert same.dtype == dtype


def test_pixels_outside_the_mask_keep_their_bits():
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    points = landmarks()
    matrix = estimate_similarity(points, template(SIDE))
    new = np.zeros((SIDE, SIDE, 3), np.float32)
    result = blend(image, new, matrix, face_mask(template(SIDE), SIDE))
    changed = (result != image).any(axis=2)
    ys, xs = np.nonzero(changed)
    crop = transform(np.stack([xs, ys], axis=1), matrix)
    assert changed.any()
    assert crop.min() > -4
    assert crop.max() < SIDE + 4
    # And everything well inside is new.
    inside = transform(points, np.eye(2, 3)).round().astype(int)
    assert changed[inside[:, 1], inside[:, 0]].all()


def test_light_is_taken_over_and_detail_is_not():
    rng = np.random.default_rng(2)
    detail = rng.normal(0, 0.05, (SIDE, SIDE, 3)).astype(np.float32)
    side_light = np.linspace(-0.1, 0.1, SIDE, dtype=np.float32)[None, :, None]
    old = np.broadcast_to(side_light, (SIDE, SIDE, 3)).astype(np.float32)
    new = (detail + 0.15).astype(np.float32)
    mask = face_mask(template(SIDE), SIDE)
    result = matched(new, old, mask)
    ring = (mask > 0.2) & (mask < 0.8)
    assert abs((result - old)[ring].mean()) < 0.02
    assert abs((new - old)[ring].mean()) > 0.1
    change = result - new
    assert np.abs(cv2.Laplacian(change, cv2.CV_32F)).max() < 0.02
    left, right = result[60:70, 10:30].mean(), result[60:70, 98:118].mean()
    assert right - left > 0.08


def test_something_dark_in_front_does_not_darken_the_face():
    mask = face_mask(template(SIDE), SIDE)
    old = np.zeros((SIDE, SIDE, 3), np.float32)
    old[:, :12] = -1  # a pole at the edge of the face
    result = matched(np.zeros((SIDE, SIDE, 3), np.float32), old, mask)
    assert abs(result[64, 64].mean()) < 0.03


@pytest.mark.parametrize("scale", [0.7, 1.5, 3.2])
@pytest.mark.parametrize("sigma", [0.0, 2.0, 5.0])
def test_grain_is_as_strong_as_the_pictures_own_however_large_the_face(sigma, scale):
    rng = np.random.default_rng(3)
    image = (picture(500, 600).astype(float) + rng.normal(0, sigma, (500, 600, 1))).clip(0, 255).astype(np.uint8)
    matrix = estimate_similarity(landmarks(scale, x=100, y=60), template(SIDE))
    # What a swapper gives is smooth: the picture's light without its noise.
    smooth = cut(picture(500, 600), matrix, SIDE)
    result = blend(image, smooth, matrix, face_mask(template(SIDE), SIDE), seed=7).astype(float)
    x, y = landmarks(scale, x=100, y=60).mean(axis=0).astype(int)
    half = int(20 * scale)
    face = np.s_[y - half : y + half, x - half : x + half]
    left = result[face] - cv2.GaussianBlur(result, (0, 0), 3)[face]
    assert abs(left.std() - sigma) < 0.15 * sigma + 0.6
    again = blend(image, smooth, matrix, face_mask(template(SIDE), SIDE), seed=7)
    np.testing.assert_array_equal(result, again)


def test_grain_is_the_generators_and_nothing_of_the_old_face():
    image = picture().astype(float) + np.random.default_rng(3).normal(0, 5, (300, 400, 1))
    image = image.clip(0, 255).astype(np.uint8)
    matrix = estimate_similarity(landmarks(), template(SIDE))
    smooth = cut(picture(), matrix, SIDE)
    result = blend(image, smooth, matrix, face_mask(template(SIDE), SIDE))
    x, y = landmarks().mean(axis=0).astype(int)
    face = np.s_[y - 30 : y + 30, x - 30 : x + 30]
    noises = [(p.astype(float) - picture())[face].mean(axis=2).ravel() for p in (image, result)]
    assert abs(np.corrcoef(noises)[0, 1]) < 0.1


def test_a_swapper_that_keeps_the_noise_gets_no_more_of_it():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (80, 80, 3), np.uint8)
    np.testing.assert_array_equal(grained(image, image, np.ones((80, 80), np.float32), 0), image)


def test_a_face_at_the_border_is_blended_as_far_as_it_shows():
    image = picture()
    points = landmarks(x=-60, y=-50)
    matrix = estimate_similarity(points, template(SIDE))
    result = blend(image, np.full((SIDE, SIDE, 3), 0.9, np.float32), matrix, face_mask(template(SIDE), SIDE))
    assert (result != image).any()


def test_what_does_not_belong_together_is_refused():
    image = picture()
    crop, matrix = align(image, landmarks(), SIDE)
    with pytest.raises(FaceError, match="float32"):
        blend(image, crop, matrix, face_mask(template(SIDE), SIDE))  # type: ignore[arg-type]


def test_crops_become_pixels_again():
    image = picture(SIDE, SIDE)
    matrix = estimate_similarity(template(SIDE), template(SIDE))
    np.testing.assert_array_equal(to_pixels(cut(image, matrix, SIDE)), image)


def test_a_soft_face_becomes_as_sharp_as_the_old_one_and_no_sharper():
    rng = np.random.default_rng(3)
    mask = face_mask(template(SIDE), SIDE)
    old = cv2.GaussianBlur(rng.uniform(-1, 1, (SIDE, SIDE, 3)).astype(np.float32), (0, 0), 1.0)

    def fine(crop):
        return (crop - cv2.GaussianBlur(crop, (0, 0), 1.25))[mask > 0.5].std()

    soft = cv2.GaussianBlur(old, (0, 0), 0.6)
    raised = sharpened(soft, old, mask)
    assert fine(soft) < 0.8 * fine(old)
    # The band is raised as a whole, so what lies just outside of it comes along.
    assert fine(soft) * 1.1 < fine(raised) < 1.25 * fine(old)
    np.testing.assert_array_equal(sharpened(old, soft, mask), old)
    flat = np.zeros_like(old)
    np.testing.assert_array_equal(sharpened(flat, old, mask), flat)
    assert np.isfinite(sharpened(soft, old, np.zeros_like(mask))).all()


def an_eyed_face(iris, white=(0.8, 0.8, 0.8), skin=(0.4, 0.1, -0.1)):
    """A crop of one skin with two eyes, [−1, 1]."""
    face = np.tile(np.array(skin, np.float32), (SIDE, SIDE, 1))
    for x, y in template(SIDE)[:2].round().astype(int).tolist():
        cv2.ellipse(face, (x, y), (9, 4), 0, 0, 360, white, -1)
        cv2.circle(face, (x, y), 3, iris, -1)
    return face


def test_a_stain_goes_and_another_colour_of_the_whole_face_stays():
    mask = face_mask(template(SIDE), SIDE)
    old = np.full((SIDE, SIDE, 3), (0.3, 0.1, 0.0), np.float32)
    other = old + np.array([-0.3, -0.35, -0.2], np.float32)
    np.testing.assert_allclose(unstained(other, old, mask), other, atol=0.01)
    stained, where = other.copy(), np.s_[60:76, 30:46]
    stained[where] += np.array([0.5, -0.2, -0.1], np.float32)
    made = unstained(stained, old, mask)

    def apart(crop):
        """Redness there and elsewhere."""
        return float(crop[66:70, 36:40].mean((0, 1)) @ (1, -1, 0) - crop[90:94, 60:64].mean((0, 1)) @ (1, -1, 0))

    assert apart(stained) > 0.6
    assert abs(apart(made)) < 0.15
    # Light and dark are as they were made.
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(made @ luma, stained @ luma, atol=0.01)


def test_where_hardly_anything_shows_there_is_no_stain():
    new = np.full((SIDE, SIDE, 3), 0.1, np.float32)
    assert unstained(new, -new, np.full((SIDE, SIDE), 0.4, np.float32)) is new


def test_taking_stains_away_brings_back_no_detail_of_the_old_face():
    mask = face_mask(template(SIDE), SIDE)
    new = np.full((SIDE, SIDE, 3), 0.1, np.float32)
    fine = np.indices((SIDE, SIDE)).sum(0) % 2 * 0.6 - 0.3
    old = new + np.dstack([fine, -fine, 0 * fine]).astype(np.float32)
    assert unstained(new, old, mask).std(axis=(0, 1)).max() < 0.01


def test_eyes_lose_colours_that_they_did_not_have_and_nothing_else_changes():
    eyes = eye_masks(template(SIDE), SIDE)
    old, new = an_eyed_face((-0.8, -0.85, -0.9)), an_eyed_face((0.1, -0.6, 0.4))
    made = natural_eyes(new, old, eyes)
    (x, y), (other, _) = template(SIDE)[:2].round().astype(int)
    colour = np.ptp(made[y, [x, other]], axis=1)
    assert np.ptp(new[y, x]) == pytest.approx(1.0) and colour.max() < 0.6
    assert (made[y, [x, other]].mean(axis=1) < new[y, x].mean() - 0.1).all(), "as dark as they were, or nearly"
    outside = np.maximum(*eyes) == 0
    np.testing.assert_allclose(made[outside], new[outside], atol=1e-3)
    assert outside.mean() > 0.9


def test_eyes_that_are_as_the_old_ones_stay_and_pale_old_ones_make_no_pale_new_ones():
    eyes = eye_masks(template(SIDE), SIDE)
    old = an_eyed_face((-0.8, -0.85, -0.9))
    np.testing.assert_allclose(natural_eyes(old, old, eyes), old, atol=0.02)
    pale = an_eyed_face((0.2, 0.1, 0.0), skin=(0.3, 0.1, -0.1))
    made = natural_eyes(old, pale, eyes)
    x, y = template(SIDE)[0].round().astype(int)
    assert made[y, x].mean() == pytest.approx(old[y, x].mean(), abs=0.05)
    assert natural_eyes(old, pale, ()) is old
