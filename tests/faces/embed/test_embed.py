"""Every kind of encoder against a computation by hand, from files the test writes itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masquerade.errors import EngineError, FaceError, OptionError, WeightsError
from masquerade.faces.align import align, estimate_similarity, template, warp
from masquerade.faces.embed import Encoder, dlib_template, open_encoder
from masquerade.models.cards import InputSpec, Threshold
from masquerade.models.runtime import open_session
from tests.faces.embed.networks import by_hand, write_linear

SHARED = Path(__file__).resolve().parents[4] / "shared"
RNG = np.random.default_rng(3)
CROPS = RNG.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)


def planes(crop):
    return crop.astype(np.float64).transpose(2, 0, 1)


def prewhitened(pixels):
    return (pixels - pixels.mean()) / max(pixels.std(), 1 / np.sqrt(pixels.size))


def chip(crop, side, points):
    """The crop brought to other landmarks, by the alignment that is tested elsewhere."""
    return warp(crop, estimate_similarity(template(112), points), (side, side))


FED = {
    "arcface": (112, lambda crop: planes(crop) / 127.5 - 1),
    "adaface": (112, lambda crop: planes(crop)[::-1] / 127.5 - 1),
    "facenet": (160, lambda crop: prewhitened(planes(chip(crop, 160, template(160))))),
    "dlib": (150, lambda crop: planes(chip(crop, 150, dlib_template(150)))),
    "fr-feature": (112, lambda crop: (planes(crop)[::-1] - 127) / 128),
}
"""Kind -> side, and what its network sees of a crop, written down apart from the product."""


@pytest.mark.parametrize("kind", FED)
@pytest.mark.parametrize(("batch", "layout"), [("n", "NCHW"), ("n", "NHWC"), (1, "NCHW"), (2, "NHWC")])
def test_every_kind_is_fed_as_it_was_trained(tmp_path, kind, batch, layout):
    side, seen = FED[kind]
    path = tmp_path / "net.onnx"
    matrix = write_linear(path, side=side, batch=batch, layout=layout, pool=2)
    encoder = open_encoder(path, kind=kind, threads=1)
    assert (encoder.name, encoder.dimensions) == ("net", 8)
    found = encoder.embed_crops(CROPS)
    assert found.dtype == np.float32 and found.shape == (3, 8)
    for crop, vector in zip(CROPS, found, strict=True):
        assert vector == pytest.approx(by_hand(seen(crop), matrix, 2), abs=2e-4)
    assert encoder.embed_crops(CROPS[:0]).shape == (0, 8)


def test_a_size_that_the_file_leaves_open_is_the_kind_s(tmp_path):
    path = tmp_path / "net.onnx"
    matrix = write_linear(path, shape=("n", 3, "h", "w"))
    assert open_encoder(path, kind="arcface", threads=1).embed_crops(CROPS[:1])[0] == pytest.approx(
        by_hand(planes(CROPS[0]) / 127.5 - 1, matrix), abs=2e-4
    )


def test_a_picture_is_aligned_to_the_encoder_s_own_template(tmp_path, astronaut):
    path = tmp_path / "net.onnx"
    points = np.array([[200.0, 110], [245, 112], [222, 140], [205, 165], [240, 166]])
    for side in (64, 112):
        matrix = write_linear(path, side=side)
        crop, _ = align(astronaut, points, side)
        found = open_encoder(path, kind="arcface", threads=1).embed(astronaut, [points, points + 40])
        assert found.shape == (2, 8)
        assert found[0] == pytest.approx(by_hand(planes(crop) / 127.5 - 1, matrix), abs=2e-4)
        assert found[1] @ found[0] < 0.999
    assert open_encoder(path, kind="arcface", threads=1).embed(astronaut, []).shape == (0, 8)


def test_crops_of_any_side_mean_the_same_face(tmp_path, astronaut):
    write_linear(tmp_path / "net.onnx", pool=8)
    encoder = open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1)
    points = np.array([[200.0, 110], [245, 112], [222, 140], [205, 165], [240, 166]])
    vectors = [encoder.embed_crops(align(astronaut, points, side)[0][None])[0] for side in (112, 128, 224)]
    assert vectors[1] @ vectors[0] > 0.999 and vectors[2] @ vectors[0] > 0.999


def test_a_crop_at_the_template_is_the_crop(tmp_path):
    """Aligned pictures may be handed in as pictures whose landmarks are the template's."""
    write_linear(tmp_path / "net.onnx")
    encoder = open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1)
    assert np.allclose(encoder.embed(CROPS[0], [template(112)]), encoder.embed_crops(CROPS[:1]), atol=1e-5)


def test_an_output_of_one_number_a_face_is_passed_over(tmp_path):
    matrix = write_linear(tmp_path / "net.onnx", extra=["norm"])
    encoder = open_encoder(tmp_path / "net.onnx", kind="adaface", threads=1)
    assert encoder.embed_crops(CROPS[:1])[0] == pytest.approx(
        by_hand(planes(CROPS[0])[::-1] / 127.5 - 1, matrix), abs=2e-4
    )


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"shape": ("n", 1, 112, 112)}, "colour pictures"),
        ({"shape": ("n", 3, 112, 96)}, "square"),
        ({"extra": ["second"]}, "no encoder: for 2 faces it gives"),
        ({"dimensions": 1}, "no encoder"),
    ],
)
def test_what_is_no_encoder_is_refused_by_name(tmp_path, network, said):
    path = tmp_path / "net.onnx"
    write_linear(path, **network)
    with pytest.raises(WeightsError, match=said) as caught:
        open_encoder(path, kind="arcface", threads=1)
    assert caught.value.path == path


