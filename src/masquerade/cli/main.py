"""All commands, wired together.

Exit codes: 0 all anonymized, 1 could not run, 2 some input failed or needs review, 130 stopped by the user.
"""

import sys

import typer

from masquerade.cli import analyze, anonymize, demo, doctor, models, render
from masquerade.cli.common import complain, version_option
from masquerade.errors import MasqueradeError

app = typer.Typer(
    name="masquerade",
    help="Replaces every face in photos and videos by a face that belongs to nobody.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    callback=version_option,
)
app.command("anonymize")(anonymize.anonymize_command)
app.command("analyze")(analyze.analyze_command)
app.command("render")(render.render_command)
app.command("demo")(demo.demo_command)
app.command("doctor")(doctor.doctor_command)
app.add_typer(models.app, name="models")


def main() -> None:
    """Entry point of the `masquerade` command."""
    try:
        app()
    except MasqueradeError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        complain("stopped; what was finished is kept, and the same command goes on from there")
        sys.exit(130)
