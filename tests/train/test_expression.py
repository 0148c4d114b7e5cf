import json
import zipfile

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

torch = pytest.importorskip("torch")

from masquerade.nets.expression import Expression  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.expression import (  # noqa: E402
    Examination,
    ExpressionBatches,
    ExpressionTraining,
    area_under_roc,
    train_expression,
)
from masquerade.train.expression_labels import Labels, store  # noqa: E402
from masquerade.train.losses.expression import likeness  # noqa: E402
from masquerade.train.recipe import Schedule, read_recipe  # noqa: E402

PEOPLE, EACH = 6, 4


def drawn(person, laughs):
    """A person is a colour, and laughs with an open mouth or does not."""
    face = np.full((128, 128, 3), (60 + 30 * person, 200 - 20 * person, 120), np.uint8)
    cv2.ellipse(face, (64, 100), (24, 16 if laughs else 2), 0, 0, 360, (20, 20, 20), -1)
    return face


@pytest.fixture
def place(tmp_path):
    for name in ("train", "val"):
        names, classes, geometry = [], [], []
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as zipped:
            for person in range(PEOPLE):
                for i in range(EACH):
                    laughs = i % 2
                    names.append(f"{person}/{i}.png")
                    zipped.writestr(names[-1], cv2.imencode(".png", drawn(person, laughs))[1].tobytes())
                    classes.append(np.eye(7)[3 if laughs else 6] * 0.93 + 0.01)
                    geometry.append([laughs + 0.01 * person] * 10)
        store(tmp_path / f"{name}.expression.npz", names, np.array(classes))
        store(tmp_path / f"{name}.geometry.npz", names, np.array(geometry))
    (tmp_path / "tiny.toml").write_text(
        """
like = "expression-small"
name = "tiny"
precision = "float32"
hardness = 0.0
[data]
labelled = "train.zip"
unlabelled = []
validation = "val.zip"
[schedule]
epochs = 12.0
batch = 12
warmup = 2
log_every = 1
average = 0.5
validate_every = 24
save_minutes = 0.0
"""
    )
    return tmp_path


def log(place):
    return [json.loads(line) for line in (place / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]


def test_a_tiny_run_learns_to_see_laughter_and_goes_on_where_it_stopped(place, monkeypatch):
    recipe = read_recipe(place / "tiny.toml")
    where = {"data": place, "teachers": place, "work": place / "runs", "workers": 0}
    train_expression(recipe, **where)
    lines = log(place)
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert lines[-1]["accuracy"] > 0.8 and lines[-1]["neighbours"] > 0.8 and lines[-1]["measures"] > 0.9

    (place / "runs" / "tiny" / "checkpoint.pt").unlink()
    (place / "runs" / "tiny" / "log.jsonl").unlink()
    step = ExpressionTraining.step

    def stop(self, batch, count=[]):  # noqa: B006  counts steps on purpose
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(ExpressionTraining, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train_expression(recipe, **where)
    monkeypatch.setattr(ExpressionTraining, "step", step)
    train_expression(recipe, **where)
    assert [line["loss"] for line in log(place)] == [line["loss"] for line in lines]


def test_a_run_may_begin_where_another_ended(place):
    recipe = read_recipe(place / "tiny.toml")
    where = {"data": place, "teachers": place, "work": place / "runs", "workers": 0}
    first = train_expression(recipe, **where)
    still = recipe.model_copy(
        update={
            "name": "more",
            "learning_rate": 1e-12,
            "weight_decay": 0.0,
            "loss": recipe.loss.model_copy(update={"recognised": 3.0}),
            "schedule": recipe.schedule.model_copy(update={"epochs": 1.0}),
        }
    )
    more = train_expression(still, **where, start=place / "runs" / "tiny" / "checkpoint.pt")
    for one, other in zip(first.parameters(), more.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    line = json.loads((place / "runs" / "more" / "log.jsonl").read_text().splitlines()[0])
    parts = {name: getattr(still.loss, name) * line[name] for name in ("contrast", "classes", "geometry", "likeness")}
    assert line["recognised"] >= 0
    assert line["loss"] == pytest.approx(sum(parts.values()) + 3 * line["recognised"], rel=1e-5)


def test_an_epoch_shows_every_face_once_and_people_stay_together():
    faces = np.zeros((24, 128, 128, 3), np.uint8)
    people = np.concatenate([np.repeat(np.arange(4), 4), 4 + np.arange(8)])
    classes = np.eye(24, dtype=np.float32)
    sets = [FaceSet(faces[:16], people[:16]), FaceSet(faces[16:], np.full(8, -1))]
    batches = ExpressionBatches(
        sets, people, Labels(classes, classes), Schedule(epochs=2.0, batch=8), seed=1, hardness=1.0
    )
    assert len(batches) == 6
    seen = [batches[step] for step in range(6)]
    for epoch in (seen[:3], seen[3:]):
        rows = torch.cat([lesson.classes.argmax(1) for lesson in epoch])
        assert sorted(rows.tolist()) == list(range(24))
        queue = torch.cat([lesson.people for lesson in epoch])
        assert queue.tolist() == people[rows.numpy()].tolist()
        assert 1 + int((queue.diff() != 0).sum()) == 12
    assert [b.people.tolist() for b in seen[:3]] != [b.people.tolist() for b in seen[3:]]
    assert all(torch.equal(a, b) for a, b in zip(batches[4], seen[4], strict=True))


def examined(embedding_of):
    """Figures of an embedder that is handed expression and person, in one-hot rows."""
    rng = np.random.default_rng(0)
    people, hard = np.repeat(np.arange(40), 6), rng.integers(0, 3, 240)
    classes = np.eye(7, dtype=np.float32)[hard]
    geometry = (hard[:, None] + 0.1 * rng.standard_normal((240, 2))).astype(np.float32)
    labels = Labels(classes, geometry)
    vectors = embedding_of(classes, np.eye(40, dtype=np.float32)[people])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    said = Expression(*(torch.from_numpy(x) for x in (vectors, classes, classes[:, :2], geometry)))
    return Examination(np.zeros((240, 112, 112, 3), np.uint8), people, labels, 0.5).of(said)


def test_who_sees_expressions_passes_and_who_sees_people_is_found_out():
    noise = np.random.default_rng(1).standard_normal((240, 7)).astype(np.float32)
    honest = examined(lambda classes, people: classes + 0.05 * noise)
    assert honest["accuracy"] == honest["neighbours"] == honest["balanced"] == 1
    assert honest["measures"] == pytest.approx(1) and honest["order"] > 0.6
    assert honest["identity"] == pytest.approx(0.5, abs=0.06)
    cheat = examined(lambda classes, people: people + 1e-3 * noise.repeat(6, 1)[:, :40])
    assert cheat["identity"] > 0.99
    assert cheat["neighbours"] < 0.5 and abs(cheat["order"]) < 0.1


def test_area_under_roc_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 300).astype(np.float32), rng.random(300) < 0.3
    assert area_under_roc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_likeness_of_a_batch_is_what_is_examined():
    classes, geometry = np.eye(3, dtype=np.float32), np.zeros((3, 2), np.float32)
    found = likeness(torch.from_numpy(classes), torch.from_numpy(geometry))
    assert found[0, 1] == pytest.approx(np.exp(-1))
