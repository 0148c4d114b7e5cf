"""Do faces lie in their crops as those that networks were trained on, with and without the aligner?

    python benchmarks/alignment.py celeba-val-128.zip [--count 200]

Aligned crops, drawn at several sides in a larger picture and found there by the default detector at all its sizes. Off:
how far the archive's five points lie from the template's in the crop that comes of it, in distances of the eyes; the
archive's own landmarks, one detector's at one size, are themselves off. Three minutes on two cores with 120 faces.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.faces.align import estimate_similarity, template, transform
from masquerade.faces.aligner import UNIT, open_aligner
from masquerade.faces.detect import detect_everywhere, open_detector
from masquerade.media import StillFrame
from masquerade.train.data import read_archive, resized

SIDES = (64, 128, 256, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="zip of aligned crops of 128 px")
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for caches")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    detector, aligner = open_detector(), open_aligner(threads=1)
    faces = read_archive(options.archive, options.work / "cache", labelled=False).faces
    rows = np.unique(np.linspace(0, len(faces) - 1, options.count).astype(int))
    print("| side | found | landmarks of | off, median | 90 % | too low by | size |\n|---|---|---|---|---|---|---|")
    for side in SIDES:
        crops: dict[str, list[NDArray[np.float64]]] = {"the detector": [], "the aligner": []}
        edge = side // 2
        for row in rows:
            bordered = cv2.copyMakeBorder(resized(faces[row], side), *(edge,) * 4, cv2.BORDER_REPLICATE)
            picture = np.asarray(bordered, np.uint8)
            frame = StillFrame(picture)
            found = detect_everywhere(detector, picture, turned=True)
            if not found or found[0].landmarks is None:
                continue
            there = (template(UNIT) + 0.5) * (side / UNIT) - 0.5 + edge
            [settled] = aligner.settle(frame, [found[0].landmarks])
            for points, some in zip((found[0].landmarks, settled), crops.values(), strict=True):
                some.append(transform(there, estimate_similarity(points, template(UNIT))))
        for name, some in crops.items():
            lies, eyes = np.array(some), float(template(UNIT)[1, 0] - template(UNIT)[0, 0])
            off = np.linalg.norm(lies - template(UNIT), axis=2).mean(1) / eyes
            low = (lies - template(UNIT))[:, :, 1].mean() / eyes
            size = np.linalg.norm(lies[:, 1] - lies[:, 0], axis=1).mean() / eyes
            print(
                f"| {side} | {len(off)} of {len(rows)} | {name} | {np.median(off):.3f} | {np.quantile(off, 0.9):.3f} "
                f"| {low:+.3f} | {size:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
