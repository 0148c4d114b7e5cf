import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masquerade.media.color import BT601, BT709, Coding, matrix_or_default

BT2020 = 9
CODINGS = [Coding(m, f, d) for m in (BT601, BT709, 7, BT2020) for f in (False, True) for d in (8, 10, 12)]
NAMES = [f"{c.matrix}-{'full' if c.full else 'limited'}-{c.depth}" for c in CODINGS]


def test_the_corners_of_the_cube_are_those_of_the_standards():
    rgb = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    # BT.601 and BT.709 limited range, from the tables of colour bars
    assert np.rint(Coding(BT601, False, 8).from_rgb(rgb)).tolist() == [[[235, 128, 128], [16, 128, 128], [81, 90, 240]]]
    assert np.rint(Coding(BT709, False, 8).from_rgb(rgb)).tolist() == [
        [[235, 128, 128], [16, 128, 128], [63, 102, 240]]
    ]
    deep = (rgb.astype(np.uint16) * 257).astype(np.uint16)
    assert np.rint(Coding(BT2020, False, 10).from_rgb(deep))[0, :2].tolist() == [[940, 512, 512], [64, 512, 512]]


@pytest.mark.parametrize("coding", [c for c in CODINGS if c.depth == 8 and c.matrix != 7], ids=str)
def test_agrees_with_libswscale(coding):
    generator = np.random.default_rng(1)
    rgb = generator.integers(0, 256, (16, 64, 3), np.uint8)
    space = {BT601: 5}.get(coding.matrix, coding.matrix)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv444p", dst_colorspace=space, dst_color_range=2 if coding.full else 1, interpolation="ACCURATE_RND"
    )
    theirs = np.stack([np.frombuffer(p, np.uint8).reshape(16, -1)[:, :64] for p in frame.planes], axis=2)
    assert np.abs(coding.from_rgb(rgb) - theirs).max() < 1.6


@pytest.mark.parametrize("coding", CODINGS, ids=NAMES)
@given(data=st.data())
def test_what_was_read_and_not_changed_is_what_is_there(coding, data):
    dtype = np.uint8 if coding.depth == 8 else np.uint16
    rgb = data.draw(arrays(dtype, (2, 2, 3), elements=st.integers(0, np.iinfo(dtype).max)))
    inside = np.rint(coding.from_rgb(rgb))  # code values inside the RGB cube, but for rounding
    again = np.rint(coding.from_rgb(coding.to_rgb(inside)))
    assert np.abs(again - inside).max() <= (1 if coding.depth == 8 else 2)
    if coding.depth == 8:
        assert np.abs(coding.to_rgb(inside).astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("coding", [c for c in CODINGS if c.depth > 8], ids=str)
def test_deep_code_values_survive_a_round_trip_exactly(coding):
    generator = np.random.default_rng(2)
    rgb = generator.integers(9000, 56000, (64, 64, 3), np.uint16)  # far enough inside that rounding stays in the cube
    code = np.rint(coding.from_rgb(rgb))
    assert np.array_equal(np.rint(coding.from_rgb(coding.to_rgb(code))), code)


def test_an_unnamed_matrix_is_the_one_players_take():
    assert matrix_or_default(2, 1920, 1080) == matrix_or_default(2, 1280, 720) == BT709
    assert matrix_or_default(2, 640, 480) == matrix_or_default(2, 720, 576) == BT601
    assert matrix_or_default(BT601, 1920, 1080) == BT601
