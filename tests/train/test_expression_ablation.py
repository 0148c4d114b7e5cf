"""The recipes of table 5.1, each on files that mimic AffectNet and with the small backbone."""

import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

torch = pytest.importorskip("torch")

from masquerade.errors import MasqueradeError  # noqa: E402
from masquerade.nets.expression import Decoder, SimSiam, build_body  # noqa: E402
from masquerade.train import engine, expression_ablation  # noqa: E402
from masquerade.train.expression_ablation import LessonBatches, confusion, train_affectnet  # noqa: E402
from masquerade.train.expression_affectnet import CLASSES, AffectNet, read_affectnet  # noqa: E402
from masquerade.train.losses.supcon import class_weights  # noqa: E402
from masquerade.train.recipe import AffectNetRecipe, Schedule, read_recipe, recipes  # noqa: E402
from tests.train.affectnet import write_affectnet  # noqa: E402

ROWS = [name for name in recipes() if name.startswith("expression-affectnet")]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_affectnet(folder / "AffectNet", {0: 8, 1: 12, 3: 4, 6: 8})
    read_affectnet(folder / "AffectNet", "train", folder / "runs" / "cache", side=112)
    return folder


def small(name, epochs=1.0):
    recipe = read_recipe(name)
    assert isinstance(recipe, AffectNetRecipe)
    schedule = {"batch": 16, "warmup": 0, "average": 0.5, "log_every": 1}
    return recipe.model_copy(
        update={
            "backbone": "small",
            "side": 112,
            "schedule": recipe.schedule.model_copy(update=schedule | {"epochs": epochs}),
            "classifier": recipe.classifier.model_copy(update=schedule | {"epochs": epochs}),
        }
    )


def test_the_rows_are_table_5_1():
    of = {name.removeprefix("expression-affectnet"): read_recipe(name) for name in ROWS}
    says = {name: (r.backbone, r.pretraining, r.weighted, r.affect) for name, r in of.items()}
    assert says == {
        "": ("efficientnet-b0", "contrast", True, True),
        "-resnet50": ("resnet50-v2", "contrast", True, True),
        "-resnet50-unweighted": ("resnet50-v2", "contrast", False, True),
        "-resnet50-single-task": ("resnet50-v2", "contrast", True, False),
        "-end-to-end": ("efficientnet-b0", "none", True, True),
        "-simsiam": ("efficientnet-b0", "simsiam", True, True),
        "-autoencoder": ("efficientnet-b0", "autoencoder", True, True),
    }


@pytest.mark.parametrize("name", ROWS)
def test_every_row_trains_and_leaves_its_figures(name, data, tmp_path):
    (tmp_path / "cache").symlink_to(data / "runs" / "cache")
    found = train_affectnet(small(name), data=data, work=tmp_path, workers=0)
    assert found.counts.sum() == 24 and found.counts.sum(1).tolist() == [6, 6, 0, 6, 0, 0, 6, 0]
    run = tmp_path / name
    said = json.loads((run / "confusion.json").read_text())
    assert said["accuracy"] == np.trace(said["counts"]) / 24 and said["classes"] == list(CLASSES)
    assert "</svg>" in (run / "confusion.svg").read_text()
    assert (run / "pretraining").exists() == (name != "expression-affectnet-end-to-end")
    last = json.loads((run / "classifier" / "log.jsonl").read_text().splitlines()[-1])
    assert last["accuracy"] == said["accuracy"] and {"balanced", "neutral", "anger"} < set(last)


def test_contrast_then_a_classifier_on_the_frozen_encoder_learns_what_faces_express(data, tmp_path):
    (tmp_path / "cache").symlink_to(data / "runs" / "cache")
    recipe = small("expression-affectnet", epochs=12.0)
    found = train_affectnet(recipe, data=data, work=tmp_path, workers=0)
    assert found.figures["accuracy"] > 0.75
    folder = tmp_path / recipe.name
    pretrained, classified = (
        torch.load(folder / stage / "checkpoint.pt", weights_only=True) for stage in ("pretraining", "classifier")
    )
    frozen = classified["averages"]["encoder"]
    assert all(torch.equal(frozen[key], value) for key, value in pretrained["averages"]["encoder"].items())


