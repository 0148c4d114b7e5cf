"""Who keeps their number: identity switches, IDF1 and fragmentations, with appearance and by motion alone.

    python benchmarks/tracking.py [--seeds 20]

The scenes are those of `audit.crowds`: made-up people on known ways whose embeddings have the distances of the packaged
driver, or of a well trained recogniser, so that the truth is exact. `online` is what `Tracker.update` says at once,
`offline` what `Tracker.finish` makes of the whole. The last columns count the offline tracks that hold two people, each
for three looks or more: two people who would wear one face.
"""

import argparse
from collections import Counter

from masquerade.audit.crowds import DRIVER, EVERY, RATE, SCENES, TEACHER, Glance, Shades, glances
from masquerade.audit.tracking import Boxes, TrackingFigures, tracking_figures
from masquerade.faces.detect import iou
from masquerade.identity import Likeness, Tracker
from masquerade.types import Box, Provenance

LIKENESS = {"driver": Likeness(0.555, 0.465), "well trained": Likeness(0.62, 0.55)}
SHADES = {"driver": DRIVER, "well trained": TEACHER}


def track(seen: list[Glance], likeness: Likeness | None) -> tuple[list[Boxes], list[Boxes]]:
    """What is found in each look, online and offline."""
    tracker = Tracker(frame_rate=RATE, likeness=likeness)
    online: list[Boxes] = []
    for glance in seen:
        known = {"embeddings": glance.embeddings, "qualities": glance.qualities} if likeness else {}
        ids = tracker.update(glance.frame, glance.faces, cut=glance.cut, **known)  # type: ignore[arg-type]
        online.append({number: face.box for number, face in zip(ids, glance.faces, strict=True) if number})
    offline: dict[int, dict[int, Box]] = {glance.frame: {} for glance in seen}
    for one in tracker.finish(seen[-1].frame + EVERY):
        for face in one.faces:
            if face.provenance is Provenance.DETECTED:
                offline[face.frame][one.id] = face.face.box
    return online, [*offline.values()]


def mixed(truth: list[Boxes], found: list[Boxes]) -> int:
    """Tracks that hold two people, each for three looks or more."""
    together: Counter[tuple[int, int]] = Counter()
    for there, seen in zip(truth, found, strict=True):
        for number, box in seen.items():
            person = max(there, key=lambda one: iou(there[one], box), default=None)
            if person is not None:
                together[number, person] += 1
    holders = Counter(number for (number, _), looks in together.items() if looks >= 3)
    return sum(people > 1 for people in holders.values())


def figures(name: str, seeds: int, likeness: Likeness | None, shades: Shades) -> tuple[list[TrackingFigures], int]:
    """Online and offline, and how many tracks hold two people, over all seeds."""
    total = [TrackingFigures(0, 0, 0, 0, 0)] * 2
    two = 0
    for seed in range(seeds):
        seen = list(glances(SCENES[name](seed), seed, shades))
        truth: list[Boxes] = [dict(zip(g.people, (f.box for f in g.faces), strict=True)) for g in seen]
        for kind, found in enumerate(track(seen, likeness)):
            total[kind] += tracking_figures(truth, found, overlap=0.3)
        two += mixed(truth, found)
    return total, two


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    print(f"{seeds} seeds a scene; each cell: identity switches / fragmentations / IDF1\n")
    ways = ["motion alone", *(f"{name}, {when}" for name in SHADES for when in ("online", "offline"))]
    ways += ["two in one: motion alone", *SHADES]
    print("| scene | " + " | ".join(ways) + " |\n|---|" + "---|" * len(ways))
    for name in SCENES:
        alone, two = figures(name, seeds, None, DRIVER)
        cells, mixes = alone[1:], [two]
        for encoder, shades in SHADES.items():
            both, two = figures(name, seeds, LIKENESS[encoder], shades)
            cells += both
            mixes.append(two)
        row = " | ".join([*(f"{f.switches} / {f.fragmentations} / {f.idf1:.3f}" for f in cells), *map(str, mixes)])
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
