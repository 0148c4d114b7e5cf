import numpy as np
import pytest
from PIL import Image

from masquerade.cli.demo import draw_sheet

from ..conftest import fetched
from ..media.clips import times
from .command import masquerade

pytestmark = pytest.mark.network


def test_the_demo_shows_before_and_after(tmp_path, weights):
    for name in ("astronaut", "carphone"):
        fetched(name)
    out = tmp_path / "demo"
    said = masquerade("demo", "-o", out)
    assert said.code == 0, said
    assert "before-after.png" in said.out
    assert "next: masquerade anonymize" in said.out
    assert sorted(path.name for path in out.iterdir()) == [
        "astronaut.png",
        "before-after.png",
        "carphone.mp4",
        "masquerade-manifest.jsonl",
        "originals",
    ]
    assert times(out / "carphone.mp4") == times(out / "originals" / "carphone.mp4")
    sheet = np.array(Image.open(out / "before-after.png")).astype(int)
    above, below = sheet[6:262], sheet[268:524]
    assert np.abs(above - below)[40:90, 95:135].mean() > 8, "the portrait's face is not the same"
    assert np.abs(above - below)[170:, 6:256].mean() < 1, "what is below it is"
    again = masquerade("demo", "-o", out, "--quiet")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_a_place_where_it_cannot_be(tmp_path, weights):
    for name in ("astronaut", "carphone"):
        fetched(name)
    (tmp_path / "file").write_text("")
    masquerade("demo", "-o", tmp_path / "file").refused("bad-output", tmp_path / "file")


def test_sheet():
    pictures = [np.full((100, 200, 3), value, np.uint8) for value in (10, 250)]
    sheet = np.array(draw_sheet(pictures[:1], pictures[1:]))
    assert sheet.shape == (2 * 256 + 18, 512 + 12, 3)
    assert (sheet[20, 50] == 10).all()
    assert (sheet[300, 50] == 250).all()
