"""Options about people: whom to keep, whom to replace, and for whom a fabricated face stays the same."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from masquerade.cli.common import counted
from masquerade.errors import OptionError
from masquerade.identity import Key, Match, Policy, Remarks, Vault
from masquerade.pipeline.people import Wishes

Exempt = Annotated[
    list[Path] | None,
    typer.Option(
        "--exempt",
        metavar="PHOTO",
        help="Keep the person on this photo, or on the photos in this folder. Repeatable.",
        show_default=False,
    ),
]
Only = Annotated[
    list[Path] | None,
    typer.Option(
        "--only",
        metavar="PHOTO",
        help="Replace only the person on this photo, or on the photos in this folder. Repeatable.",
        show_default=False,
    ),
]
PolicyName = Annotated[
    Literal["per-video", "consistent", "per-track", "fixed"] | None,
    typer.Option("--policy", help="Choose fabricated faces, that stay the same for so long.", show_default=False),
]
Swapper = Annotated[
    str | None,
    typer.Option(
        metavar="CARD",
        help="Put fabricated faces on people with this swapper; who cannot wear theirs is redacted.",
        show_default="the package's own, for --method swap",
    ),
]
Fitting = Annotated[
    bool | None,
    typer.Option(
        "--fitting/--any-face",
        help="Fabricated faces of about the person's age and sex, or any.",
        show_default="fitting",
    ),
]
VaultFile = Annotated[
    Path | None,
    typer.Option("--vault", help="The people whom --policy consistent remembers: biometric data.", show_default=False),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", help="The key file, from another folder than the vault's.", show_default=False)
]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase instead of a key file.")]
Keep = Annotated[
    int | None,
    typer.Option(metavar="DAYS", help="How long the vault remembers a newcomer.", min=1, show_default="365"),
]


def build_wishes(
    exempt: list[Path] | None,
    only: list[Path] | None,
    policy: str | None,
    fitting: bool | None,
    vault: Path | None,
    key: Path | None,
    passphrase: bool,
    keep: int | None,
) -> Wishes:
    """Options → what is asked for about people. Asks for the passphrase.

    Raises:
        OptionError: options that do not go together.
        InputError, VaultError: vault or key cannot be used.
    """
    if vault is None and (key is not None or passphrase or keep is not None):
        raise OptionError("--key, --passphrase and --keep are about a vault", hint="Name it with --vault")
    if vault is not None and policy != Policy.CONSISTENT:
        raise OptionError(
            "a vault goes with --policy consistent, and only with it", hint="Add it, or leave --vault out"
        )
    if vault is None and policy == Policy.CONSISTENT:
        raise OptionError("--policy consistent needs a vault", hint="Name one with --vault, and its --key")
    wishes: dict[str, Any] = {} if keep is None else {"keep": timedelta(days=keep)}
    return Wishes(
        exempt=tuple(exempt or ()),
        only=tuple(only or ()),
        policy=None if policy is None else Policy(policy),
        vault=None if vault is None else open_vault(vault, key, passphrase, create=True),
        fitting=fitting,
        **wishes,
    )


def open_vault(path: Path, key: Path | None, passphrase: bool, *, create: bool = False) -> Vault:
    """A vault, by a key file or by a passphrase that is asked for.

    Raises:
        OptionError: neither, or both.
        InputError: there is no such vault or key.
        VaultError: they cannot be used.
    """
    if (key is None) != passphrase:
        raise OptionError("a vault opens with --key or with --passphrase", hint="Give one of the two")
    if key is not None:
        return Vault(path, Key.from_file(key), create=create)
    new = create and not path.exists()
    said = typer.prompt("Passphrase", hide_input=True, err=True, confirmation_prompt=new)
    return Vault(path, Key.from_passphrase(said), create=create)


def describe_remarks(remarks: Remarks) -> list[str]:
    """One phrase for each thing to be told about who is who."""
    said = [_describe(match) for match in remarks.matches]
    if remarks.doubtful:
        said.append(f"{counted(remarks.doubtful, 'person', 'people')} replaced because in doubt")
    if remarks.dressed is not None:
        said.append(f"{counted(remarks.dressed, 'fabricated face', 'fabricated faces')} chosen")
    if remarks.exchanged:
        said.append(f"{remarks.exchanged} of them exchanged before use, as their wearers could still be recognised")
    if remarks.faceless:
        said.append(f"no face left for {counted(remarks.faceless, 'person', 'people')}")
    return said


def _describe(match: Match) -> str:
    if match.person is None:
        return f"{match.reference} matches nobody: nobody was seen well enough"
    near = f"person {match.person} (distance {match.distance:.2f})"
    match match.verdict:
        case "sure":
            return f"{match.reference} is surely {near}"
        case "doubtful":
            return f"{match.reference} may be {near}, replaced because in doubt"
        case "nobody":
            return f"{match.reference} matches nobody, nearest is {near}"


def remarks_row(remarks: Remarks) -> dict[str, Any]:
    """The same for machines; empty where nothing was asked."""
    row: dict[str, Any] = {}
    if remarks.matches:
        row["matches"] = [
            {
                "reference": match.reference,
                "person": match.person,
                "distance": None if match.distance is None else round(match.distance, 4),
                "verdict": match.verdict,
            }
            for match in remarks.matches
        ]
        row["doubtful"] = remarks.doubtful
    if remarks.dressed is not None:
        row |= {"dressed": remarks.dressed, "faceless": remarks.faceless, "exchanged": remarks.exchanged}
    return row
