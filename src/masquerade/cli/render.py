"""`masquerade render`: a file and its Plan in, the finished file out."""

from pathlib import Path
from typing import Annotated

import typer

from masquerade.cli import common, people
from masquerade.cli.anonymize import as_row, describe
from masquerade.cli.common import print_json, say
from masquerade.errors import InputError
from masquerade.pipeline.batch import Job, Result
from masquerade.pipeline.render import render
from masquerade.pipeline.tailor import tailor_for
from masquerade.plan import Plan
from masquerade.swap.defences import read_defences


def render_command(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="The photo or video.", show_default=False)],
    plan: Annotated[Path, typer.Option("--plan", "-p", help="From `masquerade analyze`, edited or not.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    swapper: people.Swapper = None,
    defence: common.Defences = None,
    encoder: common.Encoder = None,
    quality: common.Quality = None,
    visible_mark: common.VisibleMark = False,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Replace faces exactly as a Plan says."""
    if not source.exists():
        raise InputError("no such file", path=source, hint="Check the spelling")
    loaded = Plan.load(plan)
    defences = read_defences(defence) if defence is not None else ()
    tailor = tailor_for(loaded.treatment, swapper, defences)
    wardrobe = None if tailor is None else tailor.wardrobe(loaded)
    with common.bar(quiet or as_json) as progress:
        report = render(
            source,
            loaded,
            output,
            encoder=encoder,
            quality=quality,
            wardrobe=wardrobe,
            mark=visible_mark,
            progress=progress,
        )
    result = Result(Job(source, output, output.name), "review" if report.lost else "done", report)
    if as_json:
        print_json(as_row(result))
    elif not quiet:
        say(describe(result))
        common.tell_licence([result], loaded.treatment, swapper)
    if report.lost:
        raise typer.Exit(2)
