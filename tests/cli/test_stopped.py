"""Killed, stopped, started again: the end is the same as if nothing had happened."""

import itertools
import random
import shutil
import signal
import subprocess
import sys
import time

import av
import pytest

from masquerade.media import sha256
from masquerade.pipeline.batch import MANIFEST
from masquerade.plan import ManualBox, Plan, Source
from masquerade.types import Box

from .command import process

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX"),
]


BLUR = ("--method", "blur")
"""Twice the same bytes, whatever the package can do: who wears which fabricated face is drawn anew in every run."""


@pytest.fixture(scope="module")
def batch(tmp_path_factory, media):
    """Four photos and two clips in two folders."""
    root = tmp_path_factory.mktemp("batch")
    (root / "sub").mkdir()
    for name, copy in itertools.product(("face.png", "face.jpg", "clip.mp4"), ("a-", "sub/b-")):
        shutil.copy(media / name, root / (copy + name))
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory, batch):
    """What a run that nobody disturbs makes of it: path → bytes."""
    out = tmp_path_factory.mktemp("whole")
    assert process("anonymize", batch, "-o", out, *BLUR).code == 0
    return contents(out)


def contents(folder):
    """Path → bytes of everything in the folder, hidden files too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


START = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in the foreground, wherever the tests run
runpy.run_module("masquerade", run_name="__main__")
"""


def start(*arguments):
    command = [sys.executable, "-c", START, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(running, happens):
    """Until it happens or the process ends."""
    while running.poll() is None and not happens():
        time.sleep(0.002)


def finished(out):
    manifest = out / MANIFEST
    return manifest.read_text().count("\n") if manifest.exists() else 0


def test_killed_again_and_again_it_ends_like_one_that_was_not(tmp_path, batch, whole):
    out = tmp_path / "out"
    chance = random.Random()
    kills = 0
    for more in (0, 1, 1, 1):
        enough = finished(out) + more
        running = start("anonymize", batch, "-o", out, *BLUR, "--quiet")
        wait_for(running, lambda: out.exists() and finished(out) >= enough)  # noqa: B023 - used at once
        time.sleep(chance.uniform(0, 0.2))
        running.kill()
        running.communicate()
        kills += running.returncode == -signal.SIGKILL
        for name, content in contents(out).items():  # whatever has its final name is whole
            assert name == MANIFEST or "masquerade-part" in name or content == whole[name], name
    assert kills >= 3
    assert process("anonymize", batch, "-o", out, *BLUR).code == 0
    assert contents(out) == whole


def test_ctrl_c(tmp_path, batch, whole):
    out = tmp_path / "out"
    running = start("anonymize", batch, "-o", out, *BLUR)
    wait_for(running, lambda: finished(out) >= 1)
    running.send_signal(signal.SIGINT)
    said, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said == ""
    *told, last = complaint.splitlines()
    assert last == "masquerade: stopped; what was finished is kept, and the same command goes on from there"
    left = contents(out)
    left.pop(MANIFEST)
    assert left and left.items() < whole.items()
    # The signal may come between a file's end and the line that tells of it.
    assert len(told) in (len(left) - 1, len(left)) and all("replaced" in line for line in told)


def test_ctrl_c_in_the_middle_of_a_video(tmp_path, media):
    """While frames are written, with three threads at work."""
    long, out = tmp_path / "long.mp4", tmp_path / "out.mp4"
    with av.open(str(media / "clip.mp4")) as one, av.open(str(long), "w") as other:
        source = one.streams.video[0]
        stream = other.add_stream_from_template(source, opaque=True)
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in one.demux(source) if p.size]
        length = max(pts for _, pts, _, _ in packets) * len(packets) // (len(packets) - 1)
        for i in range(200):
            for payload, pts, dts, key in packets:
                packet = av.Packet(payload)
                packet.pts, packet.dts, packet.time_base = pts + i * length, dts + i * length, source.time_base
                packet.is_keyframe, packet.stream = key, stream
                other.mux(packet)
    plan = Plan(
        made_by="test",
        detector="none",
        source=Source(name=long.name, sha256=sha256(long), kind="video", width=320, height=240, frames=200 * 12),
        manual=(ManualBox(box=Box(100, 40, 150, 90)),),
    )
    (tmp_path / "plan.json").write_text(plan.dumps())
    running = start("render", long, "--plan", tmp_path / "plan.json", "-o", out)
    wait_for(running, lambda: any(part.stat().st_size for part in tmp_path.glob(".out.mp4*")))
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=60)
    assert (running.returncode, len(complaint.splitlines())) == (130, 1), complaint
    assert sorted(contents(tmp_path)) == ["long.mp4", "plan.json"]
