import json
import shutil

import numpy as np
import pytest
from PIL import Image

from .command import masquerade

pytestmark = pytest.mark.network

QUICK = ("--threads", 1)


@pytest.fixture(scope="module")
def solid(tmp_path_factory, media):
    """clip.mp4 with its face painted over, and the Plan."""
    folder = tmp_path_factory.mktemp("solid")
    plan = folder / "plan.json"
    assert masquerade("analyze", media / "clip.mp4", "-o", plan, "--method", "solid", "-q", *QUICK).code == 0
    said = masquerade("render", media / "clip.mp4", "--plan", plan, "-o", folder / "clip.mp4", "-q")
    assert said.code == 0, said
    return folder


def test_what_was_painted_over_passes(media, solid, tmp_path):
    report, numbers = tmp_path / "report.html", tmp_path / "report.json"
    said = masquerade(
        "audit",
        media / "clip.mp4",
        solid / "clip.mp4",
        "--plan",
        solid / "plan.json",
        "-o",
        report,
        "--json",
        numbers,
        *QUICK,
    )
    assert said.code == 0, said
    assert said.out.startswith("passed: 2 faces in 1 file, 2 judged") and said.err == ""
    row = json.loads(numbers.read_text())
    assert row["verdict"] == "pass" and row["files"][0]["looks"] == 2
    assert {one["name"]: one["decides"] for one in row["recognisers"]} == {"driver": False, "guard": True}
    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "Passed" in page and row["files"][0]["original_sha256"] in page


def test_the_original_itself_fails(media, tmp_path):
    numbers = tmp_path / "report.json"
    copy = shutil.copy(media / "clip.mp4", tmp_path / "copy.mp4")
    said = masquerade("audit", media / "clip.mp4", copy, "--encoder", "guard", "--json", numbers, *QUICK)
    assert said.code == 2, said
    assert said.out.startswith("failed: ")
    row = json.loads(numbers.read_text())
    assert (row["verdict"], row["uncovered"]["sure"]) == ("fail", 2)
    assert row["recognisers"][0]["retrieval"]["id"]["value"] == 1


def test_the_policy_decides(media, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[limits]\nuncovered = 2\nid = 1\naveraged = 1\npeople = 1\n")
    copy = shutil.copy(media / "clip.mp4", tmp_path / "copy.mp4")
    said = masquerade("audit", media / "clip.mp4", copy, "--policy", policy, "--encoder", "guard", "-q", *QUICK)
    assert (said.code, said.out, said.err) == (0, "", "")


def test_folders_and_a_pair_that_does_not_fit(media, solid, tmp_path):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    shutil.copy(media / "face.png", tmp_path / "in" / "a.png")
    shutil.copy(media / "face.png", tmp_path / "in" / "b.png")
    pixels = np.array(Image.open(media / "face.png"))
    pixels[20:110, 75:150] = 0
    Image.fromarray(pixels).save(tmp_path / "out" / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "b.png")
    said = masquerade("audit", tmp_path / "in", tmp_path / "out", "--json", tmp_path / "r.json", *QUICK)
    assert said.code == 2, said
    assert "masquerade: b.png is in no figure: " in said.err and "8x8 pixels" in said.err
    row = json.loads((tmp_path / "r.json").read_text())
    assert [check["key"] for check in row["checks"] if not check["passed"]] == ["refused"]
    assert [one["code"] for one in row["refused"]] == ["bad-pair"]


def test_a_file_without_an_original_is_named_and_fails(media, solid, tmp_path):
    for folder in ("in", "out/sub"):
        (tmp_path / folder).mkdir(parents=True)
    pixels = np.array(Image.open(media / "face.png"))
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    Image.fromarray(pixels).save(tmp_path / "out" / "sub" / "left over.png")
    pixels[20:110, 75:150] = 0
    Image.fromarray(pixels).save(tmp_path / "out" / "a.png")
    asked = ("audit", tmp_path / "in", tmp_path / "out", "--encoder", "guard", "--json", tmp_path / "r.json", *QUICK)
    said = masquerade(*asked)
    assert said.code == 2, said
    [line] = said.err.splitlines()
    assert line == (
        f"masquerade: 1 file in {tmp_path / 'out'} without an original, in which anybody may be seen: "
        "nobody looked at sub/left over.png"
    )
    row = json.loads((tmp_path / "r.json").read_text())
    assert [check["key"] for check in row["checks"] if not check["passed"]] == ["strays"]
    assert row["strays"][0]["name"] == "sub/left over.png" and len(row["strays"][0]["sha256"]) == 64
    policy = tmp_path / "policy.toml"
    policy.write_text("[limits]\nstrays = 1\n")
    allowed = masquerade(*asked, "--policy", policy)
    assert allowed.code == 0 and "left over.png" in allowed.err, "it is named all the same"


def test_what_cannot_be_run_is_one_line(media, solid, tmp_path):
    clip = media / "clip.mp4"
    masquerade("audit", clip, media / "face.png", *QUICK).refused("bad-pair", "face.png", "is a photo")
    masquerade("audit", clip, tmp_path / "none.mp4").refused("bad-input", "none.mp4")
    masquerade("audit", clip, clip, "--encoder", "driver").refused("bad-option", "cannot decide alone")
    masquerade("audit", clip, clip, "-o", clip).refused("bad-output", "also the input")
    masquerade("audit", clip, clip, "--pose", clip, "--encoder", "guard").refused("no-weights", "clip.mp4")
    masquerade("audit", clip, clip, "-o", tmp_path / "no" / "r.html").refused("bad-output", "folder does not exist")
    policy = tmp_path / "p.toml"
    policy.write_text("far = 0.5\n")
    masquerade("audit", clip, clip, "--policy", policy).refused("bad-option", "no threshold")
    masquerade("audit", media / "face.png", media / "face.png", "--plan", solid / "plan.json", *QUICK).refused(
        "bad-plan", "another file"
    )
