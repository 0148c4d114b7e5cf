import json
import shutil

import pytest

from masquerade.plan import Plan

from .command import masquerade

pytestmark = pytest.mark.network


def test_the_plan_says_where_the_face_is(tmp_path, media):
    said = masquerade("analyze", media / "clip.mp4", "-o", tmp_path / "plan.json", "--json", "--method", "solid")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == {"plan": str(tmp_path / "plan.json"), "frames": 12, "people": 1, "faces": 12}
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.treatment.method == "solid"
    for face in plan.people[0].faces:
        x, y = face.face.box.centre
        assert abs(x - (142 + face.frame)) < 8
        assert abs(y - 55.5) < 8


def test_the_plan_lies_beside_the_input_unless_told_otherwise(tmp_path, media):
    shutil.copy(media / "face.jpg", tmp_path)
    scope = ("--span", "1-2", "--region", "0,0,9,9", "--min-face", "7")
    said = masquerade("analyze", tmp_path / "face.jpg", "--method", "blur", *scope)
    assert said.code == 0
    assert said.err == f"{tmp_path / 'face.jpg.plan.json'}: 1 person, 1 face in 1 frame\n"
    scope = Plan.load(tmp_path / "face.jpg.plan.json").scope
    assert (scope.spans[0].start, list(scope.regions[0]), scope.min_face) == (1, [0, 0, 9, 9], 7)


def test_quiet(tmp_path, media):
    said = masquerade("analyze", media / "face.jpg", "-o", tmp_path / "plan.json", "-q")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_what_cannot_be_analyzed(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no")
    masquerade("analyze", tmp_path / "gone.jpg").refused("bad-input", "gone.jpg")
    masquerade("analyze", tmp_path / "bad.jpg").refused("bad-input", "bad.jpg")
    masquerade("analyze", tmp_path).refused("bad-input", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]
