import json

import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from tests.cli.command import masquerade  # noqa: E402
from tests.train.archives import write_archives  # noqa: E402
from tests.train.test_attack import RECIPE  # noqa: E402


@pytest.fixture
def place(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    write_archives(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("epochs = 2.0", "epochs = 0.5"))
    export_generator(Compact(), tmp_path / "swapper.onnx")
    yield tmp_path
    torch.set_num_threads(before)


def places(place):
    return ["--data", place, "--teachers", place, "--work", place / "runs", "--workers", "0"]


def test_an_attack_ends_with_what_was_found(place):
    done = masquerade("attack", place / "tiny.toml", *places(place), "--swapper", place / "swapper.onnx")
    assert done.code == 0, done.err
    (said,) = json.loads((place / "runs" / "tiny" / "outcome.json").read_text())
    row = done.out.splitlines()[2]
    assert row.startswith("| guard | ") and f"| {said['ra']['share']:.3f} (" in row
    assert str(place / "runs" / "tiny" / "triplets.png") in done.out


def test_what_is_no_attack_is_refused(place):
    masquerade("attack", "encoder-driver", *places(place)).refused("bad-option", "encoder-driver trains no attack")
    masquerade("attack", place / "tiny.toml", *places(place)).refused("bad-input", "no such weights", "--swapper")
