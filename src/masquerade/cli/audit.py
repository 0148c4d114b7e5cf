"""`masquerade audit`: is it really gone? An original and what was made of it in, a verdict with its evidence out."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from masquerade.audit.compare import find_pairs, find_strays
from masquerade.audit.evidence import Instruments, gather, trained_with
from masquerade.audit.policy import Policy, read_policy
from masquerade.audit.report import as_html, as_json
from masquerade.audit.report_findings import Findings, allowed, amount, conclude
from masquerade.audit.utility_networks import GazeNetwork, LandmarkNetwork, PoseNetwork
from masquerade.cli import common
from masquerade.cli.common import complain, counted, one_line, out, say
from masquerade.errors import OptionError
from masquerade.faces.expression import open_expression
from masquerade.media import atomic_output, check_output, sha256
from masquerade.models.cards import cards

_NAMED = 5  # strays in one line; all are in the report


def audit_command(
    original: Annotated[Path, typer.Argument(help="A photo or video, or a folder of them.", show_default=False)],
    output: Annotated[Path, typer.Argument(help="What was made of it; a folder laid out alike.", show_default=False)],
    plan: Annotated[
        Path | None,
        typer.Option(
            help="The Plan it was made by; for folders, a folder with NAME.plan.json.",
            show_default="people are found anew",
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Limits, a TOML file.", show_default="nobody uncovered, nobody found")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("-o", "--output", help="The report, one HTML page.", show_default=False)
    ] = None,
    json_report: Annotated[
        Path | None, typer.Option("--json", help="The same numbers as JSON.", show_default=False)
    ] = None,
    encoder: common.EncoderNames = None,
    kind: common.EncoderKinds = None,
    pose: Annotated[
        Path | None, typer.Option(help="Your head pose network, Hopenet's kind, ONNX.", show_default="five landmarks")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="Your network of 68 landmarks, ONNX.", show_default="the detector's five")
    ] = None,
    gaze: Annotated[
        Path | None,
        typer.Option(help="A gaze network of the kind gaze-estimation-adas-0002.", show_default="not measured"),
    ] = None,
    show_faces: Annotated[
        bool, typer.Option("--show-faces", help="Leave the report's pictures clear: it must be kept as the originals.")
    ] = False,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
) -> None:
    """Look for the people of the original in what was made of it, and say whether a policy is kept.

    The driver took part in training swappers, so it is shown and decides nothing. Name recognisers of your own with
    --encoder, calibrated by `masquerade calibrate --save`. Exit code 0: passed; 1: could not run; 2: failed.
    """
    pairs = find_pairs(original, output, plan)
    strays = find_strays(pairs, output)
    for target in (report, json_report):
        if target is not None:
            check_output(target, inputs=[original, output, *([plan] if plan else []), *([policy] if policy else [])])
    limits = read_policy(policy) if policy else Policy()
    judges = common.build_encoders(encoder, kind, engine, provider, threads)
    if all(trained_with(judge) for judge in judges):
        raise OptionError(
            "the driver, and its teacher, took part in training swappers and cannot decide alone",
            hint="Add --encoder guard, or your own",
        )
    for judge in judges:
        judge.threshold(limits.far)
    instruments = Instruments(
        common.build_detector(detector, weights, engine, provider, threads),
        judges,
        PoseNetwork(pose, engine, provider, threads) if pose else None,
        LandmarkNetwork(landmarks, engine, provider, threads) if landmarks else None,
        open_expression(engine=engine, provider=provider, threads=threads),
        GazeNetwork(gaze, engine, provider, threads) if gaze else None,
        sha256(weights) if weights else cards()[detector].sha256,
    )
    with common.Bars(len(pairs), quiet) as bars:
        evidence = gather(
            pairs,
            instruments,
            far=limits.far,
            show_faces=show_faces,
            silent_allowed=limits.silent,
            strays=strays,
            progress=bars.frame,
            done=bars.file_done,
        )
    findings = conclude(evidence, instruments, limits)
    for refused in findings.refused:
        complain(f"{refused.name} is in no figure: {refused.message}")
    if findings.strays:
        names = [one.name for one in findings.strays]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        complain(
            f"{counted(len(names), 'file', 'files')} in {output} without an original, in which anybody may be seen: "
            f"nobody looked at {', '.join(names[:_NAMED])}{more}"
        )
    if report is not None:
        _write(report, as_html(findings, faces_shown=show_faces))
    if json_report is not None:
        _write(json_report, json.dumps(as_json(findings), indent=2, allow_nan=False) + "\n")
    if not quiet:
        _print(findings, report)
    if not findings.passed:
        raise typer.Exit(2)


def _write(path: Path, text: str) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _print(findings: Findings, report: Path | None) -> None:
    word = "[bold green]passed[/]" if findings.passed else "[bold red]failed[/]"
    faces = counted(findings.faces, "face", "faces")
    out.print(f"{word}: {faces} in {counted(len(findings.files), 'file', 'files')}, {findings.judged} judged")
    table = Table("measured", "", "95 % interval", "allowed", "", box=None, pad_edge=False)
    for check in findings.checks:
        spread = "" if check.high is None else f"{amount(check, check.low)} to {amount(check, check.high)}"
        word = "kept" if check.passed else "[red]not kept[/]"
        table.add_row(amount(check, check.value), one_line(check.said), spread, allowed(check), word)
    out.print(table)
    for note in findings.notes:
        say(note, out)
    if report is not None:
        say(f"report: {report}", out)
