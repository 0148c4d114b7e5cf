import tomllib

import pytest
from pydantic import ValidationError

from masquerade.errors import OptionError
from masquerade.models.cards import CARDS, UrlFile, WeightCard, asset, assets, card, cards, read_card


def test_first_cards_are_there_and_named_like_their_files():
    assert {"centerface"} <= cards().keys()
    assert {"centerface", "astronaut", "carphone"} <= assets().keys()
    for path in CARDS.glob("*.toml"):
        assert read_card(path).name == path.stem


def test_centerface():
    found = card("centerface")
    assert isinstance(found, WeightCard)
    assert found.filename == "centerface.onnx"
    assert found.input.shape == (-1, 3, -1, -1)
    assert found.licence == "MIT"
    assert found.commercial_use


def test_unknown_name_lists_what_there_is():
    with pytest.raises(OptionError, match="centerface"):
        card("centrface")
    with pytest.raises(OptionError, match="astronaut"):
        asset("moon")
    with pytest.raises(OptionError, match="no weights"):
        card("astronaut")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "centerface"', 'name = "centerface"\ncolour = "blue"'),
        ("size = 7304518", 'size = "7304518"'),
        ("size = 7304518", "size = 0"),
        ('sha256 = "0918', 'sha256 = "XX18'),
        ('licence = "MIT"', ""),
        ('kind = "wheel"', 'kind = "ftp"'),
        ('task = "detect"', 'task = "guess"'),
    ],
)
def test_malformed_cards_are_refused(tmp_path, old, new):
    text = (CARDS / "centerface.toml").read_text()
    assert old in text
    path = tmp_path / "centerface.toml"
    path.write_text(text)
    assert read_card(path) == card("centerface")
    path.write_text(text.replace(old, new))
    tomllib.loads(path.read_text())
    with pytest.raises(ValidationError):
        read_card(path)


def test_addresses_are_encrypted_ones():
    assert UrlFile(kind="url", url="https://example.org/a").url
    with pytest.raises(ValidationError):
        UrlFile(kind="url", url="http://example.org/a")


def test_cards_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        card("centerface").size = 1
