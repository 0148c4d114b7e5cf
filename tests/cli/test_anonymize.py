import itertools
import json
import os
import shutil
import struct
import sys
import zlib

import av
import numpy as np
import pytest
from PIL import Image

from masquerade.media import sha256
from masquerade.pipeline.batch import MANIFEST

from ..media.clips import Clip, times
from .command import masquerade, process

WALK = sys.modules["masquerade.pipeline.anonymize"]
"""The module, whose name in its package is the function's."""

pytestmark = pytest.mark.network

FACE = np.s_[45:85, 97:127]
"""Rows and columns well inside the face of face.png and face.jpg."""

SOLID = ("--method", "solid", "--color", "#00ff00")
BLUR = ("--method", "blur")
"""Where the subject is not how a face is replaced: fabricated ones take many times as long. See test_swapper."""


def pixels(path):
    return np.array(Image.open(path).convert("RGB")).astype(int)


def green(picture):
    return (np.abs(picture - [0, 255, 0]) < 12).all()


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_photo_in_a_process_of_its_own(tmp_path, media):
    said = process("anonymize", media / "face.png", "-o", tmp_path / "out.png", *SOLID)
    assert said.code == 0, said
    assert said.out == ""
    assert said.err == f"{tmp_path / 'out.png'}: 1 face replaced\n"
    assert "\x1b" not in said.err
    before, after = pixels(media / "face.png"), pixels(tmp_path / "out.png")
    assert green(after[FACE])
    assert (before[170:] == after[170:]).all()
    assert files_in(tmp_path) == ["out.png"]


def test_a_clip_keeps_its_frames_and_says_what_was_done(tmp_path, media):
    said = masquerade("anonymize", media / "clip.mp4", "-o", tmp_path / "out.mp4", "--json", *SOLID)
    assert (said.code, said.err) == (0, "")
    [row] = json.loads(said.out)["files"]
    assert (row["status"], row["kind"], row["frames"], row["people"]) == ("done", "video", 12, 1)
    assert sum(row["replaced"].values()) == 12
    assert (row["kept"], row["dropped"], row["lost"]) == (0, [], [])
    assert times(tmp_path / "out.mp4") == times(media / "clip.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        for i, frame in enumerate(container.decode(video=0)):
            picture = frame.to_ndarray(format="rgb24").astype(int)
            assert np.abs(picture[45:75, 132 + i : 152 + i] - [0, 255, 0]).mean() < 12, i


def test_a_folder_keeps_its_layout_and_one_bad_file_stops_nobody(tmp_path, media):
    root, out = tmp_path / "in", tmp_path / "out"
    (root / "deep" / "er").mkdir(parents=True)
    shutil.copy(media / "face.jpg", root / "a b.jpg")
    shutil.copy(media / "face.png", root / "deep" / "er" / "ü 脸.png")
    (root / "broken.png").write_bytes(b"not a picture")
    (root / "notes.txt").write_text("left alone")
    said = masquerade("anonymize", root, "-o", out, "--json", *BLUR)
    assert said.code == 2
    rows = json.loads(said.out)["files"]
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["error"]["code"] == "bad-input"
    assert said.err.splitlines() == [f"masquerade [bad-input]: {rows[1]['error']['message']}"]
    assert files_in(out) == ["a b.jpg", "deep/er/ü 脸.png", MANIFEST]
    before = {name: (out / name).stat().st_mtime_ns for name in ("a b.jpg", "deep/er/ü 脸.png")}

    (root / "broken.png").unlink()
    dry = masquerade("anonymize", root, "-o", out, "--dry-run", "--json", *BLUR)
    assert [row["done"] for row in json.loads(dry.out)["files"]] == [True, True]
    again = masquerade("anonymize", root, "-o", out, *BLUR)
    assert again.code == 0
    assert again.err.splitlines() == [f"{out / name}: done by an earlier run" for name in before]
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}


def test_quiet_and_dry(tmp_path, media):
    said = masquerade("anonymize", media / "face.jpg", "-o", tmp_path / "out.jpg", "--quiet", *BLUR)
    assert (said.code, said.out, said.err) == (0, "", "")
    before = files_in(tmp_path), tmp_path.stat().st_mtime_ns
    said = masquerade("anonymize", media, "-o", tmp_path / "new", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[:2] for line in said.out.splitlines()] == [["would", "do"]] * 3
    assert before == (files_in(tmp_path), tmp_path.stat().st_mtime_ns)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("plain", [False, True])
