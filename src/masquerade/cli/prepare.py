"""`masquerade prepare`: training data from folders of photos."""

from pathlib import Path
from typing import Annotated

import typer

from masquerade.cli import common
from masquerade.cli.common import counted, out, print_json, say
from masquerade.errors import OptionError
from masquerade.train.prepare import LEAST_QUALITY, prepare


def prepare_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Photos, in a folder for each person.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FACES.zip", help="The archive to write.")],
    unnamed: Annotated[
        bool, typer.Option("--unnamed", help="Nobody's name is known: take every face of every photo.")
    ] = False,
    side: Annotated[int, typer.Option(help="Of the crops, pixels.", min=28, max=1024)] = 128,
    least: Annotated[float, typer.Option("--quality", help="Least quality of a face.", min=0, max=1)] = LEAST_QUALITY,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="FACES.zip", help="Another archive for people to validate on.", show_default=False),
    ] = None,
    share: Annotated[float, typer.Option(help="Of the people, for validation.", min=0.001, max=0.999)] = 0.05,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Find, align and sift the faces of a folder of photos, for `masquerade train`.

    Taken is what is sharp, large and frontal enough, each picture once. You need the right to use those photos.
    """
    if validation is not None and validation.absolute() == output.absolute():
        raise OptionError("training and validation cannot share an archive", hint="Give --validation another name")
    finder = common.build_detector(detector, weights, engine, provider, threads)
    with common.bar(quiet or as_json) as progress:
        made = prepare(
            folder,
            output,
            finder,
            named=not unnamed,
            side=side,
            least=least,
            validation=validation,
            share=share,
            progress=progress,
        )
    if as_json:
        print_json(
            {
                "archive": output,
                "validation_archive": validation,
                "photos": made.photos,
                "faces": made.faces,
                "people": made.people,
                "validation": made.validation,
                "dropped": made.dropped,
                "unreadable": made.unreadable,
            }
        )
    elif not quiet:
        of = "" if unnamed else f" of {counted(made.people, 'person', 'people')}"
        beside = "" if validation is None else f", and {counted(made.validation, 'face', 'faces')} in {validation}"
        say(f"{output}: {counted(made.faces, 'face', 'faces')}{of} from {made.photos} photos{beside}", out)
        for reason, count in sorted(made.dropped.items()):
            say(f"{count} {reason}", out)
        for path in made.unreadable:
            say(f"{path} cannot be read", out)
