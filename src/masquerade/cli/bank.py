"""`masquerade bank`: fabricated faces, by the thousand."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from masquerade.cli import common
from masquerade.cli.common import err, print_json
from masquerade.errors import OutputError
from masquerade.faces.embed import open_encoder
from masquerade.identity.bank import make_bank

app = typer.Typer(help="Banks of fabricated faces that belong to nobody.", no_args_is_help=True)


@app.command("make")
def make_command(
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER", help="The one that drives the swapper: driver, or a file.", show_default=False
        ),
    ],
    faces: Annotated[
        Path,
        typer.Argument(
            metavar="FACES.zip",
            help="Aligned crops as PERSON/PICTURE, best of thousands of people: those the encoder was trained on.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bank to write.")],
    count: Annotated[int, typer.Option(help="How many fabricated faces.", min=1)] = 4096,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bank.", min=0)] = 0,
    far_1e3: Annotated[
        float | None,
        typer.Option(
            "--far-1e3", help="The encoder's distance at FAR 1e-3.", show_default="its calibration's", min=0, max=1
        ),
    ] = None,
    far_1e4: Annotated[
        float | None,
        typer.Option(
            "--far-1e4", help="The encoder's distance at FAR 1e-4.", show_default="its calibration's", min=0, max=1
        ),
    ] = None,
    between: Annotated[
        float | None,
        typer.Option(help="Least distance of any two faces.", show_default="that at FAR 1e-3", min=0, max=2),
    ] = None,
    kind: common.EncoderKind = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="FACES.zip",
            help="Aligned crops named AGE_SEX_..., as UTKFace names them: the bank learns to tell age and sex by them.",
            show_default=False,
        ),
    ] = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Learn how an encoder spreads people, and draw faces from it that are none of theirs."""
    if not output.parent.is_dir():  # known now, not after the faces have been read
        raise OutputError("its folder does not exist", path=output, hint="Create the folder first")
    with common.bar(quiet or as_json) as progress:
        bank = make_bank(
            open_encoder(encoder, kind=kind, threads=threads),
            faces,
            count,
            seed=seed,
            far_1e3=far_1e3,
            far_1e4=far_1e4,
            min_between=between,
            attributes=attributes,
            progress=lambda done, total: progress("faces", done, total),
        )
    bank.save(output)
    if as_json:
        print_json({"bank": output, **bank.info.model_dump()})
    elif not quiet:
        info = bank.info
        err.print(
            escape(
                f"{output}: {info.count} faces, more than {info.encoder.far_1e4:.3f} from each of {info.people} people "
                f"and {info.min_between:.3f} from each other"
            ),
            soft_wrap=True,
        )
