"""How well an encoder tells people apart, beside its teachers: `python -m masquerade.train.evaluate`.

All pairs of the validation archive count, so that a false acceptance rate of 1e-4 rests on hundreds of pairs, not on
a handful. Pair accuracy alone uses as many impostor pairs as there are genuine ones, drawn by a fixed seed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from masquerade.audit.verification import FARS, Figures, distance_matrix, figures, threshold_at_far
from masquerade.faces.embed import open_encoder
from masquerade.train.augment import low_resolution
from masquerade.train.data import FaceSet, derived, inputs, map_batches, read_archive
from masquerade.train.teachers import TEACHERS, Embed, openvino_model

SIDES = (112, 48, 24)
YAWS = (0.0, 15.0, 30.0, 90.0)
SEED = 20


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one encoder at one resolution.

    Attributes:
        all: of all pairs.
        by_yaw: true acceptance rate at the threshold for FAR 1e-3 where the more turned face of a pair has its yaw in
            that bin, 0 to 1; not a number where there is no such pair.
    """

    all: Figures
    by_yaw: tuple[float, ...]


def judge(embeddings: NDArray[np.float32], people: NDArray[np.int64], yaws: NDArray[np.float32]) -> Evaluation:
    """Compare every face with every other.

    Args:
        embeddings: unit vectors (n, d).
        people: (n,).
        yaws: degrees, (n,).
    """
    first, second = np.triu_indices(len(people), 1)
    distances = distance_matrix(embeddings, embeddings)[first, second]
    same = people[first] == people[second]
    found = figures(distances, same, seed=SEED)
    threshold = threshold_at_far(distances[~same], 1e-3)
    turned = np.maximum(np.abs(yaws[first[same]]), np.abs(yaws[second[same]]))
    bins = [(low <= turned) & (turned < high) for low, high in pairwise(YAWS)]
    matched = distances[same] < threshold
    return Evaluation(found, tuple(float(matched[turn].mean()) if turn.any() else np.nan for turn in bins))


def head_yaws(model: Path, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Yaw in degrees of crops (n, 128, 128, 3), by `fr_pose.onnx`."""
    run = openvino_model(model)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)

    def yaw(some: NDArray[np.uint8]) -> NDArray[np.float32]:
        large = np.stack([cv2.resize(face, (224, 224)) for face in some]).astype(np.float32) / np.float32(255)
        logits = run(((large - mean) / std).transpose(0, 3, 1, 2))
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray((shares * np.arange(66)).sum(1) / shares.sum(1) * 3 - 99, np.float32)

    return map_batches(yaw, faces, size=1)  # the network's batch is fixed


def table(rows: Iterable[tuple[str, int, Evaluation]]) -> str:
    """Markdown, a line for each encoder and resolution."""
    rates = [f"TAR @ {far:.0e}".replace("e-0", "e-") for far in FARS]
    bins = [f"TAR, yaw {low:.0f}–{high:.0f}°" for low, high in pairwise(YAWS)]
    head = ["encoder", "px", "EER", *rates, "accuracy", "threshold @ 1e-3", *bins]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, side, found in rows:
        at = {entry.far: entry for entry in found.all.at}
        tars = [f"{100 * at[far].tar:.2f} %" if far in at else "–" for far in FARS]
        cells = [name, str(side), f"{100 * found.all.eer:.2f} %", *tars, f"{100 * found.all.accuracy:.2f} %"]
        cells += [f"{at[1e-3].threshold:.3f}" if 1e-3 in at else "–", *(f"{100 * x:.1f} %" for x in found.by_yaw)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _degraded(faces: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return faces if side >= faces.shape[1] else np.stack([low_resolution(face, side) for face in faces])


def evaluate(
    encoders: Annotated[list[Path], typer.Argument(help="Encoders in ONNX form.")],
    data: Annotated[Path, typer.Option(help="Folder of the archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the teachers and of the pose network.")],
    work: Annotated[Path, typer.Option(help="Folder for caches.")] = Path("runs"),
    archive: Annotated[str, typer.Option(help="Validation archive.")] = "celeba-val-128.zip",
    alone: Annotated[bool, typer.Option("--alone", help="Leave the teachers out.")] = False,
) -> None:
    """Print a table of verification figures: each encoder, then the teachers, at three resolutions."""
    cache = work / "cache"
    faces = read_archive(data / archive, cache, labelled=True)
    yaws = derived(cache / f"{Path(archive).stem}.yaw.npy", lambda: head_yaws(teachers / "fr_pose.onnx", faces.faces))
    named: list[tuple[str, Embed, Callable[[FaceSet], NDArray[np.uint8]]]] = [
        (path.stem, open_encoder(path, kind="arcface", threads=1).embed_crops, lambda some: inputs(some.faces))
        for path in encoders
    ]
    if not alone:
        named += [(name, make(teachers), lambda some: some.faces) for name, make in TEACHERS.items()]

    def rows() -> Iterator[tuple[str, int, Evaluation]]:
        for name, embed, read in named:
            for side in SIDES:
                found = map_batches(embed, _degraded(read(faces), side))
                yield name, side, judge(found, faces.people, yaws)

    typer.echo(table(rows()))


if __name__ == "__main__":
    typer.run(evaluate)
