import itertools

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from masquerade.media import StillFrame, open_video
from masquerade.media.color import BT601, Coding
from masquerade.media.frame import Layout, Orientation, Scaler, VideoFrame
from tests.media.clips import Clip, decoded, moving, planes

FORMATS = [
    f"{base}{depth}"
    for base, depth in itertools.product(("yuv420p", "yuv422p", "yuv444p", "gray"), ("", "10le", "12le"))
]
SHIFTS = {"yuv420p": (1, 1), "yuv422p": (1, 0), "yuv444p": (0, 0), "gray": (0, 0)}
TURNS = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]


def make(pix_fmt: str = "yuv420p", width: int = 37, height: int = 23, turn: Orientation | None = None) -> VideoFrame:
    base = pix_fmt.removesuffix("10le").removesuffix("12le")
    depth = 12 if "12le" in pix_fmt else 10 if "10le" in pix_fmt else 8
    picture = av.VideoFrame(width, height, pix_fmt)
    generator = np.random.default_rng(0)
    for index, plane in enumerate(picture.planes):
        dtype = np.uint8 if depth == 8 else np.uint16
        # Inside the RGB cube: bright enough and of little chroma.
        low, high = (90, 160) if index == 0 else (110, 146)
        samples = generator.integers(low << depth - 8, high << depth - 8, (plane.height, plane.line_size), dtype)
        plane.update(samples[:, : plane.line_size // samples.itemsize].tobytes())
    layout = Layout(
        pix_fmt, base == "gray", *SHIFTS[base], Coding(BT601, False, depth), turn or Orientation(), Scaler()
    )
    return VideoFrame(picture, 3, 0.5, layout)


def slow_rgb(frame: VideoFrame) -> np.ndarray:
    """The whole stored picture, pixel by pixel, from the definition: limited range BT.601."""
    planes_ = planes(frame.picture)
    deep = frame.picture.format.components[0].bits
    step, peak = 2 ** (deep - 8), 255 if deep == 8 else 65535
    height, width = planes_[0].shape
    out = np.zeros((height, width, 3))
    for y, x in itertools.product(range(height), range(width)):
        luma = (planes_[0][y, x] / step - 16) / 219
        cb = cr = 0.0
        if len(planes_) == 3:
            cy, cx = y * planes_[1].shape[0] // (height + height % 2), x * planes_[1].shape[1] // (width + width % 2)
            if planes_[1].shape[0] == height:
                cy = y
            if planes_[1].shape[1] == width:
                cx = x
            cb, cr = ((planes_[i][cy, cx] / step - 128) / 224 for i in (1, 2))
        red, blue = luma + 1.402 * cr, luma + 1.772 * cb
        out[y, x] = red, (luma - 0.299 * red - 0.114 * blue) / 0.587, blue
    return np.clip(np.rint(out * peak), 0, peak)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_read_is_the_definition_written_out(pix_fmt):
    frame = make(pix_fmt)
    got = frame.read(0, 0, frame.width, frame.height)
    assert got.dtype == (np.uint8 if frame.picture.format.components[0].bits == 8 else np.uint16)
    assert np.abs(got.astype(float) - slow_rgb(frame)).max() <= 1


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("region", [(0, 0, 37, 23), (5, 3, 11, 7), (36, 22, 1, 1), (4, 2, 8, 4)], ids=str)
def test_a_region_is_a_piece_of_the_whole(pix_fmt, region):
    frame = make(pix_fmt)
    x, y, w, h = region
    assert np.array_equal(frame.read(*region), frame.read(0, 0, 37, 23)[y : y + h, x : x + w])


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_writing_what_was_read_changes_nothing(pix_fmt):
    frame = make(pix_fmt)
    before = planes(frame.picture)
    frame.write(3, 5, frame.read(3, 5, 20, 11))
    assert all(np.array_equal(a, b) for a, b in zip(before, planes(frame.picture), strict=True))


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_writing_changes_the_changed_pixels_and_no_others(pix_fmt):
    frame = make(pix_fmt)
    before = planes(frame.picture)
    pixels = frame.read(6, 4, 20, 11)
    pixels[2:7, 3:8] = pixels.max() // 2
    frame.write(6, 4, pixels)
    after = planes(frame.picture)
    changed = before[0] != after[0]
    assert not changed[:6].any() and not changed[11:].any() and not changed[:, :9].any() and not changed[:, 14:].any()
    grey = frame.read(9, 6, 5, 5).astype(int)
    peak = 255 if frame.read(0, 0, 1, 1).dtype == np.uint8 else 65535
    # Luma is right everywhere; colour wherever the chroma sample covers changed pixels only.
    inner = grey[0:4, 1:5] if len(after) == 3 else grey
    assert np.abs(inner - int(pixels[3, 4, 0])).max() <= peak / 60
    for old, new in zip(before[1:], after[1:], strict=True):
        sy, sx = round(23 / old.shape[0]), round(37 / old.shape[1])
        rows, columns = np.nonzero(old != new)
        assert rows.min() >= 6 // sy and rows.max() <= 10 // sy
        assert columns.min() >= 9 // sx and columns.max() <= 13 // sx


@pytest.mark.parametrize("pix_fmt", [f for f in FORMATS if not f.startswith("gray")])
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_nothing_of_the_old_colour_is_left_under_a_solid_one(pix_fmt, turn):
    """Two pictures that differ only inside a region are the same once it is covered."""
    one, other = make(pix_fmt, turn=turn), make(pix_fmt, turn=turn)
    pixels = other.read(5, 3, 9, 12)
    other.write(5, 3, pixels[::-1].copy())
    for frame in (one, other):
        x, y, w, h = 4, 2, 12, 14  # whole chroma samples around it
        cover = frame.read(x, y, w, h)
        cover[:] = 1000 if cover.dtype == np.uint16 else 40
        frame.write(x, y, cover)
    inside = one.read(5, 3, 9, 12)
    assert np.array_equal(inside, other.read(5, 3, 9, 12))
    assert one.read(6, 4, 7, 10).std(axis=(0, 1)).max() <= 1


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_turned_frames_are_read_and_written_upright(turn, pix_fmt):
    plain, turned = make(pix_fmt), make(pix_fmt, turn=turn)
    whole = turn.upright(plain.read(0, 0, 37, 23))
    assert (turned.width, turned.height) == (whole.shape[1], whole.shape[0])
    assert np.array_equal(turned.read(0, 0, turned.width, turned.height), whole)
    assert np.array_equal(turned.read(3, 5, 7, 9), whole[5:14, 3:10])
    edit = turned.read(3, 5, 7, 9)
    edit[:4, :2] = 60
    turned.write(3, 5, edit)
    plain_edit = np.array(turn.stored(whole))
    target = np.zeros(whole.shape[:2], bool)
    target[5:9, 3:5] = True
    plain_edit[turn.stored(target)] = 60
    plain.write(0, 0, plain_edit)
    assert all(np.array_equal(a, b) for a, b in zip(planes(plain.picture), planes(turned.picture), strict=True))


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_thumbnails_are_area_averages(turn):
    rgb = moving(0, 160, 96)
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv444p")
    frame = VideoFrame(picture, 0, 0.0, Layout("yuv444p", False, 0, 0, Coding(BT601, False, 8), turn, Scaler()))
    small = frame.thumbnail(*turn.size(40, 24))
    assert small.flags["C_CONTIGUOUS"] and small.dtype == np.uint8
    expected = turn.upright(cv2.resize(rgb, (40, 24), interpolation=cv2.INTER_AREA))
    assert small.shape == expected.shape
    assert np.abs(small.astype(int) - expected).mean() < 2


def test_thumbnails_know_the_matrix_and_the_range():
    rgb = np.full((64, 96, 3), (200, 30, 60), np.uint8)
    for matrix, full in itertools.product((1, 6, 9), (False, True)):
        space = {6: 5}.get(matrix, matrix)
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=space, dst_color_range=2 if full else 1
        )
        picture.colorspace, picture.color_range = 2, 0  # a file that does not say
        frame = VideoFrame(picture, 0, 0.0, Layout("yuv420p", False, 1, 1, Coding(matrix, full, 8), TURNS[0], Scaler()))
        assert np.abs(frame.thumbnail(24, 16).astype(int) - rgb[0, 0]).max() <= 4
        assert np.abs(frame.read(0, 0, 8, 8).astype(int) - rgb[0, 0]).max() <= 3


def test_frames_that_the_decoder_still_needs_are_never_written(tmp_path):
    path = Clip(frames=12, options={"crf": "10", "bf": "2", "refs": "3"}).write(tmp_path / "a.mp4")
    with open_video(path) as reader:
        for frame, original in zip(reader, decoded(path), strict=True):
            assert np.array_equal(planes(frame.picture)[0], planes(original)[0])
            frame.write(0, 0, np.zeros((frame.height, frame.width, 3), np.uint8))


@pytest.mark.parametrize("region", [(-1, 0, 4, 4), (0, 0, 38, 4), (30, 20, 8, 3), (0, 0, 0, 4), (0, 20, 4, 4)], ids=str)
def test_regions_outside_the_picture_are_refused(region):
    frame = make()
    with pytest.raises(ValueError, match="not inside"):
        frame.read(*region)
    if region[2]:
        with pytest.raises(ValueError, match="not inside"):
            frame.write(*region[:2], np.zeros((region[3], region[2], 3), np.uint8))


def test_pixels_of_another_shape_or_type_are_refused():
    with pytest.raises(ValueError, match="shape"):
        make().write(0, 0, np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="uint16"):
        make("yuv420p10le").write(0, 0, np.zeros((4, 4, 3), np.uint8))


@given(st.sampled_from(TURNS), st.data())
@settings(max_examples=200)
def test_stored_and_upright_undo_each_other(turn, data):
    height, width = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    stored = np.arange(height * width).reshape(height, width)
    upright = turn.upright(stored)
    assert np.array_equal(turn.stored(upright), stored)
    w, h = turn.size(width, height)
    assert upright.shape == (h, w)
    x, y = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    rw, rh = data.draw(st.integers(1, w - x)), data.draw(st.integers(1, h - y))
    r = turn.stored_region(x, y, rw, rh, (w, h))
    piece = turn.upright(stored[r.y : r.y + r.height, r.x : r.x + r.width])
    assert np.array_equal(piece, upright[y : y + rh, x : x + rw])


@pytest.mark.parametrize("value", range(10))
def test_exif_orientations_are_pillow_s(value):
    array = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = Image.fromarray(array)
    image.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(Orientation.from_exif(value).upright(array), expected)


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_display_matrices_turn_clockwise(clockwise):
    one = 1 << 16
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise]
    matrix = np.array([cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30], np.int32)
    turn = Orientation.from_matrix(matrix)
    stored = np.arange(6).reshape(2, 3)
    assert np.array_equal(turn.upright(stored), np.rot90(stored, -clockwise // 90))
    assert turn.rotation == clockwise


def test_a_matrix_of_another_angle_is_taken_for_none():
    half = round(0.7071 * (1 << 16))
    assert Orientation.from_matrix(np.array([half, half, 0, -half, half, 0, 0, 0, 1 << 30], np.int32)) == Orientation()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_stills_are_read_and_written_in_place(dtype, grey):
    generator = np.random.default_rng(0)
    samples = generator.integers(0, np.iinfo(dtype).max, (20, 30) if grey else (20, 30, 3), dtype)
    before = samples.copy()
    frame = StillFrame(samples)
    pixels = frame.read(4, 5, 10, 6)
    assert pixels.shape == (6, 10, 3) and pixels.dtype == dtype
    pixels[1:3, 2:5] = 77
    assert np.array_equal(samples, before)  # a copy was handed out
    frame.write(4, 5, pixels)
    assert (samples[6:8, 6:9] == 77).all()
    samples[6:8, 6:9] = before[6:8, 6:9]
    assert np.array_equal(samples, before)


def test_thumbnails_of_deep_grey_stills_are_8_bit_rgb():
    frame = StillFrame(np.full((40, 60), 257 * 90, np.uint16))
    small = frame.thumbnail(15, 10)
    assert small.shape == (10, 15, 3) and small.dtype == np.uint8 and (small == 90).all()
