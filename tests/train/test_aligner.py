import zipfile

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError  # noqa: E402
from masquerade.faces.align import invert, template, transform, warp  # noqa: E402
from masquerade.faces.aligner import SIDE, UNIT, movement, open_aligner, window  # noqa: E402
from masquerade.nets.aligner import Aligner  # noqa: E402
from masquerade.train.aligner import MovedBatches, moved_face, points_of, train_aligner  # noqa: E402
from masquerade.train.export import averaged_aligner, export_aligner  # noqa: E402
from masquerade.train.recipe import AlignerData, Schedule, read_recipe  # noqa: E402
from tests.train import runs  # noqa: E402

COUNT = 32


def drawn(number):
    """Dark eyes and a dark mouth where the template has them, on skin of some colour."""
    rng = np.random.default_rng(number)
    face = np.full((UNIT, UNIT, 3), rng.integers(120, 220, 3), np.uint8)
    eye, other, _, *mouth = template(UNIT)
    for x, y in (eye, other):
        cv2.circle(face, (round(float(x)), round(float(y))), 6, (30, 20, 10), -1)
    (x1, y1), (x2, y2) = np.rint(mouth).astype(int).tolist()
    cv2.line(face, (x1, y1), (x2, y2), (120, 20, 20), 5)
    return face


@pytest.fixture
def place(tmp_path):
    for name in ("faces", "others"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as zipped:
            for number in range(COUNT):
                zipped.writestr(f"{number:03d}.png", cv2.imencode(".png", drawn(number))[1].tobytes())
    (tmp_path / "tiny.toml").write_text(
        """
like = "aligner"
name = "tiny"
learning_rate = 3e-3
[data]
faces = ["faces.zip"]
validation = "others.zip"
lit = 0.0
poor = 0.0
covered = 0.0
[schedule]
epochs = 90.0
batch = 16
warmup = 5
log_every = 1
average = 0.9
validate_every = 60
save_minutes = 1.0
"""
    )
    return tmp_path


def log(place, name="tiny"):
    return runs.log(place / "runs" / name)


def test_a_tiny_run_learns_where_faces_lie(place):
    recipe = read_recipe(place / "tiny.toml")
    network = train_aligner(recipe, data=place, work=place / "runs", workers=0)
    last = log(place)[-1]
    assert last["after"] < 0.6 * last["before"]
    read = averaged_aligner(place / "runs" / "tiny" / "checkpoint.pt")
    for name, value in network.state_dict().items():
        assert torch.equal(read.state_dict()[name], value)


def test_a_run_goes_on_where_it_was_killed(place):
    recipe = read_recipe(place / "tiny.toml")
    schedule = recipe.schedule.model_copy(update={"epochs": 3.0, "save_minutes": 0.0})
    recipe = recipe.model_copy(update={"schedule": schedule, "name": "whole"})
    where = {"data": place, "work": place / "runs", "workers": 0}
    train_aligner(recipe, **where)
    killed = recipe.model_copy(update={"name": "killed"})
    runs.kill(lambda: train_aligner(killed, **where))
    train_aligner(killed, **where)
    assert log(place, "killed") == log(place, "whole")


def test_what_the_network_sees_lies_as_it_is_told():
    face, rng = drawn(3), np.random.default_rng(0)
    small = 0
    for _ in range(50):
        crop, moved = moved_face(face, rng)
        assert crop.shape == (SIDE, SIDE, 3)
        matrix = window() @ np.vstack([movement(moved), [0, 0, 1]])
        np.testing.assert_array_equal(crop, warp(face, matrix.astype(float), (SIDE, SIDE)))
        corners = transform([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], invert(matrix))
        assert corners.min() >= 0
        assert corners.max() <= UNIT
        # Left eye of the template is where a dark spot is seen.
        x, y = transform(transform(template(UNIT)[:1], movement(moved)), window())[0].round().astype(int).tolist()
        assert crop[y, x].max() < 60
        small += abs(moved[2]) < 0.02
    assert small > 10


def test_points_are_those_of_the_movement_and_have_a_gradient():
    moved = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).mul(0.1).requires_grad_()
    points = points_of(moved)
    for said, one in zip(moved.detach().numpy(), points.detach().numpy(), strict=True):
        np.testing.assert_allclose(one, transform(template(UNIT), movement(said)), atol=1e-4)
    points.square().sum().backward()
    assert (moved.grad.abs() > 0).all()


def test_too_few_faces_fill_no_batch():
    data = AlignerData(faces=["one.zip"], validation="other.zip")
    with pytest.raises(InputError, match="do not fill"):
        MovedBatches([drawn(0)[None]], data, Schedule(epochs=1.0, batch=2), seed=0)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_what_ships_says_what_was_trained(tmp_path, engine):
    torch.manual_seed(0)
    network = Aligner().eval()
    export_aligner(network, tmp_path / "aligner.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    said = open_aligner(tmp_path / "aligner.onnx", engine=engine, threads=1).look(crops)
    np.testing.assert_allclose(said, expected, atol=2e-3)
