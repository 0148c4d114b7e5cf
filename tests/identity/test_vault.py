import json
import multiprocessing
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from masquerade.errors import InputError, VaultError
from masquerade.identity.vault import Entry, Key, Vault, make_key
from tests.identity.population import Population

PEOPLE = Population(20).identities
DAY = datetime(2030, 1, 1, tzinfo=UTC)


def entry(number, **rest):
    values = {
        "id": f"{number:032x}",
        "created": DAY,
        "seen": DAY + timedelta(days=number),
        "expires": None,
        "videos": 1,
        "embedding": PEOPLE[number],
        "member": number,
        "face": PEOPLE[-1 - number],
    }
    return Entry(**{**values, **rest})


@pytest.fixture
def key(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    make_key(folder / "key")
    return Key.from_file(folder / "key")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.vault"


def filled(path, key, *entries, **rest):
    vault = Vault(path, key, create=True, **rest)
    with vault.edit() as content:
        content.bank = "b" * 64
        content.entries = {e.id: e for e in entries}
    return vault


def test_what_goes_in_comes_out_bit_for_bit(path, key):
    filled(path, key, entry(0), entry(1, expires=datetime(2999, 1, 1, tzinfo=UTC), videos=7))
    first, second = Vault(path, key).entries()
    assert (first.id, first.seen, first.expires, first.videos, first.member) == ("0" * 32, DAY, None, 1, 0)
    assert second.expires == datetime(2999, 1, 1, tzinfo=UTC)
    np.testing.assert_array_equal(first.embedding, PEOPLE[0])
    np.testing.assert_array_equal(first.face, PEOPLE[-1])
    assert first.embedding.dtype == np.float32


def test_nothing_of_anyone_is_readable_at_rest(path, key):
    filled(path, key, entry(3))
    raw = path.read_bytes()
    header, _, sealed = raw.partition(b"\n")
    assert set(json.loads(header)) == {"format", "version", "kdf", "salt", "check", "nonce"}
    for secret in (entry(3).id.encode(), PEOPLE[3].tobytes()[:16], b"embedding", b"2030", key.material):
        assert secret not in raw
    # A cipher's output does not shrink and has all byte values about equally often.
    counts = np.bincount(np.frombuffer(sealed, np.uint8), minlength=256)
    assert len(sealed) > 4000
    assert counts.max() < 3 * len(sealed) / 256
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_writing_looks_new(path, key):
    vault = filled(path, key, entry(3))
    before = path.read_bytes()
    with vault.edit():
        pass
    assert path.read_bytes().partition(b"\n")[2][:64] != before.partition(b"\n")[2][:64]


def test_another_key_does_not_open_it(path, key, tmp_path):
    filled(path, key, entry(0))
    make_key(tmp_path / "keys/other")
    with pytest.raises(VaultError, match=r"people\.vault: this is not its key"):
        Vault(path, Key.from_file(tmp_path / "keys/other"))
    with pytest.raises(VaultError, match="key file"):
        Vault(path, Key.from_passphrase("some words"))


def test_one_changed_bit_anywhere_is_noticed(path, key):
    filled(path, key, entry(0))
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(0, raw.index(b"\n") + 1, 3), *rng.integers(0, len(raw), 60), len(raw) - 1]:
        spoilt = bytearray(raw)
        spoilt[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        with pytest.raises(VaultError, match=r"people\.vault"):
            Vault(path, key)
    for spoilt in (raw[:-1], raw[:50], raw + b"\0", b"what is this"):
        path.write_bytes(spoilt)
        with pytest.raises(VaultError, match=r"people\.vault"):
            Vault(path, key)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        Vault(path, key)


def test_a_header_of_another_vault_does_not_fit(path, key, tmp_path):
    filled(path, key, entry(0))
    filled(tmp_path / "other", key, entry(1))
    header = path.read_bytes().partition(b"\n")[0]
    sealed = (tmp_path / "other").read_bytes().partition(b"\n")[2]
    path.write_bytes(header + b"\n" + sealed)
    with pytest.raises(VaultError, match="damaged or changed"):
        Vault(path, key)


def test_it_is_plain_aes_gcm_under_hkdf_as_documented(path, key):
    """Opened by hand, without a line of the package."""

    filled(path, key, entry(0))
    line, _, sealed = path.read_bytes().partition(b"\n")
    header = json.loads(line)
    salt, nonce = bytes.fromhex(header["salt"]), bytes.fromhex(header["nonce"])
    cipher = HKDF(hashes.SHA256(), 32, salt, b"masquerade vault 1 cipher").derive(key.material)
    content = json.loads(AESGCM(cipher).decrypt(nonce, sealed, line + b"\n"))
    assert list(content["entries"]) == ["0" * 32]


def test_a_passphrase_opens_what_it_closed(path):
    words = Key.from_passphrase("correct horse battery staple")
    filled(path, words, entry(0))
    assert len(Vault(path, words).entries()) == 1
    with pytest.raises(VaultError, match="not its key"):
        Vault(path, Key.from_passphrase("correct horse battery stable"))
    with pytest.raises(VaultError, match="empty"):
        Key.from_passphrase("")


def test_keys_are_for_their_owner_only_and_never_overwritten(tmp_path):
    make_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(VaultError, match="never overwritten"):
        make_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before
    make_key(tmp_path / "second")
    assert (tmp_path / "second").read_bytes() != before
    with pytest.raises(VaultError):
        make_key(tmp_path / "no" / "folder")
    key = Key.from_file(tmp_path / "key")
    assert key.material.hex() in before.decode()
    assert key.material.hex() not in repr(key)
    assert repr(key.material) not in repr(key)


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_key_that_others_may_read_is_refused(tmp_path):
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(VaultError, match="chmod 600"):
        Key.from_file(tmp_path / "key")


def test_what_is_no_key_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(bytes(range(256)))
    (tmp_path / "photo.jpg").chmod(0o600)
    with pytest.raises(VaultError, match="no key file"):
        Key.from_file(tmp_path / "photo.jpg")
    with pytest.raises(InputError):
        Key.from_file(tmp_path / "none")


def test_a_vault_beside_its_key_is_refused(key, tmp_path):
    for beside in (tmp_path / "keys/v", tmp_path / "keys/../keys/v"):
        with pytest.raises(VaultError, match="lies beside its key"):
            Vault(beside, key, create=True)
    (tmp_path / "link").symlink_to(tmp_path / "keys")
    with pytest.raises(VaultError, match="lies beside its key"):
        Vault(tmp_path / "link/v", key, create=True)


def test_a_missing_vault_is_an_error_unless_it_may_be_made(path, key):
    with pytest.raises(InputError):
        Vault(path, key)
    vault = Vault(path, key, create=True)
    assert vault.entries() == ()
    assert not path.exists()  # nothing to store, nothing stored
    secret = vault.secret()
    with vault.edit():
        pass
    assert Vault(path, key).secret() == secret


def test_the_forgotten_are_gone_from_the_file(path, key):
    vault = filled(path, key, entry(0), entry(1), entry(2))
    size = path.stat().st_size
    vault.forget(entry(1).id, entry(2).id)
    assert [e.id for e in Vault(path, key).entries()] == [entry(0).id]
    assert path.stat().st_size < size / 2
    with pytest.raises(VaultError, match="nobody has the id"):
        vault.forget(entry(0).id, entry(1).id)
    assert [e.id for e in vault.entries()] == [entry(0).id]  # all or none


def test_who_has_expired_is_not_handed_out_and_goes(path, key):
    clock = [DAY]
    vault = filled(
        path,
        key,
        entry(0),
        entry(1, expires=DAY + timedelta(days=2)),
        entry(2, expires=DAY + timedelta(days=9)),
        now=lambda: clock[0],
    )
    assert len(vault.entries()) == 3
    clock[0] += timedelta(days=2)
    assert [e.member for e in vault.entries()] == [0, 2]
    assert vault.expire() == 1
    assert vault.expire() == 0
    assert len(Vault(path, key, now=lambda: DAY).entries()) == 2  # gone, whatever the clock says
    clock[0] += timedelta(days=30)
    with vault.edit() as content:
        assert list(content.entries) == [entry(0).id]


def test_a_failed_edit_changes_nothing(path, key):
    vault = filled(path, key, entry(0))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), vault.edit() as content:
        content.entries.clear()
        raise RuntimeError
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} <= {"keys", path.name, f"{path.name}.lock"}
    with pytest.raises(VaultError, match="folder"), Vault(path.parent / "no/such", key, create=True).edit():
        pass
    assert not (path.parent / "no").exists()


