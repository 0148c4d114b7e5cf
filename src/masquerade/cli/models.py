"""`masquerade models`: what weights there are, on what terms, and whether they are here and whole."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from masquerade.cli.common import Json, Quiet, complain, err, out, print_json
from masquerade.errors import MasqueradeError, OptionError
from masquerade.media.files import atomic_output, check_output
from masquerade.models import Asset, State, asset, assets, fetch, location, state

app = typer.Typer(help="The networks' weights and the demo's pictures: list, fetch, check.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Names as 'models list' shows them.", show_default=False)]


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """Show what there is, under which licence, and whether it is here."""
    if as_json:
        print_json([_row(card) for card in assets().values()])
        return
    table = Table("name", "task", "licence", "commercial use", "size", "state", box=None, pad_edge=False)
    for card in assets().values():
        allowed = "yes" if card.commercial_use else "[yellow]no[/]"
        table.add_row(card.name, card.task, card.licence, allowed, decimal(card.size), _coloured(state(card)))
    out.print(table)


@app.command("pull")
def pull_command(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Everything there is.")] = False,
    accept_noncommercial: Annotated[
        bool, typer.Option("--accept-noncommercial", help="Also weights that may not be used commercially.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch weights into the cache, so that everything runs without a network afterwards.

    Exit code 0: all are here; 1: some could not be had.
    """
    if not names and not every:
        raise OptionError("nothing to pull was named", hint="Name weights, or say --all.")
    rows, failed = [], False
    for card in _chosen(None if every else names):
        row: dict[str, object] = {"name": card.name}
        try:
            row["path"] = str(_pull(card, accept_noncommercial, quiet or as_json))
        except MasqueradeError as error:
            failed = True
            row |= {"error": error.code, "message": str(error)}
            if not as_json:
                complain(error)
        else:
            if not quiet and not as_json:
                out.print(f"[green]{card.name}[/]  {row['path']}", soft_wrap=True)
        rows.append(row)
    if as_json:
        print_json(rows)
    raise typer.Exit(int(failed))


@app.command("verify")
def verify_command(names: Names = None, as_json: Json = False) -> None:
    """Hash every file again and compare with its card.

    Exit code 0: all that are here are whole, and those named are here; 1: otherwise.
    """
    chosen = _chosen(names)
    wrong = {State.DAMAGED, State.MISSING} if names else {State.DAMAGED}
    states = [state(card) for card in chosen]
    if as_json:
        print_json([_row(card) for card in chosen])
    else:
        for card, found in zip(chosen, states, strict=True):
            out.print(f"{_coloured(found)}  {card.name}  {location(card)}", soft_wrap=True)
        if State.DAMAGED in states:
            err.print("Run 'masquerade models pull' with the damaged names: it fetches them again.", soft_wrap=True)
    raise typer.Exit(int(any(found in wrong for found in states)))


@app.command("import")
def import_command(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS.h5", help="A Keras file of FaceDancer's published model zoo.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="SWAPPER.onnx", help="The network; its card goes beside it.")
    ],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn published FaceDancer weights, which you fetch yourself, into a swapper that runs here.

    Their licence is CC BY-NC-SA 4.0 and holds for what comes out too. Needs the extra `train`.
    """
    card = output.with_suffix(".toml")
    if output.suffix != ".onnx":
        raise OptionError(f"{output.name!r} is no name for a network", hint="End it in .onnx")
    for path in (output, card):
        check_output(path, inputs=[weights])
    try:
        from masquerade.nets import import_facedancer, to_onnx  # noqa: PLC0415 - torch is an extra
    except ImportError as error:
        hint = "Run: pip install 'masquerade[train]'"
        raise OptionError(f"importing weights needs {error.name}, which is not installed", hint=hint) from error
    name, net = import_facedancer(weights)
    with atomic_output(output) as part:
        part.write_bytes(to_onnx(net))
    with atomic_output(card) as part:
        part.write_text(FACEDANCER_CARD.format(name=f"facedancer-{name}", file=output.name, side=net.side), "utf-8")
    if as_json:
        print_json({"network": str(output), "card": str(card), "configuration": name})
    elif not quiet:
        err.print(escape(f"{output}: FaceDancer {name.upper()}, {net.side} px; open it by {card}"), soft_wrap=True)


FACEDANCER_CARD = """\
# FaceDancer (Rosberg et al., WACV 2023), converted from its published Keras weights: CC BY-NC-SA 4.0, no commercial
# use. It follows identities of an ArcFace encoder, which is not in this package either.
file = "{file}"
name = "{name}"

[input]
name = "target"
layout = "NCHW"
height = {side}
width = {side}
colour = "RGB"
range = [-1.0, 1.0]
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]

[swap]
identity = "identity"
crop = "crop"
range = [-1.0, 1.0]
encoder = "arcface"
alignment = "arcface"
"""


def _chosen(names: list[str] | None) -> list[Asset]:
    return [asset(name) for name in names] if names else list(assets().values())


def _pull(card: Asset, accept_noncommercial: bool, silent: bool) -> object:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=silent or not err.is_terminal) as progress:
        task = progress.add_task(card.name, total=card.size)
        return fetch(
            card,
            accept_noncommercial=accept_noncommercial,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _row(card: Asset) -> dict[str, object]:
    return {
        "name": card.name,
        "task": card.task,
        "licence": card.licence,
        "commercial_use": card.commercial_use,
        "size": card.size,
        "sha256": card.sha256,
        "state": state(card),
        "path": str(location(card)),
    }


def _coloured(found: State) -> str:
    colour = {State.PACKAGED: "green", State.CACHED: "green", State.MISSING: "dim", State.DAMAGED: "red"}[found]
    return f"[{colour}]{found}[/]"
