import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.export import averaged_generator  # noqa: E402
from masquerade.train.recipe import Schedule, SwapperData, SwapperRecipe, read_recipe  # noqa: E402
from masquerade.train.swapper import RECOGNISERS, SwapBatches, SwapperTraining, jittered, train_swapper  # noqa: E402
from tests.train.archives import unit, write_archives  # noqa: E402

RECIPE = """
name = "tiny"
network = "compact"
seed = 4
learning_rate = 1e-3
precision = "float32"
[data]
faces = ["train.zip"]
validation = "val.zip"
same = 0.5
[loss]
recognisers = ["driver"]
identity = 6.0
repulsion = 6.0
limit = -0.05
ifsr = 3.0
margins = [[0.05, 0.1]]
matching = 2.0
reconstruction = 10.0
light = 4.0
surroundings = 4.0
r1 = 10.0
r1_every = 2
[schedule]
epochs = 3.0
batch = 2
warmup = 2
log_every = 1
average = 0.5
validate_every = 3
save_minutes = 0.0
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path):
    write_archives(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def train(place, work):
    recipe = read_recipe(place / "tiny.toml")
    return train_swapper(recipe, data=place, teachers=place, work=place / work, workers=0)


def curve(place, work):
    log = place / work / "tiny" / "log.jsonl"
    lines = (
        [json.loads(line) for line in log.read_text().splitlines(True) if line.endswith("\n")] if log.exists() else []
    )
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_a_run_killed_and_started_again_writes_the_curve_of_one_that_was_not(place):
    command = [sys.executable, "-m", "masquerade.train", str(place / "tiny.toml"), "--data", str(place)]
    command += ["--teachers", str(place), "--work", str(place / "killed"), "--workers", "0"]
    killed = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not (place / "killed" / "tiny" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    before = len(curve(place, "killed"))
    assert 1 <= before < 6
    train(place, "killed")
    whole = train(place, "whole")

    lines = curve(place, "whole")
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert curve(place, "killed") == lines
    assert lines[-1]["reconstruction"] < lines[0]["reconstruction"]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert {"guard_target", "guard_source", "guard_strangers"} <= set(lines[2]) & set(lines[5])

    grids = sorted((place / "whole" / "tiny" / "grids").iterdir())
    assert [grid.name for grid in grids] == ["0000003.png", "0000006.png"]
    assert cv2.imread(str(grids[1])).shape == (4 * 128, 4 * 128, 3)
    same = [(place / work / "tiny" / "grids" / "0000006.png").read_bytes() for work in ("whole", "killed")]
    assert same[0] == same[1]

    stored = averaged_generator(place / "whole" / "tiny" / "checkpoint.pt").state_dict()
    assert all(torch.equal(weight, stored[name]) for name, weight in whole.state_dict().items())


def training(place, precision="float32", **changes):
    recipe = read_recipe(place / "tiny.toml")
    recipe = recipe.model_copy(update={"loss": recipe.loss.model_copy(update=changes), "precision": precision})
    torch.manual_seed(0)
    return SwapperTraining(recipe, Compact(), [RECOGNISERS["driver"](place)], None)


def batches(same=0.0, fabricated=0.4, count=40):
    rng = np.random.default_rng(1)
    faces = rng.integers(0, 256, (count, 128, 128, 3), np.uint8)
    data = SwapperData(faces=[], validation="", same=same, fabricated=fabricated)
    vectors = unit(rng, count)
    schedule = Schedule(epochs=2.0, batch=4)
    return SwapBatches([FaceSet(faces, np.full(count, -1))], vectors, data, schedule, seed=1), vectors


def test_both_networks_learn_in_a_step_and_the_recogniser_does_not(place):
    swapper = training(place)
    frozen = [weight.clone() for weight in swapper._recognisers[0].state_dict().values()]
    before = {name: {n: p.clone() for n, p in m.named_parameters()} for name, m in swapper.modules.items()}
    swapper.step(batches()[0][0])
    for name, module in swapper.modules.items():
        unmoved = [n for n, weight in module.named_parameters() if torch.equal(weight, before[name][n])]
        # A judge that knows nothing yet pulls its last offset as much up for the real as down for the made.
        assert unmoved in ([], ["layers.5.bias"])
        assert all(weight.requires_grad for weight in module.parameters())
    assert all(map(torch.equal, frozen, swapper._recognisers[0].state_dict().values()))


def test_judges_of_eyes_and_mouth_take_part_and_may_begin_alone(place):
    recipe = read_recipe(place / "tiny.toml")
    judges = recipe.discriminator.model_copy(
        update={"features": True, "ahead": 1, "width": 8, "learning_rate": 10 * recipe.learning_rate}
    )
    torch.manual_seed(0)
    recipe = recipe.model_copy(update={"discriminator": judges})
    swapper = SwapperTraining(recipe, Compact(), [RECOGNISERS["driver"](place)], None)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in swapper.optimizers.items()}
    assert rates["discriminator"] == 10 * rates["generator"]
    made = batches()[0]

    def step(number):
        before = {name: [p.clone() for p in m.parameters()] for name, m in swapper.modules.items()}
        losses = swapper.step(made[number])
        moved = [n for n, m in swapper.modules.items() if not all(map(torch.equal, before[n], m.parameters()))]
        return losses, moved

    losses, moved = step(0)
    assert moved == ["discriminator"]
    assert set(losses) == {"discriminator", "real", "made"}
    losses, moved = step(1)
    assert moved == ["generator", "discriminator"]
    # A hinge's game begins at 2 for each judge: of the face, of eyes and of mouths.
    assert float(losses["discriminator"]) > 4
    assert np.isfinite(float(losses["matching"]))


def test_the_logged_total_is_the_weighted_sum(place):
    swapper = training(place, repulsion=2.5, light=0.5)
    values = swapper.step(batches(same=0.5)[0][0])
    weights = swapper._loss
    names = ["identity", "repulsion", "ifsr", "adversarial", "matching", "reconstruction", "light", "surroundings"]
    assert float(values["loss"]) == pytest.approx(sum(getattr(weights, n) * float(values[n]) for n in names), rel=1e-4)
    assert float(values["reconstruction"]) > 0


def test_half_precision_gives_about_the_same_losses(place):
    steps = []
    for precision in ("float32", "bfloat16"):
        swapper = training(place, precision)
        torch.manual_seed(1)
        steps.append(swapper.step(batches(same=0.5)[0][0]))
        assert all(weight.dtype == torch.float32 for weight in swapper.modules["generator"].parameters())
    for name, value in steps[0].items():
        assert float(steps[1][name]) == pytest.approx(float(value), rel=0.05, abs=0.03), name


def test_what_lies_in_front_of_a_face_is_marked_and_turned_faces_come_more_often():
    rng = np.random.default_rng(1)
    faces = np.full((8, 128, 128, 3), 90, np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None]
    sets, vectors = [FaceSet(faces, np.full(8, -1))], unit(rng, 8)
    data = SwapperData(faces=[], validation="", covered=1.0, turned=3, jitter=False)
    yaws = np.array([0, 40, -30, 10, 0, 0, 24, -24], np.float32)
    made = SwapBatches(sets, vectors, data, Schedule(epochs=1.0, batch=2), seed=1, yaws=yaws)
    assert len(made) == (8 + 3 * 2) // 2
    seen = [made[step] for step in range(len(made))]
    rows = [np.argmax(vectors @ own.numpy()) for batch in seen for own in batch.own]
    assert [rows.count(row) for row in range(8)] == [1, 4, 4, 1, 1, 1, 1, 1]
    for batch in seen:
        for target, front in zip(batch.targets.numpy(), batch.front.numpy(), strict=True):
            plain = np.median(target)
            elsewhere = np.abs(target.astype(float) - plain).max(2)[front == 0]
            assert 0 < (front > 0).mean() < 0.3
            assert (elsewhere < 60).mean() > 0.97


def test_narrow_eyes_come_more_often_and_a_share_is_shown_through_a_veil():
    rng = np.random.default_rng(1)
    faces = np.stack([cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (128, 128)) for _ in range(6)])
    fine = (40 * (np.indices((128, 128)).sum(0) // 2 % 2)).astype(np.uint8)[None, ..., None]
    faces = faces // 2 + fine
    sets, vectors = [FaceSet(faces, np.full(6, -1))], unit(rng, 6)
    data = SwapperData(faces=[], validation="", narrow=2, veiled=0.5, jitter=False)
    eyes = np.array([0.3, 0.1, 0.25, 0.21, 0.4, 0.23], np.float32)
    made = SwapBatches(sets, vectors, data, Schedule(epochs=12.0, batch=5), seed=1, eyes=eyes)
    seen = [made[step] for step in range(len(made))]
    rows = [np.argmax(vectors @ own.numpy()) for batch in seen for own in batch.own]
    assert [rows.count(row) for row in range(6)] == [12, 36, 12, 36, 12, 12]
    pairs = [pair for batch in seen for pair in zip(batch.targets.numpy(), batch.seen.numpy(), strict=True)]
    plain = [np.array_equal(target, shown) for target, shown in pairs]
    assert 0.3 < np.mean(plain) < 0.7
    sharp = {same: [] for same in (True, False)}
    for (target, shown), same in zip(pairs, plain, strict=True):
        assert (target == faces).all((1, 2, 3)).any()
        sharp[same].append(cv2.Laplacian(shown, cv2.CV_64F).std())
    assert min(sharp[True]) > 5 * max(sharp[False])


def test_what_the_generator_sees_is_the_veiled_face_and_what_it_is_measured_by_is_not(place):
    swapper, (made, _) = training(place, features=1.0), batches(same=0.5)
    shown = []
    swapper.modules["generator"].register_forward_pre_hook(lambda _, given: shown.append(given[0].clone()))
    batch = made[0]._replace(seen=torch.full_like(made[0].targets, 127))
    losses = swapper.step(batch)
    assert float(shown[0].abs().max()) < 0.01
    assert float(losses["features"]) > 0.1 and float(losses["reconstruction"]) > 0.1


def test_a_share_of_targets_has_its_eyes_shut():
    rng = np.random.default_rng(1)
    face = np.full((128, 128, 3), 120, np.uint8)
    face[50:62, 36:48] = face[50:62, 80:92] = 255
    along, height = np.linspace(-8, 8, 9), np.array([0, *[6] * 7, 0])
    eyes = [[np.column_stack([x + along, 56 + way * height]) for way in (-1, 1)] for x in (42, 86)]
    lids = np.repeat(np.array(eyes, np.float32)[None], 40, 0)
    data = SwapperData(faces=[], validation="", blinking=0.5, jitter=False)
    faces = FaceSet(np.repeat(face[None], 40, 0), np.full(40, -1))
    made = SwapBatches([faces], unit(rng, 40), data, Schedule(epochs=1.0, batch=4), seed=1, lids=lids)
    plain = [np.array_equal(target, face) for step in range(10) for target in made[step].targets.numpy()]
    assert 0.3 < np.mean(plain) < 0.7


def test_truncated_training_tells_the_network_what_the_product_does_and_asks_for_its_direction(place, monkeypatch):
    recipe = read_recipe(place / "tiny.toml")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"truncated": True})})
    torch.manual_seed(0)
    swapper = SwapperTraining(recipe, Compact(), [RECOGNISERS["driver"](place)], None)
    told, asked = [], []
    swapper.modules["generator"].register_forward_pre_hook(lambda _, given: told.append(given[1].clone()))
    monkeypatch.setattr(
        "masquerade.train.swapper.identity", lambda wanted, seen: asked.append(wanted.clone()) or (seen * 0).sum()
    )
    batch = batches()[0][0]
    swapper.step(batch)
    cosines = torch.nn.functional.cosine_similarity(told[0], batch.wanted)
    assert (told[0].norm(dim=1) > 0.6).all() and (cosines > 0.7).all() and (cosines < 0.9999).all()
    assert torch.allclose(asked[0], torch.nn.functional.normalize(told[0]))


def test_a_share_of_targets_is_seen_in_other_light():
    rng = np.random.default_rng(1)
    faces = FaceSet(np.repeat(rng.integers(60, 200, (1, 128, 128, 3), np.uint8), 40, 0), np.full(40, -1))
    data = SwapperData(faces=[], validation="", lit=0.5, jitter=False)
    made = SwapBatches([faces], unit(rng, 40), data, Schedule(epochs=1.0, batch=4), seed=1)
    targets = [target for step in range(10) for target in made[step].targets.numpy()]
    assert 0.3 < np.mean([np.array_equal(target, faces.faces[0]) for target in targets]) < 0.7
    # Other light, the same view: what is brighter stays brighter.
    assert min(np.corrcoef(target[..., 1].ravel(), faces.faces[0, ..., 1].ravel())[0, 1] for target in targets) > 0.9


def test_batches_show_every_target_once_an_epoch_each_with_a_stranger():
    made, vectors = batches()
    assert len(made) == 20
    seen = [made[step] for step in range(20)]
    for epoch in (seen[:10], seen[10:]):
        own = torch.cat([batch.own for batch in epoch]).numpy()
        assert sorted(np.argmax(own @ vectors.T, 1)) == list(range(40))
    cosines = torch.cat([(batch.own * batch.wanted).sum(1) for batch in seen])
    assert float(cosines.max()) < 0.5
    assert not torch.cat([batch.same for batch in seen]).any()
    assert torch.allclose(torch.cat([batch.wanted for batch in seen]).norm(dim=1), torch.ones(80), atol=1e-5)
    again = batches()[0][7]
    assert all(torch.equal(a, b) for a, b in zip(again[1:], seen[7][1:], strict=True))


def test_sources_are_people_mixtures_and_drawn_ones_in_their_shares():
    made, vectors = batches(fabricated=0.5, count=400)
    wanted = torch.cat([made[step].wanted for step in range(100)]).numpy()
    nearest = np.sort(wanted @ vectors.T, 1)
    people = nearest[:, -1] > 0.999
    mixtures = ~people & (nearest[:, -2] > 0.25)
    assert people.mean() == pytest.approx(0.5, abs=0.08)
    assert mixtures.mean() == pytest.approx(0.25, abs=0.08)


def test_some_targets_are_their_own_source():
    batch = batches(same=0.25)[0][3]
    assert batch.same.tolist() == [True, False, False, False]
    assert torch.equal(batch.wanted[0], batch.own[0])


def test_jitter_shows_most_of_the_face_and_nothing_else():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    face = np.dstack([x, y, 0 * x])
    for _ in range(20):
        moved = jittered(face, rng)
        assert moved.shape == face.shape
        xs, ys = np.sort(moved[64, [0, 127], 0].astype(int)), moved[[0, 127], 64, 1].astype(int)
        assert xs[1] - xs[0] >= 115 and ys[1] - ys[0] >= 115


def test_the_packaged_recipe_is_one_and_wrong_embeddings_are_refused(place):
    packaged = read_recipe("swapper-128")
    assert isinstance(packaged, SwapperRecipe) and packaged.name == "swapper-128"
    assert [len(m) for m in packaged.loss.margins] == [2] * len(packaged.loss.recognisers)
    np.save(place / "train.fr_feature2.npy", np.ones((3, 512), np.float16))
    with pytest.raises(InputError, match="3 embeddings of 4 faces"):
        train(place, "runs")