def test_colour_and_bars_on_a_terminal_only(tmp_path, media, plain):
    import pty  # noqa: PLC0415

    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")} | {"TERM": "xterm"}
    if plain:
        environment["NO_COLOR"] = "1"
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"x")
    done = process_on(theirs, environment, "anonymize", bad, media / "face.png", "-o", tmp_path / "out", *BLUR)
    os.close(theirs)
    seen = b"".join(iter(lambda: read(ours), b"")).decode()
    os.close(ours)
    assert done == 2
    assert "files" in seen, "the bar of the batch"
    assert "1 face replaced" in seen
    assert ("\x1b[1;31mmasquerade" in seen) is not plain, "red, or not"


def process_on(terminal, environment, *arguments):
    import subprocess  # noqa: PLC0415

    command = [sys.executable, "-m", "masquerade", *map(str, arguments)]
    return subprocess.run(command, stdout=terminal, stderr=terminal, env=environment, check=False).returncode


def read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed and all was read
        return b""


class TestWhereAndWhen:
    def faces(self, tmp_path, source, *options):
        said = masquerade("anonymize", source, "-o", tmp_path / f"out{source.suffix}", "--json", *BLUR, *options)
        [row] = json.loads(said.out)["files"]
        return sum(row["replaced"].values()), row["kept"]

    def test_span(self, tmp_path, media):
        assert self.faces(tmp_path, media / "clip.mp4", "--span", "0.11-0.21", "--span", "0:00.4-1:00") == (5, 7)

    def test_region(self, tmp_path, media):
        photo = media / "face.png"
        assert self.faces(tmp_path, photo, "--region", "0,0,60,256") == (0, 1)
        assert self.faces(tmp_path, photo, "--region", "0,0,60,256", "--region", "100,50,110,60") == (1, 0)

    def test_min_face(self, tmp_path, media):
        assert self.faces(tmp_path, media / "face.png", "--min-face", "30") == (1, 0)
        assert self.faces(tmp_path, media / "face.png", "--min-face", "200") == (0, 1)
        assert (pixels(tmp_path / "out.png") == pixels(media / "face.png")).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--span", "5"], "--span"),
        (["--span", "5-3"], "--span"),
        (["--span", "0-inf"], "--span"),
        (["--region", "1,2,3"], "--region"),
        (["--region", "nan,0,9,9"], "--region"),
        (["--region", "-inf,0,9,9"], "--region"),
        (["--min-face", "inf"], "--min-face"),
        (["--min-face", "-1"], "--min-face"),
        (["--margin", "nan"], "--margin"),
        (["--color", "red"], "red"),
        (["--method", "swirl"], "swirl"),
        (["--detector", "eyes"], "eyes"),
        (["--encoder", "libnone"], "libnone"),
        (["--encoder", "aac"], "aac"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_options_that_make_no_sense(tmp_path, media, options, named):
    said = masquerade("anonymize", media / "clip.mp4", "-o", tmp_path / "out.mp4", *options)
    said.refused("bad-option", named)
    assert files_in(tmp_path) == []


def test_an_encoder_that_the_container_cannot_hold(tmp_path, media):
    said = masquerade("anonymize", media / "clip.mp4", "-o", tmp_path / "out.webm", "--encoder", "libx264")
    said.refused("bad-option", ".webm", "libx264", status=2)
    assert files_in(tmp_path) == []


@pytest.fixture
def copies(tmp_path, media, monkeypatch):
    """The media in the current folder, and no detector: what is refused there is refused before any work."""
    shutil.copytree(media, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def look(*_, **__):
        raise AssertionError("the analysis began")

    monkeypatch.setattr(WALK, "analyze", look)
    monkeypatch.setattr(sys.modules["masquerade.cli.analyze"], "analyze", look)
    return tmp_path


class TestOutputsRefusedBeforeAnyWork:
    def refused(self, copies, *arguments, status=1, code="bad-output"):
        before = {path: sha256(path) for path in copies.rglob("*") if path.is_file()}
        said = masquerade("anonymize", *arguments)
        said.refused(code, status=status)
        assert before == {path: sha256(path) for path in copies.rglob("*") if path.is_file()}
        return said.err

    @pytest.mark.parametrize("name", ["face.jpg", "./face.jpg", "up/../face.jpg", "link.jpg", "."])
    def test_the_input_itself(self, copies, name):
        (copies / "up").mkdir()
        (copies / "link.jpg").symlink_to("face.jpg")
        assert "input" in self.refused(copies, "face.jpg", "-o", name)

    def test_a_folder_into_itself(self, copies):
        assert "input" in self.refused(copies, ".", "-o", ".")

    def test_another_input_of_the_batch(self, copies):
        (copies / "sub").mkdir()
        (copies / "sub" / "face.jpg").write_bytes(b"x")
        (copies / "face.jpg").rename(copies / "other.jpg")
        (copies / "face.jpg").symlink_to("other.jpg")
        assert "input" in self.refused(copies, "sub", "other.jpg", "-o", ".")

    def test_the_input_under_another_name(self, copies):
        os.link(copies / "face.jpg", copies / "hard.jpg")
        assert "input" in self.refused(copies, "face.jpg", "-o", "hard.jpg", status=2)
        os.link(copies / "clip.mp4", copies / "hard.mp4")
        assert "input" in self.refused(copies, "clip.mp4", "-o", "hard.mp4", status=2)

    @pytest.mark.parametrize(
        ("source", "output"),
        [("face.jpg", "o.mp4"), ("clip.mp4", "o.jpg"), ("clip.mp4", "o.gif"), ("face.png", "o.txt")],
    )
    def test_a_suffix_of_another_kind(self, copies, source, output):
        assert output in self.refused(copies, source, "-o", output)

    def test_a_missing_folder(self, copies):
        assert "folder does not exist" in self.refused(copies, "face.jpg", "-o", "no/where.jpg")

    def test_a_file_where_a_folder_is_needed(self, copies):
        assert "folder" in self.refused(copies, "face.jpg", "face.png", "-o", "clip.mp4")
        assert "folder" in self.refused(copies, "face.jpg", "face.png", "-o", "clip.mp4/sub")

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc is where even root may not write")
    @pytest.mark.parametrize("inputs", [["face.jpg"], ["clip.mp4"], ["face.jpg", "face.png"]])
    def test_a_place_where_nobody_may_write(self, copies, inputs):
        output = "/proc" if len(inputs) > 1 else f"/proc/o{inputs[0][-4:]}"
        assert "/proc" in self.refused(copies, *inputs, "-o", output)

    def test_a_name_that_is_too_long(self, copies):
        self.refused(copies, "face.jpg", "-o", "x" * 300 + ".jpg", code="machine")

    def test_what_the_container_cannot_hold(self, copies):
        Clip(audio="pcm_s16le").write(copies / "sound.mkv")
        assert "cannot hold" in self.refused(copies, "sound.mkv", "-o", "o.webm", status=2)

    def test_the_plan_over_the_input(self, copies):
        masquerade("analyze", "face.jpg", "-o", "face.jpg").refused("bad-output", "face.jpg")
        masquerade("analyze", "face.jpg", "-o", "no/plan.json").refused("bad-output", "no/plan.json")


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")


def damaged(media):
    """(name, bytes) of files that no one can use."""
    noise = np.random.default_rng(0).bytes(20_000)
    for suffix in ("jpg", "png", "mp4", "mkv"):
        yield f"empty.{suffix}", b""
        yield f"noise.{suffix}", noise
        yield f"text.{suffix}", b"once upon a time\n" * 50
    for name in ("face.jpg", "face.png", "clip.mp4"):
        whole = (media / name).read_bytes()
        for share in (0.1, 0.6, 0.97):
            yield f"cut-{share}-{name}", whole[: int(len(whole) * share)]
    yield "video-inside.jpg", (media / "clip.mp4").read_bytes()
    yield "bomb.png", png_header(60_000, 60_000)
    yield "bomb-just-allowed.png", png_header(19_000, 10_000)
    yield "playlist.mp4", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"


def test_every_bad_input_is_one_line_that_names_it(tmp_path, media):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    for name, content in damaged(media):
        (root / name).write_bytes(content)
    whole = Clip(audio="aac").write(tmp_path / "whole.mp4")
    with av.open(str(whole)) as source, av.open(str(root / "sound-only.mp4"), "w") as sound:
        stream = sound.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                sound.mux(packet)
    for name in ("no-frames.mp4", "no-frames.mkv"):
        with av.open(str(root / name), "w") as nothing:
            stream = nothing.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            nothing.start_encoding()
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    count = len(list(root.iterdir()))
    said = masquerade("anonymize", root, "-o", out, *BLUR)
    assert said.code == 2
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == count
    for path, line in zip(sorted(root.iterdir()), lines, strict=True):
        assert line.startswith(f"masquerade [bad-input]: {path}: "), line
    assert files_in(out) == [MANIFEST]


def test_inputs_that_are_not_there(tmp_path, media):
    (tmp_path / "empty").mkdir()
    masquerade("anonymize", tmp_path / "no.jpg", "-o", tmp_path / "o.jpg").refused("bad-input", "no.jpg")
    masquerade("anonymize", tmp_path / "empty", "-o", tmp_path / "out").refused("bad-input", "empty")
    masquerade("anonymize", "-o", tmp_path / "out").refused("bad-option")
    masquerade("anonymize", media / "face.jpg").refused("bad-option", "--output")
    assert files_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="not allowed in names there")
@pytest.mark.parametrize("name", ["-dash.jpg", "[bold]x.jpg", "two\nlines.jpg", "\x1b[31m.jpg", "a%d*?'\".jpg"])
def test_names_that_mean_something_to_somebody(tmp_path, media, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(media / "face.jpg", name)
    said = masquerade("anonymize", "-o", "out", *SOLID, "--", name)
    assert said.code == 0, said
    [line] = said.err.splitlines()
    assert "\x1b" not in line
    assert files_in(tmp_path / "out") == sorted([name, MANIFEST])
    assert green(pixels(tmp_path / "out" / name)[FACE])


def test_a_link_is_read_through_and_never_written_through(tmp_path, media):
    (tmp_path / "link.jpg").symlink_to(media / "face.jpg")
    precious = tmp_path / "precious.jpg"
    precious.write_bytes(b"of somebody else")
    (tmp_path / "out.jpg").symlink_to(precious)
    assert masquerade("anonymize", tmp_path / "link.jpg", "-o", tmp_path / "out.jpg", *SOLID).code == 0
    assert green(pixels(tmp_path / "out.jpg")[FACE])
    assert precious.read_bytes() == b"of somebody else"


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_disk_that_is_full(tmp_path, media):
    said = process("anonymize", media, "-o", tmp_path / "out", *BLUR, prelude=FULL)
    assert said.code == 2
    lines = said.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("masquerade [bad-output]: ") for line in lines), lines
    assert files_in(tmp_path / "out") == [MANIFEST]


def test_a_further_stream_needs_review_and_a_data_stream_does_not(tmp_path, media):
    from fractions import Fraction  # noqa: PLC0415

    source = tmp_path / "two.mkv"
    with av.open(str(media / "clip.mp4")) as one, av.open(str(source), "w") as both:
        streams = [both.add_stream_from_template(one.streams.video[0], opaque=True) for _ in range(2)]
        both.set_chapters(
            [{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "Jane"}}]
        )
        for packet in one.demux(video=0):
            for stream in streams if packet.size else ():
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                both.mux(copy)
    said = masquerade("anonymize", source, "-o", tmp_path / "out", *BLUR)
    assert said.code == 2
    line = said.err.splitlines()[0]
    assert line.endswith("left out on purpose: chapters; please review, lost: further video stream")
    again = masquerade("anonymize", source, "-o", tmp_path / "out", "--json", *BLUR)
    assert (again.code, json.loads(again.out)["files"][0]["status"]) == (2, "review")

    with av.open(str(media / "clip.mp4")) as one, av.open(str(tmp_path / "chapters.mkv"), "w") as other:
        stream = other.add_stream_from_template(one.streams.video[0], opaque=True)
        other.set_chapters([{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {}}])
        for packet in itertools.takewhile(lambda p: p.size, one.demux(video=0)):
            packet.stream = stream
            other.mux(packet)
    said = masquerade("anonymize", tmp_path / "chapters.mkv", "-o", tmp_path / "o.mkv", "--json", *BLUR)
    [row] = json.loads(said.out)["files"]
    assert (said.code, row["status"], row["dropped"], row["lost"]) == (0, "done", ["chapters"], [])


def test_a_bug_that_one_file_brings_to_light_stops_nobody(tmp_path, media, monkeypatch):
    real = WALK.analyze

    def analyze(path, *rest, **options):
        if path.suffix == ".jpg":
            raise KeyError("surprise")
        return real(path, *rest, **options)

    monkeypatch.setattr(WALK, "analyze", analyze)
    said = masquerade("anonymize", media, "-o", tmp_path / "out", "--json", *BLUR)
    rows = json.loads(said.out)["files"]
    assert said.code == 2
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["error"]["code"] == "bug"
    assert "Traceback" not in said.err
