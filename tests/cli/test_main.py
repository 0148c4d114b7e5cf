import os

import pytest

from masquerade import __version__
from masquerade.cli import common, main

from .command import masquerade, process


@pytest.mark.parametrize("arguments", [[], ["--help"], ["anonymize", "--help"], ["models", "--help"], ["models"]])
def test_help(arguments):
    said = masquerade(*arguments)
    assert (said.code, said.err) == (0, "")
    assert "Usage: " in said.out


def test_version():
    assert masquerade("--version").out == f"masquerade {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["models", "nonsense"], ["anonymize"]])
def test_what_is_no_command_is_one_line_and_exit_code_1(arguments):
    masquerade(*arguments).refused("bad-option", "See --help")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "masquerade: stopped; "),
        (ZeroDivisionError("so\nodd"), 1, "masquerade [bug]: unexpected ZeroDivisionError: so odd. This is a bug"),
        (
            PermissionError(13, "Permission denied", "a [b].jpg"),
            1,
            "masquerade [machine]: a [b].jpg: Permission denied",
        ),
    ],
)
def test_whatever_is_raised_is_one_line(monkeypatch, raised, code, said):
    def fails(**_):
        raise raised

    monkeypatch.setattr(main, "app", fails)
    result = masquerade("doctor")
    [line] = result.err.splitlines()
    assert result.code == code
    assert line.startswith(said)


def test_as_a_process_without_a_terminal():
    said = process("nonsense", env=os.environ | {"TERM": "xterm"})
    said.refused("bad-option", "nonsense")
    assert "\x1b" not in said.err


def test_the_traceback_is_there_for_those_who_ask(monkeypatch):
    said = process("nonsense", env=os.environ | {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "ignore"})
    assert said.code == 1
    assert "masquerade.errors.OptionError" in said.err


def test_letters_that_a_code_page_lacks(tmp_path):
    said = process("anonymize", tmp_path / "脸.jpg", "-o", "x", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    said.refused("bad-input", r"\u8138.jpg")


@pytest.mark.parametrize(
    ("text", "shown"), [("a[b]c", r"a\[b]c"), ("two\nlines", r"two\nlines"), ("\x1b[1m", r"\x1b[1m"), ("脸", "脸")]
)
def test_text_that_means_something_to_a_terminal(text, shown):
    assert common.one_line(text) == shown
