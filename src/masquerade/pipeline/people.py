"""What was asked for about people, and the one who sees to it, file after file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from masquerade.errors import BankError, OptionError
from masquerade.faces.detect import Detector
from masquerade.faces.embed import open_encoder
from masquerade.identity import KEEP, Bank, Keyring, Limits, Policy, Remarks, Vault, anchor_name, cast, open_bank
from masquerade.media import IMAGE_FORMATS, sha256
from masquerade.media.files import check_readable
from masquerade.pipeline.references import read_references
from masquerade.plan import Person
from masquerade.types import Track

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder
    from masquerade.pipeline.tailor import Tailor


@dataclass(frozen=True, slots=True)
class Wishes:
    """Who is kept, who is replaced, and for whom a fabricated face stays the same.

    Attributes:
        exempt: photos of people to keep, or folders of photos of one person each.
        only: the same of the only people to replace.
        policy: gives a fabricated face to everyone who is replaced; None to nobody, which is enough for redaction.
        vault: of the policy `consistent`, and of no other.
        keep: how long the vault remembers a newcomer; None for ever.
        fitting: fabricated faces fit their wearers' apparent age and sex; None: where the bank can tell.
    """

    exempt: tuple[Path, ...] = ()
    only: tuple[Path, ...] = ()
    policy: Policy | None = None
    vault: Vault | None = None
    keep: timedelta | None = KEEP
    fitting: bool | None = None

    def dressing(self) -> "Wishes":
        """The same, with a fabricated face for everyone who is replaced; through one video where nothing was said."""
        return self if self.policy is not None else replace(self, policy=Policy.PER_VIDEO)

    def decisive(self) -> dict[str, object]:
        """Everything in it that decides what an output looks like, for a manifest's digest.

        Raises:
            InputError: a photo is missing.
        """
        return {
            "exempt": [_digests(path) for path in self.exempt],
            "only": [_digests(path) for path in self.only],
            "policy": self.policy,
            "vault": None if self.vault is None else str(self.vault.path.resolve()),
            "fitting": self.fitting,
        }


class Director:
    """Casts one file after the other.

    Args:
        wishes: what was asked for.
        detector: finds faces in photos of people.
        encoder: the one by which tracks know their person; None for the packaged driver.
        bank: of fabricated faces; None for the packaged one, opened only where it is needed.

    Attributes:
        encoder: to be handed to `pipeline.analyze`.
        remarks: on the file last cast.

    Raises:
        InputError: a photo cannot be read, or does not show exactly one face well.
        OptionError: wishes that do not go together, or an encoder whose thresholds nobody knows.
        BankError: the bank is not of this encoder.
    """

    def __init__(
        self, wishes: Wishes, detector: Detector, *, encoder: "Encoder | None" = None, bank: Bank | None = None
    ) -> None:
        self.wishes = wishes
        self.encoder = encoder = encoder or open_encoder()
        self.remarks = Remarks()
        if wishes.exempt and wishes.only:
            raise OptionError("people to exempt and people to replace only exclude each other", hint="Name one kind")
        if wishes.policy is None and (wishes.vault is not None or wishes.fitting is not None):
            raise OptionError("only a policy gives people faces", hint=f"Choose one of {', '.join(Policy)}")
        self._bank = bank
        self._worn: Keyring | None = None
        self._exchanged: set[int] = set()
        if wishes.policy is not None:
            self._bank = bank or open_bank(encoder=encoder)
            self._keyring()  # wishes that do not go together are refused now, not after the first film
        self._limits = Limits.of(encoder) if wishes.exempt or wishes.only else None
        self._exempt = read_references(wishes.exempt, detector, encoder)
        self._only = read_references(wishes.only, detector, encoder)

    @property
    def fits(self) -> bool:
        """Whether faces are to look as old as their wearers, and as much like men or women.

        Where nobody is to be told apart from others, people must not look like themselves in this either.
        """
        return self.wishes.fitting is not False and self.wishes.policy is not Policy.FIXED

    def cast(self, tracks: Sequence[Track]) -> Sequence[Person]:
        """The people of one file's Plan; a `pipeline.analyze.Cast`.

        Raises:
            BankError: there are not enough fabricated faces.
            VaultError: the vault cannot be used.
        """
        self._worn, self._exchanged = self._keyring(), set()
        casting = cast(
            tracks,
            exempt=self._exempt,
            only=self._only,
            limits=self._limits,
            keyring=self._worn,
            fitting=self.wishes.fitting,
        )
        self.remarks = casting.remarks
        return casting.people

    def another(self, person: int) -> str | None:
        """The name of the next fabricated face for somebody of the file last cast; None where none is left.

        Raises:
            KeyError: they have none yet.
            VaultError: the vault cannot be used.
        """
        assert self._worn is not None, "who wears no face gets no other"
        try:
            anchor = self._worn.another(person)
        except BankError:
            return None
        self._exchanged.add(person)
        self.remarks = replace(self.remarks, exchanged=len(self._exchanged))
        return anchor_name(anchor, self._worn.bank)

    def _keyring(self) -> Keyring | None:
        """A fresh one for every file: its secret, where no vault has one, dies with it."""
        if self.wishes.policy is None or self._bank is None:
            return None
        return Keyring(self._bank, self.wishes.policy, vault=self.wishes.vault, keep=self.wishes.keep)


def director_for(wishes: Wishes, detector: Detector, tailor: "Tailor | None" = None) -> Director | None:
    """Who casts, for these wishes and this swapper; None where everyone is replaced by a redaction anyway."""
    if tailor is not None:
        return Director(wishes.dressing(), detector, encoder=tailor.encoder, bank=tailor.bank)
    return Director(wishes, detector) if wishes != Wishes() else None


def _digests(path: Path) -> list[str]:
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_FORMATS) if path.is_dir() else [path]
    return [sha256(check_readable(file)) for file in files]
