"""The vault's cryptography, all of it, and nothing else: the only file that needs the `cryptography` package."""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SALT = 16
"""Bytes, random, once a vault."""
NONCE = 12
"""Bytes, random, at every writing; 2³² writings under one key are safe."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What is derived from one key and one salt; each part says nothing of the others.

    Attributes:
        cipher: encrypts, 32 bytes.
        choice: decides who wears which face, 32 bytes.
        check: public, 16 hexadecimal digits: tells a wrong key from a damaged file.
    """

    cipher: bytes = field(repr=False)
    choice: bytes = field(repr=False)
    check: str


def derive(material: bytes, salt: bytes, *, passphrase: bool) -> Keys:
    """HKDF-SHA256, and before it scrypt (N 2¹⁷, r 8, p 1: 128 MiB, about half a second) where a person chose it."""
    master = Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(material) if passphrase else material

    def part(name: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, salt, b"masquerade vault 1 " + name).derive(master)

    return Keys(part(b"cipher", 32), part(b"choice", 32), part(b"check", 8).hex())


def seal(keys: Keys, nonce: bytes, plain: bytes, beside: bytes) -> bytes:
    """AES-256-GCM; `beside` is not encrypted, but what is sealed opens beside the same bytes only."""
    return AESGCM(keys.cipher).encrypt(nonce, plain, beside)


def unseal(keys: Keys, nonce: bytes, sealed: bytes, beside: bytes) -> bytes | None:
    """What was sealed, or None where one bit of anything differs."""
    try:
        return AESGCM(keys.cipher).decrypt(nonce, sealed, beside)
    except InvalidTag:
        return None
