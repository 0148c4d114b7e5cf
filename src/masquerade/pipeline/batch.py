"""Many files: which there are, where each goes, which are done, and what became of them.

A folder's results are noted in a manifest as each file is finished, one line a file. A batch that is started again
skips what is done and unchanged; what was being written when it stopped has no line and no output, and is done anew.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from masquerade.errors import InputError, MachineError, MasqueradeError, OptionError, OutputError, UnexpectedError
from masquerade.media import IMAGE_FORMATS, VIDEO_CONTAINERS, atomic_output, make_folder, sha256
from masquerade.pipeline.render import Report

MANIFEST = "masquerade-manifest.jsonl"

WRITABLE = frozenset(IMAGE_FORMATS) | frozenset(VIDEO_CONTAINERS)

READABLE = WRITABLE | {".3gp", ".asf", ".f4v", ".flv", ".mpeg", ".mpg", ".mxf", ".ogv", ".vob", ".wmv"}
"""Suffixes of what is taken from folders. What cannot be written in its own container becomes Matroska."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to do.

    Attributes:
        source: the input file.
        output: where its result goes.
        name: the output's path inside the output folder, with forward slashes; the manifest's key.
    """

    source: Path
    output: Path
    name: str


Status = Literal["done", "review", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file.

    Attributes:
        job: the file.
        status: "done"; "review" if done, but a person should look; "unchanged" if an earlier run did it; "failed".
        report: what was done in this run; None if it failed or an earlier run did it.
        error: why it failed.
    """

    job: Job
    status: Status
    report: Report | None = None
    error: MasqueradeError | None = None


def find_jobs(inputs: Sequence[Path], output: Path) -> tuple[list[Job], Path | None]:
    """Lists the files to do and where each goes.

    A single file goes to `output` itself if that has a suffix and is no folder. Everything else goes into the folder
    `output`; a folder given as input keeps its layout there. Files that are neither photo nor video are left alone
    inside folders, and so are hidden files and the output folder itself.

    Returns:
        The jobs in a fixed order, and the folder that holds their manifest (None for a single file).

    Raises:
        InputError: an input does not exist, or a folder holds no photo or video.
        OutputError: the output is an input, or no file of the input's kind.
        OptionError: two inputs would be written to the same place.
    """
    jobs, folder = _find_jobs(inputs, output)
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.output.resolve() in sources:
            raise OutputError(
                "is also an input, and inputs are never overwritten", path=job.output, hint="Choose another output"
            )
    return jobs, folder


def _find_jobs(inputs: Sequence[Path], output: Path) -> tuple[list[Job], Path | None]:
    for path in inputs:
        if not path.exists():
            raise InputError("no such file or folder", path=path, hint="Check the spelling")
    if len(inputs) == 1 and not inputs[0].is_dir() and output.suffix and not output.is_dir():
        kind, suffixes = ("photo", IMAGE_FORMATS) if _is_photo(inputs[0]) else ("video", VIDEO_CONTAINERS)
        if output.suffix.lower() not in suffixes:
            raise OutputError(
                f"{inputs[0].name} is read as a {kind}, which cannot be written as {output.suffix}",
                path=output,
                hint=f"Choose {', '.join(suffixes)}",
            )
        return [Job(inputs[0], output, output.name)], None
    if output.exists() and not output.is_dir():
        raise OutputError("is a file, and a folder is needed for several inputs", path=output, hint="Name a folder")
    jobs = []
    for path in inputs:
        if path.is_dir():
            found = sorted(_media_in(path, output))
            if not found:
                raise InputError("no photo or video in this folder", path=path)
            jobs += [(file, file.relative_to(path)) for file in found]
        else:
            jobs.append((path, Path(path.name)))
    jobs = [(source, _writable(relative)) for source, relative in jobs]
    taken: dict[Path, Path] = {}
    for source, relative in jobs:
        other = taken.setdefault(relative, source)
        if other is not source:
            raise OptionError(
                f"{other} and {source} would both be written to {output / relative}",
                hint="Run them one after the other into two folders",
            )
    return [Job(source, output / relative, relative.as_posix()) for source, relative in jobs], output


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_FORMATS


