"""Every packaged recipe starts by the README's command on a little data, and goes on where it was stopped.

Those of expressions, the upscaler and the aligner have data of their own: see test_expression, test_upscaler,
test_expression_ablation and test_aligner. That kill -9 does no harm at any moment is the engine's doing: see
test_engine, test_swapper and test_processes.
"""

import json
import shlex
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.generators import GENERATORS  # noqa: E402
from masquerade.train import encoder, engine  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from masquerade.train.recipe import AttackRecipe, EncoderRecipe, SwapperRecipe, read_recipe, recipes  # noqa: E402
from tests.cli.command import masquerade  # noqa: E402
from tests.train.archives import colours, write_archives  # noqa: E402

README = Path(__file__).resolve().parents[2] / "README.md"
TINY = """
like = "{name}"
name = "tiny"
precision = "float32"
{sizes}
[data]
{data}
[loss]
{loss}
{discriminator}
[schedule]
epochs = 1.0
batch = 2
accumulate = 1
warmup = 0
log_every = 1
validate_every = 1000
save_minutes = 0.0
"""


def tiny(name):
    """A recipe like the packaged one, for a narrow network and four small faces; recognisers are the package's own."""
    recipe = read_recipe(name)
    if isinstance(recipe, EncoderRecipe):
        return TINY.format(
            name=name,
            sizes="",
            data='labelled = "train.zip"\nunlabelled = []\nvalidation = "val.zip"',
            loss="",
            discriminator="",
        )
    whole = recipe.discriminator.kind == "facedancer" or recipe.network.startswith(("compact", "veiled", "attack"))
    plain = recipe.network.startswith(("compact", "veiled", "attack-compact"))
    sizes = [f"side = {128 if whole else 64}", *([] if plain else [f"width = {8 if name == 'deepprivacy' else 4}"])]
    data = ['faces = ["train.zip"]', 'validation = "val.zip"']
    loss = ['recognisers = ["driver"]'] if recipe.loss.recognisers else []
    if isinstance(recipe, SwapperRecipe):
        data += [f"same = {recipe.data.same and max(0.5, recipe.data.same)}"]
        data += ["people = 3"] if recipe.data.people else []
        loss += [f"margins = {recipe.loss.margins[:1]}", "expression = 0.0"]
    return TINY.format(
        name=name,
        sizes="\n".join(sizes),
        data="\n".join(data),
        loss="\n".join(loss),
        discriminator="[discriminator]\nwidth = 4",
    )


def command(recipe, *more):
    """The README's, for another recipe."""
    (line,) = (line for line in README.read_text("utf-8").splitlines() if line.startswith("masquerade train "))
    words = shlex.split(line, comments=True)
    assert words[2] in recipes()
    return [*words[1:2], recipe, *words[3:], *more]


def written(place):
    lines = [json.loads(line) for line in (place / "runs" / "tiny" / engine.LOG).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


OTHERS = ("aligner", "expression", "upscaler")


@pytest.mark.parametrize("name", [name for name in recipes() if not name.startswith(OTHERS)])
def test_a_recipe_starts_and_goes_on_where_it_was_stopped(name, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encoder, "TEACHERS", {"dlib": colours, "fr_feature": colours})
    monkeypatch.setattr(
        encoder, "look_of", lambda name, _: lambda faces: torch.from_numpy(colours(name)(faces.numpy()))
    )
    write_archives(tmp_path, people=3)
    np.save("train.yaw.npy", np.zeros(4, np.float32))
    Path("tiny.toml").write_text(tiny(name))
    more = ["--workers", 0]
    recipe = read_recipe(name)
    if isinstance(recipe, AttackRecipe):
        torch.manual_seed(0)
        export_generator(GENERATORS[recipe.victim.network](), Path("swapper.onnx"))
        more += ["--swapper", "swapper.onnx"]
    save, saved = engine._save, []

    def stop(*state):
        if saved:
            raise KeyboardInterrupt
        saved.append(save(*state))

    with mock.patch.object(engine, "_save", stop):
        assert masquerade(*command("tiny.toml", *more)).code == 130
    # The second step is done and written down, but not in the checkpoint: it is done again, and comes out the same.
    stopped = written(tmp_path)
    said = masquerade(*command("tiny.toml", *more))
    assert said.code == 0, said
    resumed = written(tmp_path)
    assert [line["step"] for line in resumed] == [1, 2]
    assert resumed == stopped
    torch.set_num_threads(before)
