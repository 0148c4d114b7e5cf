import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.identity.motion import camera_motion, scene_cut


def scene(seed, height=90, width=160):
    """Something with corners and large structure, on a canvas that leaves room to move."""
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (3 * height, 3 * width)).astype(np.float32), (0, 0), 14)
    picture = (picture - picture.mean()) / picture.std() * 40 + 120
    for _ in range(90):
        x, y = int(rng.integers(0, 3 * width)), int(rng.integers(0, 3 * height))
        cv2.rectangle(
            picture,
            (x, y),
            (x + int(rng.integers(4, 30)), y + int(rng.integers(4, 30))),
            int(rng.integers(20, 235)),
            -1,
        )
    return np.clip(picture, 0, 255).astype(np.uint8)


def view(canvas, dx=0.0, dy=0.0, angle=0.0, scale=1.0, height=90, width=160):
    """What a camera sees that has moved so far, and the matrix from the unmoved view to this one."""
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += (dx, dy)
    whole = matrix @ np.array([[1, 0, -width], [0, 1, -height], [0, 0, 1]])
    return cv2.warpAffine(canvas, whole, (width, height), flags=cv2.INTER_LINEAR), matrix


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    dx=st.floats(-9, 9),
    dy=st.floats(-9, 9),
    angle=st.floats(-3, 3),
    scale=st.floats(0.95, 1.05),
)
def test_camera_motion_is_found(seed, dx, dy, angle, scale):
    canvas = scene(seed)
    before, _ = view(canvas)
    after, truth = view(canvas, dx, dy, angle, scale)
    found = camera_motion(before, after)
    corners = np.array([[0, 0, 1], [159, 0, 1], [0, 89, 1], [159, 89, 1]]).T
    assert np.abs(found @ corners - truth @ corners).max() < 1.5


def test_somebody_who_walks_through_is_outvoted():
    canvas = scene(1)
    before, _ = view(canvas)
    after = before.copy()
    person = scene(2)[:60, :40]
    before[20:80, 30:70], after[20:80, 38:78] = person, person
    assert np.abs(camera_motion(before, after) - np.eye(2, 3)).max() < 0.5


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_can_be_said_of_an_even_picture(value):
    even = np.full((90, 160), value, np.uint8)
    assert (camera_motion(even, even) == np.eye(2, 3)).all()


@pytest.mark.parametrize("seed", range(20))
def test_another_scene_is_a_cut(seed):
    assert scene_cut(view(scene(seed))[0], view(scene(seed + 100))[0])


@pytest.mark.parametrize("seed", range(20))
def test_what_goes_on_is_no_cut(seed):
    canvas = scene(seed)
    frame = view(canvas)[0]
    noise = np.random.default_rng(seed).normal(0, 6, frame.shape)
    assert not scene_cut(frame, frame)
    assert not scene_cut(frame, np.clip(frame + noise, 0, 255).astype(np.uint8))
    assert not scene_cut(frame, np.clip(frame * 0.5 + 120, 0, 255).astype(np.uint8)), "a flash"
    assert not scene_cut(frame, (frame * 0.7).astype(np.uint8)), "a step of a fade"
    assert not scene_cut(frame, view(canvas, dx=12, dy=6)[0]), "a fast pan"


@pytest.mark.parametrize("value", [0, 255])
def test_neither_black_nor_a_white_flash_is_a_cut(value):
    even, frame = np.full((90, 160), value, np.uint8), view(scene(0))[0]
    assert not scene_cut(even, frame)
    assert not scene_cut(frame, even)
    assert not scene_cut(even, even)


def test_both_take_about_a_millisecond():
    before, after = view(scene(0))[0], view(scene(0), dx=3)[0]
    start = time.perf_counter()
    for _ in range(50):
        scene_cut(before, after)
        camera_motion(before, after)
    assert (time.perf_counter() - start) / 50 < 0.02