def _writable(name: Path) -> Path:
    return name if name.suffix.lower() in WRITABLE else name.with_name(name.name + ".mkv")


def _media_in(folder: Path, output: Path) -> Iterable[Path]:
    inside = output.resolve()
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = [f for f in folders if not f.startswith(".") and (here / f).resolve() != inside]
        for file in files:
            if not file.startswith(".") and Path(file).suffix.lower() in READABLE:
                yield here / file


class Manifest:
    """What is done in an output folder.

    Args:
        folder: the output folder.
        settings: everything that decides what an output looks like; a change of it does every file anew.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self._path = folder / MANIFEST
        self._settings = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self._lines: dict[str, dict[str, Any]] = {}
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError("the manifest cannot be read", path=self._path, hint="Move it away") from error
        self._torn = bool(text) and not text.endswith("\n")  # a run was killed in the middle of a line
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._lines[entry["name"]] = entry
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # the torn line

    def earlier(self, job: Job) -> Status | None:
        """What an earlier run made of this file; None if it, its output, or the settings have changed since."""
        entry = self._lines.get(job.name)
        if entry is None or entry.get("settings") != self._settings or not job.output.is_file():
            return None
        if entry.get("input") != sha256(job.source) or entry.get("output") != sha256(job.output):
            return None
        return "review" if entry.get("status") == "review" else "unchanged"

    def note(self, result: Result) -> None:
        """Adds one finished file; on disk before this returns.

        Raises:
            OutputError: the manifest cannot be written.
        """
        report = result.report
        assert report is not None
        entry = {
            "name": result.job.name,
            "status": result.status,
            "settings": self._settings,
            "input": sha256(result.job.source),
            "output": sha256(result.job.output),
            # Who was recognised by whose photo is nothing to leave beside the outputs.
            **{k: v for k, v in asdict(report).items() if k not in ("source", "output", "remarks")},
        }
        self._lines[result.job.name] = entry
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn + json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"the manifest cannot be written ({error.strerror or error})",
                path=self._path,
                hint="Free some space and run the same command again",
            ) from error
        self._torn = False

    def tidy(self) -> None:
        """Rewrites the manifest in the order of names, one line a file, so that equal folders have equal manifests."""
        with atomic_output(self._path) as temporary:
            temporary.write_text("".join(json.dumps(self._lines[k]) + "\n" for k in sorted(self._lines)), "utf-8")


def run_batch(
    jobs: Sequence[Job],
    work: Callable[[Job], Report],
    manifest: Manifest | None,
    *,
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Does the jobs one after the other; one that fails does not stop the others.

    Args:
        jobs: from `find_jobs`.
        work: does one job.
        manifest: of the output folder; None for a single file.
        tell: called after each job.

    Returns:
        One result a job, in the same order.
    """
    results = []
    for job in jobs:
        result = _do(job, work, manifest)
        if manifest is not None and result.report is not None:
            manifest.note(result)
        results.append(result)
        tell(result)
    if manifest is not None:
        manifest.tidy()
    return results


def _do(job: Job, work: Callable[[Job], Report], manifest: Manifest | None) -> Result:
    try:
        if manifest is not None and (earlier := manifest.earlier(job)):
            return Result(job, earlier)
        make_folder(job.output.parent)
        report = work(job)
    except MasqueradeError as error:
        return Result(job, "failed", error=error)
    except OSError as error:
        return Result(job, "failed", error=MachineError(error, path=job.source))
    except Exception as error:  # a bug that one file brings to light must not stop the files after it
        return Result(job, "failed", error=UnexpectedError(error, path=job.source))
    return Result(job, "review" if report.lost else "done", report)
