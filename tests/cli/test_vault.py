import json
import re
import stat
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from masquerade.cli.vault import app
from masquerade.errors import InputError, OptionError, VaultError
from masquerade.identity.vault import Entry, Key, Vault


def run(*arguments, **rest):
    return CliRunner().invoke(app, [str(a) for a in arguments], **rest)


def entry(number, **rest):
    vector = np.eye(8, dtype=np.float32)[number]
    day = datetime(2030, 1, 1 + number, 12, tzinfo=UTC)
    return Entry(
        id=f"{number:032x}",
        created=day,
        seen=day,
        videos=3,
        embedding=vector,
        member=41,
        face=vector[::-1].copy(),
        **{"expires": None, **rest},
    )


@pytest.fixture
def key(tmp_path):
    (tmp_path / "keys").mkdir()
    assert run("key", tmp_path / "keys/key").exit_code == 0
    return tmp_path / "keys/key"


@pytest.fixture
def vault(tmp_path, key):
    path = tmp_path / "people.vault"
    with Vault(path, Key.from_file(key), create=True).edit() as content:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        entries = [entry(0), entry(1, expires=datetime(2999, 1, 1, 12, tzinfo=UTC)), entry(2, expires=past)]
        content.entries = {e.id: e for e in entries}
    return path


def test_key_is_made_for_its_owner_and_warned_about(tmp_path):
    result = run("key", tmp_path / "key")
    assert result.exit_code == 0
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert "Whoever has both" in result.output
    assert Key.from_file(tmp_path / "key").material.hex() not in result.output
    assert isinstance(run("key", tmp_path / "key").exception, VaultError)
    assert run("key", tmp_path / "quiet", "-q").output == ""


def test_list_shows_ids_dates_and_counts_but_nobody_s_looks(vault, key):
    rows = json.loads(run("list", vault, "--key", key, "--json").output)
    assert [row["id"] for row in rows] == ["0" * 32, "0" * 31 + "1"]
    assert all(set(row) == {"id", "created", "seen", "expires", "videos", "member"} for row in rows)
    shown = run("list", vault, "--key", key, env={"COLUMNS": "160"}).output
    assert re.search(r"0{31}1 .*2030-01-02 .*2030-01-02 .*2999-01-01 .*3 .*face 41", shown)
    assert re.search(r"0{32} .*never", shown)


def test_forget_and_expire_remove(vault, key):
    assert run("forget", vault, "0" * 32, "--key", key).exit_code == 0
    assert [row["id"] for row in json.loads(run("list", vault, "--key", key, "--json").output)] == ["0" * 31 + "1"]
    assert isinstance(run("forget", vault, "0" * 32, "--key", key).exception, VaultError)
    assert "0 forgotten" in run("expire", vault, "--key", key).output  # the edit above took them along


def test_expire_counts(vault, key):
    assert "1 forgotten" in run("expire", vault, "--key", key).output


def test_a_passphrase_is_asked_for(tmp_path):
    path = tmp_path / "people.vault"
    with Vault(path, Key.from_passphrase("four random words here"), create=True).edit() as content:
        content.entries = {entry(0).id: entry(0)}
    result = run("list", path, "--passphrase", "--json", input="four random words here\n")
    assert "four random" not in result.output
    assert "0" * 32 in result.output
    assert isinstance(run("list", path, "--passphrase", input="wrong\n").exception, VaultError)


def test_what_is_missing_is_said(vault, key, tmp_path):
    assert isinstance(run("list", vault).exception, OptionError)
    assert isinstance(run("list", vault, "--key", key, "--passphrase").exception, OptionError)
    assert isinstance(run("list", tmp_path / "none", "--key", key).exception, InputError)
    assert isinstance(run("list", vault, "--key", tmp_path / "none").exception, InputError)
