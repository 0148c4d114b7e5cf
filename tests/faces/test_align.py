"""Alignment against scikit-image, against algebra, and against pictures whose answer is known."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.transform import SimilarityTransform, estimate_transform

from masquerade.errors import FaceError
from masquerade.faces import align as a

coordinates = st.floats(-4000, 4000, width=32)
five_points = arrays(np.float64, (5, 2), elements=coordinates)


def similarity(scale, degrees, shift):
    return SimilarityTransform(scale=scale, rotation=np.deg2rad(degrees), translation=shift).params[:2]


similarities = st.builds(
    similarity, st.floats(0.05, 20), st.floats(-180, 180), st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000))
)


def spread(points):
    return np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[0]


# --- estimation ---------------------------------------------------------------------------------------------------


@given(five_points, five_points)
def test_random_points_agree_with_scikit_image(origin, goal):
    assume(spread(origin) > 1 and spread(goal) > 1)
    a_, b_ = origin - origin.mean(axis=0), goal - goal.mean(axis=0)
    singular = np.linalg.svd(b_.T @ a_, compute_uv=False)
    assume(singular[1] > 1e-6 * singular[0])  # points on a line have their own test
    assume(singular[0] - singular[1] > 1e-3 * singular[0])  # mirrored circles fit every rotation equally well
    expected = estimate_transform("similarity", origin, goal)
    assume(bool(expected) and expected.scale > 1e-6)
    np.testing.assert_allclose(
        a.estimate_similarity(origin, goal), expected.params[:2], rtol=1e-6, atol=1e-6 * (1 + np.abs(goal).max())
    )


@given(similarities, five_points)
def test_a_similarity_is_found_again(matrix, origin):
    assume(spread(origin) > 1)
    goal = a.transform(origin, matrix)
    found = a.estimate_similarity(origin, goal)
    np.testing.assert_allclose(a.transform(origin, found), goal, atol=1e-6 * (1 + np.abs(goal).max()))


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -135])
def test_a_known_rotation_in_the_direction_that_the_arguments_say(degrees):
    expected = similarity(2, degrees, (10, -5))
    origin = a.template(112)
    np.testing.assert_allclose(a.estimate_similarity(origin, a.transform(origin, expected)), expected, atol=1e-9)


def test_mirrored_points_are_never_met_by_a_mirror():
    origin = a.template(112)
    mirrored = origin * [-1, 1]
    matrix = a.estimate_similarity(origin, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0
    np.testing.assert_allclose(matrix, estimate_transform("similarity", origin, mirrored).params[:2], atol=1e-4)


@given(
    similarities,
    st.lists(st.integers(-500, 500), min_size=2, max_size=6, unique=True),
    st.floats(-180, 180),
)
def test_points_on_a_line_still_fix_a_rotation_without_a_mirror(matrix, steps, degrees):
    direction = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    origin = np.array(steps, float)[:, None] * direction
    goal = a.transform(origin, matrix)
    found = a.estimate_similarity(origin, goal)
    assert np.linalg.det(found[:, :2]) > 0
    np.testing.assert_allclose(found, matrix, atol=1e-6 * (1 + np.abs(goal).max()))


@pytest.mark.parametrize(
    ("origin", "goal"),
    [
        (np.full((5, 2), 7.0), a.template(112)),
        (a.template(112), np.full((5, 2), 7.0)),
        ([[0, 0], [1, 0], [0, 1], [1, 1]], [[0, 0], [0, 1], [0, 1], [0, 0]]),  # turns that cancel out
        ([[1.0, 2.0]], [[1.0, 2.0]]),
        (a.template(112)[:4], a.template(112)),
        (np.zeros((5, 3)), np.zeros((5, 3))),
        (np.full((5, 2), 1e308), a.template(112)),
    ],
)
def test_points_that_fix_nothing_are_refused(origin, goal):
    with pytest.raises(FaceError), np.errstate(all="ignore"):
        a.estimate_similarity(origin, goal)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_landmarks_that_are_not_finite_are_refused(bad):
    points = a.template(112).copy()
    points[3, 1] = bad
    with pytest.raises(FaceError, match="finite"):
        a.align(np.zeros((200, 200, 3), np.uint8), points, 112)


def test_the_template_scales_with_the_crop():
    np.testing.assert_allclose(a.template(256), a.template(112) * 256 / 112, rtol=1e-6)
    assert a.template(112).shape == (5, 2)


# --- the way back -------------------------------------------------------------------------------------------------


@given(similarities)
def test_the_inverse_of_the_thesis_is_that_of_algebra(matrix):
    expected = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    np.testing.assert_allclose(a.invert(matrix), expected, atol=1e-7 * (1 + np.abs(expected).max()))


@given(similarities, five_points)
def test_there_and_back_is_where_it_was(matrix, points):
    assert a.round_trip_error(points, matrix) < 1e-6 * (1 + np.abs(points).max() + np.abs(matrix).max())


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_what_cannot_be_undone_is_refused(matrix):
    with pytest.raises(FaceError):
        a.invert(matrix)


# --- warping ------------------------------------------------------------------------------------------------------

KINDS = [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)]


def picture(dtype=np.uint8, top=255, height=97, width=131, channels=3):
    values = np.random.default_rng(0).random((height, width, channels))
    return (values * top).astype(dtype)


@pytest.mark.parametrize(("dtype", "top"), KINDS)
def test_standing_still_changes_no_bit(dtype, top):
    image = picture(dtype, top)
    same = a.warp(image, np.eye(2, 3), (131, 97))
    assert same.dtype == dtype
    np.testing.assert_array_equal(same, image)


def test_whole_shifts_and_quarter_turns_move_pixels_exactly():
    image = picture(height=40, width=40)
    shifted = a.warp(image, np.array([[1.0, 0, 3], [0, 1, -2]]), (40, 40))
    np.testing.assert_array_equal(shifted[:38, 3:], image[2:, :37])
    turned = a.warp(image, np.array([[0.0, -1, 39], [1, 0, 0]]), (40, 40))
    np.testing.assert_array_equal(turned, np.rot90(image, -1))


def test_grey_and_single_channel_pictures_keep_their_shape():
    assert a.warp(picture()[..., 0], np.eye(2, 3) * 0.5, (60, 40)).shape == (40, 60)
    assert a.warp(picture(channels=1), np.eye(2, 3), (60, 40)).shape == (40, 60, 1)


@pytest.mark.parametrize(("dtype", "top"), KINDS)
@pytest.mark.parametrize("shrink", [1.7, 2, 3, 5.5, 9])
@pytest.mark.parametrize("degrees", [0, 20])
def test_fine_stripes_turn_grey_instead_of_aliasing(dtype, top, shrink, degrees):
    image = np.zeros((700, 700, 3), dtype)
    image[:, ::2] = top
    matrix = similarity(1 / shrink, degrees, (0, 0))
    matrix[:, 2] = 32 - matrix[:, :2] @ [350, 350]
    crop = a.warp(image, matrix, (64, 64)).astype(float) / top
    assert np.abs(crop - 0.5).max() < 0.1  # without smoothing 0.5


def test_shrinking_follows_a_smooth_picture_without_a_shift():
    y, x = np.mgrid[0:900, 0:900].astype(np.float32)
    ramp = np.stack([x, y, x + y], axis=-1)
    for shrink in (1, 1.5, 2.6, 4, 7.3, 11):
        matrix = similarity(1 / shrink, 15, (0, 0))
        matrix[:, 2] = 30 - matrix[:, :2] @ [450, 450]
        crop = a.warp(ramp, matrix, (61, 61))
        v, u = np.mgrid[0:61, 0:61]
        source = a.transform(np.column_stack([u.ravel(), v.ravel()]), a.invert(matrix)).reshape(61, 61, 2)
        np.testing.assert_allclose(crop[..., :2], source, atol=0.02 * shrink + 0.02)


def test_beyond_the_border_the_outermost_pixels_go_on():
    image = np.full((50, 50, 3), 90, np.uint8)
    for shift in (30, 500):  # partly and wholly outside
        crop = a.warp(image, np.array([[1.0, 0, shift], [0, 1, shift]]), (40, 40))
        np.testing.assert_array_equal(crop, np.full((40, 40, 3), 90, np.uint8))


def test_a_huge_picture_costs_no_more_than_its_visible_part():
    image = np.zeros((100, 40_000, 3), np.uint8)  # wider than OpenCV's warp takes
    image[40:60, 39_000:] = 200
    crop = a.warp(image, np.array([[1.0, 0, -39_100], [0, 1, -40]]), (50, 20))
    np.testing.assert_array_equal(crop, np.full((20, 50, 3), 200, np.uint8))


# --- crops of faces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [112, 128, 256])
@pytest.mark.parametrize("degrees", [0, 40, 175])
def test_the_landmarks_of_a_turned_face_land_on_the_template(size, degrees):
    height, width = 480, 640
    there = similarity(1.6, degrees, (0, 0))
    there[:, 2] = np.array([320, 240]) - there[:, :2] @ [56, 70]
    landmarks = a.transform(a.template(112), there)
    image = np.zeros((height, width, 3), np.float32)
    y, x = np.mgrid[0:height, 0:width]
    for px, py in landmarks:
        image += np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 4.0**2))[..., None].astype(np.float32)
    crop, matrix = a.align(image, landmarks, size)
    np.testing.assert_allclose(a.transform(landmarks, matrix), a.template(size), atol=1e-4)
    v, u = np.mgrid[0:size, 0:size]
    for px, py in a.template(size):
        near = np.exp(-((u - px) ** 2 + (v - py) ** 2) / (2 * (size / 20) ** 2)) * crop[..., 0]
        near[(u - px) ** 2 + (v - py) ** 2 > (size / 8) ** 2] = 0
        found = np.array([(near * u).sum(), (near * v).sum()]) / near.sum()
        np.testing.assert_allclose(found, [px, py], atol=0.02 * size / 10 + 0.1)


def soft_disc(size, radius=0.35):
    y, x = np.mgrid[0:size, 0:size]
    distance = np.hypot(x - (size - 1) / 2, y - (size - 1) / 2) / size
    return np.clip((radius - distance) / 0.1, 0, 1).astype(np.float32)


@given(
    st.floats(0.1, 6),
    st.floats(-180, 180),
    st.tuples(st.floats(-100, 250), st.floats(-100, 250)),
    st.sampled_from(KINDS),
)
def test_pasting_touches_nothing_outside_the_mask(scale, degrees, centre, kind):
    dtype, top = kind
    image = picture(dtype, top, 120, 160)
    size = 64
    matrix = similarity(scale, degrees, (0, 0))
    matrix[:, 2] = (size - 1) / 2 - matrix[:, :2] @ centre
    mask = soft_disc(size)
    crop = (top - a.warp(image, matrix, (size, size)).astype(np.float64)).astype(dtype)
    result = a.paste(image, crop, matrix, mask)
    assert result.dtype == dtype
    y, x = np.mgrid[0:120, 0:160]
    distance = np.hypot(x - centre[0], y - centre[1]) * scale  # in crop pixels
    outside = distance > 0.35 * size + max(1, 2 * scale) * np.sqrt(2) + 0.1
    np.testing.assert_array_equal(result[outside], image[outside])


@pytest.mark.parametrize(("dtype", "top"), KINDS)
def test_pasting_replaces_what_the_mask_covers_and_mixes_its_edge(dtype, top):
    image = np.full((100, 100, 3), top // 5, dtype) if top > 1 else np.full((100, 100, 3), 0.2, dtype)
    crop = np.full((32, 32, 3), top, dtype)
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 8:24] = 1
    mask[8:24, 24] = 0.5
    matrix = np.array([[1.0, 0, -40], [0, 1, -30]])  # crop's (0, 0) is the picture's (40, 30)
    result = a.paste(image, crop, matrix, mask)
    expected = image.copy()
    expected[38:54, 48:64] = top
    edge = image[0, 0, 0] + 0.5 * (float(top) - image[0, 0, 0])
    expected[38:54, 64] = np.rint(edge) if top > 1 else edge
    np.testing.assert_allclose(result.astype(float), expected.astype(float), atol=0 if top > 1 else 1e-6)


def test_an_untouched_crop_pasted_back_leaves_the_portrait_as_it_was():
    image = data.astronaut()
    landmarks = np.array([[205.0, 110], [247, 108], [228, 135], [209, 152], [246, 151]])
    crop, matrix = a.align(image, landmarks, 256)
    result = a.paste(image, crop, matrix, soft_disc(256))
    face = np.s_[80:170, 190:260]
    difference = result[face].astype(float) - image[face]
    assert np.sqrt((difference**2).mean()) < 5  # two interpolations soften it
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):  # and it is not displaced
        moved = np.roll(image, shift, axis)[face].astype(float) - result[face]
        assert (moved**2).mean() > 2 * (difference**2).mean()


def test_a_face_outside_the_picture_changes_nothing():
    image = picture()
    matrix = np.array([[1.0, 0, 5000], [0, 1, 5000]])
    crop = np.zeros((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(a.paste(image, crop, matrix, soft_disc(64)), image)


def test_what_does_not_belong_together_is_not_pasted():
    image, crop, mask = picture(), np.zeros((64, 64, 3), np.uint8), soft_disc(64)
    matrix = np.eye(2, 3)
    for wrong in (
        (image, crop.astype(np.uint16), matrix, mask),
        (image, crop[..., :1], matrix, mask),
        (image, crop, matrix, mask[:32]),
        (image, crop, matrix, mask * np.float32(np.nan)),
        (image, crop, matrix, mask * 2),
        (image, crop, np.zeros((2, 3)), mask),
    ):
        with pytest.raises(FaceError):
            a.paste(*wrong)
