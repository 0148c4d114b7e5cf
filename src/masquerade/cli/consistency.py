"""`masquerade consistency`: whether people keep one face through a video."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from masquerade.audit.temporal import Consistency, consistency, people_over_time
from masquerade.cli import common
from masquerade.cli.common import one_line, out, print_json, say
from masquerade.errors import InputError
from masquerade.media import IMAGE_FORMATS
from masquerade.pipeline.analyze import analyze


def consistency_command(
    videos: Annotated[list[Path], typer.Argument(help="Videos.", show_default=False)],
    encoder: common.EncoderNames = None,
    kind: common.EncoderKinds = None,
    min_face: common.MinFace = 0.0,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Measure temporal identity consistency, M_tc: how far a person's face is from itself a little later.

    Lower is steadier. Of each person ten frames are taken; "steps" are distances of each to the next, "pairs" all
    of them: mean and standard deviation.
    """
    for video in videos:
        if video.suffix.lower() in IMAGE_FORMATS:
            raise InputError("is a photo, which has no time", path=video, hint="Give videos")
    judges = common.build_encoders(encoder, kind, engine, provider, threads)
    finder = common.build_detector(detector, weights, engine, provider, threads)
    everyone: list[list[NDArray[np.float32]]] = [[] for _ in judges]
    rows: list[tuple[str, str, Consistency]] = []
    for video in videos:
        with common.bar(quiet or as_json) as progress:
            plan = analyze(video, finder, progress=progress)
            seen = people_over_time(video, plan, judges, progress, min_face=min_face)
        for judge, people, pooled in zip(judges, seen, everyone, strict=True):
            pooled.extend(people)
            if found := consistency(people):
                rows.append((str(video), judge.name, found))
            elif judge is judges[0] and not (quiet or as_json):
                say(f"{video}: nobody was detected in two frames")
    overall = [(judge.name, consistency(people)) for judge, people in zip(judges, everyone, strict=True)]
    rows += [("all", name, found) for name, found in overall if found]
    if not rows:
        raise InputError("nobody was detected in two frames", hint="Give videos with people in them")
    if as_json:
        print_json([{"video": video, "encoder": name, **asdict(found)} for video, name, found in rows])
    elif not quiet:
        out.print(_table(rows))


def _table(rows: list[tuple[str, str, Consistency]]) -> Table:
    table = Table("video", "encoder", "people", "steps", "pairs", box=None, pad_edge=False)
    for video, name, found in rows:
        cells = [f"{spread.mean:.3f} ± {spread.std:.3f}" for spread in (found.steps, found.pairs)]
        table.add_row(one_line(Path(video).name), one_line(name), str(found.people), *cells)
    return table
