"""A smaller archive for a machine that data has to travel to: `python -m masquerade.train.pack`.

Holds all pictures of some of the people, under the name it has in recipes, and beside it what their teacher says of
them in half precision, so that the other machine need not compute it.
"""

import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from masquerade.errors import InputError
from masquerade.train.data import whole_file


def pack(archive: Path, output: Path, embeddings: Path, folders: int) -> int:
    """Write `output` and `<output>.fr_feature2.npy`; returns how many pictures they hold.

    Args:
        archive: zip of `<folder>/<picture>`.
        output: the smaller zip.
        embeddings: of all pictures of the archive, in the order of their names, (n, d).
        folders: how many of the first folders (people) to keep, evenly picked.

    Raises:
        InputError: the embeddings are not those of the archive.
    """
    with zipfile.ZipFile(archive) as zipped:
        names = sorted(name for name in zipped.namelist() if not name.endswith("/"))
        vectors = np.load(embeddings, mmap_mode="r")
        if len(vectors) != len(names):
            raise InputError(f"holds {len(vectors)} embeddings of {len(names)} pictures", path=embeddings)
        all_folders = sorted({name.split("/")[0] for name in names})
        picked = np.unique(np.linspace(0, len(all_folders) - 1, min(folders, len(all_folders))).astype(int))
        kept_folders = {all_folders[i] for i in picked}
        kept = [i for i, name in enumerate(names) if name.split("/")[0] in kept_folders]
        with whole_file(output) as part, zipfile.ZipFile(part, "w") as smaller:
            for i in kept:
                smaller.writestr(names[i], zipped.read(names[i]))
    with whole_file(output.with_name(f"{output.stem}.fr_feature2.npy")) as part, part.open("wb") as file:
        np.save(file, vectors[kept].astype(np.float16))
    return len(kept)


def main(
    archive: Annotated[Path, typer.Argument(help="Zip of aligned crops, a folder a person.")],
    output: Annotated[Path, typer.Argument(help="The smaller zip, of the same name in another folder.")],
    people: Annotated[int, typer.Option(min=1, help="How many people to keep.")],
    work: Annotated[Path, typer.Option(help="Folder of an earlier run, whose cache holds the embeddings.")] = Path(
        "runs"
    ),
) -> None:
    """Pack some of the people of an archive, with their embeddings."""
    count = pack(archive, output, work / "cache" / f"{archive.stem}.fr_feature2.npy", people)
    typer.echo(f"{count} pictures, {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
