"""What a redaction leaves of a face, and that it leaves everything else alone."""

from functools import cache
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from masquerade.errors import FaceError, OptionError
from masquerade.swap.redact import BLUR_SIGMA, CELLS_ACROSS, FEATHER, Redaction, face_mask, redact, window
from masquerade.types import Box

METHODS = ("blur", "pixelate", "solid")
SHAPES = ("ellipse", "box")


@cache
def picture(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Detail at every scale, as a photograph has it: noise whose amplitude falls with its frequency."""
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3), np.float32)
    cells = 2
    while cells < max(height, width):
        coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        out += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / np.sqrt(cells)
        cells *= 2
    out = np.clip(0.5 + 0.25 * (out - out.mean()) / out.std(), 0, 1)
    pixels = np.rint(out * np.iinfo(dtype).max).astype(dtype)
    pixels.flags.writeable = False
    return pixels


def beyond(pixels: np.ndarray, face: float, cycles: float) -> np.ndarray:
    """What varies faster than about `cycles` times across a face, by a filter of its own: a difference of box means."""
    side = max(3, round(face / (2 * cycles)) | 1)
    grey = pixels.mean(axis=2)
    return grey - cv2.blur(grey, (side, side))


@pytest.mark.parametrize(("method", "shape"), list(product(METHODS, SHAPES)))
@pytest.mark.parametrize("size", [8, 24, 100, 333, 800])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_the_face_changes_and_all_of_it(method, shape, size, dtype):
    frame = picture(int(size * 2.2), int(size * 2.4), dtype=dtype)
    box = Box(size * 0.71, size * 0.55, size * 1.53, size * 1.55)
    color = (255, 0, 128)
    out = redact(frame, box, Redaction(method, shape, color=color))
    mask = face_mask(shape, box, frame.shape[:2], Redaction().margin)

    assert out.dtype == dtype and out.shape == frame.shape
    assert np.array_equal(out[mask == 0], frame[mask == 0])
    assert (mask == 0).mean() > 0.2
    core = mask == 1
    if method == "solid":
        assert (out[core] == np.array(color, dtype) * (np.iinfo(dtype).max // 255)).all()
    else:
        assert (out[core] != frame[core]).any(axis=1).mean() > 0.9


@given(
    corner=st.tuples(st.floats(-50, 150), st.floats(-50, 150)),
    size=st.tuples(st.floats(1, 120), st.floats(1, 120)),
    margin=st.floats(0, 1),
    feather=st.one_of(st.just(0.0), st.floats(0.01, 1)),
    shape=st.sampled_from(SHAPES),
)
@example(corner=(0.0, 0.99999), size=(1.0, 1.0), margin=0.99999, feather=0.0, shape="box")
def test_mask_is_one_in_the_core_and_feathers_outwards_only(corner, size, margin, feather, shape):
    (x, y), (width, height) = corner, size
    box, size = Box(x, y, x + width, y + height), (90, 110)
    mask = face_mask(shape, box, size, margin, feather)

    cx, cy = box.centre
    half_w, half_h = width * (0.5 + margin), height * (0.5 + margin)
    rows, columns = np.mgrid[: size[0], : size[1]]
    across, down = np.abs(columns - cx) / half_w, np.abs(rows - cy) / half_h
    distance = np.hypot(across, down) if shape == "ellipse" else np.maximum(across, down)
    assert mask.dtype == np.float32 and mask.shape == size
    assert (mask[distance <= 1 - 1e-6] == 1).all()
    assert (mask[distance >= 1 + feather + 1e-6] == 0).all()
    between = (distance > 1 + 1e-4) & (distance < 1 + feather - 1e-4)
    assert ((mask[between] > 0) & (mask[between] < 1)).all()

    region = window(box, margin, size[1], size[0], feather)
    covered = np.zeros(size, bool)
    if region is not None:
        left, top, wide, high = region
        assert left >= 0 and top >= 0 and wide > 0 and high > 0 and left + wide <= size[1] and top + high <= size[0]
        covered[top : top + high, left : left + wide] = True
    assert not mask[~covered].any()


def test_default_ellipse_covers_the_whole_box():
    box = Box(40, 30, 80, 90)
    assert (face_mask("ellipse", box, (130, 120), Redaction().margin)[30:91, 40:81] == 1).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_resolution_does_not_matter(method, shape):
    """A face twice as large, redacted and then shrunk, is the small face redacted."""
    large = picture(400, 480, seed=4)
    small = cv2.resize(large, (240, 200), interpolation=cv2.INTER_AREA)
    box = Box(85.0, 60.0, 145.0, 140.0)
    # The centre of pixel i of the small picture lies at 2 i + 0.5 in the large one.
    doubled = Box(*(2 * edge + 0.5 for edge in box))
    redaction = Redaction(method, shape)
    a = redact(small, box, redaction).astype(float)
    b = cv2.resize(redact(large, doubled, redaction), (240, 200), interpolation=cv2.INTER_AREA).astype(float)
    core = face_mask(shape, box, (200, 240), redaction.margin) == 1
    assert np.sqrt(np.mean((a - b)[core] ** 2)) < 4
    assert np.sqrt(np.mean((small - a)[core] ** 2)) > 15 or method == "solid"


@pytest.mark.parametrize("size", [24, 64, 200, 640])
@pytest.mark.parametrize("method", ["blur", "pixelate"])
def test_detail_is_gone(method, size):
    """Of what makes a face recognisable (8 cycles across it and finer) nothing is left that follows the original."""
    frame = picture(int(size * 2.5), int(size * 2.5), seed=size, dtype=np.uint16)  # 16 bits: rounding adds no detail
    box = Box(size * 0.85, size * 0.75, size * 1.65, size * 1.75)
    out = redact(frame, box, Redaction(method))
    inner = np.s_[int(size * 0.8) : int(size * 1.7), int(size * 0.9) : int(size * 1.6)]
    before, after = beyond(frame, size, 8)[inner], beyond(out, size, 8)[inner]
    if method == "blur":
        assert after.std() < 0.1 * before.std()
    else:
        # A mosaic has edges of its own; take the steps away and nothing is left inside the cells.
        cells = out[inner].reshape(-1, 3)
        assert len(np.unique(cells, axis=0)) <= (CELLS_ACROSS + 2) ** 2
        assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.4


def test_blur_follows_the_gaussian_it_claims():
    """Stripes of k cycles across the face keep exp(-2 (pi sigma k)^2) of their amplitude."""
    size = 240
    columns = np.arange(700)
    box = Box(230, 230, 230 + size, 230 + size)
    for cycles in (1, 2, 3):
        stripes = 127.5 + 120 * np.cos(2 * np.pi * cycles * (columns - 350) / size)
        frame = np.broadcast_to(np.rint(stripes)[None, :, None], (700, 700, 3)).astype(np.uint8)
        out = redact(frame, box, Redaction("blur", "box", margin=0.8))
        middle = out[350, 350 - size // 2 : 350 + size // 2, 0].astype(float)
        amplitude = 2 * abs(np.mean(middle * np.exp(2j * np.pi * cycles * np.arange(size) / size)))
        assert amplitude / 120 == pytest.approx(np.exp(-2 * (np.pi * BLUR_SIGMA * cycles) ** 2), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_neither_surroundings_nor_the_region_read_matter(method):
    frame = picture(300, 300, seed=7)
    box = Box(100.3, 90.2, 170.8, 180.9)
    redaction = Redaction(method)
    x, y, width, height = window(box, redaction.margin, 300, 300)
    region = redact(
        frame[y : y + height, x : x + width], Box(box.x1 - x, box.y1 - y, box.x2 - x, box.y2 - y), redaction
    )
    whole = redact(frame, box, redaction)
    assert np.array_equal(region, whole[y : y + height, x : x + width])

    mask = face_mask("ellipse", box, (300, 300), redaction.margin)
    loud = frame.copy()
    loud[mask == 0] = 255 * (np.indices((300, 300)).sum(axis=0)[mask == 0] % 2)[:, None]
    core = mask == 1
    difference = np.abs(redact(loud, box, redaction).astype(int) - whole.astype(int))[core]
    assert difference.max() <= 2


@pytest.mark.parametrize("method", METHODS)
def test_partly_outside_is_redacted_where_visible(method):
    wide = picture(260, 260, seed=9)
    frame = wide[:, 80:]  # the picture ends in the middle of the face
    box = Box(50.0, 90.0, 110.0, 170.0)
    out = redact(frame, Box(box.x1 - 80, box.y1, box.x2 - 80, box.y2), Redaction(method))
    core = face_mask("ellipse", box, (260, 260), 0.3)[:, 80:] == 1
    assert core[:, 0].sum() > 100
    assert (out[core] != frame[core]).any(axis=1).mean() > 0.9
    assert np.ptp(np.diff(out[130, :20].astype(int), axis=0), axis=0).max() <= 3 or method == "pixelate"


def test_far_outside_changes_nothing():
    frame = picture(40, 50)
    box = Box(300, 300, 320, 330)
    assert window(box, 0.3, 50, 40) is None
    assert np.array_equal(redact(frame, box, Redaction()), frame)


@pytest.mark.parametrize("method", METHODS)
def test_a_face_larger_than_the_picture(method):
    frame = picture(60, 80)
    out = redact(frame, Box(-1e6, -1e6, 1e6, 1e6), Redaction(method))
    assert len(np.unique(out.reshape(-1, 3), axis=0)) <= 4


def test_mosaic_hangs_on_the_face():
    """Moved by whole pixels, the face gets the same cells."""
    frame = picture(240, 260, seed=3)
    box = Box(80.4, 70.1, 140.2, 150.3)
    shifted = Box(box.x1 + 13, box.y1 + 9, box.x2 + 13, box.y2 + 9)
    moved = redact(np.roll(frame, (9, 13), axis=(0, 1)), shifted, Redaction("pixelate"))
    assert np.array_equal(np.roll(moved, (-9, -13), axis=(0, 1)), redact(frame, box, Redaction("pixelate")))


def test_mosaic_averages_the_face_alone():
    """Cells on the rim hold the mean of their pixels under the mask, by hand."""
    frame = picture(120, 120, seed=5)
    box = Box(30.0, 30.0, 90.0, 90.0)  # cells of 10 pixels
    out = redact(frame, box, Redaction("pixelate", margin=0.0))
    mask = face_mask("ellipse", box, (120, 120), 0.0)
    rim = np.s_[40:50, 30:40]
    under = frame[rim][mask[rim] > 0]
    assert 0 < (mask[rim] == 1).sum() < 100
    assert (out[rim][mask[rim] == 1] == np.rint(under.mean(axis=0))).all()


@settings(max_examples=50, deadline=None)
@given(
    numbers=st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(0.01, 150), st.floats(0.01, 150)),
    method=st.sampled_from(METHODS),
    shape=st.sampled_from(SHAPES),
    strength=st.floats(1, 20),
    margin=st.floats(0, 2),
)
def test_any_finite_box(numbers, method, shape, strength, margin):
    x, y, width, height = numbers
    frame = picture(41, 57)
    box = Box(x, y, x + width, y + height)
    out = redact(frame, box, Redaction(method, shape, margin, strength))
    outside = face_mask(shape, box, (41, 57), margin) == 0
    assert np.array_equal(out[outside], frame[outside])
    assert np.array_equal(out, redact(frame, box, Redaction(method, shape, margin, strength)))


@pytest.mark.parametrize(
    "box",
    [
        Box(float("nan"), 0, 1, 1),
        Box(0, 0, float("inf"), 1),
        Box(5, 5, 5, 9),
        Box(5, 5, 9, 5),
        Box(9, 5, 5, 9),
    ],
)
def test_bad_boxes(box):
    for attempt in (
        lambda: redact(picture(20, 20), box, Redaction()),
        lambda: window(box, 0.3, 20, 20),
        lambda: face_mask("box", box, (20, 20), 0.3, FEATHER),
    ):
        with pytest.raises(FaceError, match="box"):
            attempt()


@pytest.mark.parametrize("pixels", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_bad_pixels(pixels):
    with pytest.raises(FaceError, match="RGB"):
        redact(pixels, Box(1, 1, 5, 5), Redaction())


@pytest.mark.parametrize(
    "options",
    [
        {"method": "emboss"},
        {"shape": "star"},
        {"margin": -0.1},
        {"margin": float("nan")},
        {"strength": 0.5},
        {"strength": float("inf")},
        {"color": (0, 0, 256)},
    ],
)
def test_bad_options(options):
    with pytest.raises(OptionError):
        Redaction(**options)
