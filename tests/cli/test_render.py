import json
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from .command import masquerade

pytestmark = pytest.mark.network

FACE = np.s_[45:85, 97:127]


@pytest.fixture
def plan(tmp_path, media):
    """Analyzes face.png or clip.mp4 of `tmp_path`; gives a function that edits the Plan by hand and renders."""
    for name in ("face.png", "clip.mp4"):
        shutil.copy(media / name, tmp_path)

    def edited(name, edit, *options, output=None):
        path = tmp_path / "plan.json"
        assert masquerade("analyze", tmp_path / name, "-o", path, "--method", "solid").code == 0
        content = json.loads(path.read_text())
        text = edit(content)
        path.write_text(text if isinstance(text, str) else json.dumps(content))
        return masquerade("render", tmp_path / name, "--plan", path, "-o", tmp_path / (output or f"o-{name}"), *options)

    return edited


def pixels(path):
    return np.array(Image.open(path).convert("RGB")).astype(int)


def test_as_analyzed(plan, tmp_path):
    said = plan("face.png", lambda content: None)
    assert (said.code, said.err) == (0, f"{tmp_path / 'o-face.png'}: 1 face replaced\n")
    assert pixels(tmp_path / "o-face.png")[FACE].max() == 0


def test_somebody_is_kept_and_a_box_is_added(plan, tmp_path):
    def edit(content):
        content["people"][0]["action"] = "keep"
        content["manual"] = [{"box": [150, 150, 190, 200]}]

    said = plan("face.png", edit, "--json")
    row = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert (row["status"], row["replaced"], row["kept"]) == ("done", {"manual": 1}, 1)
    before, after = pixels(tmp_path / "face.png"), pixels(tmp_path / "o-face.png")
    assert (before[FACE] == after[FACE]).all()
    assert after[160:190, 160:180].max() == 0


def test_a_box_for_some_seconds_of_a_clip(plan, tmp_path):
    def edit(content):
        content["people"] = []
        content["treatment"]["color"] = [255, 255, 255]
        content["manual"] = [{"box": [200, 150, 260, 220], "start": 0.16, "end": 0.28}]

    assert plan("clip.mp4", edit, "--quiet").err == ""
    with av.open(str(tmp_path / "o-clip.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [i for i, frame in enumerate(frames) if frame[170:200, 215:245].mean() > 240] == [4, 5, 6, 7]


def test_the_same_file_and_plan_give_the_same_bytes(plan, tmp_path):
    plan("clip.mp4", lambda content: None)
    masquerade("render", tmp_path / "clip.mp4", "--plan", tmp_path / "plan.json", "-o", tmp_path / "again.mp4")
    assert (tmp_path / "o-clip.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()


def face_of(content):
    return content["people"][0]["faces"][0]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda c: face_of(c)["box"].__setitem__(0, float("nan")), "faces.0.box.0"),
        (lambda c: face_of(c)["landmarks"][0].__setitem__(0, float("inf")), "faces.0.landmarks.0.0"),
        (lambda c: face_of(c).update(box=[9, 9, 9, 20]), "no area"),
        (lambda c: face_of(c).update(frame=5), "frame 5"),
        (lambda c: c["people"][0].update(action="hide"), "action"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.update(format="masquerade-plan/9"), "format"),
        (lambda c: c.pop("source") and None, "source"),
        (lambda c: json.dumps(c)[:200], "JSON"),
        (lambda c: "\x00\x01", "JSON"),
        (lambda c: "", "JSON"),
        (lambda c: "[]", "object"),
    ],
)
def test_a_plan_that_cannot_be_meant(plan, tmp_path, edit, named):
    plan("face.png", edit).refused("bad-plan", "plan.json", named)
    assert not (tmp_path / "o-face.png").exists()


def test_a_plan_for_another_file(plan, tmp_path):
    plan("face.png", lambda content: None)
    said = masquerade("render", tmp_path / "clip.mp4", "--plan", tmp_path / "plan.json", "-o", tmp_path / "o.mp4")
    said.refused("bad-plan", "clip.mp4", "another file")
    assert not (tmp_path / "o.mp4").exists()


def test_a_plan_with_other_frames_than_the_video(plan, tmp_path):
    plan("clip.mp4", lambda c: c["source"].update(frames=99)).refused("bad-plan", "clip.mp4", "99 frames")
    assert not (tmp_path / "o-clip.mp4").exists()


@pytest.mark.parametrize("output", ["face.png", "o.mp4", "no/o.png"])
def test_outputs_that_are_refused(plan, tmp_path, output):
    before = (tmp_path / "face.png").read_bytes()
    plan("face.png", lambda content: None, output=output).refused("bad-output", output)
    assert (tmp_path / "face.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "face.png", "plan.json"]


def test_what_is_not_there(tmp_path, media):
    out = tmp_path / "o.jpg"
    masquerade("render", tmp_path / "no.jpg", "--plan", tmp_path / "p", "-o", out).refused("bad-input", "no.jpg")
    masquerade("render", media / "face.jpg", "--plan", tmp_path / "p", "-o", out).refused("bad-plan", tmp_path / "p")
    masquerade("render", media / "face.jpg", "--plan", tmp_path, "-o", out).refused("bad-plan", tmp_path)
    masquerade("render", media / "face.jpg", "-o", out).refused("bad-option", "--plan")
