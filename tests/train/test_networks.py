"""Every network of the thesis trains by its packaged recipe, made narrow, and what is trained can be exported."""

import cv2
import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError, OptionError  # noqa: E402
from masquerade.nets.facedancer import CONFIGURATIONS  # noqa: E402
from masquerade.train.conditions import conditions  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.export import averaged_generator, export_generator  # noqa: E402
from masquerade.train.recipe import SwapperRecipe, read_recipe, recipes  # noqa: E402
from masquerade.train.swapper import (  # noqa: E402
    RECOGNISERS,
    SwapBatches,
    SwapperTraining,
    build_generator,
    numbered,
    swapped,
    train_swapper,
)
from tests.train.archives import smooth, unit, write_archives  # noqa: E402

OTHERS = ("aligner", "attack", "encoder", "expression", "swapper", "upscaler")
NAMES = [name for name in recipes() if not name.startswith(OTHERS)]
PEOPLE = 3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name):
    """The packaged recipe for a narrow network on small crops, its recogniser being the package's own."""
    recipe = read_recipe(name)
    assert isinstance(recipe, SwapperRecipe)
    loss = recipe.loss.recognisers and {"recognisers": ["driver"]}
    return recipe.model_copy(
        update={
            # FaceDancer's discriminator wants 128 pixels.
            "side": 128 if recipe.discriminator.kind == "facedancer" else 64,
            "width": 8 if name == "deepprivacy" else 4,
            "precision": "float32",
            "learning_rate": 1e-3,
            "data": recipe.data.model_copy(
                update={
                    "faces": ["train.zip"],
                    "validation": "val.zip",
                    "same": recipe.data.same and max(0.5, recipe.data.same),
                    "people": recipe.data.people and PEOPLE,
                }
            ),
            "discriminator": recipe.discriminator.model_copy(update={"width": 4}),
            "loss": recipe.loss.model_copy(update=loss or {}),
            "schedule": recipe.schedule.model_copy(
                update={"epochs": 1.0, "batch": 2, "average": 0.5, "log_every": 1, "validate_every": 2}
            ),
        }
    )


