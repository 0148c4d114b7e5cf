"""`masquerade vault`: the people whom `--policy consistent` remembers, and how to forget them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from masquerade.cli import common, people
from masquerade.cli.common import err, out, print_json
from masquerade.faces.embed import open_encoder
from masquerade.identity import Limits, make_key, open_bank
from masquerade.pipeline.references import read_references

app = typer.Typer(
    help="The vault of the people who keep their fabricated face from video to video. It holds biometric data.",
    no_args_is_help=True,
)

VaultFile = Annotated[Path, typer.Argument(metavar="VAULT", help="The vault.", show_default=False)]


@app.command("key")
def key_command(
    path: Annotated[Path, typer.Argument(metavar="KEY", help="The key file to write.", show_default=False)],
    quiet: common.Quiet = False,
) -> None:
    """Make a new random key that only you may read."""
    make_key(path)
    if not quiet:
        err.print(
            escape(
                f"{path}: keep it on other storage than the vault. Whoever has both can recognise everyone in the "
                "vault; without the key nobody can, you included."
            ),
            soft_wrap=True,
        )


@app.command("list")
def list_command(
    vault: VaultFile, key: people.KeyFile = None, passphrase: people.Passphrase = False, as_json: common.Json = False
) -> None:
    """Show who is remembered: ids, dates and counts, never what they look like."""
    entries = people.open_vault(vault, key, passphrase).entries()
    if as_json:
        fields = {"id", "created", "seen", "expires", "videos", "member"}
        print_json([entry.model_dump(include=fields, mode="json") for entry in entries])
        return
    table = Table("id", "first seen", "last seen", "forgotten on", "videos", "wears")
    for entry in entries:
        expires = "never" if entry.expires is None else _day(entry.expires)
        table.add_row(
            entry.id, _day(entry.created), _day(entry.seen), expires, str(entry.videos), f"face {entry.member}"
        )
    out.print(table)


@app.command("find")
def find_command(
    vault: VaultFile,
    photo: Annotated[
        Path, typer.Argument(metavar="PHOTO", help="One face, or a folder of photos of one person.", show_default=False)
    ],
    key: people.KeyFile = None,
    passphrase: people.Passphrase = False,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    as_json: common.Json = False,
) -> None:
    """Find whom a photo shows, for who asks what is kept of them, or wants it removed.

    Everyone is shown who is not plainly somebody else, nearest first. Compare with the dates before you remove anybody.
    """
    opened = people.open_vault(vault, key, passphrase)
    finder = common.build_detector(detector, weights, engine, provider, threads)
    encoder = open_encoder(threads=threads)
    [reference] = read_references([photo], finder, encoder)
    limits = Limits.of(encoder)
    near = opened.find(reference.identity, limits.other, bank=open_bank(encoder=encoder).info.sha256)
    if as_json:
        rows = [{"id": e.id, "distance": round(d, 4), "likely": d <= limits.same} for e, d in near]
        print_json(rows)
    elif near:
        table = Table("id", "distance", "")
        for entry, distance in near:
            table.add_row(entry.id, f"{distance:.2f}", "likely" if distance <= limits.same else "perhaps")
        out.print(table)
    else:
        err.print(escape(f"{vault}: nobody in it looks like {photo.name}"), soft_wrap=True)


@app.command("forget")
def forget_command(
    vault: VaultFile,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `list` shows them.", show_default=False)],
    key: people.KeyFile = None,
    passphrase: people.Passphrase = False,
    quiet: common.Quiet = False,
) -> None:
    """Remove people for good. Seen again, they are strangers and get another face."""
    people.open_vault(vault, key, passphrase).forget(*ids)
    if not quiet:
        err.print(escape(f"{vault}: {len(set(ids))} forgotten; remember your backups of it"), soft_wrap=True)


@app.command("expire")
def expire_command(
    vault: VaultFile, key: people.KeyFile = None, passphrase: people.Passphrase = False, quiet: common.Quiet = False
) -> None:
    """Remove for good everyone whose time is over."""
    gone = people.open_vault(vault, key, passphrase).expire()
    if not quiet:
        err.print(escape(f"{vault}: {gone} forgotten"), soft_wrap=True)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d}"
