"""Frames per second of every stage and of the whole, beside deface on the same clip in the same run.

    python benchmarks/speed.py CLIP... [--deface deface] [--runs 3]

Stages are timed alone in this process. The whole is timed as a process of its own, as is deface (`pip install
deface==1.5.0 onnx onnxruntime` in an environment of its own; name its command with --deface), the two in turn, so that
a machine that speeds up or slows down does so for both; the ratio is the median over the pairs.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from masquerade.faces.detect import open_detector
from masquerade.media import VideoWriter, open_video
from masquerade.pipeline import analyze
from masquerade.pipeline.render import Walk
from masquerade.pipeline.scan import coarse_size
from masquerade.plan import Treatment
from masquerade.swap import Redactor


def processor() -> str:
    """The processor's name, or what the platform says of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def rate(frames: int, work: Callable[[], object]) -> float:
    """Frames a second of `work`, which handles `frames` of them."""
    start = time.perf_counter()
    work()
    return frames / (time.perf_counter() - start)


def drain(items: Iterable[object]) -> None:
    """Consumes an iterator."""
    for _ in items:
        pass


def stages(clip: Path) -> dict[str, float]:
    """Frames a second of each stage of one clip, alone."""
    detector = open_detector()
    plan = analyze(clip, detector, treatment=Treatment())
    with open_video(clip) as reader:
        frames = [frame for _, frame in zip(range(100), reader, strict=False)]
        info = reader.info
    count = len(frames)
    size = coarse_size(info.width, info.height)
    thumbnails = [frame.thumbnail(*size) for frame in frames]

    def decode() -> None:
        with open_video(clip) as again:
            drain(again)

    def encode() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            open_video(clip) as again,
            VideoWriter(Path(folder) / clip.name, again) as writer,
        ):
            for frame in frames:
                writer.write(frame)

    walk = Walk(plan, Redactor(plan.treatment))

    def redact() -> None:
        for frame in frames:
            walk.edit(frame)

    faces = sum(len(person.faces) for person in plan.people)
    return {
        "faces a frame": faces / plan.source.frames,
        "decode": rate(plan.source.frames, decode),
        "coarse look": rate(count, lambda: [detector.detect([thumbnail]) for thumbnail in thumbnails]),
        "redact": rate(count, redact),
        "encode": rate(count, encode),
        "analyze": rate(plan.source.frames, lambda: analyze(clip, detector)),
    }


def whole(command: list[str]) -> float:
    """Seconds of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--deface", default=shutil.which("deface"), help="its command")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    masquerade = [sys.executable, "-m", "masquerade", "anonymize", "--method", "blur"]
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; ", end="")
    print(f"whole: median of {args.runs} runs, start-up included\n")
    print("| clip | size | faces a frame | decode | coarse look | redact | encode | analyze | whole | deface | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for clip in args.clips:
        with open_video(clip) as reader:
            info = reader.info
            frames = sum(1 for _ in reader)
        alone = stages(clip)
        ours, theirs = [], []
        with tempfile.TemporaryDirectory() as folder:
            for run in range(args.runs):
                ours.append(whole([*masquerade, str(clip), "-o", f"{folder}/{run}{clip.suffix}", "--quiet"]))
                if args.deface:
                    theirs.append(whole([args.deface, str(clip), "-o", f"{folder}/d{run}.mp4", "--keep-audio"]))
        cells = [clip.name, f"{info.width}x{info.height}", f"{alone.pop('faces a frame'):.1f}"]
        cells += [f"{value:.0f}" for value in alone.values()]
        cells += [f"{frames / statistics.median(ours):.1f}"]
        cells += [f"{frames / statistics.median(theirs):.1f}"] if theirs else ["–"]
        cells += [f"{statistics.median(t / o for t, o in zip(theirs, ours, strict=True)):.1f}×"] if theirs else ["–"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
