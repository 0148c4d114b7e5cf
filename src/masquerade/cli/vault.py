"""`masquerade vault`: the people whom `--policy consistent` remembers, and how to forget them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from masquerade.cli import common
from masquerade.cli.common import err, out, print_json
from masquerade.errors import OptionError
from masquerade.identity.vault import Key, Vault, make_key

app = typer.Typer(
    help="The vault of the people who keep their fabricated face from video to video. It holds biometric data.",
    no_args_is_help=True,
)

VaultFile = Annotated[Path, typer.Argument(metavar="VAULT", help="The vault.", show_default=False)]
KeyFile = Annotated[
    Path | None, typer.Option("--key", help="The key file, from another folder than the vault's.", show_default=False)
]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase instead of a key file.")]


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
    vault: VaultFile, key: KeyFile = None, passphrase: Passphrase = False, as_json: common.Json = False
) -> None:
    """Show who is remembered: ids, dates and counts, never what they look like."""
    entries = _open(vault, key, passphrase).entries()
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


@app.command("forget")
def forget_command(
    vault: VaultFile,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `list` shows them.", show_default=False)],
    key: KeyFile = None,
    passphrase: Passphrase = False,
    quiet: common.Quiet = False,
) -> None:
    """Remove people for good. Seen again, they are strangers and get another face."""
    _open(vault, key, passphrase).forget(*ids)
    if not quiet:
        err.print(escape(f"{vault}: {len(set(ids))} forgotten; remember your backups of it"), soft_wrap=True)


@app.command("expire")
def expire_command(
    vault: VaultFile, key: KeyFile = None, passphrase: Passphrase = False, quiet: common.Quiet = False
) -> None:
    """Remove for good everyone whose time is over."""
    gone = _open(vault, key, passphrase).expire()
    if not quiet:
        err.print(escape(f"{vault}: {gone} forgotten"), soft_wrap=True)


def _open(path: Path, key: Path | None, passphrase: bool) -> Vault:
    if (key is None) != passphrase:
        raise OptionError("a vault opens with --key or with --passphrase", hint="Give one of the two")
    if key is not None:
        return Vault(path, Key.from_file(key))
    return Vault(path, Key.from_passphrase(typer.prompt("Passphrase", hide_input=True, err=True)))


def _day(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d}"
