"""Each detector's decoding, on networks whose outputs the test makes; and the real ones on real pictures."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from masquerade.errors import EngineError, FaceError, OptionError, WeightsError
from masquerade.faces.detect import (
    DETECTORS,
    SCRFD,
    CenterFace,
    RetinaFace,
    YuNet,
    open_any_size,
    open_detector,
)
from tests.faces.detect.networks import blob_finder, constant

SHARED = Path(__file__).resolve().parents[4] / "shared" / "models"

# The astronaut's eyes, nose and mouth corners, read off the picture by eye.
ASTRONAUT = np.array([[204, 102], [247, 103], [225, 126], [203, 144], [242, 145]])


def blank(width=64, height=32):
    return np.zeros((height, width, 3), np.uint8)


# --- what all share -----------------------------------------------------------------------------------------------


def red_cell(image, column, row, score):
    image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4, 0] = round(255 * score)


def test_centerface_reads_its_maps():
    image = blank()
    red_cell(image, 5, 3, 1.0)
    (face,) = CenterFace(open_any_size(blob_finder())).detect([image])[0]
    assert face.score == pytest.approx(1)
    side = 4 * np.exp(2)
    x, y = (5 + 0.25 + 0.5) * 4 - 0.5, (3 + 0.25 + 0.5) * 4 - 0.5
    np.testing.assert_allclose(list(face.box), [x - side / 2, y - side / 2, x + side / 2, y + side / 2], rtol=1e-4)
    expected = [[x - side / 2 + 0.1 * k * side, y - side / 2 + 0.2 * k * side] for k in range(5)]
    np.testing.assert_allclose(face.landmarks, expected, rtol=1e-4, atol=1e-4)
    assert face.landmarks.dtype == np.float32


def test_faces_come_best_first_without_doubles_and_above_the_threshold():
    image = blank(320, 32)
    for column, score in ((5, 0.5), (6, 0.4), (40, 0.9), (60, 0.19)):  # the second overlaps the first
        red_cell(image, column, 3, score)
    detector = CenterFace(open_any_size(blob_finder()))
    assert [round(face.score, 2) for face in detector.detect([image])[0]] == [0.9, 0.5]
    detector.threshold = 0.1
    assert [round(face.score, 2) for face in detector.detect([image])[0]] == [0.9, 0.5, 0.19]


def test_pictures_of_any_sizes_give_the_same_together_as_alone():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, size, np.uint8) for size in ((32, 64, 3), (33, 61, 3), (7, 100, 3), (32, 64, 3))]
    detector = CenterFace(open_any_size(blob_finder(fixed=[10, 3, 32, 32])), threshold=0.55)
    together = detector.detect(images)
    assert any(together)
    for image, faces in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert [list(face.box) for face in faces] == [list(face.box) for face in alone]


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_a_network_that_gives_no_numbers_does_not_pass_for_a_picture_without_faces(broken):
    maps = [np.zeros((1, channels, 8, 16), np.float32) for channels in (1, 2, 2, 10)]
    maps[broken][..., 3, 5] = np.nan
    detector = CenterFace(constant({str(number): values for number, values in enumerate(maps)}))
    with pytest.raises(EngineError, match="not finite"):
        detector.detect([blank()])


def test_no_face_in_black_and_none_in_no_picture():
    detector = CenterFace(open_any_size(blob_finder()))
    assert detector.detect([blank()]) == [[]]
    assert detector.detect([]) == []


@pytest.mark.parametrize(
    "image", [blank().astype(np.float32), blank()[..., 0], blank()[:0], np.zeros((8, 8, 4), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(FaceError):
        CenterFace(open_any_size(blob_finder())).detect([image])


def test_a_network_of_another_kind_is_refused(tmp_path):
    file = tmp_path / "other.onnx"
    file.write_bytes(blob_finder())
    with pytest.raises(WeightsError, match=r"other\.onnx.*yunet"):
        YuNet(file)
    with pytest.raises(WeightsError, match=r"other\.onnx.*4 outputs"):
        open_detector("yunet", file)
    assert open_detector("centerface", file, threads=1).detect([blank()]) == [[]]


def test_an_unknown_name_and_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(OptionError, match="centerface"):
        open_detector("facefinder")
    with pytest.raises(OptionError, match="--weights"):
        open_detector("scrfd")
    with pytest.raises(WeightsError, match=r"gone\.onnx"):
        open_detector("scrfd", tmp_path / "gone.onnx")
    assert sorted(DETECTORS) == ["centerface", "retinaface", "scrfd", "yunet"]


# --- the other three ----------------------------------------------------------------------------------------------


def test_yunet_reads_its_levels():
    outputs = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) * (32 // stride)
        outputs |= {
            f"cls_{stride}": np.zeros((1, cells, 1)),
            f"obj_{stride}": np.zeros((1, cells, 1)),
            f"bbox_{stride}": np.zeros((1, cells, 4)),
            f"kps_{stride}": np.zeros((1, cells, 10)),
        }
    at = 1 * 4 + 2  # row 1, column 2 of the level with stride 16
    outputs["cls_16"][0, at], outputs["obj_16"][0, at] = 0.9, 0.4
    outputs["bbox_16"][0, at] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, at] = np.arange(10) / 10
    (face,) = YuNet(constant(outputs)).detect([blank()])[0]
    assert face.score == pytest.approx(0.6)
    x, y = 2.5 * 16 - 0.5, 1.25 * 16 - 0.5
    np.testing.assert_allclose(list(face.box), [x - 16, y - 24, x + 16, y + 24], rtol=1e-5)
    expected = [[(2 + 0.2 * k) * 16 - 0.5, (1 + 0.2 * k + 0.1) * 16 - 0.5] for k in range(5)]
    np.testing.assert_allclose(face.landmarks, expected, rtol=1e-5)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("landmarks", [True, False])
def test_scrfd_reads_its_levels_whatever_their_names_and_order(batch, landmarks):
    outputs = {}
    for stride in (32, 8, 16):
        rows = 2 * (64 // stride) * (32 // stride)
        for kind, width in (("far", 4), ("sure", 1), ("points", 10)):
            if landmarks or kind != "points":
                outputs[f"{kind}{stride}"] = np.zeros((rows, width))
    at = 2 * (3 * 8 + 5) + 1  # the second anchor of row 3, column 5 at stride 8
    outputs["sure8"][at] = 0.75
    outputs["far8"][at] = [1, 2, 3, 4]
    if landmarks:
        outputs["points8"][at] = np.arange(10)
    if batch:
        outputs = {name: values[None] for name, values in outputs.items()}
    (face,) = SCRFD(constant(outputs, input_name="input.1")).detect([blank()])[0]
    assert face.score == pytest.approx(0.75)
    assert list(face.box) == [40 - 8, 24 - 16, 40 + 24, 24 + 32]
    if landmarks:
        np.testing.assert_allclose(face.landmarks, [[40 + 16 * k, 24 + 16 * k + 8] for k in range(5)])
    else:
        assert face.landmarks is None


def test_outputs_of_other_lengths_are_no_scrfd():
    outputs = {f"out{i}": np.zeros((7 + i, (1, 4, 10)[i % 3])) for i in range(9)}
    with pytest.raises(WeightsError, match="stride 8"):
        SCRFD(constant(outputs)).detect([blank()])


def test_retinaface_reads_its_anchors():
    cells = [(64 // stride) * (32 // stride) for stride in (8, 16, 32)]
    rows = 2 * sum(cells)
    boxes, logits, points = np.zeros((1, rows, 4)), np.zeros((1, rows, 2)), np.zeros((1, rows, 10))
    logits[..., 0] = 9
    at = 2 * cells[0] + 2 * (1 * 4 + 2) + 1  # the larger anchor, of 64 pixels, in row 1, column 2 at stride 16
    logits[0, at] = [0, np.log(3)]
    boxes[0, at] = [1, -2, np.log(2) / 0.2, np.log(0.5) / 0.2]
    points[0, at] = np.arange(10)
    outputs = {"boxes": boxes, "logits": logits, "landmarks": points}
    (face,) = RetinaFace(constant(outputs)).detect([blank()])[0]
    assert face.score == pytest.approx(0.75)
    x, y = 40 + 6.4, 24 - 12.8
    np.testing.assert_allclose(list(face.box), [x - 64, y - 16, x + 64, y + 16], rtol=1e-4)
    np.testing.assert_allclose(face.landmarks, [[40 + 12.8 * k, 24 + 12.8 * k + 6.4] for k in range(5)], rtol=1e-4)


# --- real weights -------------------------------------------------------------------------------------------------


def check_astronaut(detector, tolerance):
    image = data.astronaut()
    (face,) = (face for face in detector.detect([image])[0] if face.score > 0.5)
    assert face.box.x1 < ASTRONAUT[:, 0].min() and face.box.x2 > ASTRONAUT[:, 0].max()
    assert face.box.y1 < ASTRONAUT[:, 1].min() and face.box.y2 > ASTRONAUT[:, 1].max()
    assert face.box.width < 120 and face.box.height < 150
    assert np.linalg.norm(face.landmarks - ASTRONAUT, axis=1).max() < tolerance
    # In a mirror the same points are found: decoding has no shift to one side.
    mirrored = np.ascontiguousarray(image[:, ::-1])
    (other,) = (face for face in detector.detect([mirrored])[0] if face.score > 0.5)
    points = other.landmarks[[1, 0, 2, 4, 3]] * [-1, 1] + [image.shape[1] - 1, 0]
    assert np.abs((points - face.landmarks)[:, 0].mean()) < 2.5


@pytest.mark.network
def test_centerface_on_a_real_portrait():
    check_astronaut(open_detector(threads=1), 6)


@pytest.mark.parametrize("name", ["yunet.onnx", "retinaface_mobilenet0.25.pth"])
def test_the_others_on_a_real_portrait(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"needs {name} in ../shared/models")
    check_astronaut(open_detector(name.split(".")[0].split("_")[0], SHARED / name, threads=1), 6)
