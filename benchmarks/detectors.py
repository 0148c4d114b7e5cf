"""The detectors beside each other: time for one picture, and whose faces the others find.

    python benchmarks/detectors.py FOLDER [--weights yunet=yunet.onnx retinaface=weights.pth] [--without-faces CLIP]

CenterFace comes from the store; each other detector takes part if its weights are given. Every `--every`-th frame of
each clip in the folder is looked at, once shrunk to 640 pixels and once at its own size. Nobody has drawn the true
faces, so agreement is measured against CenterFace at the clip's own size, in both directions: what a detector misses
of CenterFace's sure faces, and what CenterFace misses of the detector's. Only in the clip named by --without-faces is
every face known to be false.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from masquerade.faces.detect import DETECTORS, Detector, View, detect_everywhere, iou, open_detector
from masquerade.faces.detect.boxes import resize, scaled_view
from masquerade.types import Face

Picture = NDArray[np.uint8]

SIZES = ((640, 352), (960, 544), (1920, 1088))
SHRUNK = 640
CONTINUE, SURE = 0.2, 0.5
"""Scores: what may continue a track, and what counts as sure here."""


def processor() -> str:
    """The processor's name, or what the platform says of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def frames(clip: Path, every: int) -> Iterator[Picture]:
    """Every `every`-th frame, RGB."""
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def shrunk(picture: Picture) -> tuple[Picture, View]:
    """The picture with a long side of `SHRUNK`."""
    height, width = picture.shape[:2]
    factor = SHRUNK / max(width, height)
    size = round(width * factor), round(height * factor)
    return resize(picture, size), scaled_view((width, height), size)


def looks(detector: Detector, picture: Picture) -> dict[str, list[Face]]:
    """The faces that each way of looking finds."""
    small, view = shrunk(picture)
    return {
        f"{SHRUNK} wide": [view.face_to_picture(face) for face in detector.detect([small])[0]],
        "own size": detector.detect([picture])[0],
        "everywhere": detect_everywhere(detector, picture),
    }


@dataclass
class Tally:
    """Counts over all sampled frames of a clip."""

    weak: int = 0
    sure: int = 0
    reference: int = 0
    found: int = 0
    confirmed: int = 0

    def add(self, faces: Sequence[Face], reference: Sequence[Face]) -> None:
        """One frame."""
        mine, theirs = ([f for f in some if f.score >= SURE] for some in (faces, reference))
        self.weak += len(faces)
        self.sure += len(mine)
        self.reference += len(theirs)
        self.found += sum(_has(faces, face) for face in theirs)
        self.confirmed += sum(_has(reference, face) for face in mine)


def _has(faces: Sequence[Face], wanted: Face) -> bool:
    return any(iou(face.box, wanted.box) >= 0.3 for face in faces)


def share(part: int, whole: int) -> str:
    """Percent, or a dash of nothing."""
    return f"{part / whole:.0%}" if whole else "–"


def print_times(weights: dict[str, Path | None], picture: Picture, threads: Sequence[int], runs: int) -> None:
    """Milliseconds for one picture, decoding of the outputs included."""
    print(f"\nMilliseconds a picture: median (best) of {runs} runs\n")
    print("| detector | threads | " + " | ".join(f"{width}x{height}" for width, height in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    for name, file in weights.items():
        for count in threads:
            detector = open_detector(name, file, threads=count)
            cells = []
            for size in SIZES:
                image = resize(picture, size)
                detector.detect([image])  # the first run of a size prepares it
                took = []
                for _ in range(runs):
                    start = time.perf_counter()
                    detector.detect([image])
                    took.append(1000 * (time.perf_counter() - start))
                cells.append(f"{statistics.median(took):.1f} ({min(took):.1f})")
            print(f"| {name} | {count} | " + " | ".join(cells) + " |")


def print_agreement(clip: Path, every: int, detectors: dict[str, Detector], without_faces: bool) -> None:
    """Who finds whose faces in one clip."""
    tallies: dict[tuple[str, str], Tally] = {}
    count = 0
    for picture in frames(clip, every):
        count += 1
        found = {name: looks(detector, picture) for name, detector in detectors.items()}
        reference = found["centerface"]["own size"]
        for name, ways in found.items():
            for way, faces in ways.items():
                tallies.setdefault((name, way), Tally()).add(faces, reference)
    height, width = picture.shape[:2]
    print(f"\n{clip.name}: {width}x{height}, {count} frames" + (", no faces: all are false" * without_faces) + "\n")
    print(
        f"| detector | looks at | faces from {CONTINUE} | from {SURE} | finds of reference | reference has of its own |"
    )
    print("|---|---|---|---|---|---|")
    for (name, way), tally in tallies.items():
        shares = f"{share(tally.found, tally.reference)} | {share(tally.confirmed, tally.sure)}"
        print(f"| {name} | {way} | {tally.weak} | {tally.sure} | {shares} |")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clips")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE", help=f"NAME: {', '.join(DETECTORS)}")
    parser.add_argument("--without-faces", metavar="CLIP", help="name of the clip that shows no face")
    parser.add_argument("--every", type=int, default=25, help="look at each such frame")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()

    weights: dict[str, Path | None] = {"centerface": None}
    weights |= {name: Path(file) for name, _, file in (item.partition("=") for item in options.weights)}
    clips = sorted(path for path in options.folder.iterdir() if path.suffix in (".mp4", ".mkv", ".mov", ".webm"))
    print(f"{processor()}, {os.cpu_count()} cores; OpenVINO, float32; every {options.every}th frame;")
    print(f"reference: faces from {SURE} of centerface at the clip's own size; same face: IoU from 0.3")
    print_times(weights, next(frames(clips[0], 1)), options.threads, options.runs)
    detectors = {name: open_detector(name, file) for name, file in weights.items()}
    for clip in clips:
        print_agreement(clip, options.every, detectors, clip.name == options.without_faces)


if __name__ == "__main__":
    main()
