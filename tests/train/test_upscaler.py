import zipfile
from itertools import pairwise

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError, WeightsError  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.nets.upscaler import Upscaler  # noqa: E402
from masquerade.swap.enlarge import open_enlarger  # noqa: E402
from masquerade.train import engine  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.export import averaged_upscaler, export_upscaler, read_upscaler  # noqa: E402
from masquerade.train.recipe import Schedule, read_recipe  # noqa: E402
from masquerade.train.upscaler import (  # noqa: E402
    SIDE,
    PatchBatches,
    fine,
    held_out,
    psnr,
    softened,
    train_upscaler,
)
from tests.train import runs  # noqa: E402

COUNT = 24


def drawn(number):
    """Hair-thin lines on a plain ground, as no plain enlargement shows them."""
    rng = np.random.default_rng(number)
    face = np.full((SIDE, SIDE, 3), rng.integers(90, 160, 3), np.uint8)
    for _ in range(60):
        (x, y), angle = rng.integers(0, SIDE, 2), rng.uniform(0, np.pi)
        end = (int(x + 80 * np.cos(angle)), int(y + 80 * np.sin(angle)))
        cv2.line(face, (int(x), int(y)), end, rng.integers(0, 256, 3).tolist(), 1, cv2.LINE_AA)
    return face


@pytest.fixture
def place(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as zipped:
        for number in range(COUNT):
            zipped.writestr(f"some/{number:03d}.png", cv2.imencode(".png", drawn(number))[1].tobytes())
    (tmp_path / "tiny.toml").write_text(
        """
like = "upscaler"
name = "tiny"
precision = "float32"
learning_rate = 3e-3
[data]
faces = "faces.zip"
held_out = 0.1
patch = 16
[loss]
plain = 36
r1_every = 2
[schedule]
epochs = 8.0
batch = 4
warmup = 2
log_every = 1
average = 0.5
validate_every = 36
save_minutes = 1.0
"""
    )
    return tmp_path


def log(place, name="tiny"):
    return runs.log(place / "runs" / name)


def test_a_tiny_run_learns_to_draw_lines(place):
    recipe = read_recipe(place / "tiny.toml")
    where = {"data": place, "work": place / "runs", "workers": 0}
    network = train_upscaler(recipe, **where)
    lines = log(place)
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert "adversarial" not in lines[35]
    assert {"adversarial", "matching", "discriminator"} <= lines[36].keys()
    assert lines[35]["psnr"] > lines[35]["psnr_plain"]
    for line in lines:
        assert all(np.isfinite(value) for value in line.values())
    grid = cv2.imread(str(place / "runs" / "tiny" / "grids" / "0000036.png"))
    assert grid.shape[0] == 3 * SIDE
    # Run again, there is nothing left to do, and the checkpoint holds what was returned.
    again = train_upscaler(recipe, **where)
    read = averaged_upscaler(place / "runs" / "tiny" / "checkpoint.pt")
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert torch.equal(read.state_dict()[name], value)
    assert log(place) == lines


def test_a_run_begins_with_another_and_goes_on_where_it_was_killed(place):
    recipe = read_recipe(place / "tiny.toml")
    schedule = recipe.schedule.model_copy(update={"epochs": 0.8, "save_minutes": 0.0})
    recipe = recipe.model_copy(
        update={"schedule": schedule, "loss": recipe.loss.model_copy(update={"plain": 2}), "name": "whole"}
    )
    where = {"data": place, "work": place / "runs", "workers": 0}
    train_upscaler(recipe, **where)
    expected = log(place, "whole")
    killed = recipe.model_copy(update={"name": "killed"})
    runs.kill(lambda: train_upscaler(killed, **where))
    train_upscaler(killed, **where)
    assert log(place, "killed") == expected
    begun = recipe.model_copy(update={"name": "begun"})
    train_upscaler(begun, start=place / "runs" / "whole" / engine.CHECKPOINT, **where)
    assert log(place, "begun")[0]["reconstruction"] != expected[0]["reconstruction"]


def test_without_a_face_to_look_at_nothing_is_trained(place):
    recipe = read_recipe(place / "tiny.toml")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"held_out": 0.0})})
    with pytest.raises(InputError, match="held out"):
        train_upscaler(recipe, data=place, work=place / "runs", workers=0)


def test_who_is_held_out_depends_on_the_name_alone():
    names = [f"{i}.webp" for i in range(4000)]
    found = held_out(names, 0.05)
    assert 150 < found.sum() < 250
    np.testing.assert_array_equal(held_out(names[::-1], 0.05)[::-1], found)
    np.testing.assert_array_equal(held_out([*names, "a", "b"], 0.05)[:-2], found)
    assert not held_out(names, 0.0).any()


def test_small_crops_are_as_soft_as_they_should_be():
    face = drawn(1)
    clear = softened(face, 0, sharpen=False)
    np.testing.assert_allclose(clear, cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA), atol=0)
    sharp = [fine(softened(face, sigma, sharpen=False)[None]) for sigma in (0, 0.5, 0.8, 1.2)]
    assert all(a > 1.03 * b for a, b in pairwise(sharp))
    raised = fine(softened(face, 0.8, sharpen=True)[None])
    assert sharp[2] < 0.9 * raised
    assert raised < 1.1 * sharp[0]
    assert abs(softened(face, 1.2, sharpen=True).mean((0, 1)) - clear.mean((0, 1))).max() < 1


def test_a_patch_shows_the_same_place_in_both_sizes():
    faces = np.stack([drawn(number) for number in range(8)])
    recipe = read_recipe("upscaler")
    data = recipe.data.model_copy(update={"softest": 0.0, "noisy": 0.0, "coded": 0.0, "patch": 32})
    schedule = Schedule(epochs=2.0, batch=4)
    batches = PatchBatches(FaceSet(faces, np.full(8, -1)), np.arange(8), data, schedule, seed=0)
    assert len(batches) == 4
    for step in range(4):
        _, small, large = batches[step]
        assert small.shape == (4, 32, 32, 3)
        assert large.shape == (4, 64, 64, 3)
        for one, other in zip(small.numpy(), large.numpy(), strict=True):
            np.testing.assert_array_equal(one, cv2.resize(other, (32, 32), interpolation=cv2.INTER_AREA))
        assert torch.equal(batches[step].small, small), "the step says which"
    with pytest.raises(InputError, match="do not fill"):
        PatchBatches(FaceSet(faces, np.full(8, -1)), np.arange(3), data, schedule, seed=0)


def test_psnr_is_that_of_opencv():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 3, 32, 32, 3), np.uint8)
    assert psnr(one, other) == pytest.approx([cv2.PSNR(a, b) for a, b in zip(one, other, strict=True)])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Upscaler()
    torch.nn.init.normal_(network.paint[0].weight, std=0.05)
    return network.eval()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_what_ships_draws_what_was_trained(network, tmp_path, engine):
    path = tmp_path / "upscaler.onnx"
    export_upscaler(network, path)
    assert path.stat().st_size < 0.5e6
    crops = np.random.default_rng(0).uniform(-0.7, 0.7, (3, 3, 128, 128)).astype(np.float32)
    with torch.no_grad():
        expected = [one(torch.from_numpy(crops)).clamp(-1, 1).numpy() for one in (network, read_upscaler(path))]
    found = open_enlarger(path, engine=engine, threads=1).enlarge(crops)
    assert found == pytest.approx(expected[0], abs=5e-3)
    assert found == pytest.approx(expected[1], abs=1e-4)


def test_another_network_s_file_is_refused():
    with pytest.raises(WeightsError, match="not the weights"):
        read_upscaler(PACKAGED / "guard.onnx")
