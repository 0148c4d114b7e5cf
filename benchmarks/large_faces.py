"""Is a large face found once, and are its landmarks where they are on a small one?

    python benchmarks/large_faces.py portraits-256.zip [--count 40]

Portraits that show one face each, drawn at several sides, with a border. Landmarks are held against those of the same
portrait at 256 pixels, in distances of the eyes. Five minutes on one core.
"""

import argparse
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masquerade.faces.detect import detect_everywhere, open_detector
from masquerade.identity import START_SCORE
from masquerade.types import Face

SIDES = (256, 512, 700, 1000)
BORDER = 0.3
"""Of the side."""


def framed(portrait: Image.Image, side: int) -> NDArray[np.uint8]:
    """The portrait at that side, its border repeated outwards."""
    picture = np.asarray(portrait.resize((side, side), Image.Resampling.BICUBIC), np.uint8)
    edge = round(BORDER * side)
    return np.asarray(cv2.copyMakeBorder(picture, *(edge,) * 4, cv2.BORDER_REPLICATE), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path, help="zip of portraits of one face each")
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    detector = open_detector()
    with zipfile.ZipFile(options.portraits) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        rows = np.linspace(0, len(names) - 1, options.count).astype(int)
        portraits = [Image.open(io.BytesIO(archive.read(names[row]))).convert("RGB") for row in rows]
    print("| side | found once | most faces in one | landmarks off, median | 90 % |\n|---|---|---|---|---|")
    known: list[Face] = []
    for side in SIDES:
        counts, off = [], []
        for number, portrait in enumerate(portraits):
            faces = [
                f for f in detect_everywhere(detector, framed(portrait, side), turned=True) if f.score >= START_SCORE
            ]
            counts.append(len(faces))
            assert faces, f"nobody found in portrait {number}"
            if side == SIDES[0]:
                known.append(faces[0])
            one, other = known[number].landmarks, max(faces, key=lambda face: face.box.width).landmarks
            assert one is not None and other is not None
            away = np.linalg.norm(other * SIDES[0] / side - one, axis=1).mean()
            off.append(away / np.linalg.norm(one[0] - one[1]))
        once = sum(count == 1 for count in counts)
        print(
            f"| {side} | {once} of {len(counts)} | {max(counts)} | {np.median(off):.3f} "
            f"| {np.quantile(off, 0.9):.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
