import json
import zipfile

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError, OptionError, WeightsError  # noqa: E402
from masquerade.train import encoder as rooms  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.encoder import EncoderTraining, FaceBatches, mix, train_encoder  # noqa: E402
from masquerade.train.recipe import Schedule, read_recipe, recipes  # noqa: E402
from tests.train.archives import colours  # noqa: E402

PEOPLE, EACH = 4, 6


def faces_of(person, rng):
    """A person is a colour and a grating, here."""
    y, x = np.mgrid[:128, :128] / 127
    wave = 60 * np.sin((4 + 5 * person) * (x + 0.5 * y) + rng.uniform(0, 0.5))
    tint = np.array([60 * person, 200 - 50 * person, 120])
    return (tint + wave[..., None]).clip(0, 255).astype(np.uint8)


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as zipped:
            for person in range(PEOPLE):
                for i in range(EACH):
                    zipped.writestr(f"{person}/{i}.png", cv2.imencode(".png", faces_of(person, rng))[1].tobytes())
    recipe = tmp_path / "tiny.toml"
    packaged = read_recipe("encoder-guard")
    recipe.write_text(
        f"""
name = "tiny"
network = "{packaged.network}"
seed = 3
learning_rate = 1e-3
weight_decay = 0.05
filter_rate = 0.05
hardness = 0.5
precision = "float32"
[data]
labelled = "train.zip"
validation = "val.zip"
[loss]
teacher = "dlib"
centred = 0.8
distillation = 1.0
similarity = 1.0
margin = "arcface"
margin_size = 0.3
margin_weight = 0.1
[schedule]
epochs = 8.0
batch = 8
warmup = 5
log_every = 1
average = 0.8
validate_every = 24
save_minutes = 0.0
"""
    )
    return tmp_path


@pytest.fixture
def a_teacher(monkeypatch):
    monkeypatch.setitem(rooms.TEACHERS, "dlib", colours)


def log(place):
    return [json.loads(line) for line in (place / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]


def test_a_tiny_run_learns_and_goes_on_where_it_stopped(place, a_teacher, monkeypatch):
    recipe = read_recipe(place / "tiny.toml")
    where = {"data": place, "teachers": place, "work": place / "runs", "workers": 0}
    whole = train_encoder(recipe, **where)
    lines = log(place)
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert lines[-1]["tar_1e-3"] > 0.5

    (place / "runs" / "tiny" / "checkpoint.pt").unlink()
    (place / "runs" / "tiny" / "log.jsonl").unlink()
    step = EncoderTraining.step

    def stop(self, batch, count=[]):  # noqa: B006  counts steps on purpose
        count.append(1)
        if len(count) == 13:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(EncoderTraining, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train_encoder(recipe, **where)
    monkeypatch.setattr(EncoderTraining, "step", step)
    again = train_encoder(recipe, **where)
    assert [line["loss"] for line in log(place)] == [line["loss"] for line in lines]
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_an_epoch_shows_every_face_once_and_each_with_its_own_person_and_target():
    faces = np.zeros((12, 128, 128, 3), np.uint8)
    faces += (20 * np.arange(12, dtype=np.uint8))[:, None, None, None]
    sets = [FaceSet(faces[:8], np.arange(8)), FaceSet(faces[8:], np.full(4, -1))]
    targets = np.arange(12, dtype=np.float32)[:, None]
    schedule = Schedule(epochs=2.0, batch=4)
    batches = FaceBatches(sets, targets, schedule, seed=1, hardness=1.0)
    assert len(batches) == 6
    seen = [batches[step] for step in range(6)]
    for epoch in (seen[:3], seen[3:]):
        rows = torch.cat([batch.teacher[:, 0] for batch in epoch]).long()
        assert sorted(rows.tolist()) == list(range(12))
        assert torch.equal(torch.cat([batch.people for batch in epoch]), torch.where(rows < 8, rows, -1))
    assert [b.teacher.tolist() for b in seen[:3]] != [b.teacher.tolist() for b in seen[3:]]
    assert all(torch.equal(a, b) for a, b in zip(batches[4], seen[4], strict=True))


def test_mixed_faces_belong_to_nobody_and_the_teacher_is_asked_of_them_before_they_are_degraded():
    faces = np.random.default_rng(1).integers(0, 256, (8, 128, 128, 3), np.uint8)
    sets, targets = [FaceSet(faces, np.arange(8))], np.eye(8, dtype=np.float32)
    batches = FaceBatches(sets, targets, Schedule(epochs=1.0, batch=4), seed=1, hardness=0.0, mixed=0.5)
    lesson = batches[0]
    assert lesson.people[:2].tolist() == [-1, -1] and (lesson.people[2:] >= 0).all()
    assert lesson.mixed.shape == (2, 128, 128, 3) and lesson.faces.shape == (4, 112, 112, 3)
    for mixed in lesson.mixed.numpy():
        assert not any(np.array_equal(mixed, face) for face in faces)
    halves = [mix(faces[0], faces[1], np.random.default_rng(seed)) for seed in range(20)]
    parts = [((made == faces[0]) | (made == faces[1])).mean() for made in halves]
    assert sum(part == 1 for part in parts) in range(5, 16)


def test_packaged_recipes_are_recipes():
    assert {"encoder-driver", "encoder-guard", "swapper-128"} < set(recipes())
    for name in recipes():
        assert read_recipe(name).name == name
    driver, guard = map(read_recipe, ["encoder-driver", "encoder-guard"])
    assert driver.loss.teacher != guard.loss.teacher
    assert driver.network != guard.network


def test_what_is_wrong_is_said(place):
    with pytest.raises(OptionError, match="encoder-driver"):
        read_recipe("no-such-recipe")
    (place / "wrong.toml").write_text((place / "tiny.toml").read_text().replace("seed = 3", 'seed = "three"'))
    with pytest.raises(OptionError, match="seed"):
        read_recipe(place / "wrong.toml")
    recipe = read_recipe(place / "tiny.toml")
    with pytest.raises(InputError, match="no such archive"):
        train_encoder(recipe, data=place / "none", teachers=place, work=place / "runs")
    with pytest.raises(WeightsError, match="no such network"):
        train_encoder(recipe, data=place, teachers=place, work=place / "runs")
