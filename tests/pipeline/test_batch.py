import json
from pathlib import Path

import pytest

from masquerade.errors import InputError, OptionError, OutputError
from masquerade.pipeline.batch import MANIFEST, Manifest, find_jobs, run_batch
from masquerade.pipeline.render import Report


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def upper(job):
    """Work that is easy to check: the file in capitals."""
    if b"bad" in job.source.read_bytes():
        raise InputError("is bad", path=job.source)
    job.output.write_bytes(job.source.read_bytes().upper())
    return Report(job.source, job.output, "image", 1, 0, {}, 0)


def test_a_single_file_goes_to_the_file_named(tmp_path):
    source = touch(tmp_path / "a.jpg")
    jobs, folder = find_jobs([source], tmp_path / "b.jpg")
    assert [(job.source, job.output) for job in jobs] == [(source, tmp_path / "b.jpg")]
    assert folder is None


def test_a_single_file_goes_into_a_folder_that_exists_or_has_no_suffix(tmp_path):
    source = touch(tmp_path / "a.jpg")
    (tmp_path / "out.d").mkdir()
    for out in (tmp_path / "new", tmp_path / "out.d"):
        jobs, folder = find_jobs([source], out)
        assert (jobs[0].output, folder) == (out / "a.jpg", out)


def test_folders_keep_their_layout_and_leave_out_what_is_not_media(tmp_path):
    root = tmp_path / "in"
    for name in ("b.MP4", "x/a.jpg", "x/y/c.png", "notes.txt", ".hidden.jpg", ".git/d.jpg", "out/old.jpg"):
        touch(root / name)
    jobs, _ = find_jobs([root], root / "out")
    assert [job.name for job in jobs] == ["b.MP4", "x/a.jpg", "x/y/c.png"]
    assert jobs[1].output == root / "out" / "x" / "a.jpg"


def test_two_inputs_never_meet_in_one_output(tmp_path):
    a, b = touch(tmp_path / "1" / "a.jpg"), touch(tmp_path / "2" / "a.jpg")
    with pytest.raises(OptionError, match="both be written"):
        find_jobs([a, b], tmp_path / "out")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jpg"):
        find_jobs([tmp_path / "gone.jpg"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photo or video"):
        find_jobs([tmp_path / "empty"], tmp_path / "out")
    file = touch(tmp_path / "file")
    with pytest.raises(OutputError, match="folder is needed"):
        find_jobs([touch(tmp_path / "a.jpg"), touch(tmp_path / "b.jpg")], file)


def batch(root: Path, out: Path, settings=None):
    jobs, folder = find_jobs([root], out)
    return run_batch(jobs, upper, Manifest(folder, settings or {"method": "blur"}))


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    for name, content in (("a.jpg", b"one"), ("b.jpg", b"bad"), ("c.jpg", b"three")):
        touch(tmp_path / "in" / name, content)
    results = batch(tmp_path / "in", tmp_path / "out")
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert results[1].error.code == "bad-input"
    assert (tmp_path / "out" / "c.jpg").read_bytes() == b"THREE"
    assert not (tmp_path / "out" / "b.jpg").exists()


def test_what_is_done_and_unchanged_is_skipped_and_nothing_else(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "abcd":
        touch(source / f"{name}.jpg", name.encode())
    batch(source, out)
    assert {r.status for r in batch(source, out)} == {"unchanged"}
    touch(source / "a.jpg", b"new")
    (out / "b.jpg").unlink()
    touch(out / "c.jpg", b"tampered")
    assert [r.status for r in batch(source, out)] == ["done", "done", "done", "unchanged"]
    assert (out / "c.jpg").read_bytes() == b"C"
    assert {r.status for r in batch(source, out, {"method": "solid"})} == {"done"}


def test_a_batch_that_was_killed_ends_like_one_that_was_not(tmp_path):
    source = tmp_path / "in"
    for name in "abcdef":
        touch(source / f"{name}.jpg", name.encode())
    batch(source, tmp_path / "whole")
    jobs, folder = find_jobs([source], tmp_path / "killed")

    def dies(job):
        if job.name == "d.jpg":
            raise KeyboardInterrupt
        return upper(job)

    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs, dies, Manifest(folder, {"method": "blur"}))
    with (folder / MANIFEST).open("a") as file:
        file.write('{"name": "d.jpg", "stat')  # as if the machine went off in the middle of a line
    assert [r.status for r in batch(source, folder)] == ["unchanged"] * 3 + ["done"] * 3
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert len(json.loads((folder / MANIFEST).read_text().splitlines()[0])) > 5
