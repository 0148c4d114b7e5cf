import tomllib

import pytest
from pydantic import ValidationError

from masquerade.errors import OptionError
from masquerade.models.cards import (
    CARDS,
    PACKAGED,
    FileCard,
    Threshold,
    UrlFile,
    WeightCard,
    asset,
    assets,
    card,
    cards,
    file_card_path,
    file_card_text,
    read_card,
    read_file_card,
    with_calibration,
)


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


ENTRIES = tuple(
    Threshold(far=far, threshold=t, low=t - 0.01, high=t + 0.0125, pairs=9_999_999, data='a "set" of 3 — people')
    for far, t in ((1e-2, 0.6745161), (1e-5, 0.4))
)


def test_packaged_encoders_are_calibrated():
    for found in cards().values():
        if found.task == "embed":
            assert [entry.far for entry in found.calibration] == [1e-2, 1e-3, 1e-4]
            thresholds = [entry.threshold for entry in found.calibration]
            assert thresholds == sorted(thresholds, reverse=True), "fewer false matches, nearer faces"


def test_thresholds_are_written_into_a_card_and_nothing_else_changes(tmp_path):
    text = (PACKAGED / "guard.toml").read_text()
    path = tmp_path / "guard.toml"
    for entries in (ENTRIES, ENTRIES[:1], ()):
        text = with_calibration(text, entries)
        path.write_text(text)
        assert read_card(path) == card("guard").model_copy(update={"calibration": entries})
    with pytest.raises(OptionError, match="card's end"):
        with_calibration("[[calibration]]\nfar = 1\n\n[source]\nkind = 'x'\n", ENTRIES)


def test_a_user_s_file_has_its_card_beside_it(tmp_path):
    model = tmp_path / "my net.onnx"
    assert read_file_card(model) is None
    written = FileCard(sha256="ab" * 32, kind="arcface", calibration=ENTRIES)
    file_card_path(model).write_text(file_card_text(written))
    assert file_card_path(model).name == "my net.onnx.card.toml"
    assert read_file_card(model) == written
    for broken in ("type = ", file_card_text(written).replace("arcface", 'x"\nother = "'), b"\xff"):
        file_card_path(model).write_bytes(broken if isinstance(broken, bytes) else broken.encode())
        with pytest.raises(OptionError, match=r"my net\.onnx\.card\.toml: this card of an encoder cannot be read"):
            read_file_card(model)
