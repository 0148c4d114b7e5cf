import json

import pytest
from PIL import Image

from masquerade.audit.verification import METRICS
from tests.audit.crowd import POOL, write_crowd
from tests.cli.command import masquerade, process
from tests.faces.embed.networks import write_linear


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """crowd, and hidden: the same files, the people of the first half as they were, the others flat."""
    folder = tmp_path_factory.mktemp("distances")
    write_crowd(folder / "crowd", people=20, each=3, noise=30)
    write_crowd(folder / "hidden", people=20, each=3, noise=30)
    others = write_crowd(folder / "others", people=20, each=3, noise=30, seed=9)
    for path in sorted((folder / "hidden").glob("P1*/*.png")):
        path.write_bytes((others / path.parent.name / path.name).read_bytes())
    write_linear(folder / "good.onnx", pool=POOL, dimensions=16)
    write_linear(folder / "poor.onnx", pool=POOL, dimensions=2)
    return folder


def test_encoders_and_metrics_are_compared_and_drawn(crowd, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["distances", crowd / "crowd", "--aligned", "--threads", 1, "--anonymized", crowd / "hidden"]
    for name in ("poor", "good"):
        arguments += ["--encoder", crowd / f"{name}.onnx", "--kind", "arcface"]
    said = masquerade(*arguments, "--figures", tmp_path / "figures", "--json")
    assert said.code == 0, said
    told = json.loads(said.out)
    assert [(one["encoder"], one["metric"]) for one in told["studies"]] == [
        (name, metric) for name in ("poor", "good") for metric in METRICS
    ]
    assert told["recommended"]["encoder"] == "good"
    best = next(one for one in told["studies"] if one["metric"] == "cosine" and one["encoder"] == "good")
    assert best["replaced"]["least"] == pytest.approx(0, abs=1e-6)
    assert best["replaced"]["matched"] == pytest.approx(0.5, abs=0.05), "half of them were left as they were"
    assert best["tar"] > 0.9
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(
        f"{name}-{metric}.svg" for name in ("poor", "good") for metric in METRICS
    )
    said = masquerade(*arguments)
    assert said.code == 0, said
    for part in ("60 genuine and 1710 impostor pairs", "replaced", "least overlap: good with"):
        assert part in said.out


def test_what_cannot_work_is_said(crowd, tmp_path):
    base = ("distances", crowd / "crowd", "--aligned", "--threads", 1)
    masquerade(*base, "--kind", "arcface").refused("bad-option", "--kind arcface belongs to no file")
    masquerade(*base, "--encoder", "driver", "--encoder", "driver").refused(
        "bad-option", "two encoders are called driver"
    )
    masquerade(*base, "--anonymized", tmp_path / "none").refused("bad-input", "none", "no such folder")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    masquerade(*base, "--anonymized", tmp_path).refused("bad-input", "P00_0001.png", "no such file")


def test_without_matplotlib_figures_are_refused_before_any_work(crowd, tmp_path):
    missing = "import sys; sys.modules['matplotlib'] = None"
    base = ("distances", crowd / "crowd", "--aligned", "--threads", 1, "--encoder", crowd / "good.onnx")
    said = process(*base, "--kind", "arcface", "--figures", tmp_path / "figures", prelude=missing)
    said.refused("bad-option", "masquerade[audit]")
    assert not (tmp_path / "figures").exists()
