"""`masquerade reproduce`: tables of the thesis, on one's own data and with one's own swapper."""

from pathlib import Path
from typing import Annotated

import typer

from masquerade.audit.attacks import open_adversary
from masquerade.audit.reproduction import PUBLISHED, Setting, find_faces, look, reproduce
from masquerade.audit.utility_networks import LandmarkNetwork, PoseNetwork
from masquerade.cli import common, people
from masquerade.cli.common import print_json
from masquerade.errors import OptionError
from masquerade.faces.expression import open_expression
from masquerade.pipeline.tailor import tailor_for
from masquerade.plan import Treatment


def reproduce_command(
    table: Annotated[str, typer.Argument(help=f"One of {', '.join(PUBLISHED)}.", show_default=False)],
    data: Annotated[
        Path,
        typer.Argument(
            help="FaceForensics++, AFLW2000-3D, LFW or VGGFace2 as unpacked, or photos as PERSON/PHOTO (a folder or a "
            "zip), a folder of photos, or videos.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        Path | None,
        typer.Option(help="Whose faces are put on in tables 5.3 to 5.5, laid out likewise.", show_default="DATA"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=2, help="So many photos or videos, evenly taken.", show_default="all")
    ] = None,
    aligned: common.Aligned = False,
    min_face: common.MinFace = 0.0,
    swapper: people.Swapper = None,
    adversary: Annotated[
        Path | None,
        typer.Option(help="adversary.onnx of a masquerade attack, for RA.", show_default="RA is not measured"),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option("--encoder", help="driver, guard, or an ONNX file. Repeatable.", show_default="guard"),
    ] = None,
    kind: common.EncoderKinds = None,
    pose: Annotated[
        Path | None, typer.Option(help="Your head pose network, Hopenet's kind, ONNX.", show_default="not measured")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="Your network of 68 landmarks, ONNX.", show_default="not measured")
    ] = None,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Print a table of the thesis with our own rows, and say in what they differ.

    Faces of real people are swapped in memory only; no changed picture is written.
    """
    if table not in PUBLISHED:
        raise OptionError(f"there is no table {table!r} here", hint=f"There is {', '.join(PUBLISHED)}")
    if table == "5.8" and adversary is None:
        raise OptionError(
            "table 5.8 needs --adversary", hint="Train one with masquerade attack, and name its adversary.onnx"
        )
    targets, others = find_faces(data), find_faces(sources) if sources else None
    tailor = tailor_for(Treatment(method="swap"), swapper, ())
    assert tailor is not None  # a swap always has one
    setting = Setting(
        tailor,
        common.build_encoders(encoder or ["guard"], kind, engine, provider, threads),
        open_expression(engine=engine, provider=provider, threads=threads),
        PoseNetwork(pose, engine, provider, threads) if pose else None,
        LandmarkNetwork(landmarks, engine, provider, threads) if landmarks else None,
        open_adversary(adversary, engine=engine, provider=provider, threads=threads) if adversary else None,
    )
    finder = None if aligned else common.build_detector(detector, weights, engine, provider, threads)
    with common.bar(quiet or as_json) as progress:
        seen, given = (
            None
            if one is None
            else look(
                one.some(count),
                tailor.swapper.side,
                finder,
                lambda done, total: progress("faces", done, total),
                min_face=min_face,
            )
            for one in (targets, others)
        )
    assert seen is not None  # the data always are there
    found = reproduce(
        table,
        setting,
        seen,
        given,
        name=targets.name if others is None else f"{targets.name} and sources from {others.name}",
        videos=targets.layout == "videos",
        pairs=2 * len(seen),
    )
    if as_json:
        print_json(found.as_json())
    else:
        typer.echo(found.markdown())
