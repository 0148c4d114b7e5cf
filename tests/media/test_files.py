import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from masquerade.errors import InputError, OutputError
from masquerade.media import atomic_output, sha256
from masquerade.media.files import check_readable


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_the_name_appears_only_when_the_block_ends(tmp_path):
    out = tmp_path / "a.mp4"
    with atomic_output(out) as part:
        assert part.parent == tmp_path and part.suffix == ".mp4" and part.name.startswith(".")
        part.write_bytes(b"whole")
        assert not out.exists()
    assert out.read_bytes() == b"whole"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_any_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    out = tmp_path / "a.txt"
    out.write_bytes(b"old")
    with pytest.raises(failure), atomic_output(out) as part:
        part.write_bytes(b"half")
        raise failure
    assert out.read_bytes() == b"old"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("kind", ["same name", "roundabout", "symbolic link", "hard link"])
def test_the_input_is_never_overwritten(tmp_path, kind):
    source = tmp_path / "a.txt"
    source.write_bytes(b"original")
    out = {"same name": source, "roundabout": tmp_path / "x" / ".." / "a.txt"}.get(kind, tmp_path / "b.txt")
    (tmp_path / "x").mkdir()
    if kind == "symbolic link":
        out.symlink_to(source)
    if kind == "hard link":
        out.hardlink_to(source)
    with pytest.raises(OutputError, match="never overwritten"), atomic_output(out, inputs=[source]):
        raise AssertionError("the block must not run")
    assert source.read_bytes() == b"original"


def test_a_folder_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(OutputError, match="is a folder"), atomic_output(tmp_path):
        pass
    with pytest.raises(OutputError, match="folder does not exist"), atomic_output(tmp_path / "no" / "a.txt"):
        pass


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"), atomic_output(tmp_path / "a.txt"):
        pass
    tmp_path.chmod(0o700)


def test_long_names_work(tmp_path):
    out = tmp_path / ("é" * 120 + ".txt")
    with atomic_output(out) as part:
        part.write_bytes(b"whole")
    assert out.read_bytes() == b"whole"


def test_what_a_killed_run_left_is_removed_by_the_next_for_that_name_only(tmp_path):
    program = """
        import os, sys
        from masquerade.media.files import atomic_output
        with atomic_output(sys.argv[1]) as part:
            part.write_bytes(b"half")
            os.kill(os.getpid(), 9)
    """
    for name in ("a.txt", "b.txt"):
        subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path / name)], check=False)
    assert len(hidden(tmp_path)) == 2
    with atomic_output(tmp_path / "a.txt") as part:
        part.write_bytes(b"whole")
    assert [name.startswith(".b.txt") for name in hidden(tmp_path)] == [True]


def test_a_temporary_in_use_is_left_alone(tmp_path):
    out = tmp_path / "a.txt"
    with atomic_output(out) as first:
        first.write_bytes(b"first")
        with atomic_output(out) as second:
            second.write_bytes(b"second")
        assert first.exists()
    assert out.read_bytes() == b"first"


@pytest.mark.skipif(os.name == "nt", reason="no such limit on Windows")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    program = """
        import resource, sys
        from masquerade.errors import OutputError
        from masquerade.media.files import atomic_output
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_output(sys.argv[1]) as part:
                part.write_bytes(bytes(5000))
        except OutputError as error:
            print(error)
    """
    out = tmp_path / "a.txt"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(out)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"{out}: is larger than its disk")
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_hashlib_s(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(os.urandom(3_000_000))
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("read", [sha256, check_readable])
def test_inputs_that_cannot_be_read_say_why(tmp_path, read):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


def test_an_empty_input_is_refused(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="is empty"):
        check_readable(tmp_path / "a")
