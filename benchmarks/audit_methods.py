"""Every method under audit: who is still found, what is kept, and how it looks.

    python benchmarks/audit_methods.py CLIP... [--method blur]... [--encoder FILE --kind KIND]... [--threads 1]

Each clip goes through `masquerade anonymize --method` and is then audited; the clips' evidence is put together.
"nothing" is the original audited against itself: what the recognisers find where nothing was done.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.compare import Pair
from masquerade.audit.evidence import Evidence, Instruments, gather
from masquerade.audit.intervals import Estimate
from masquerade.audit.policy import Policy
from masquerade.audit.report_findings import Findings, conclude
from masquerade.cli.common import build_encoders
from masquerade.faces.detect import Detector, open_detector
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.anonymize import Settings, anonymize
from masquerade.plan import Treatment
from masquerade.types import Face

METHODS = ("nothing", "blur", "pixelate", "solid", "swap")


class Remembering:
    """A detector that looks at each picture once: the original is the same whatever was made of it."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.name = detector, detector.name
        self._seen: dict[bytes, list[Face]] = {}

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """As `Detector.detect`."""
        found = []
        for image in images:
            key = sha256(image.tobytes() + str(image.shape).encode()).digest()
            if key not in self._seen:
                [self._seen[key]] = self._detector.detect([image])
            found.append(self._seen[key])
        return found


def evidence(
    clip: Path, folder: Path, methods: Sequence[str], instruments: Instruments, far: float
) -> Iterator[Evidence]:
    """Of one clip, for each method."""
    known = folder / "plan.json"
    known.write_text(analyze(clip, instruments.detector).dumps(), encoding="utf-8")
    for method in methods:
        output = clip
        if method != "nothing":
            output = folder / f"{method}{clip.suffix}"
            settings = Settings(treatment=Treatment.model_validate({"method": method}))
            [result] = anonymize(clip, output, settings, detector=instruments.detector)
            if result.error is not None:
                raise result.error
        yield gather([Pair(clip.name, clip, output, known)], instruments, far=far)


def share(estimate: Estimate | None) -> str:
    """A share with its interval, in per cent."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"


def number(estimate: Estimate | None) -> str:
    """A mean with its interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def found_rows(method: str, findings: Findings) -> Iterator[str]:
    """A line for each recogniser."""
    for judge in findings.recognisers:
        found = judge.retrieval
        if found is None:
            continue
        cells = [method, judge.name, f"{judge.threshold:.3f}", f"{found.gallery} ({found.gallery_people})"]
        cells += map(share, (found.id, found.adapted, found.neg_id, found.others, found.people))
        yield "| " + " | ".join(cells) + " |"


def kept_row(method: str, findings: Findings) -> str:
    """A line of what is kept and how it looks."""
    by_key = {figure.key: figure.estimate for figure in (*findings.utility, *findings.quality)}
    cells = [method, f"{findings.sure} / {findings.faces}", share(by_key["found"])]
    cells += [number(by_key[key]) for key in ("pose", "sharpness", "colour", "boundary", "flicker")]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints two markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--kind", action="append")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    judges = build_encoders(asked.encoder, asked.kind, "auto", None, asked.threads)
    detector: Any = Remembering(open_detector(threads=asked.threads))
    instruments = Instruments(detector, judges)
    policy = Policy()
    methods = asked.method or METHODS
    seen: list[list[Evidence]] = [[] for _ in methods]
    with tempfile.TemporaryDirectory() as folder:
        for clip in asked.clips:
            for parts, one in zip(seen, evidence(clip, Path(folder), methods, instruments, policy.far), strict=True):
                parts.append(one)
    findings = [conclude(Evidence.together(parts), instruments, policy) for parts in seen]
    print(f"{len(asked.clips)} clips; threshold at FAR {policy.far:g}; shares in per cent, 95 % interval over people\n")
    print(
        "| method | recogniser | threshold | gallery (people) | ID | adapted | ¬ID | taken for others | people found |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, found in zip(methods, findings, strict=True):
        print("\n".join(found_rows(name, found)))
    print("\n| method | uncovered / faces | still found | pose, ° | sharpness, × | colour, ΔE | edge, × | flicker |")
    print("|---|---|---|---|---|---|---|---|")
    for name, found in zip(methods, findings, strict=True):
        print(kept_row(name, found))


if __name__ == "__main__":
    main()
