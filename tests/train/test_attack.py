import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError, OptionError, WeightsError  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.train import attack, engine  # noqa: E402
from masquerade.train.anonymizer import Anonymizer  # noqa: E402
from masquerade.train.attack import AttackTraining, build_adversary, build_encoder, outcome, train_attack  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from masquerade.train.recipe import AttackRecipe, Schedule, read_recipe, recipes  # noqa: E402
from masquerade.train.swapper import RECOGNISERS, SwapBatches  # noqa: E402
from tests.train.archives import smooth, unit, write_archives  # noqa: E402

RECIPE = """
like = "attack-compact"
name = "tiny"
learning_rate = 1e-3
precision = "float32"
[data]
faces = ["train.zip"]
validation = "val.zip"
[loss]
recognisers = ["driver"]
[schedule]
epochs = 2.0
batch = 2
warmup = 0
log_every = 1
validate_every = 3
save_minutes = 0.0
average = 0.5
"""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path):
    write_archives(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    torch.manual_seed(0)
    export_generator(Compact(), tmp_path / "swapper.onnx")
    return tmp_path


def run(place, recipe, **others):
    return train_attack(recipe, data=place, teachers=place, work=place / "runs", workers=0, **others)


def test_an_attack_trains_goes_on_and_says_how_far_it_got(place):
    recipe = read_recipe(place / "tiny.toml")
    assert isinstance(recipe, AttackRecipe)
    whole = run(place, recipe, swapper=place / "swapper.onnx")
    folder = place / "runs" / "tiny"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    weights = recipe.loss
    for line in lines:
        parts = [getattr(weights, name) * line[name] for name in ("reconstruction", "perceptual", "identity", "ifsr")]
        assert line["loss"] == pytest.approx(sum(parts), rel=1e-4)
    assert {"guard_id", "guard_ra", "guard_chance"} <= set(lines[2]) & set(lines[3])
    assert [path.name for path in sorted((folder / "grids").iterdir())] == ["0000003.png", "0000004.png"]
    assert cv2.imread(str(folder / "triplets.png")).shape == (3 * 128, 12 * 128, 3)
    (said,) = json.loads((folder / "outcome.json").read_text())
    assert said["recogniser"] == "guard" and said["ra"]["of"] == 4
    assert said["ra"]["share"] == said["ra"]["hits"] / 4

    stored = attack.read_adversary(folder / engine.CHECKPOINT, recipe).state_dict()
    assert all(torch.equal(weight, stored[name]) for name, weight in whole.state_dict().items())
    exported = attack.read_adversary(folder / "adversary.onnx", recipe).state_dict()
    assert all(torch.allclose(weight, exported[name], atol=1e-3) for name, weight in whole.state_dict().items())
    assert attack.from_json(attack.as_json(attack.from_json([said]))) == attack.from_json([said])
    again = run(place, recipe, swapper=place / "swapper.onnx")
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))

    # An adversary that goes on from it, against a defence that knows it.
    defended = recipe.model_copy(
        update={
            "name": "defended",
            "victim": recipe.victim.model_copy(update={"defences": [attack_defence("fgsm", 0.1)], "surrogate": "tiny"}),
            "schedule": recipe.schedule.model_copy(update={"epochs": 0.5}),
        }
    )
    run(place, defended, swapper=place / "swapper.onnx", start=folder)
    assert (place / "runs" / "defended" / "outcome.json").is_file()


def attack_defence(kind, strength):
    from masquerade.train.recipe import Defence  # noqa: PLC0415

    return Defence(kind=kind, strength=strength)


def training(recipe, anonymizer, **loss):
    recipe = recipe.model_copy(update={"loss": recipe.loss.model_copy(update=loss)})
    torch.manual_seed(0)
    recognisers = [RECOGNISERS["driver"](None)]
    return AttackTraining(recipe, build_adversary(recipe), anonymizer, build_encoder(), recognisers)


def batch(recipe, count=4):
    rng = np.random.default_rng(1)
    faces = FaceSet(smooth(rng, count), np.full(count, -1))
    return SwapBatches([faces], unit(rng, count), recipe.data, Schedule(epochs=1.0, batch=count), seed=1)[0]


