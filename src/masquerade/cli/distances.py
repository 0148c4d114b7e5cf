"""`masquerade distances`: PAPER I's study of how far faces are apart."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from masquerade.audit.distances import FAR, PAIRS, Study, check_drawing, draw, recommended, study
from masquerade.audit.people import embed_photos, embed_replaced, read_sample
from masquerade.cli import common
from masquerade.cli.common import counted, out, print_json, say
from masquerade.errors import InputError
from masquerade.media import make_folder


def distances_command(
    source: common.KnownPeople,
    encoder: common.EncoderNames = None,
    kind: common.EncoderKinds = None,
    images: common.Images = None,
    aligned: common.Aligned = False,
    anonymized: Annotated[
        Path | None,
        typer.Option(help="The same photos under the same names, their faces replaced.", show_default=False),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for one SVG figure of each encoder and metric.", show_default=False)
    ] = None,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Compare encoders and metrics by the distances of one person's faces and of two people's, as PAPER I does.

    With --anonymized, how far each face is from its replacement, and how many still match.
    """
    if figures is not None:
        check_drawing()
        make_folder(figures)
    if anonymized is not None and not anonymized.is_dir():
        raise InputError("no such folder", path=anonymized, hint="Name the folder of the anonymized photos")
    judges = common.build_encoders(encoder, kind, engine, provider, threads)
    sample = read_sample(source, images)
    finder = None if aligned else common.build_detector(detector, weights, engine, provider, threads)
    with common.bar(quiet or as_json) as progress:
        seen = embed_photos(sample.photos, judges, finder, lambda done, total: progress("photos", done, total))
        replaced, gone = None, 0
        if anonymized is not None:
            replaced, gone = embed_replaced(
                seen, anonymized, judges, finder, lambda done, total: progress("anonymized", done, total)
            )
    pairs, _ = sample.pairs(seen.found, PAIRS)
    studies = [
        one
        for i, judge in enumerate(judges)
        for one in study(judge.name, seen.vectors[i], pairs, None if replaced is None else replaced[i])
    ]
    if figures is not None:
        for one in studies:
            draw(one, figures / f"{one.encoder}-{one.metric}.svg")
    best = recommended(studies)
    genuine = int(pairs.same.sum())
    if as_json:
        print_json(
            {
                "data": sample.name,
                "faces": len(seen.found),
                "not_found": [photo.path for photo in seen.missed],
                "genuine": genuine,
                "impostors": len(pairs.same) - genuine,
                "studies": [_row(one) for one in studies],
                "recommended": {"encoder": best.encoder, "metric": best.metric, "threshold": best.threshold},
                "anonymized_not_found": gone if anonymized is not None else None,
            }
        )
    elif not quiet:
        say(f"{sample.name}: {genuine} genuine and {len(pairs.same) - genuine} impostor pairs", out)
        out.print(_table(studies))
        say(f"TAR and matches: distances below that at FAR {FAR:g}; replaced: mean and least distance", out)
        say(f"least overlap: {best.encoder} with {best.metric}; {best.threshold:.4f} at FAR {FAR:g}", out)
        if seen.missed:
            say(f"no face was found in {counted(len(seen.missed), 'photo', 'photos')}, left out", out)
        if gone:
            say(f"{counted(gone, 'replaced face was', 'replaced faces were')} not found: judged where they were", out)


def _table(studies: list[Study]) -> Table:
    table = Table("encoder", "metric", "overlap", "EER", "below", "TAR", box=None, pad_edge=False)
    compared = any(one.replaced for one in studies)
    if compared:
        for head in ("replaced", "least", "match"):
            table.add_column(head)
    for one in studies:
        cells = [one.encoder, one.metric, f"{one.histograms.overlap:.3f}", f"{100 * one.eer:.2f} %"]
        cells += [f"{one.threshold:.4f}", f"{100 * one.tar:.1f} %"]
        if one.replaced is not None:
            apart = one.replaced.distances
            cells += [f"{apart.mean():.3f}", f"{apart.min():.3f}", f"{100 * one.replaced.matched:.1f} %"]
        table.add_row(*cells)
    return table


def _row(one: Study) -> dict[str, object]:
    row: dict[str, object] = {
        "encoder": one.encoder,
        "metric": one.metric,
        "overlap": one.histograms.overlap,
        "eer": one.eer,
        "eer_threshold": one.eer_threshold,
        "far": FAR,
        "threshold": one.threshold,
        "tar": one.tar,
    }
    if one.replaced is not None:
        apart = one.replaced.distances
        row["replaced"] = {
            "mean": float(apart.mean()),
            "least": float(apart.min()),
            "matched": one.replaced.matched,
        }
    return row
