"""A package index in a folder: wheels that pip really downloads, without a network."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from masquerade.models.cards import Asset, WheelFile

CONTENT = bytes(range(256)) * 300
MEMBER = "toy/data/toy.bin"


def build_wheel(folder: Path, *, tag: str = "py3-none-any", member: str = MEMBER, content: bytes = CONTENT) -> Path:
    """A wheel `toy` 1.0 that holds one data file."""
    info = "toy-1.0.dist-info"
    pure = str(tag.endswith("any")).lower()
    files = {
        member: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode(),
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    wheel = folder / f"toy-1.0-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own, and a pip that sees one folder of wheels; gives that folder."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "MASQUERADE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("MASQUERADE_CACHE", str(tmp_path / "cache"))
    return wheels


def toy(content: bytes = CONTENT, **changes: object) -> Asset:
    """The card of the file in the wheel."""
    fields: dict[str, object] = {
        "name": "toy",
        "task": "demo",
        "source": WheelFile(kind="wheel", package="toy", version="1.0", member=MEMBER),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "licence": "CC0-1.0",
        "commercial_use": True,
        "origin": "made by a test",
    }
    return Asset.model_validate(fields | changes)
