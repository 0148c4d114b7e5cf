"""Who wears which fabricated face, and for whom the same choice can be made again.

The order in which a person tries on the faces of the bank is a keyed function of the person's entry alone (its number
in a video, its random id in a vault). Without the key every order is as likely as every other, so that a fabricated
face leads neither to the person nor to another video; `benchmarks/linkage.py` measures it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from masquerade.errors import BankError, OptionError
from masquerade.identity.anchors import Anchor, choose_anchor, safe_window
from masquerade.identity.bank import Bank
from masquerade.identity.running import Likeness
from masquerade.identity.vault import Content, Entry, Vault
from masquerade.types import Embedding

SAFETY = 0.1
"""Cosine distance kept from both edges of the safe window: a person's own mean moves by about half of that."""
BEYOND = 1.05
"""Cosine distance from the person beyond which faces are taken before others: those on the other side of the sphere.
The swapper turns what it makes toward the face it is given, so away from the person, and toward them otherwise: the
guard turned down 2 % of 240 faces chosen so, and 11 % of those chosen anywhere in the window."""
KEEP = timedelta(days=365)
"""How long a vault remembers a person whom nobody removed."""


class Policy(StrEnum):
    """For whom a fabricated face stays the same."""

    PER_VIDEO = "per-video"
    """A person keeps it through one video; the secret dies with the process. The default."""
    CONSISTENT = "consistent"
    """A person has it in every video made with the same key and vault."""
    PER_TRACK = "per-track"
    """Only as long as the person is seen without a break; who comes back is somebody else."""
    FIXED = "fixed"
    """Everyone wears the same one, chosen by the secret: people cannot be told apart, and are not meant to be."""


def keyed_order(secret: bytes, subject: bytes, count: int) -> NDArray[np.int64]:
    """The order in which `subject` prefers the members of a bank: a permutation of 0..count−1.

    HMAC-SHA256 of the subject under the secret, drawn out by SHAKE-256 to a 64-bit rank for each member.
    """
    seed = hmac.digest(secret, b"masquerade anchor 1\0" + subject, "sha256")
    ranks = np.frombuffer(hashlib.shake_256(seed).digest(8 * count), "<u8")
    return np.argsort(ranks, kind="stable")


