import json

import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import OptionError  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.train.anonymizer import oval  # noqa: E402
from masquerade.train.defences import ROWS, adaptive, defences, victim  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from masquerade.train.recipe import AttackRecipe, read_recipe  # noqa: E402
from tests.train.archives import write_archives  # noqa: E402
from tests.train.test_attack import RECIPE  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_row_says_what_is_published():
    base = read_recipe("attack-compact")
    found = victim("swapper+low_resolution-24+jpeg-50", base)
    assert found.method == "swapper" and found.network == base.victim.network and not found.surrogate
    assert [(one.kind, one.strength) for one in found.defences] == [("low_resolution", 24), ("jpeg", 50)]
    assert victim("swapper+fgsm-0.15", base).surrogate == base.name
    for row in ROWS:
        victim(row, base)
    for nonsense in ("swap", "swapper+jpeg", "swapper+magic-3", "swapper+jpeg-x", "blur+noise--1"):
        with pytest.raises(OptionError, match="names no defence"):
            victim(nonsense, base)


def test_an_adaptive_adversary_differs_in_what_she_sees_and_how_long():
    base = read_recipe("attack-compact")
    assert isinstance(base, AttackRecipe)
    other = adaptive(base, "blur", 2.0)
    assert other.name == "attack-compact-blur" and other.victim.method == "blur" and other.schedule.epochs == 2
    assert other.schedule.warmup < base.schedule.warmup
    assert adaptive(base, "swapper", 2.0) == base
    assert other.loss == base.loss and other.data == base.data and other.network == base.network


def test_rows_are_trained_once_and_printed(tmp_path, capsys):
    write_archives(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("epochs = 2.0", "epochs = 0.5"))
    torch.manual_seed(0)
    export_generator(Compact(), tmp_path / "swapper.onnx")

    def run():
        defences(
            data=tmp_path,
            teachers=tmp_path,
            work=tmp_path / "runs",
            recipe=str(tmp_path / "tiny.toml"),
            rows="swapper,swapper+noise-0.15,solid",
            epochs=0.5,
            swapper=tmp_path / "swapper.onnx",
            jobs=1,
            workers=0,
            count=12,
        )
        return capsys.readouterr().out

    printed = run()
    lines = printed.splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| swapper", "| swapper+noise-0.15", "| solid"]
    undefended = json.loads((tmp_path / "runs" / "tiny" / "defence.json").read_text())
    assert undefended["pixels"] == 0 and undefended["stranger"] == undefended["adaptive"]
    said = json.loads((tmp_path / "runs" / "tiny-swapper+noise-0.15" / "defence.json").read_text())
    assert said["adaptive"][0]["recogniser"] == "guard" and said["pose"] is None
    # Uniform noise of 0.15 of half the range moves a pixel by 0.075 of it on average, where there is a face.
    assert said["pixels"] == pytest.approx(0.075 * 127.5 * float(oval(128).mean()), rel=0.15)
    # What is stored is enough to print the table again, on a machine that holds no checkpoint.
    for checkpoint in (tmp_path / "runs").rglob("checkpoint.pt"):
        checkpoint.unlink()
    assert run() == printed
    assert not list((tmp_path / "runs").rglob("checkpoint.pt"))
