"""`masquerade analyze`: a file in, its Plan out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from masquerade.cli import common, people
from masquerade.cli.common import counted, print_json, say
from masquerade.errors import InputError
from masquerade.identity import Remarks
from masquerade.media import atomic_output, check_output
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.fitting import fit
from masquerade.pipeline.people import director_for
from masquerade.pipeline.refine import refine
from masquerade.pipeline.tailor import Tailor, swapper_for


def analyze_command(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A photo or video.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The Plan.", show_default="INPUT.plan.json beside the input")
    ] = None,
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
    vault: people.VaultFile = None,
    key: people.KeyFile = None,
    passphrase: people.Passphrase = False,
    keep: people.Keep = None,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Find and track every face and write the Plan, which `masquerade render` follows.

    The Plan is a readable file: set a person's "action" to "keep", add a box under "manual", change the treatment.
    """
    if not source.exists():
        raise InputError("no such file", path=source, hint="Check the spelling")
    treatment = common.build_treatment(method, shape, margin, color)
    scope = common.build_scope(span, region, min_face)
    finder = common.build_detector(detector, weights, engine, provider, threads)
    target = output or source.with_name(source.name + ".plan.json")
    check_output(target, inputs=[source])
    wishes = people.build_wishes(exempt, only, policy, fitting, vault, key, passphrase, keep)
    chosen = swapper_for(treatment, swapper)
    tailor = None if chosen is None else Tailor(chosen)
    director = director_for(wishes, finder, tailor)
    asked: dict[str, Any] = {"cast": director.cast, "encoder": director.encoder} if director else {}
    with common.bar(quiet or as_json) as progress:
        plan = analyze(source, finder, treatment=treatment, scope=scope, progress=progress, **asked)
        if tailor and director:
            plan = refine(source, plan, finder, tailor.aligner, progress=progress)
            plan = fit(source, plan, tailor, director, progress=progress)
    with atomic_output(target, inputs=[source]) as temporary:
        temporary.write_text(plan.dumps(), encoding="utf-8")
    faces = sum(len(person.faces) for person in plan.people)
    remarks = director.remarks if director else Remarks()
    if as_json:
        row = {"plan": target, "frames": plan.source.frames, "people": len(plan.people), "faces": faces}
        print_json(row | people.remarks_row(remarks))
    elif not quiet:
        found = counted(len(plan.people), "person", "people")
        frames = counted(plan.source.frames, "frame", "frames")
        said = [f"{found}, {counted(faces, 'face', 'faces')} in {frames}", *people.describe_remarks(remarks)]
        say(f"{target}: {'; '.join(said)}")
