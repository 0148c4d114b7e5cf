"""`masquerade anonymize`: files and folders in, the same without recognisable faces out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from masquerade.cli import common, people
from masquerade.cli.common import complain, counted, out, print_json, say
from masquerade.pipeline.anonymize import Settings, anonymize, open_manifest
from masquerade.pipeline.batch import Result, find_jobs
from masquerade.swap.defences import read_defences
from masquerade.swap.impose import Outcome


def anonymize_command(
    inputs: common.Inputs,
    output: Annotated[Path, typer.Option("-o", "--output", help="A file for one input, else a folder.")],
    method: common.Method = None,
    shape: common.Shape = "ellipse",
    margin: common.Margin = 0.3,
    color: common.Color = "#000000",
    span: common.Spans = None,
    region: common.Regions = None,
    min_face: common.MinFace = 0.0,
    exempt: people.Exempt = None,
    only: people.Only = None,
    swapper: people.Swapper = None,
    policy: people.PolicyName = None,
    fitting: people.Fitting = None,
    defence: common.Defences = None,
    vault: people.VaultFile = None,
    key: people.KeyFile = None,
    passphrase: people.Passphrase = False,
    keep: people.Keep = None,
    encoder: common.Encoder = None,
    quality: common.Quality = None,
    visible_mark: common.VisibleMark = False,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Replace every face in photos and videos.

    A file in which people wear fabricated faces says so in its metadata.

    Folders keep their layout. Files that an earlier run finished are skipped, so a run that was stopped goes on where
    it was. Exit code 0: all anonymized; 1: could not run; 2: some input failed or needs review.
    """
    settings = Settings(
        treatment=common.build_treatment(method, shape, margin, color),
        scope=common.build_scope(span, region, min_face),
        encoder=encoder,
        quality=quality,
        wishes=people.build_wishes(exempt, only, policy, fitting, vault, key, passphrase, keep),
        swapper=swapper,
        mark=visible_mark,
        defences=read_defences(defence) if defence is not None else (),
    )
    jobs, folder = find_jobs(inputs, output)
    finder = common.build_detector(detector, weights, engine, provider, threads)
    if dry_run:
        manifest = open_manifest(folder, settings, finder) if folder else None
        rows = [
            {"input": job.source, "output": job.output, "done": bool(manifest and manifest.earlier(job))}
            for job in jobs
        ]
        if as_json:
            print_json({"dry_run": True, "files": rows})
        else:
            for row in rows:
                say(f"{'done already' if row['done'] else 'would do'}  {row['input']} → {row['output']}", out)
        return
    with common.Bars(len(jobs), quiet or as_json) as bars:

        def tell(result: Result) -> None:
            bars.file_done()
            if result.error is not None:
                complain(result.error)
            elif not quiet and not as_json:
                say(describe(result))

        results = anonymize(inputs, output, settings, detector=finder, progress=bars.frame, tell=tell)
    if as_json:
        print_json({"files": [as_row(result) for result in results]})
    elif not quiet:
        common.tell_licence(results, settings.treatment, swapper)
    if any(result.status in ("failed", "review") for result in results):
        raise typer.Exit(2)


def describe(result: Result) -> str:
    """One line on what became of a file."""
    report = result.report
    if report is None:
        review = "; please review" if result.status == "review" else ""
        return f"{result.job.output}: done by an earlier run{review}"
    faces = sum(report.replaced.values())
    what = "no face found" if not faces and not report.kept else f"{counted(faces, 'face', 'faces')} replaced"
    if report.kind == "video":
        tracks = counted(report.people, "track", "tracks")
        what += f", each counted once a frame, in {counted(report.frames, 'frame', 'frames')}; {tracks}"
    if report.outcomes:
        what += f"; {describe_outcomes(report.outcomes)}"
    if report.defences:
        what += f"; swapped behind {' and '.join(report.defences)}"
    if report.kept:
        what += f", {report.kept} left as they were"
    for remark in people.describe_remarks(report.remarks):
        what += f"; {remark}"
    if report.dropped:
        what += f"; left out on purpose: {', '.join(report.dropped)}"
    if report.lost:
        what += f"; please review, lost: {', '.join(report.lost)}"
    return f"{result.job.output}: {what}"


def describe_outcomes(outcomes: Mapping[str, int]) -> str:
    """How many faces were swapped, and why the others were not."""
    redacted = {outcome: count for outcome, count in sorted(outcomes.items()) if outcome != Outcome.SWAPPED}
    said = f"{outcomes.get(Outcome.SWAPPED, 0)} swapped"
    if redacted:
        why = ", ".join(f"{count} {outcome}" for outcome, count in redacted.items())
        said += f", {sum(redacted.values())} redacted instead ({why})"
    return said


def as_row(result: Result) -> dict[str, Any]:
    """The same for machines."""
    row: dict[str, Any] = {"input": result.job.source, "output": result.job.output, "status": result.status}
    if result.report is not None:
        report = result.report
        row |= {"kind": report.kind, "frames": report.frames, "people": report.people}
        row |= {"replaced": dict(report.replaced), "kept": report.kept}
        row |= {"outcomes": dict(report.outcomes)} if report.outcomes else {}
        row |= {"defences": list(report.defences)} if report.defences else {}
        row |= {"dropped": list(report.dropped), "lost": list(report.lost)}
        row |= people.remarks_row(report.remarks)
    if result.error is not None:
        row["error"] = {"code": result.error.code, "message": str(result.error)}
    return row
