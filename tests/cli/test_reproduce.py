import json

import pytest
from PIL import Image, ImageOps

from .command import masquerade

pytestmark = pytest.mark.network


@pytest.fixture
def album(tmp_path, media):
    """Two people with a photo each, as LFW has them: one is the other seen in a mirror, which is enough here."""
    photo = Image.open(media / "face.png")
    for name, picture in (("Ann", photo), ("Bob", ImageOps.mirror(photo))):
        (tmp_path / "lfw" / name).mkdir(parents=True)
        picture.save(tmp_path / "lfw" / name / f"{name}_0001.jpg", quality=95)
    return tmp_path / "lfw"


def test_a_table_is_printed_and_nothing_is_kept(album, media, tmp_path):
    there = sorted(tmp_path.rglob("*"))
    said = masquerade("reproduce", "5.7", album, "--threads", 1, "--quiet")
    assert said.code == 0, said
    assert "| thesis: FIVA + ITM | 0.000 |" in said.out and "| swapper + ITM, by guard | 0.0" in said.out
    assert "2 faces of 2 people from lfw" in said.out
    swapped = masquerade("reproduce", "5.3", album, "--threads", 1, "--json")
    [ours] = json.loads(swapped.out)["ours"]
    assert 0 <= float(ours["ID % ↑"]) <= 100 and ours["Pose ° ↓"] == "–"
    filmed = masquerade("reproduce", "5.6", media / "clip.mp4", "--threads", 1, "--json")
    rows = json.loads(filmed.out)["ours"]
    assert [row["Method"].split(",")[0] for row in rows] == ["real data", "swapper + Sampling", "swapper + ITM"]
    assert all(float(row["M_tc μ ↓"]) < 1 for row in rows)
    assert sorted(tmp_path.rglob("*")) == there


def test_what_cannot_be_made_is_refused(album, media, tmp_path):
    masquerade("reproduce", "5.9", album).refused("bad-option", "5.9", "5.2")
    masquerade("reproduce", "5.8", album).refused("bad-option", "--adversary")
    masquerade("reproduce", "5.7", tmp_path / "none").refused("bad-input", "none")
    masquerade("reproduce", "5.6", media / "clip.mp4", "--aligned").refused("bad-input", "--aligned")
    masquerade("reproduce", "5.6", media / "clip.mp4", "--min-face", 500).refused("bad-input", "no face")
    masquerade("reproduce", "5.3", media / "clip.mp4").refused("bad-input", "one person")