def add_ten(path, key, first):
    vault = Vault(path, key, create=True)
    for number in range(first, first + 10):
        with vault.edit() as content:
            content.entries[entry(number).id] = entry(number)


def test_two_processes_lose_nothing(path, key):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_ten, args=(path, key, first)) for first in (0, 10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(Vault(path, key).entries()) == 20


def test_without_the_library_the_error_names_the_extra(path):
    code = f"""
import sys
sys.modules["cryptography"] = None
from masquerade.identity.keyring import Keyring
from masquerade.identity.vault import Key, Vault
try:
    Vault({str(path)!r}, Key.from_passphrase("x"), create=True)
except Exception as error:
    print(type(error).__name__, error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("VaultError")
    assert "masquerade[vault]" in told


def test_find_tells_who_may_be_a_person_nearest_first(path, key):
    past = DAY - timedelta(days=1)
    vault = filled(path, key, entry(0), entry(1), entry(2, expires=past), now=lambda: DAY)
    found = vault.find(PEOPLE[1], 2.0, bank="b" * 64)
    assert [e.id for e, _ in found] == [entry(1).id, entry(0).id]
    np.testing.assert_allclose([d for _, d in found], [0, 1 - PEOPLE[0] @ PEOPLE[1]], atol=1e-6)
    assert [e.id for e, _ in vault.find(PEOPLE[1], 0.1, bank="b" * 64)] == [entry(1).id]
    assert vault.find(PEOPLE[2], 0.1, bank="b" * 64) == []
    with pytest.raises(VaultError, match="another bank"):
        vault.find(PEOPLE[1], 0.1, bank="c" * 64)
