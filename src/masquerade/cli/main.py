"""All commands, wired together.

Exit codes: 0 all anonymized, 1 could not run, 2 some input failed or needs review, 130 stopped by the user.
"""

import sys
from io import TextIOWrapper

import typer

from masquerade.cli import (
    analyze,
    anonymize,
    attack,
    audit,
    bank,
    calibrate,
    consistency,
    demo,
    distances,
    doctor,
    models,
    prepare,
    render,
    reproduce,
    survey,
    train,
    vault,
)
from masquerade.cli.common import complain, root_options
from masquerade.errors import MachineError, MasqueradeError, OptionError, UnexpectedError

STOPPED = 130
"""What shells expect of a program that Ctrl-C ended."""

app = typer.Typer(
    name="masquerade",
    help="Replaces every face in photos and videos by a face that belongs to nobody.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    callback=root_options,
)
app.command("anonymize")(anonymize.anonymize_command)
app.command("analyze")(analyze.analyze_command)
app.command("render")(render.render_command)
app.command("audit")(audit.audit_command)
app.command("calibrate")(calibrate.calibrate_command)
app.command("consistency")(consistency.consistency_command)
app.command("distances")(distances.distances_command)
app.command("survey")(survey.survey_command)
app.command("demo")(demo.demo_command)
app.command("doctor")(doctor.doctor_command)
app.command("prepare")(prepare.prepare_command)
app.command("train")(train.train)
app.command("attack")(attack.attack_command)
app.command("reproduce")(reproduce.reproduce_command)
app.add_typer(models.app, name="models")
app.add_typer(bank.app, name="bank")
app.add_typer(vault.app, name="vault")


def main() -> None:
    """Entry point of the `masquerade` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a code page may lack a letter of a file's name
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)  # a wrong option is "could not run" here, not typer's 2
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        code = 1 if message else 0  # without any argument the help has been shown, and all is said
        if message:
            complain(OptionError(message, hint="See --help"))
    except MasqueradeError as error:
        complain(error)
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except OSError as error:
        complain(MachineError(error))
        code = 1
    except Exception as error:
        complain(UnexpectedError(error))
        code = 1
    if code == STOPPED:
        complain("stopped; what was finished is kept, and the same command goes on from there")
    sys.exit(code)