def test_bad_names_kinds_and_files(tmp_path):
    with pytest.raises(OptionError, match="driver, guard"):
        open_encoder("drivr")
    with pytest.raises(OptionError, match="no encoder"):
        open_encoder("centerface")
    with pytest.raises(OptionError, match="whose kind is known"):
        open_encoder("driver", kind="arcface")
    write_linear(tmp_path / "net.onnx")
    with pytest.raises(OptionError, match=r"kind is not known.*arcface"):
        open_encoder(tmp_path / "net.onnx")
    with pytest.raises(OptionError, match="no kind 'arc'"):
        open_encoder(tmp_path / "net.onnx", kind="arc")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError, match=r"text\.onnx"):
        open_encoder(tmp_path / "text.onnx", kind="arcface")


@pytest.mark.parametrize(
    "bad", [CROPS[0], CROPS[..., :1], CROPS[:, :100], CROPS.astype(np.float32), CROPS.astype(np.uint16)]
)
def test_bad_crops(tmp_path, bad):
    write_linear(tmp_path / "net.onnx")
    encoder = open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1)
    with pytest.raises(FaceError, match="crops of uint8"):
        encoder.embed_crops(bad)


def test_bad_pictures_and_landmarks(tmp_path):
    write_linear(tmp_path / "net.onnx")
    encoder = open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1)
    for bad in (CROPS, CROPS[0][..., 0], CROPS[0].astype(np.uint16), CROPS[0][:0]):
        with pytest.raises(FaceError, match="pictures of uint8"):
            encoder.embed(bad, [template(112)])
    with pytest.raises(FaceError, match="finite"):
        encoder.embed(CROPS[0], [np.full((5, 2), np.nan)])
    with pytest.raises(FaceError):
        encoder.embed(CROPS[0], [template(112)[:3]])


def test_a_vector_without_direction_is_an_error(tmp_path):
    write_linear(tmp_path / "net.onnx", zero=True)
    with pytest.raises(EngineError, match="0 or not finite"):
        open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1).embed_crops(CROPS)


def test_thresholds_are_those_of_the_card(tmp_path):
    write_linear(tmp_path / "net.onnx")
    spec = InputSpec(
        name="face", layout="NCHW", height=112, width=112, colour="RGB", range=(-1, 1), mean=(0,) * 3, std=(1,) * 3
    )
    entry = Threshold(far=1e-3, threshold=0.61, low=0.6, high=0.63, pairs=10_000, data="a test")
    session = open_session(tmp_path / "net.onnx", threads=1)
    encoder = Encoder(session, name="net", sha256="0" * 64, spec=spec, calibration=[entry])
    assert encoder.threshold(0.001) == 0.61
    with pytest.raises(OptionError, match=r"net has no threshold for a false acceptance rate of 0\.0001.*0\.001"):
        encoder.threshold(1e-4)


@pytest.mark.parametrize(("name", "dimensions"), [("driver", 512), ("guard", 256)])
def test_the_packaged_encoders(name, dimensions, astronaut):
    encoder = open_encoder(name, threads=1)
    assert (encoder.name, encoder.dimensions, len(encoder.sha256)) == (name, dimensions, 64)
    points = np.array([[200.0, 110], [245, 112], [222, 140], [205, 165], [240, 166]])
    one, moved, mirrored = encoder.embed_crops(
        np.stack([align(astronaut, points, 112)[0], align(astronaut, points + 1, 112)[0], CROPS[0]])
    )
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-6)
    assert one @ moved > 0.9 > one @ mirrored


def test_nothing_heavy_is_imported():
    heavy = "('torch', 'openvino', 'onnxruntime')"
    code = f"import sys, masquerade.faces.embed; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not (SHARED / "models/dlib_resnet29_128d.onnx").is_file(), reason="needs ../shared")
def test_networks_of_the_field_see_what_the_students_teachers_saw():
    """The same vectors as the training code's own readers of these files, on real faces; people are told apart."""
    teachers = pytest.importorskip("masquerade.train.teachers")
    with zipfile.ZipFile(SHARED / "data/celeba-val-128.zip") as zipped:
        names = sorted(name for name in zipped.namelist() if name.endswith(".webp"))[:24]
        faces = np.stack([np.asarray(Image.open(zipped.open(name)).convert("RGB")) for name in names])
    people = np.unique([name.split("/")[-2] for name in names], return_inverse=True)[1]
    same = (people[:, None] == people)[np.triu_indices(len(people), 1)]
    for name, kind, teacher in (
        ("dlib_resnet29_128d", "dlib", teachers.dlib),
        ("fr_feature_512d", "fr-feature", teachers.fr_feature),
    ):
        found = open_encoder(SHARED / f"models/{name}.onnx", kind=kind, threads=1).embed_crops(faces)
        assert (found * teacher(SHARED / "models")(faces)).sum(axis=1).min() > 0.985
        alike = (found @ found.T)[np.triu_indices(len(people), 1)]
        assert np.median(alike[same]) > np.quantile(alike[~same], 0.99)
