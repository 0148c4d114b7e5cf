"""The vault: who wore which fabricated face, so that they wear it again. The only place where embeddings are stored.

**A vault holds biometric data of real people.** Whoever has it and its key can recognise everyone in it and undo their
anonymity in every video made with it. Keep a vault only where the same face next week is worth that, on other storage
than its key, for as short a time as will do.

At rest it is one line of JSON (format, how the key is derived, salt, nonce), authenticated but readable, and an
AES-256-GCM ciphertext of everything else. Its size shows about how many people are in it. It is rewritten as a whole
and renamed into place at every change; copies that backups or a file system kept of earlier states hold who was
forgotten since.
"""

import base64
import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from filelock import FileLock, Timeout
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from masquerade.errors import VaultError
from masquerade.media.files import atomic_output, check_readable
from masquerade.types import Embedding

if TYPE_CHECKING:
    from masquerade.identity.sealing import Keys

_WAIT = 60.0
"""Seconds to wait for another process that is writing the same vault."""
_KEY_LINE = "masquerade-key 1 "


def make_key(path: Path | str) -> None:
    """Write a new random key of 256 bits to a file that only its owner may read. Never overwrites.

    Raises:
        VaultError: the file exists or cannot be made.
    """
    path = Path(path)
    line = f"{_KEY_LINE}{secrets.token_hex(32)}\n".encode("ascii")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise VaultError("exists, and a key is never overwritten", path=path, hint="Choose another name") from error
    except OSError as error:
        raise VaultError(f"cannot be made ({error.strerror})", path=path, hint="Choose another folder") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class Key:
    """What opens a vault: from a key file or a passphrase. Hides itself when printed.

    Attributes:
        material: secret bytes.
        passphrase: whether `material` is one, which needs stretching to be worth anything.
        path: the key file.
    """

    material: bytes = field(repr=False)
    passphrase: bool
    path: Path | None = None

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a file that `make_key` wrote.

        Raises:
            InputError: it is missing, empty, or may not be read.
            VaultError: it is no key, or others may read it.
        """
        path = check_readable(path)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise VaultError("others may read this key", path=path, hint=f"Run 'chmod 600 {path}'")
        with path.open("rb") as file:
            line = file.read(200).decode("ascii", "replace")
        match = re.fullmatch(rf"{_KEY_LINE}([0-9a-f]{{64}})\s*", line)
        if not match:
            raise VaultError("is no key file", path=path, hint="Make one with 'masquerade vault key'")
        return cls(bytes.fromhex(match[1]), False, path)

    @classmethod
    def from_passphrase(cls, text: str) -> Self:
        """A passphrase of several words; a guess at it costs half a second and 128 MiB.

        Raises:
            VaultError: it is empty.
        """
        if not text:
            raise VaultError("an empty passphrase protects nothing", hint="Give one of several words")
        return cls(text.encode("utf-8"), True)


def _read_vector(value: object) -> Embedding:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, str):
        raise ValueError("a vector is base64 of little-endian float32")
    return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)


def _write_vector(value: Embedding) -> str:
    return base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")


Vector = Annotated[Embedding, PlainValidator(_read_vector), PlainSerializer(_write_vector)]


class Entry(BaseModel):
    """One person.

    Attributes:
        id: random, hexadecimal; says nothing of the person.
        created, seen: when they were first and last seen.
        expires: from when on they are forgotten; None for never.
        videos: in how many inputs they were seen.
        embedding: the mean of what was seen of them, unit vector (d,).
        member: the row of the bank they wear.
        face: the fabricated identity they wear, unit vector (d,).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    created: AwareDatetime
    seen: AwareDatetime
    expires: AwareDatetime | None
    videos: Annotated[int, Field(ge=1)]
    embedding: Vector = Field(repr=False)
    member: Annotated[int, Field(ge=0)]
    face: Vector = Field(repr=False)


