"""`masquerade calibrate` on people who are patterns, against loops over their pixels."""

import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from masquerade.audit.verification import equal_error_rate, tar_at_far, threshold_at_far
from masquerade.errors import OptionError
from masquerade.faces.embed import open_encoder
from masquerade.models.cards import PACKAGED, card, read_card
from tests.audit.crowd import POOL, write_crowd
from tests.cli.command import masquerade
from tests.faces.embed.networks import by_hand, write_linear


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return write_crowd(tmp_path_factory.mktemp("calibrate") / "crowd", people=20, each=3, noise=160)


@pytest.fixture
def net(tmp_path):
    write_linear(tmp_path / "net.onnx", pool=POOL)
    return tmp_path / "net.onnx"


def distances_by_hand(crowd, tmp_path):
    matrix = write_linear(tmp_path / "again.onnx", pool=POOL)
    seen = [
        (path.parent.name, by_hand(np.asarray(Image.open(path)).transpose(2, 0, 1) / 127.5 - 1, matrix, POOL))
        for path in sorted(crowd.glob("*/*.png"))
    ]
    genuine = [1 - a @ b for (one, a), (other, b) in combinations(seen, 2) if one == other]
    return genuine, [1 - a @ b for (one, a), (other, b) in combinations(seen, 2) if one != other]


def test_figures_and_thresholds_are_right_and_kept_beside_the_file(crowd, net, tmp_path):
    common = ("calibrate", crowd, "--aligned", "--encoder", net, "--threads", 1)
    said = masquerade(*common, "--kind", "arcface", "--save", "--json")
    assert said.code == 0, said
    told = json.loads(said.out)
    genuine, impostors = distances_by_hand(crowd, tmp_path)
    assert (told["genuine"], told["impostors"], told["faces"], told["people"]) == (60, 1710, 60, 20)
    assert told["eer"] == pytest.approx(equal_error_rate(impostors, genuine)[0], abs=0.02)
    assert [entry["far"] for entry in told["thresholds"]] == [1e-2, 1e-3]
    for entry in told["thresholds"]:
        assert entry["threshold"] == pytest.approx(threshold_at_far(impostors, entry["far"]), abs=2e-3)
        assert entry["low"] <= entry["threshold"] <= entry["high"]
        assert entry["tar"] == pytest.approx(tar_at_far(genuine, impostors, entry["far"]), abs=0.05)
    assert told["refused"] == [{"far": 1e-4, "needs_pairs": 10_000}]

    encoder = open_encoder(net, threads=1)
    assert encoder.kind == "arcface", "its card says so"
    assert encoder.threshold(1e-3) == told["thresholds"][1]["threshold"]
    assert encoder.calibration[0].data == "crowd: 60 faces of 20 people"
    assert open_encoder(net, kind="adaface", threads=1).calibration == (), "fed otherwise, it is another encoder"

    again = masquerade(*common)
    assert again.code == 0, again
    for part in ("60 genuine and 1710 impostor pairs", "EER", "accuracy", "FAR 0.0001 needs 10000 impostor pairs"):
        assert part in again.out

    net.write_bytes(net.read_bytes() + b"\n")
    with pytest.raises(OptionError, match=r"not the one its card was made for.*Remove .*net\.onnx\.card\.toml"):
        open_encoder(net)


def test_a_list_of_pairs_is_judged_by_its_own_folds(crowd, net, tmp_path):
    people = [f"P{n:02d}" for n in range(20)]
    lines = []
    for fold in (people[:10], people[10:]):
        lines += [f"{name}\t1\t2" for name in fold]
        lines += [f"{a}\t1\t{b}\t2" for a, b in zip(fold, fold[1:] + fold[:1], strict=True)]
    (tmp_path / "pairs.txt").write_text("2\t10\n" + "\n".join(lines))
    arguments = ("--encoder", net, "--kind", "arcface", "--aligned", "--images", crowd, "--json", "--threads", 1)
    said = masquerade("calibrate", tmp_path / "pairs.txt", *arguments)
    assert said.code == 0, said
    told = json.loads(said.out)
    assert (told["genuine"], told["impostors"], told["thresholds"]) == (20, 20, [])
    assert [entry["needs_pairs"] for entry in told["refused"]] == [100, 1000, 10_000]
    said = masquerade("calibrate", tmp_path / "pairs.txt", *arguments, "--save")
    said.refused("bad-input", "20 impostor pairs show no threshold to keep")
    assert not net.with_name("net.onnx.card.toml").exists()


def test_a_card_of_weights_takes_thresholds_and_keeps_the_rest(crowd, tmp_path):
    path = tmp_path / "driver.toml"
    text = (PACKAGED / "driver.toml").read_text()
    path.write_text(text)
    arguments = ("calibrate", crowd, "--aligned", "--threads", 1, "--quiet", "--write-card")
    said = masquerade(*arguments, path)
    assert (said.code, said.out) == (0, ""), said
    found = read_card(path)
    assert [(entry.far, entry.pairs) for entry in found.calibration] == [(1e-2, 1710), (1e-3, 1710)]
    assert found.model_copy(update={"calibration": ()}) == card("driver").model_copy(update={"calibration": ()})
    head = text.split("[[calibration]]")[0].rstrip()
    assert path.read_text().startswith(head), "as a person wrote it"
    written = path.read_text()
    assert masquerade(*arguments, path).code == 0
    assert path.read_text() == written, "again is the same"

    other = tmp_path / "guard.toml"
    other.write_text((PACKAGED / "guard.toml").read_text())
    masquerade(*arguments, other).refused("bad-option", other, "not that of driver")
    path.write_text("[[calibration]]\nfar = 0.5\n" + text)
    masquerade(*arguments, path).refused("bad-input", path, "no card")


def test_what_cannot_work_is_said_before_any_work(crowd, net, tmp_path):
    base = ("calibrate", crowd, "--aligned", "--threads", 1)
    masquerade(*base, "--save").refused("bad-option", "--write-card")
    masquerade(*base, "--save", "--write-card", net).refused("bad-option", "exclude")
    masquerade(*base, "--encoder", net).refused("bad-option", net, "--kind")
    masquerade(*base, "--encoder", "drivr").refused("bad-option", "drivr", "driver, guard")
    masquerade("calibrate", tmp_path / "none", "--threads", 1).refused("bad-input", "none")
    masquerade("calibrate", crowd / "P00", "--threads", 1).refused("bad-input", "one sub-folder for each person")
