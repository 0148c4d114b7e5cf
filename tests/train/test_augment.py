import cv2
import numpy as np
import pytest

from masquerade.train.augment import blinking, covered, degraded, low_resolution, poor


def a_face():
    """Smooth, with a bright left half, so that a mirror image shows."""
    y, x = np.mgrid[:128, :128] / 127
    return np.stack([255 * (1 - x), 255 * y, 90 + 60 * np.sin(6 * x)], 2).astype(np.uint8)


def test_the_same_generator_gives_the_same_picture_and_another_one_another():
    pictures = [degraded(a_face(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_every_picture_is_a_112_px_crop_that_still_looks_like_the_face_or_its_mirror_image():
    face = a_face()[8:120, 8:120].astype(float)
    likeness = []
    for seed in range(200):
        picture = degraded(a_face(), np.random.default_rng(seed))
        assert picture.shape == (112, 112, 3) and picture.dtype == np.uint8
        grey = picture.mean(2).ravel()
        likeness.append(max(np.corrcoef(grey, sides.mean(2).ravel())[0, 1] for sides in (face, face[:, ::-1])))
    assert np.median(likeness) > 0.95


def test_what_covers_a_face_is_where_it_is_said_to_be():
    for seed in range(50):
        picture, where = covered(a_face(), np.random.default_rng(seed))
        changed = np.abs(picture.astype(int) - a_face()).max(2) > 12
        assert picture.shape == (128, 128, 3) and set(np.unique(where)) <= {0, 255}
        assert (where > 0).mean() < 0.35
        assert not changed[cv2.dilate(where, np.ones((7, 7), np.uint8)) == 0].any()


def test_a_poor_camera_keeps_the_view():
    for seed in range(50):
        picture = poor(a_face(), np.random.default_rng(seed))
        assert picture.shape == (128, 128, 3)
        assert np.corrcoef(picture.mean(2).ravel(), a_face().mean(2).ravel())[0, 1] > 0.95


def test_about_half_of_the_pictures_are_mirrored():
    mirrored = 0
    for seed in range(400):
        picture = degraded(a_face(), np.random.default_rng(seed)).astype(float).mean(2)
        mirrored += picture[:, :40].mean() < picture[:, -40:].mean()
    assert 150 < mirrored < 250


@pytest.mark.parametrize("side", [24, 48])
def test_low_resolution_keeps_what_is_coarse_and_loses_what_is_fine(side):
    fine = np.zeros((112, 112, 3), np.uint8)
    fine[:, ::2] = 255
    assert low_resolution(fine, side).astype(float).std() < 20
    coarse = np.zeros((112, 112, 3), np.uint8)
    coarse[:, 56:] = 200
    assert np.abs(low_resolution(coarse, side).astype(float) - coarse).mean() < 10


def with_eyes(side):
    """A grey face with white eyes and black irises, and where its lids run, in a crop of 128."""
    face = np.full((128, 128, 3), 120, np.uint8)
    lids = []
    for x in (42, 86):
        cv2.ellipse(face, (x, 56), (10, 5), 0, 0, 360, (255, 255, 255), -1)
        cv2.circle(face, (x, 56), 3, (0, 0, 0), -1)
        along = np.linspace(-10, 10, 9)
        height = 5 * np.sqrt(1 - (along / 10) ** 2)
        lids.append([np.column_stack([x + along, 56 - height]), np.column_stack([x + along, 56 + height])])
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), np.array(lids, np.float32)


@pytest.mark.parametrize("side", [128, 256])
def test_eyes_are_shut_from_above_and_all_else_stays(side):
    face, lids = with_eyes(side)
    eyes = np.abs(face.astype(int) - 120).max(2) > 60
    about = cv2.dilate(eyes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    left = []
    for seed in range(40):
        shut = blinking(face, lids, np.random.default_rng(seed))
        assert shut.shape == face.shape and shut.dtype == np.uint8
        assert np.array_equal(shut, blinking(face, lids, np.random.default_rng(seed)))
        still = np.abs(shut.astype(int) - 120).max(2) > 60
        assert not (still & ~about).any(), "nothing but the eye changes on a face that is all alike"
        bands = (slice(side * top // 128, side * (top + 2) // 128) for top in (53, 57))
        left.append([still[rows][eyes[rows]].mean() for rows in bands])
    upper, lower = np.array(left).T
    assert (upper <= lower + 0.05).all()
    # In the corners the lids meet anyhow.
    assert 0.5 < (lower < 0.3).mean() < 0.9, "half of them are shut, the others partly"
    assert (lower > 0.9).any() and (upper < 0.3).mean() > 0.9