class Content(BaseModel):
    """What a vault holds. `Vault.edit` hands it out to be changed in place.

    Attributes:
        bank: the hash of the bank whose members the entries wear; None until the first entry.
        entries: by id.
    """

    model_config = ConfigDict(extra="forbid")

    bank: str | None = None
    entries: dict[str, Entry] = {}


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["masquerade-vault"] = "masquerade-vault"
    version: Literal[1] = 1
    kdf: Literal["hkdf-sha256", "scrypt-17-8-1"]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    check: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Tells a wrong key from a damaged file."""
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


class Vault:
    """An encrypted file of people and the fabricated faces they wear.

    Entries that have expired are never handed out, and go for good at the next change.

    Args:
        path: the file.
        key: what opens it.
        create: whether the file may be missing; it is made at the first change.
        now: the clock.

    Raises:
        InputError: the file is missing.
        VaultError: it lies beside its key; the key is not its key; it was changed; it is of a kind that this version
            does not read; or the `cryptography` package is missing.
    """

    def __init__(
        self,
        path: Path | str,
        key: Key,
        *,
        create: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = Path(path)
        self._key, self.now = key, now
        if key.path is not None and key.path.resolve().parent == self.path.resolve().parent:
            raise VaultError(
                f"lies beside its key {key.path.name}, so that whoever takes one takes both",
                path=self.path,
                hint="Keep the key in another folder, best on another device",
            )
        self._derived: dict[bytes, Keys] = {}
        self._new_salt = secrets.token_bytes(_sealing().SALT)
        self._may_create = create
        self._read()

    def secret(self) -> bytes:
        """32 bytes that only the key's owner can have, from which choices are made."""
        return self._keys(self._salt()).choice

    def entries(self) -> tuple[Entry, ...]:
        """Everyone in it, longest known first."""
        content = self._read()
        self._drop_expired(content)
        return tuple(sorted(content.entries.values(), key=lambda entry: (entry.created, entry.id)))

    def find(self, identity: Embedding, farthest: float, *, bank: str) -> list[tuple[Entry, float]]:
        """Who may be this person, nearest first, with the cosine distance.

        Args:
            identity: unit vector (d,).
            farthest: nobody farther is told.
            bank: hash of the bank in use, which says that the vault's embeddings are of the same encoder.

        Raises:
            VaultError: the vault was filled from another bank.
        """
        content = self._read()
        self._drop_expired(content)
        self.check_bank(content, bank)
        distances = [(entry, 1 - float(identity @ entry.embedding)) for entry in content.entries.values()]
        return sorted((pair for pair in distances if pair[1] <= farthest), key=lambda pair: pair[1])

    def check_bank(self, content: Content, bank: str) -> None:
        """Make sure that what the vault holds belongs to the bank of this hash.

        Raises:
            VaultError: it does not.
        """
        if content.bank is not None and content.bank != bank:
            raise VaultError(
                f"was filled from another bank of faces ({content.bank[:12]})",
                path=self.path,
                hint="Give that bank, or begin a new vault",
            )

    @contextlib.contextmanager
    def edit(self) -> Iterator[Content]:
        """Its content, to be changed in place; written when the block ends well. One process at a time.

        Raises:
            VaultError: another process held it for a minute.
            OutputError: it cannot be written.
        """
        with self._edit() as content:
            self._drop_expired(content)
            yield content

    def forget(self, *ids: str) -> None:
        """Remove these people.

        Raises:
            VaultError: one of them is not in it; then nobody is removed.
        """
        with self.edit() as content:
            for id in set(ids):
                if content.entries.pop(id, None) is None:
                    raise VaultError(f"nobody has the id {id}", path=self.path, hint="See 'masquerade vault list'")

    def expire(self) -> int:
        """Remove for good whose time is over. Returns how many."""
        with self._edit() as content:
            return self._drop_expired(content)

    def _drop_expired(self, content: Content) -> int:
        now = self.now()
        gone = [entry.id for entry in content.entries.values() if entry.expires is not None and entry.expires <= now]
        for id in gone:
            del content.entries[id]
        return len(gone)

    @contextlib.contextmanager
    def _edit(self) -> Iterator[Content]:
        if not self.path.parent.is_dir():
            raise VaultError("its folder does not exist", path=self.path, hint="Create the folder first")
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=_WAIT)
        try:
            lock.acquire()
        except Timeout as error:
            raise VaultError("is in use by another process", path=self.path, hint="Try again later") from error
        except OSError as error:
            raise VaultError(f"cannot be locked ({error.strerror})", path=self.path, hint="Check its folder") from error
        try:
            content = self._read()
            yield content
            self._write(content)
        finally:
            lock.release()

    def _read(self) -> Content:
        if self._may_create and not self.path.exists():
            return Content()
        raw = check_readable(self.path).read_bytes()
        header, line = self._header(raw)
        keys = self._keys(bytes.fromhex(header.salt))
        if header.check != keys.check:
            raise VaultError("this is not its key", path=self.path, hint="Give the key or passphrase it was made with")
        plain = _sealing().unseal(keys, bytes.fromhex(header.nonce), raw[len(line) :], line)
        if plain is None:
            raise VaultError("was damaged or changed without its key", path=self.path, hint="Restore a backup of it")
        return Content.model_validate_json(plain)

    def _write(self, content: Content) -> None:
        salt, nonce = self._salt(), secrets.token_bytes(_sealing().NONCE)
        keys = self._keys(salt)
        header = _Header(kdf=self._kdf, salt=salt.hex(), check=keys.check, nonce=nonce.hex())
        line = header.model_dump_json().encode("ascii") + b"\n"
        sealed = _sealing().seal(keys, nonce, content.model_dump_json().encode("utf-8"), line)
        with atomic_output(self.path) as temporary:
            temporary.chmod(0o600)
            temporary.write_bytes(line + sealed)

    def _header(self, raw: bytes) -> tuple[_Header, bytes]:
        line = raw[:1000].partition(b"\n")[0] + b"\n"
        try:
            header = _Header.model_validate_json(line)
        except ValidationError as error:
            raise VaultError("is no vault that this version reads", path=self.path, hint="Check the name") from error
        if header.kdf != self._kdf:
            wanted = "key file" if header.kdf == "hkdf-sha256" else "passphrase"
            raise VaultError(f"opens with a {wanted}", path=self.path, hint="Give that instead")
        return header, line

    @property
    def _kdf(self) -> Literal["hkdf-sha256", "scrypt-17-8-1"]:
        return "scrypt-17-8-1" if self._key.passphrase else "hkdf-sha256"

    def _salt(self) -> bytes:
        if self.path.exists():
            return bytes.fromhex(self._header(self.path.read_bytes())[0].salt)
        return self._new_salt

    def _keys(self, salt: bytes) -> "Keys":
        if salt not in self._derived:
            self._derived[salt] = _sealing().derive(self._key.material, salt, passphrase=self._key.passphrase)
        return self._derived[salt]


def _sealing() -> ModuleType:
    try:
        from masquerade.identity import sealing  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        raise VaultError(
            "a vault needs the cryptography package", hint="Run 'pip install \"masquerade[vault]\"'"
        ) from error
    return sealing
