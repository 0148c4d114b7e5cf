"""Pairs that do not belong together are refused, each by its name."""

import shutil

import numpy as np
import pytest
from PIL import Image

from masquerade.audit.compare import Pair, SameScene, find_pairs, find_strays, walk
from masquerade.errors import InputError, OptionError, PairError
from masquerade.media import open_video
from masquerade.types import Box
from tests.media.clips import Clip, moving
from tests.scenes import write_clip


def pair(tmp_path, original, output):
    paths = []
    for name, clip in (("before", original), ("after", output)):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        paths.append(clip.write(folder / "clip.mp4"))
    return Pair("clip.mp4", *paths)


def examined(one, faces=None):
    """Frames that were walked, with the scene compared."""
    with open_video(one.original) as reader:
        size = reader.info.width, reader.info.height
    scene, count = SameScene(one, size, faces or {}), 0
    for before, after in walk(one):
        scene.add(before, after)
        count += 1
    scene.finish()
    return count


def test_frames_are_paired_by_time(tmp_path):
    times = [0, 400, 1100, 1200, 3000, 4444]
    one = pair(tmp_path, Clip(times=times), Clip(times=times, options={"crf": "30", "preset": "ultrafast"}))
    walked = list(walk(one))
    assert [before.time for before, _ in walked] == pytest.approx([t / 12800 for t in times])
    assert max(abs(before.time - after.time) for before, after in walked) < 1e-3
    for before, after in walked:
        small = [frame.thumbnail(24, 16).astype(int) for frame in (before, after)]
        assert np.abs(small[0] - small[1]).mean() < 12


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Clip(width=98), "98x64 pixels, its original 96x64"),
        (Clip(frames=5), "shorter than its original: they part at frame 5"),
        (Clip(frames=7), "longer"),
        (Clip(times=[0, 512, 1024, 1700, 2048, 2560]), "frame 3 at 0.133 s, its original at 0.120 s"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, output, said):
    one = pair(tmp_path, Clip(), output)
    with pytest.raises(PairError, match=said) as caught:
        list(walk(one))
    assert caught.value.code == "bad-pair" and isinstance(caught.value, InputError)
    assert caught.value.path == one.output


def test_missing_sound_is_named_unless_it_may_be_missing(tmp_path):
    one = pair(tmp_path, Clip(audio="aac"), Clip())
    with pytest.raises(PairError, match="0 audio streams, its original 1"):
        list(walk(one))
    assert len(list(walk(one, silent_allowed=True))) == 6
    assert len(list(walk(pair(tmp_path, Clip(), Clip(audio="aac"))))) == 6


