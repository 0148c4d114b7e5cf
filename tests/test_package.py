"""What the package promises as a whole: light to import, silent on the network, and documented as it is."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

import masquerade
from masquerade.cli.main import STOPPED, app

from .cli.command import process
from .conftest import fetched

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_import_is_light():
    heavy = ("torch", "onnx", "onnxruntime", "tensorboard", "pillow_heif", "cryptography")
    loaded = python("import sys, masquerade, masquerade.cli.main; print(*sys.modules)").split()
    assert set(heavy).isdisjoint(loaded)


def test_public_names():
    assert masquerade.__all__ == sorted(masquerade.__all__)
    tree = ast.parse(Path(masquerade.__file__).read_text(encoding="utf-8"))
    imported = {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert imported == set(masquerade.__all__)
    assert all(hasattr(masquerade, name) for name in masquerade.__all__)


def test_types_are_shipped():
    assert Path(masquerade.__file__).with_name("py.typed").is_file()


NO_NETWORK = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen"):
        os.write(2, f"reached out: {event} {arguments}".encode())
        os._exit(99)  # nobody can catch it and go on

sys.addaudithook(watch)
"""


def test_the_watch_sees_what_it_should():
    code = NO_NETWORK + "import socket; socket.create_connection(('localhost', 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 99


@pytest.mark.network
@pytest.mark.parametrize("offline", ["1", ""])
def test_import_and_a_run_with_cached_weights_touch_no_network(tmp_path, monkeypatch, astronaut, offline):
    fetched("centerface")
    monkeypatch.setenv("MASQUERADE_OFFLINE", offline)
    Image.fromarray(astronaut).save(tmp_path / "in.png")
    said = process("anonymize", tmp_path / "in.png", "-o", tmp_path / "out.png", "--method", "blur", prelude=NO_NETWORK)
    assert said.code == 0, said
    assert said.err == f"{tmp_path / 'out.png'}: 1 face replaced\n"


def lines_of_code():
    """(file, line) of every command line in the fenced blocks of the docs."""
    for path in DOCS:
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("&&"):
                    if part.split()[:1] == ["masquerade"]:
                        yield pytest.param(part.strip(), id=f"{path.name}: {part.strip()}")


@pytest.mark.parametrize("line", list(lines_of_code()))
def test_every_command_line_in_the_docs_is_understood(line):
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    context = command.make_context("masquerade", words[:1])
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
        context = command.make_context(name, list(words[:1] if hasattr(command, "commands") else words), context)


def test_every_command_that_the_docs_name_exists():
    for path in DOCS:
        for name in re.findall(r"`masquerade ([a-z]+[^`\n]*)`", path.read_text(encoding="utf-8")):
            command, words = typer.main.get_command(app), name.split()
            while hasattr(command, "commands"):
                assert words, f"{path.name}: masquerade {name}"
                assert words[0] in command.commands, f"{path.name}: masquerade {name}"
                command = command.commands[words.pop(0)]
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word.split("=")[0] for word in words if word.startswith("-")} <= known, name


def test_the_exit_codes_in_the_docs_are_those_of_the_command():
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "how-to" / "many-files.md").read_text(encoding="utf-8"), re.M)
    assert [int(code) for code in table] == [0, 1, 2, STOPPED]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for words in ("0 means all anonymized", "1 could not run", "2 some input failed or needs review"):
        assert words in readme


def test_every_error_code_stands_in_the_docs():
    table = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", table, re.M)
    assert sorted(listed) == sorted((kind.code, kind.__name__) for kind in masquerade.MasqueradeError.__subclasses__())
