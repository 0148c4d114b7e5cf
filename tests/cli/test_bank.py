import json

from typer.testing import CliRunner

from masquerade.cli.bank import app
from masquerade.errors import InputError, OutputError
from masquerade.identity.bank import Bank
from tests.identity.test_bank import faces, tiny_encoder  # noqa: F401 - fixtures


def run(*arguments):
    # A typer app of one command has no sub-commands until it is one of several, as in `masquerade`.
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_make_writes_a_bank_and_says_what_it_is(tiny_encoder, faces, tmp_path):  # noqa: F811
    arguments = (
        tiny_encoder,
        faces,
        "--kind",
        "arcface",
        "-o",
        tmp_path / "bank.npz",
        "--count",
        10,
        "--between",
        0.1,
        "--threads",
        1,
    )
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    bank = Bank.load(tmp_path / "bank.npz")
    assert told["count"] == len(bank.members) == 10
    assert told["encoder"]["sha256"] == bank.info.encoder.sha256
    before = (tmp_path / "bank.npz").read_bytes()
    assert "10 faces" in run(*arguments).output
    assert (tmp_path / "bank.npz").read_bytes() == before
    run(*arguments, "--seed", 1, "--far-1e3", 0.02, "--far-1e4", 0.01, "-q")
    assert (tmp_path / "bank.npz").read_bytes() != before
    assert Bank.load(tmp_path / "bank.npz").info.encoder.far_1e3 == 0.02


def test_a_bad_place_or_archive_is_told_before_any_work(tiny_encoder, tmp_path):  # noqa: F811
    result = run(tiny_encoder, tmp_path / "none.zip", "-o", tmp_path / "no/bank.npz")
    assert isinstance(result.exception, OutputError)
    result = run(tiny_encoder, tmp_path / "none.zip", "--kind", "arcface", "-o", tmp_path / "bank.npz")
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "bank.npz").exists()
