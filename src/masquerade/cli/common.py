"""What the commands share: options, colours, progress, and how errors and results are said."""

import json
import math
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from masquerade.errors import MasqueradeError, OptionError
from masquerade.faces.detect import DETECTORS, Detector, open_detector
from masquerade.faces.embed import KINDS, open_encoder
from masquerade.faces.embed import Encoder as FaceEncoder
from masquerade.models import Engine as EngineName
from masquerade.models.cards import cards, file_card_path
from masquerade.pipeline.batch import Result
from masquerade.pipeline.progress import Progress as Told
from masquerade.pipeline.progress import silent
from masquerade.pipeline.tailor import swapper_for, usual_treatment
from masquerade.plan import Scope, Span, Treatment
from masquerade.types import Box
from masquerade.version import __version__

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Inputs = Annotated[list[Path], typer.Argument(help="Photos, videos, and folders of them.", show_default=False)]
KnownPeople = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|PAIRS.txt",
        help="Photos in one folder for each person, or a list of pairs as LFW has it.",
        show_default=False,
    ),
]
Images = Annotated[Path | None, typer.Option(help="The folder of the photos that PAIRS.txt names.", show_default=False)]
Aligned = Annotated[
    bool, typer.Option("--aligned", help="The photos are square crops, aligned to the ArcFace template already.")
]
Method = Annotated[
    Literal["swap", "blur", "pixelate", "solid"] | None,
    typer.Option(
        help="How faces are replaced; beside --swapper, how those are that cannot be swapped.",
        show_default="swap, by fabricated faces; blur where the package brings no swapper",
    ),
]
VisibleMark = Annotated[
    bool, typer.Option("--visible-mark", help="Say in a corner of the picture that its faces are fabricated.")
]
Defences = Annotated[
    str | None,
    typer.Option(
        "--defence",
        metavar="NAME",
        help="Make swaps harder to undo, at a price: low-resolution-16, jpeg-30, ..., several with a +.",
        show_default="none",
    ),
]
Shape = Annotated[Literal["ellipse", "box"], typer.Option(help="Shape of what is replaced.")]
Margin = Annotated[float, typer.Option(help="Share of the face's size added on every side.", min=0, max=2)]
Color = Annotated[str, typer.Option(help="Colour of --method solid, as #rrggbb.")]
Spans = Annotated[
    list[str] | None,
    typer.Option("--span", help="Only from START to END, as 12.5-20 or 0:12-1:20. Repeatable.", show_default=False),
]
Regions = Annotated[
    list[str] | None,
    typer.Option("--region", help="Only faces that touch X1,Y1,X2,Y2 (pixels). Repeatable.", show_default=False),
]
MinFace = Annotated[float, typer.Option(help="Only faces at least this many pixels wide or high.", min=0)]
DetectorName = Annotated[str, typer.Option("--detector", help=f"One of {', '.join(DETECTORS)}.")]
Weights = Annotated[
    Path | None, typer.Option(help="The detector's ONNX file, instead of the store's.", show_default=False)
]
EncoderNames = Annotated[
    list[str] | None,
    typer.Option("--encoder", help="driver, guard, or an ONNX file. Repeatable.", show_default="driver and guard"),
]
EncoderKinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help=f"What an encoder's own file is: {', '.join(KINDS)}. One for each file without a card, in order.",
        show_default=False,
    ),
]
EncoderName = Annotated[str, typer.Option("--encoder", help="driver, guard, or an ONNX file.")]
EncoderKind = Annotated[
    str | None,
    typer.Option("--kind", help=f"What an encoder's own file is: {', '.join(KINDS)}.", show_default=False),
]
Engine = Annotated[Literal["auto", "openvino", "onnxruntime"], typer.Option(help="What runs the networks.")]
Provider = Annotated[
    str | None, typer.Option(help="Execution provider of onnxruntime, such as cuda or coreml.", show_default=False)
]
Threads = Annotated[int, typer.Option(help="Threads for the networks; 0 means all cores.", min=0)]
Encoder = Annotated[str | None, typer.Option(help="FFmpeg video encoder.", show_default="like the source")]
Quality = Annotated[
    int | None, typer.Option(help="On the encoder's own scale.", min=0, show_default="close to the source")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        out.print(f"masquerade {__version__}")
        raise typer.Exit


def root_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Replaces every face in photos and videos by a face that belongs to nobody."""


def one_line(text: str) -> str:
    """Text for rich to print as it is: a file's name may hold markup, line breaks and codes that steer a terminal."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def say(text: str, console: Console = err) -> None:
    """One line on standard error, or on another console."""
    console.print(one_line(text), soft_wrap=True)


def complain(what: MasqueradeError | str) -> None:
    """One line on standard error, with the error's stable code."""
    code = f" \\[{what.code}]" if isinstance(what, MasqueradeError) else ""
    err.print(f"[bold red]masquerade[/]{code}: {one_line(str(what))}", soft_wrap=True)
    if isinstance(what, MasqueradeError) and sys.flags.dev_mode:
        traceback.print_exception(what)


def counted(number: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{number} {one if number == 1 else many}"


def print_json(value: object) -> None:
    """Machine-readable output, and nothing else, on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def build_treatment(method: str | None, shape: str, margin: float, color: str) -> Treatment:
    """Options → how.

    Raises:
        OptionError: the colour cannot be read.
    """
    match = re.fullmatch(r"#?([0-9a-fA-F]{6})", color)
    if not match:
        raise OptionError(f"--color {color!r} is no colour", hint="Write it as #rrggbb, for example #000000")
    method = method or usual_treatment().method
    return Treatment(method=method, shape=shape, margin=margin, color=list(bytes.fromhex(match[1])))  # type: ignore[arg-type]


def tell_licence(results: Iterable[Result], treatment: Treatment, swapper: str | None = None) -> None:
    """One line on standard error where weights that not everyone may use have made faces."""
    name = swapper_for(treatment, swapper)
    card = cards().get(name) if name is not None else None
    swapped = any(result.report is not None and result.report.outcomes for result in results)
    if swapped and card is not None and not card.commercial_use:
        say(f"the faces were made by weights with terms of their own ({card.licence}); --method blur uses none of them")


def build_scope(spans: list[str] | None, regions: list[str] | None, min_face: float) -> Scope:
    """Options → where and when.

    Raises:
        OptionError: a span, a region or a size cannot be read.
    """
    if not math.isfinite(min_face):
        raise OptionError(f"--min-face {min_face} is no size", hint="Give a number of pixels")
    return Scope(
        spans=tuple(_span(text) for text in spans or ()),
        regions=tuple(_region(text) for text in regions or ()),
        min_face=min_face,
    )


def _span(text: str) -> Span:
    try:
        start, end = (_seconds(part) for part in text.split("-"))
        return Span(start=start, end=end)
    except ValueError:
        raise OptionError(
            f"--span {text!r} is no span of time", hint="Write START-END with START before END, as 12.5-20 or 0:12-1:20"
        ) from None


def _seconds(text: str) -> float:
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _region(text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = 0.0
    if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, (x1, y1, x2, y2)))):
        raise OptionError(f"--region {text!r} is no box", hint="Write X1,Y1,X2,Y2 in pixels with X1 < X2 and Y1 < Y2")
    return Box(x1, y1, x2, y2)


def build_detector(name: str, weights: Path | None, engine: EngineName, provider: str | None, threads: int) -> Detector:
    """Options → a detector that is ready to run.

    Raises:
        OptionError: there is no such detector.
        WeightsError: its weights cannot be had.
        EngineError: the engine asked for cannot run.
    """
    return open_detector(name, weights, engine=engine, provider=provider, threads=threads)


def build_encoders(
    names: list[str] | None, kinds: list[str] | None, engine: EngineName, provider: str | None, threads: int
) -> list[FaceEncoder]:
    """Options → encoders that are ready to run.

    Raises:
        OptionError: there is no such encoder, two are called alike, or kinds and files do not belong together.
        WeightsError: the weights cannot be had, or are no encoder.
        EngineError: the engine asked for cannot run.
    """
    left = list(kinds or ())
    opened = []
    for name in names or ("driver", "guard"):
        unknown = Path(name).is_file() and not file_card_path(Path(name)).is_file()
        kind = left.pop(0) if left and unknown else None
        opened.append(open_encoder(name, kind=kind, engine=engine, provider=provider, threads=threads))
    if left:
        raise OptionError(
            f"--kind {left[0]} belongs to no file", hint="Give one for each encoder's own file without a card"
        )
    called = [encoder.name for encoder in opened]
    if len(set(called)) < len(called):
        raise OptionError(f"two encoders are called {max(called, key=called.count)}", hint="Rename one of the files")
    return opened


class Bars:
    """Progress of a batch and of the file in work. Drawn on a terminal only, on standard error."""

    def __init__(self, files: int, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._batch = self._progress.add_task("files", total=files, visible=files > 1)
        self._file = self._progress.add_task("", total=None, visible=False)
        self._stage = ""

    def frame(self, stage: str, done: int, total: int | None) -> None:
        """One more frame of the file in work."""
        if stage != self._stage or done == 1:
            self._stage = stage
            self._progress.reset(self._file, total=total, description=stage, visible=True)
        self._progress.update(self._file, completed=done)

    def file_done(self) -> None:
        """One more file."""
        self._progress.update(self._file, visible=False)
        self._progress.advance(self._batch)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextmanager
def bar(quiet: bool) -> Iterator[Told]:
    """Progress of one file."""
    with Bars(1, quiet) as bars:
        yield silent if quiet else bars.frame