def batches(recipe, count=6):
    rng = np.random.default_rng(1)
    faces = FaceSet(smooth(rng, count), np.arange(count) // 2)
    vectors = unit(rng, count)
    people = numbered(faces.people, vectors, PEOPLE) if recipe.data.people else None
    return SwapBatches([faces], vectors, recipe.data, recipe.schedule, seed=1, side=recipe.side, people=people)


def test_every_network_of_the_thesis_has_a_recipe_that_differs_as_table_5_4_says():
    rows = {f"facedancer-{name}" for name in CONFIGURATIONS}
    assert set(NAMES) == rows | {"simswap", "faceshifter", "fiva", "ciagan", "deepprivacy"}
    assert all(read_recipe(name).name == name == read_recipe(name).network for name in NAMES)
    model = read_recipe("facedancer-c")
    for row in rows:
        recipe = read_recipe(row)
        assert bool(recipe.loss.ifsr) == CONFIGURATIONS[row.removeprefix("facedancer-")].ifsr
        same = {"name": row, "network": row, "loss": recipe.loss.model_copy(update={"ifsr": 1.0})}
        assert model.model_copy(update=same) == recipe.model_copy(update={"loss": same["loss"]})


@pytest.mark.parametrize("name", NAMES)
def test_a_step_follows_the_recipe_and_moves_every_weight(name, tmp_path):
    recipe = small(name)
    torch.manual_seed(0)
    training = SwapperTraining(
        recipe, build_generator(recipe), [RECOGNISERS[name](tmp_path) for name in recipe.loss.recognisers], None
    )
    before = {n: {k: p.clone() for k, p in m.named_parameters()} for n, m in training.modules.items()}
    steps = batches(recipe)
    values = training.step(steps[0])
    weights = recipe.loss.model_dump(exclude={"recognisers", "game", "limit", "margins", "matched", "r1", "r1_every"})
    counted = {loss: weight for loss, weight in weights.items() if weight}
    assert set(values) == set(counted) | {"loss", "discriminator", "real", "made"}
    assert all(torch.isfinite(value) for value in values.values())
    total = sum(weight * float(values[loss]) for loss, weight in counted.items())
    assert float(values["loss"]) == pytest.approx(total, rel=1e-4)
    for part, module in training.modules.items():
        still = [n for n, weight in module.named_parameters() if torch.equal(weight, before[part][n])]
        assert len(still) <= 0.1 * len(before[part]), (part, still)
    training.step(steps[1])


@pytest.mark.parametrize("name", ["facedancer-c", "simswap", "faceshifter", "fiva", "ciagan", "deepprivacy"])
def test_what_a_recipe_builds_exports(name, tmp_path):
    torch.manual_seed(0)
    net = build_generator(small(name)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(weight.half().float())
    export_generator(net, tmp_path / "net.onnx")
    crops, identities, _ = net.examples(2)
    told = conditions(net, 2, torch.device("cpu"))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    feeds = {"target": crops, "identity": identities, **told}
    exported = session.run(["crop"], {name: value.numpy() for name, value in feeds.items()})[0]
    with torch.no_grad():
        expected = net(crops, identities, **told).crops.numpy()
    # Weights computed from others (spectral norms) are rounded too.
    assert np.abs(exported - expected).max() < 2e-3 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", ["fiva", "ciagan"])
def test_a_whole_run_draws_grids_and_leaves_a_checkpoint(name, tmp_path):
    write_archives(tmp_path)
    recipe = small(name)
    net = train_swapper(recipe, data=tmp_path, teachers=tmp_path, work=tmp_path / "runs", workers=0)
    grid = cv2.imread(str(tmp_path / "runs" / name / "grids" / "0000002.png"))
    assert grid.shape == (4 * recipe.side, 4 * recipe.side, 3)
    sizes = {"side": recipe.side, "width": recipe.width} | ({"people": PEOPLE} if recipe.data.people else {})
    stored = averaged_generator(tmp_path / "runs" / name / "checkpoint.pt", name, **sizes)
    faces, given = smooth(np.random.default_rng(2), 3), np.eye(3, net.dimensions, dtype=np.float32)
    assert all(torch.equal(weight, stored.state_dict()[key]) for key, weight in net.state_dict().items())
    made, again = (swapped(one, faces, given, torch.device("cpu")).astype(int) for one in (net, stored))
    assert made.shape == (3, recipe.side, recipe.side, 3)
    assert np.abs(made - again).max() <= 2  # the order of sums differs with the order in memory


def test_numbered_people_are_those_with_the_most_pictures_and_sources_of_every_batch():
    rng = np.random.default_rng(0)
    people = np.array([4, 7, 7, 9, 9, 9, 11])
    vectors = unit(rng, 7)
    found = numbered(people, vectors, 2)
    assert found.rows.tolist() == [3, 1]
    mean = vectors[3:6].mean(0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    with pytest.raises(InputError, match="4 people, 5 are to be numbered"):
        numbered(people, vectors, 5)
    batch = batches(small("ciagan"))[0]
    assert batch.given.shape == (2, PEOPLE) and batch.wanted.shape == (2, 512)
    assert (batch.given.sum(1) == 1).all()
    assert not batch.same.any()


def test_fiva_is_given_the_target_and_others_the_source():
    batch = batches(small("fiva"))[0]
    assert torch.equal(batch.given, batch.own) and batch.same.all()
    batch = batches(small("simswap"))[0]
    assert torch.equal(batch.given, batch.wanted) and batch.same.tolist() == [True, False]
    assert batch.targets.shape == (2, 64, 64, 3)


def test_crops_of_networks_that_are_told_landmarks_stay_where_they_are():
    recipe = small("deepprivacy").model_copy(update={"side": 128})
    made = batches(recipe)
    faces = {face.tobytes() for face in smooth(np.random.default_rng(1), 6)}
    assert {face.numpy().tobytes() for step in range(3) for face in made[step].targets} == faces


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("[loss]\nrecognisers = []", "need a recogniser"),
        ("[loss]\nmargins = []", "margins for each recogniser"),
        ("[loss]\nattributes = 1.0", "only faceshifter"),
        ("[loss]\narea = 1.0", "only fiva"),
        ("[loss]\nmatching = 1.0", "no maps to match"),
        ("[data]\npeople = 5", "numbered people"),
        ("[data]\nsame = 0.0", "its own source"),
        ('network = "compact"\nwidth = 3', "compact has no width"),
        ("[loss]\nidentiy = 1.0", "identiy"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(tmp_path, changes, message):
    (tmp_path / "odd.toml").write_text(f'like = "facedancer-c"\n{changes}\n')
    with pytest.raises(OptionError, match=message):
        read_recipe(tmp_path / "odd.toml")


def test_a_recipe_like_none_is_refused(tmp_path):
    (tmp_path / "odd.toml").write_text('like = "facedancer-z"\n')
    with pytest.raises(OptionError, match=r"facedancer-z: no such recipe.*facedancer-c"):
        read_recipe(tmp_path / "odd.toml")
