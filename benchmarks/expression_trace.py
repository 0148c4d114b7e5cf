"""One person's expression through a clip, before and after: is it still read, and is it the same?

    python benchmarks/expression_trace.py clip.mp4 swap=swapped.mp4 blur=blurred.mp4 [--figure trace.svg]

The surest face of each frame of the original is aligned by its landmarks, and so is the same place of each output. The
figure draws what the packaged embedder says of both: values, no pictures. The table has correlations over the frames,
and distances of expressions in units of the mean distance between the original's own frames, taken at random.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from masquerade.audit.compare import Pair, walk
from masquerade.audit.distances import check_drawing
from masquerade.audit.expression import expression_error
from masquerade.audit.utility import correlation
from masquerade.faces.align import align
from masquerade.faces.detect import open_detector
from masquerade.faces.expression import MEASURES, Expressions, open_expression
from masquerade.media import Frame, atomic_output, open_video
from masquerade.types import Points

SHOWN = ("mouth open", "corners up", "eyes open")
_SURE = 0.5
_SIDE = 112
_RANDOM = 10_000
_COLOURS = ("#1b7837", "#762a83", "#e08214", "#2166ac")


def readings(said: Expressions) -> dict[str, NDArray[np.float32]]:
    """What is drawn, (n,) each."""
    values = {name: said.geometry[:, MEASURES.index(name)] for name in SHOWN}
    return {"valence": said.affect[:, 0], "arousal": said.affect[:, 1]} | values


def draw(
    times: NDArray[np.float64],
    original: Expressions,
    outputs: dict[str, Expressions],
    unit: float,
    path: Path,
) -> None:
    """Valence, two measures and the distance of expressions over time."""
    from matplotlib import rc_context  # noqa: PLC0415 - heavy, and an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figure = Figure(figsize=(9, 8), layout="constrained")
    rows = ("valence", "mouth open", "corners up")
    panels = figure.subplots(len(rows) + 1, sharex=True)
    for axes, row in zip(panels, rows, strict=False):
        for (name, said), colour in zip(outputs.items(), _COLOURS, strict=False):
            axes.plot(times, readings(said)[row], color=colour, linewidth=1, label=name)
        axes.plot(times, readings(original)[row], color="black", linewidth=1.6, label="original")
        axes.set_ylabel(row if row == "valence" else f"{row} (σ)")
    for said, colour in zip(outputs.values(), _COLOURS, strict=False):
        panels[-1].plot(times, expression_error(original.embedding, said.embedding) / unit, color=colour, linewidth=1)
    panels[-1].axhline(1, color="black", linestyle=":", linewidth=1)
    panels[-1].set(ylabel="distance", xlabel="seconds", ylim=(0, None))
    panels[0].legend(frameon=False, ncols=len(outputs) + 1, loc="lower center", bbox_to_anchor=(0.5, 1))
    with atomic_output(path) as temporary, rc_context({"svg.hashsalt": "masquerade"}):
        figure.savefig(temporary, metadata={"Date": None} if path.suffix == ".svg" else None)


def main(
    original: Path,
    outputs: Annotated[list[str], typer.Argument(help="NAME=FILE, each made of the original.")],
    figure: Annotated[Path | None, typer.Option(help="SVG or PNG to write.")] = None,
    reader: Annotated[Path | None, typer.Option(help="An exported embedder instead of the packaged one.")] = None,
) -> None:
    """Print the table, and draw the figure."""
    if figure is not None:
        check_drawing()
    detector, network = open_detector(), open_expression(reader)
    places: dict[int, Points] = {}
    times, crops = [], []
    with open_video(original) as video:
        for frame in video:
            (faces,) = detector.detect([picture(frame)])
            best = max(faces, key=lambda face: face.score, default=None)
            if best is not None and best.score >= _SURE and best.landmarks is not None:
                places[frame.index] = best.landmarks
                times.append(frame.time)
                crops.append(cut(frame, best.landmarks))
    before = network.read_crops(np.stack(crops))
    after = {}
    for name, file in (one.split("=", 1) for one in outputs):
        frames = (second for _, second in walk(Pair(name, original, Path(file))))
        after[name] = network.read_crops(
            np.stack([cut(frame, places[frame.index]) for frame in frames if frame.index in places])
        )
    first, second = np.random.default_rng(0).integers(0, len(times), (2, _RANDOM))
    unit = float(expression_error(before.embedding[first], before.embedding[second]).mean())
    typer.echo(f"{len(times)} frames with a face\n")
    typer.echo("| output | " + " | ".join(readings(before)) + " | mean distance |")
    typer.echo("|---" * (len(readings(before)) + 2) + "|")
    for name, said in after.items():
        pairs = zip(readings(before).values(), readings(said).values(), strict=True)
        cells = [correlation(one, other) for one, other in pairs]
        cells.append(float(expression_error(before.embedding, said.embedding).mean()) / unit)
        typer.echo(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    if figure is not None:
        draw(np.array(times), before, after, unit, figure)


def picture(frame: Frame) -> NDArray[np.uint8]:
    """The whole of it, RGB."""
    return frame.thumbnail(frame.width, frame.height)


def cut(frame: Frame, landmarks: Points) -> NDArray[np.uint8]:
    """The aligned crop of a face."""
    return align(picture(frame), landmarks, _SIDE)[0]


if __name__ == "__main__":
    typer.run(main)