def test_an_adversary_learns_and_neither_the_swapper_nor_a_recogniser_does(place):
    recipe = read_recipe(place / "tiny.toml")
    swapper = Compact(widths=(4, 8, 8, 8), style=4)
    adversary = training(recipe, Anonymizer("swapper", swapper))
    frozen = [*swapper.parameters(), *adversary._encoder.parameters(), *adversary._recognisers[0].parameters()]
    before = [weight.clone() for weight in frozen]
    seen = batch(recipe)
    losses = []
    for _ in range(4):
        torch.manual_seed(3)
        losses.append(float(adversary.step(seen)["loss"]))
    assert losses[-1] < losses[0]
    assert all(map(torch.equal, before, frozen))


def test_half_precision_gives_about_the_same_losses(place):
    recipe = read_recipe(place / "tiny.toml")
    seen, found = batch(recipe), []
    for precision in ("float32", "bfloat16"):
        adversary = training(recipe.model_copy(update={"precision": precision}), Anonymizer("pixelate"))
        torch.manual_seed(3)
        found.append(adversary.step(seen))
        assert all(weight.dtype == torch.float32 for weight in adversary.modules["generator"].parameters())
    for name, value in found[0].items():
        assert float(found[1][name]) == pytest.approx(float(value), rel=0.05, abs=0.03), name


def test_the_published_form_has_a_judge_that_learns_too(place):
    small = "\nlike = 'attack-facedancer'\nname = 'a'\nwidth = 4\nprecision = 'float32'\n[discriminator]\nwidth = 4\n"
    (place / "a.toml").write_text(small)
    recipe = read_recipe(place / "a.toml")
    adversary = training(recipe, Anonymizer("pixelate"), recognisers=["driver"])
    before = {name: [w.clone() for w in module.parameters()] for name, module in adversary.modules.items()}
    found = adversary.step(batch(recipe, 2))
    assert {"adversarial", "discriminator"} <= set(found)
    for name, module in adversary.modules.items():
        assert not all(map(torch.equal, before[name], module.parameters())), name
        assert all(weight.requires_grad for weight in module.parameters())


def test_outcomes_are_those_that_were_made():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(50), 4)
    centres = rng.standard_normal((50, 256))

    def unit_rows(vectors):
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    known = unit_rows(centres[people] + 0.2 * rng.standard_normal((200, 256)))
    rows = np.arange(0, 200, 5)
    shown, guess = unit_rows(rng.standard_normal((40, 256))), unit_rows(rng.standard_normal((40, 256)))
    shown[:4], shown[4:10] = known[rows[:4]], -known[rows[4:10]]
    guess[:30] = unit_rows(known[rows[:30]] + 0.02 * rng.standard_normal((30, 256)))
    found = outcome("one", known, people, rows, shown, guess)
    assert (found.id.hits, found.id.of) == (4, 40)
    assert found.neg_id.hits == 6
    assert found.ra.hits == 30
    assert found.ra_elsewhere.hits == 90 and found.ra_elsewhere.of == 120
    assert found.elsewhere.share == 1
    assert found.chance.share < 0.01 and found.chance.of == 40 * 196
    assert found.first.hits >= 30
    assert "0.750 (0.598–0.858)" in attack.table([found])


def test_packaged_attacks_are_recipes_and_nonsense_is_refused(place):
    packaged = [read_recipe(name) for name in recipes() if name.startswith("attack")]
    assert len(packaged) >= 3 and all(isinstance(recipe, AttackRecipe) for recipe in packaged)
    for wrong, why in (
        ("[data]\nsame = 0.2", "same is 0"),
        ("[[victim.defences]]\nkind = 'fgsm'\nstrength = 0.1", "surrogate"),
        ("[victim]\nmethod = 'blur'\n[[victim.defences]]\nkind = 'again'\nstrength = 1.0", "only a swapper"),
        ("[loss]\nrecognisers = []", "recognisers"),
    ):
        (place / "wrong.toml").write_text(f"like = 'attack-quick'\n{wrong}\n")
        with pytest.raises(OptionError, match=why):
            read_recipe(place / "wrong.toml")


def test_what_is_not_there_is_said(place):
    recipe = read_recipe(place / "tiny.toml")
    with pytest.raises(InputError, match="no such weights"):
        run(place, recipe)
    torch.save({"averages": {"generator": {}}}, place / "other.pt")
    with pytest.raises(WeightsError, match="not the weights of compact"):
        run(place, recipe, swapper=place / "other.pt")
