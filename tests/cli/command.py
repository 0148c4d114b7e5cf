"""The `masquerade` command, run in this process where that is enough, and as one of its own where it is not."""

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from unittest import mock

from masquerade.cli.main import main


@dataclass(frozen=True)
class Said:
    """What a run left on its two streams, and its exit code."""

    code: int
    out: str
    err: str

    def refused(self, code, *parts, status=1):
        """One line with a stable code that names all parts, and nothing on standard output."""
        assert self.code == status, self
        assert self.out == "", self
        [line] = self.err.splitlines()
        assert line.startswith(f"masquerade [{code}]: "), line
        for part in parts:
            assert str(part) in line, line
        assert "Traceback" not in line


def masquerade(*arguments):
    """The command as `main` runs it, without the cost of a process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["masquerade", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            return Said(end.code or 0, out.getvalue(), err.getvalue())
    raise AssertionError("main came back")


def process(*arguments, prelude="", **options):
    """The command in a process of its own, after a few lines of Python."""
    run = f"{prelude}\nimport runpy; runpy.run_module('masquerade', run_name='__main__')"
    command = [sys.executable, "-c", run] if prelude else [sys.executable, "-m", "masquerade"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, **options)
    return Said(done.returncode, done.stdout, done.stderr)