def test_photos(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 31)).save(tmp_path / "b.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "c.jpg")
    clip = Clip().write(tmp_path / "clip.mp4")
    [(before, after)] = walk(Pair("a", tmp_path / "a.png", tmp_path / "c.jpg"))
    assert (before.width, after.height) == (40, 30)
    with pytest.raises(PairError, match="40x31"):
        list(walk(Pair("a", tmp_path / "a.png", tmp_path / "b.png")))
    with pytest.raises(PairError, match="is a video"):
        list(walk(Pair("a", tmp_path / "a.png", clip)))
    with pytest.raises(PairError, match="no output"):
        list(walk(Pair("a", tmp_path / "a.png", tmp_path / "nothing.png")))


def drifting(by=0):
    """A picture that moves on by two pixels a frame, `by` frames ahead."""
    return lambda index, width, height: moving(0, width + 400, height)[:, 2 * (index + by) :][:, :width]


@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_shifted_frames_are_found_by_what_they_show(tmp_path, by):
    frames = 30
    one = pair(tmp_path, Clip(frames=frames, picture=drifting(5)), Clip(frames=frames, picture=drifting(5 + by)))
    with pytest.raises(PairError, match=f"shifted: frames 0 to 23 .* {abs(by)} {'later' if by > 0 else 'earlier'}"):
        examined(one)


@pytest.mark.parametrize("by", [-11, 5, 15])
def test_frames_that_are_far_off_are_found_too(tmp_path, by):
    clips = [Clip(frames=30, picture=drifting(start)) for start in (20, 20 + by)]
    with pytest.raises(PairError, match="is shifted" if abs(by) <= 12 else "is shifted: .* 12 or more|at another time"):
        examined(pair(tmp_path, *clips))


def walking(by=0):
    """A camera that stands still, before which something small goes by."""

    def picture(index, width, height):
        seen = np.full((height, width, 3), 90, np.uint8)
        x = 4 + 2 * (index + by)
        seen[height // 2 : height // 2 + 14, x : x + 10] = 200
        return seen

    return picture


@pytest.mark.parametrize("by", [-3, 1, 20])
def test_where_almost_all_stands_still_a_shift_is_found_by_what_moves(tmp_path, by):
    size = {"frames": 26, "width": 160, "height": 120}
    one = pair(tmp_path, Clip(picture=walking(5), **size), Clip(picture=walking(5 + by), **size))
    with pytest.raises(PairError, match="is shifted" if abs(by) <= 12 else "at another time"):
        examined(one)
    coarse = {"options": {"crf": "36", "preset": "ultrafast"}}
    assert examined(pair(tmp_path, Clip(picture=walking(5), **size), Clip(picture=walking(5), **size, **coarse))) == 26


def test_the_same_scene_passes_though_coded_again_and_covered(tmp_path):
    def covered(index, width, height):
        picture = drifting()(index, width, height).copy()
        picture[10:40, 20:50] = 0
        return picture

    coarse = Clip(frames=30, picture=covered, options={"crf": "30", "preset": "ultrafast"})
    one = pair(tmp_path, Clip(frames=30, picture=drifting()), coarse)
    assert examined(one, {i: [Box(22, 12, 48, 38)] for i in range(30)}) == 30


def test_what_stands_still_is_not_shifted(tmp_path):
    still = Clip(frames=30, picture=lambda _, width, height: moving(0, width, height))
    assert examined(pair(tmp_path, still, still)) == 30


def test_another_video_of_the_same_size_is_found_out(tmp_path):
    other = Clip(frames=30, picture=lambda i, w, h: moving(40 + i, h, w).transpose(1, 0, 2)[::-1])
    with pytest.raises(PairError, match="something else"):
        examined(pair(tmp_path, Clip(frames=30), other))
    short = pair(tmp_path, Clip(frames=3), Clip(frames=3, picture=other.picture))
    with pytest.raises(PairError, match="something else"):
        examined(short)
    everywhere = {i: [Box(0, 0, 95, 63)] for i in range(3)}
    assert examined(short, everywhere) == 3, "where all is face, nothing can be compared"


def test_folders_are_paired_as_they_are_laid_out(tmp_path):
    for folder in ("in/sub", "out/sub", "plans/sub"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("in/a.png", "in/sub/b.png", "out/sub/b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "in" / "notes.txt").write_text("left alone")
    (tmp_path / "plans" / "sub" / "b.png.plan.json").write_text("{}")
    first, second = find_pairs(tmp_path / "in", tmp_path / "out", tmp_path / "plans")
    assert (first.name, first.output, first.plan) == ("a.png", tmp_path / "out" / "a.png", None)
    assert (second.name, second.plan) == ("sub/b.png", tmp_path / "plans" / "sub" / "b.png.plan.json")
    [one] = find_pairs(tmp_path / "in" / "a.png", tmp_path / "out" / "sub" / "b.png")
    assert one.name == "a.png"
    with pytest.raises(OptionError):
        find_pairs(tmp_path / "in", tmp_path / "in" / "a.png")
    with pytest.raises(InputError, match="no such"):
        find_pairs(tmp_path / "in", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "in" / "sub")
    (tmp_path / "in" / "a.png").unlink()
    with pytest.raises(InputError, match="no photo or video"):
        find_pairs(tmp_path / "in", tmp_path / "out")


def test_photos_and_videos_without_an_original_are_strays(tmp_path):
    for folder in ("in/sub", "out/sub"):
        (tmp_path / folder).mkdir(parents=True)
    image = Image.new("RGB", (8, 8))
    for name in ("in/a.png", "in/sub/b.png", "out/a.png", "out/sub/b.png", "out/b.png", "out/sub/.left.PNG"):
        image.save(tmp_path / name)
    for name in ("in/old.wmv", "out/old.wmv.mkv", "out/x.gif", "out/notes.txt", "out/masquerade-manifest.jsonl"):
        (tmp_path / name).write_bytes(b"")
    for name in ("out/sub/x.mov", "out/a.png.plan.json"):
        (tmp_path / name).write_bytes(b"")
    pairs = find_pairs(tmp_path / "in", tmp_path / "out")
    strays = find_strays(pairs, tmp_path / "out")
    assert [name for name, _ in strays] == ["b.png", "sub/.left.PNG", "sub/x.mov", "x.gif"]
    assert strays[2][1] == tmp_path / "out" / "sub" / "x.mov"
    [one] = find_pairs(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")
    assert find_strays([one], one.output) == []


def test_a_scene_of_noise_does_not_pass_for_another(tmp_path):
    """Grain that the output has lost is no other scene."""
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(moving(i, 96, 64) + rng.normal(scale=12, size=(64, 96, 3)), 0, 255).astype(np.uint8) for i in range(26)
    ]
    clean = [moving(i, 96, 64) for i in range(26)]
    one = Pair("a", write_clip(tmp_path / "a.mp4", noisy), write_clip(tmp_path / "b.mp4", clean))
    assert examined(one) == 26