def test_weights_and_tasks_of_a_recipe_reach_the_loss(data, tmp_path):
    train = read_affectnet(data / "AffectNet", "train", data / "runs" / "cache", side=112)
    weights = class_weights(torch.from_numpy(train.classes), len(CLASSES))
    losses = {}
    for name in ROWS:
        recipe = small(name)
        if recipe.pretraining == "contrast":
            torch.manual_seed(0)
            training = expression_ablation.Pretraining(recipe, weights if recipe.weighted else None)
            batch = LessonBatches(train, recipe.schedule, seed=1, cropped=False)[0]
            losses[name.removeprefix("expression-affectnet")] = float(training.step(batch)["loss"])
    assert losses[""] == losses["-resnet50"]  # the same backbone here
    assert losses["-resnet50-single-task"] < losses["-resnet50"] != losses["-resnet50-unweighted"]


def test_views_show_the_same_faces_and_an_epoch_all_of_them():
    rng = np.random.default_rng(0)
    faces = np.repeat(np.repeat(rng.integers(0, 256, (12, 1, 1, 3), np.uint8), 32, 1), 32, 2)
    data = AffectNet(faces, np.arange(12) % 8, rng.random((12, 2), np.float32))
    for cropped in (False, True):
        batches = LessonBatches(data, Schedule(epochs=2.0, batch=5), seed=3, cropped=cropped)
        assert len(batches) == 4
        first, again = batches[1], batches[1]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        same = torch.equal(first.faces, first.again)
        assert same != cropped  # of one colour each, so a mirror changes nothing
        rows = [int((data.affect == row).all(1).argmax()) for row in first.affect.numpy()]
        if not cropped:
            assert torch.equal(first.faces, torch.from_numpy(faces[rows]))
        assert len(set(rows)) == 5 and data.classes[rows].tolist() == first.classes.tolist()


def test_the_confusion_is_scikit_learn_s(tmp_path):
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 6, 200), rng.integers(0, 8, 200)
    one = confusion(found, truth)
    assert one.counts.tolist() == confusion_matrix(truth, found, labels=range(8)).tolist()
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        assert one.figures["balanced"] == pytest.approx(balanced_accuracy_score(truth, found))
    assert one.figures["accuracy"] == (truth == found).mean() and "contempt" not in one.figures
    assert one.shares[:6].sum(1) == pytest.approx(np.ones(6)) and not one.shares[6:].any()


def test_simsiam_likes_agreement_and_teaches_through_one_side_only():
    torch.manual_seed(0)
    head = SimSiam(12)
    one, other = torch.randn(2, 8, 12, requires_grad=True)
    loss = head(one, other)
    seen = [head.projection(x) for x in (one, other)]
    cosine = torch.nn.functional.cosine_similarity
    by_hand = -(cosine(head.prediction(seen[0]), seen[1]) + cosine(head.prediction(seen[1]), seen[0])).mean() / 2
    # Batch normalisation of `prediction` sees each view alone both times.
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-5)
    fixed = SimSiam(12)
    fixed.prediction.requires_grad_(False)
    fixed(one.detach(), other.detach()).backward()
    assert all(p.grad is not None for p in fixed.projection.parameters())


def test_a_decoder_makes_faces_of_the_side_it_is_told():
    assert Decoder(20, 56)(torch.randn(2, 20)).shape == (2, 3, 56, 56)
    with pytest.raises(ValueError, match="100"):
        Decoder(20, 100)


@pytest.fixture(scope="module")
def torchvision():
    """PyPI's torchvision for Linux belongs to the torch for CUDA: beside one for processors its operators are missing,
    and it cannot be imported. timm's networks use none of them, so here two that it asks for get a name.
    """
    try:
        import torchvision  # noqa: F401, PLC0415 - an extra
    except RuntimeError:
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        yield operators
    except ImportError:
        yield None
    else:
        yield None


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(("name", "millions"), [("efficientnet-b0", 4.0), ("resnet50-v2", 23.5)])
def test_the_backbones_of_table_5_1_are_timm_s(name, millions):
    try:
        body = build_body(name)
    except MasqueradeError as error:
        assert "backbones" in str(error)
        pytest.skip(str(error))
    assert sum(p.numel() for p in body.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    faces = torch.zeros(2, 3, 64, 64, device=engine.device_of_choice())
    assert body.to(faces.device)(faces).shape == (2, body.width)
