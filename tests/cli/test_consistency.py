import json

import pytest

from tests.cli.command import masquerade


def test_a_still_face_is_steady(media):
    """The clip shows one photo that moves by a pixel a frame."""
    said = masquerade("consistency", media / "clip.mp4", "--encoder", "driver", "--threads", 1, "--json")
    assert said.code == 0, said
    clip, overall = json.loads(said.out)
    assert clip["video"].endswith("clip.mp4") and overall["video"] == "all"
    assert clip["people"] == 1 and clip["steps"] == overall["steps"]
    steps = clip["steps"]["count"]
    assert 3 <= steps <= 9, "ten frames where there are so many; not every frame is looked at"
    assert clip["pairs"]["count"] == steps * (steps + 1) // 2
    assert 0 <= clip["steps"]["mean"] < 0.1
    assert clip["pairs"]["mean"] == pytest.approx(clip["steps"]["mean"], abs=0.05)


def test_photos_and_clips_without_people_are_refused(media):
    masquerade("consistency", media / "face.png").refused("bad-input", "face.png", "photo")