class Keyring:
    """Gives the people of one video their faces, once and for all of it. Keeps embeddings in memory only.

    Guarantees, for every face at the moment it is chosen: it lies in the person's safe window (`anchors.safe_window`,
    FAR 1e-3 and `safety`); and it is farther than the FAR 1e-3 threshold from every other face worn in the video and
    from every other person known of in it (policy `fixed`: the window alone). With a vault, every two faces in it are
    that far apart too. For people who were not seen well enough to be known there is no window: that is for the guard.

    Args:
        bank: the fabricated faces, of the encoder whose embeddings come in.
        policy: for whom a face stays the same.
        secret: makes the choice repeatable (at least 16 bytes); None for a fresh one. A vault brings its own.
        vault: needed by `consistent`, and by nothing else.
        keep: how long the vault remembers a newcomer; None for ever.
        distance: the exact distance between person and face. None, which tells least, takes members of the bank as
            they are; see `anchors.choose_anchor`.
        safety: see `anchors.safe_window`.

    Raises:
        OptionError: policy, secret and vault do not go together, or no distance is safe.
    """

    def __init__(
        self,
        bank: Bank,
        policy: Policy = Policy.PER_VIDEO,
        *,
        secret: bytes | None = None,
        vault: Vault | None = None,
        keep: timedelta | None = KEEP,
        distance: float | None = None,
        safety: float = SAFETY,
    ) -> None:
        if (policy is Policy.CONSISTENT) != (vault is not None):
            raise OptionError(
                f"the policy {policy} {'needs a' if vault is None else 'takes no'} vault",
                hint=f"A vault goes with the policy {Policy.CONSISTENT}, and only with it",
            )
        if secret is not None and (vault is not None or len(secret) < 16):
            raise OptionError(
                "a secret needs 16 bytes or more" if vault is None else "a vault brings its own secret",
                hint="Leave the secret out",
            )
        self.bank, self.policy = bank, policy
        self._threshold = bank.info.encoder.far_1e3
        self._window = safe_window(self._threshold, safety)
        self._secret = secrets.token_bytes(32) if secret is None else secret
        self._vault, self._keep, self._distance = vault, keep, distance
        self._identities: dict[int, Embedding] = {}
        self._penalties: dict[int, NDArray[np.float32]] = {}
        self._worn: dict[int, Anchor] = {}
        self._bystanders: list[Embedding] = []
        self._refused: dict[int, set[int]] = {}
        self._entry: dict[int, str] = {}

    def assign(
        self,
        people: Mapping[int, Embedding],
        penalties: Mapping[int, NDArray[np.float32]] | None = None,
        *,
        bystanders: Sequence[Embedding] = (),
    ) -> dict[int, Anchor]:
        """A face for each of these people. Who has one keeps it, whatever embedding comes now.

        Hand in everyone of a video at once where they are known: then nobody's face resembles anybody else in it.

        Args:
            people: mean embedding, unit vector (d,), by person number; by track number with `per-track`.
            penalties: what speaks against each member of the bank, (count,), by the same numbers; see
                `anchors.choose_anchor`.
            bystanders: identities of others in the video who show their own faces; nobody comes to look like them.

        Raises:
            BankError: the bank is too small for so many.
            VaultError: the vault belongs to another bank, or cannot be used.
        """
        new = [number for number in people if number not in self._worn]
        self._identities.update({number: people[number] for number in new})
        self._penalties.update(penalties or {})
        self._bystanders += bystanders
        if self._vault is None:
            for number in new:
                self._worn[number] = self._choose(number, self._subject(number), self._secret)
        elif new:
            self._assign_from(self._vault, new)
        return {number: self._worn[number] for number in people}

    def assign_unknown(self, people: Sequence[int]) -> dict[int, Anchor]:
        """A face for each of these people, whom nobody saw well enough to know who they are; after all others.

        Whether it hides them is seen only when it is worn. No vault learns of them, and their faces do not return.

        Args:
            people: numbers, as in `assign`.

        Returns:
            Faces by number; without those for whom the bank has none left.

        Raises:
            VaultError: the vault cannot be used.
        """
        remembered = self._remembered()
        for number in people:
            try:
                self._worn[number] = self._choose(number, self._subject(number), self._secret, remembered)
            except BankError:
                break
        return {number: self._worn[number] for number in people if number in self._worn}

    def another(self, number: int) -> Anchor:
        """The next face for one whose face did not do (the guard still knew the person). The vault learns it.

        Raises:
            KeyError: they have none yet.
            BankError: there is no other left.
        """
        self._refused.setdefault(number, set()).add(self._worn[number].member)
        if self._vault is None or number not in self._entry:
            self._worn[number] = self._choose(number, self._subject(number), self._secret, self._remembered())
        else:
            with self._vault.edit() as content:
                id = self._entry[number]
                anchor = self._choose(number, id.encode("ascii"), self._vault.secret(), _faces(content, id))
                if id in content.entries:  # they may have been forgotten meanwhile
                    chosen = {"member": anchor.member, "face": anchor.face}
                    content.entries[id] = content.entries[id].model_copy(update=chosen)
            self._worn[number] = anchor
        return self._worn[number]

    def _remembered(self) -> list[Embedding]:
        """The faces of the vault, if there is one."""
        return [] if self._vault is None else [entry.face for entry in self._vault.entries()]

    def _subject(self, number: int) -> bytes:
        return b"everyone" if self.policy is Policy.FIXED else f"{self.policy} {number}".encode("ascii")

    def _choose(self, number: int, subject: bytes, secret: bytes, known: Sequence[Embedding] = ()) -> Anchor:
        """One person's choice, away from `known` faces and from everyone in the video and what they wear."""
        identity = self._identities.get(number)
        worn = [anchor.face for other, anchor in self._worn.items() if other != number]
        others = [z for other, z in self._identities.items() if other != number]
        avoid = [] if self.policy is Policy.FIXED else [*known, *worn, *others, *self._bystanders]
        return choose_anchor(
            identity,
            self.bank.members,
            keyed_order(secret, subject, len(self.bank.members)),
            window=self._window,
            apart=self._threshold,
            avoid=np.array(avoid, np.float32) if avoid else None,
            distance=None if identity is None else self._distance,
            beyond=0.0 if self.policy is Policy.FIXED else BEYOND,
            penalty=self._penalties.get(number),
            refused=self._refused.get(number, ()),
        )

    def _assign_from(self, vault: Vault, new: list[int]) -> None:
        """Finds who of the vault these people are, and writes into it who they were and what they wear now."""
        with vault.edit() as content:
            vault.check_bank(content, self.bank.info.sha256)
            content.bank = self.bank.info.sha256
            matches = self._match(new, content)
            now = vault.now()
            given: dict[int, tuple[Anchor, str]] = {}
            for number in new:
                z, entry = self._identities[number], matches.get(number)
                id = secrets.token_hex(16) if entry is None else entry.id
                # What an entry wears was safe for the mean of its day; it must be for today's.
                if entry is not None and self._threshold < 1 - float(z @ entry.face) < 2 - self._threshold:
                    anchor = Anchor(entry.member, entry.face)
                else:
                    anchor = self._choose(number, id.encode("ascii"), vault.secret(), _faces(content, id))
                expires = None if self._keep is None else now + self._keep
                content.entries[id] = (
                    _newcomer(id, z, anchor, now, expires) if entry is None else _seen_again(entry, z, anchor, now)
                )
                given[number] = anchor, id
        # Only now that the vault is written: what it does not know, nobody wears.
        self._worn.update({number: anchor for number, (anchor, _) in given.items()})
        self._entry.update({number: id for number, (_, id) in given.items()})

    def _match(self, new: list[int], content: Content) -> dict[int, Entry]:
        """Who of the vault these people are: the pairing of least distance, all of it `Likeness.same`.

        Nobody in the vault is two people of one video. Who is not known again only gets another face.
        """
        free = [entry for entry in content.entries.values() if entry.id not in self._entry.values()]
        if not free:
            return {}
        distances = 1 - np.stack([self._identities[n] for n in new]) @ np.stack([e.embedding for e in free]).T
        encoder = self.bank.info.encoder
        limit = Likeness(encoder.far_1e3, encoder.far_1e4).same
        rows, columns = linear_sum_assignment(np.where(distances <= limit, distances, 4.0))
        return {new[r]: free[c] for r, c in zip(rows, columns, strict=True) if distances[r, c] <= limit}


def _faces(content: Content, without: str) -> list[Embedding]:
    return [entry.face for entry in content.entries.values() if entry.id != without]


def _newcomer(id: str, z: Embedding, anchor: Anchor, now: datetime, expires: datetime | None) -> Entry:
    return Entry(
        id=id, created=now, seen=now, expires=expires, videos=1, embedding=z, member=anchor.member, face=anchor.face
    )


def _seen_again(entry: Entry, z: Embedding, anchor: Anchor, now: datetime) -> Entry:
    """The entry after one more video; its embedding is the mean over all of them."""
    mean: Embedding = entry.videos * entry.embedding + z
    mean /= np.linalg.norm(mean)
    update = {"seen": now, "videos": entry.videos + 1, "embedding": mean, "member": anchor.member, "face": anchor.face}
    return entry.model_copy(update=update)
