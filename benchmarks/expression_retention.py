"""What keeps an expression, and do we measure it well? Table 5.2 of the thesis, on people nobody trained on.

    python benchmarks/expression_retention.py --data ../shared/data --teachers ../shared/models --work runs
        [--swapper NAME=FILE ...] [--reader expression.onnx] [--pairs 400]

Targets get the identity of sources, other people, drawn by a fixed seed: with expressions of two classes, and of one.
Each target is changed in no way, by each swapper (exported, or a run's checkpoint; the packaged one, and the packaged
one shown a coarse picture, where there is one), by mosaic and by blur as `masquerade anonymize` has them. All are
measured by the expression embedder and by 51 and 68 landmarks, the thesis's baselines.

A swapper of aligned crops keeps the pose of the head, and two strangers hardly ever hold theirs alike: whoever knows
the pose alone finds most results nearer to their targets. Hence two more rows of each, of pairs whose poses are one,
and two more measures: landmarks laid on one mean face, which know no place, size or roll, and pose alone.

Then, without any change: how often two pictures of one class are nearer than two of two classes, all of different
people; and how often two pictures of one person are nearer than two of two people, in one class. The first should be
1, the second, which says how much identity is measured along, one half. The last column is the same as recognisers are
measured: the share of pairs of one person that are found where one in a thousand pairs of strangers is.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from masquerade.audit.expression import landmark_vectors, retention, told_apart
from masquerade.audit.verification import tar_at_far
from masquerade.faces.expression import CLASSES, open_expression
from masquerade.models import card, fetch
from masquerade.models.cards import packaged_swapper
from masquerade.swap.redact import Method, Redaction, redact
from masquerade.train.augment import low_resolution
from masquerade.train.data import FaceSet, read_archive
from masquerade.train.expression_labels import read_labels
from masquerade.train.judge import Swap, landmarks, open_swapper
from masquerade.train.swapper import teacher_embeddings
from masquerade.train.teachers import poses
from masquerade.types import Box

Faces = NDArray[np.uint8]
Rows = NDArray[np.int64]
Vectors = dict[str, NDArray[np.float64]]
"""Of faces, (n, d), by what measured them."""

ARCHIVE = "celeba-val-128.zip"
BOX = Box(20, 8, 108, 122)
"""Of the face in an aligned crop of 128 px."""
SURE = 0.5
"""The teacher's probability from which a face has a class."""
ONE_POSE = 3.0
"""Degrees, by which yaw and pitch of two faces differ at most that are of one pose."""
COARSE = 16
"""Pixels a side that are left of the picture which a swapper is shown."""
TRIALS = 200_000


def drawn(
    faces: FaceSet, classes: Rows, count: int, *, same: bool, posed: NDArray[np.float64] | None = None, seed: int = 0
) -> tuple[Rows, Rows]:
    """Rows of targets and of sources: of two people, of one class or of two and, where poses are given, of one pose.

    Class −1 is no class.
    """
    rng = np.random.default_rng((seed, int(same)))
    known = np.flatnonzero(classes >= 0)
    targets, sources = rng.choice(known, (2, 250 * count))
    fit = (faces.people[targets] != faces.people[sources]) & ((classes[targets] == classes[sources]) == same)
    if posed is not None:
        fit &= (np.abs(posed[targets] - posed[sources])[:, :2] < ONE_POSE).all(1)
    return targets[fit][:count], sources[fit][:count]


def redacted(method: Method, faces: Faces, identities: NDArray[np.float32]) -> Faces:
    """Faces without a face."""
    return np.stack([np.asarray(redact(face, BOX, Redaction(method)), np.uint8) for face in faces])


def coarsely(swap: Swap, faces: Faces, identities: NDArray[np.float32]) -> Faces:
    """Swapped by who saw little of them."""
    return swap(np.stack([low_resolution(face, COARSE) for face in faces]), identities)


def retained(
    methods: dict[str, Swap],
    measured: Callable[[Faces], Vectors],
    vectors: Vectors,
    faces: FaceSet,
    identities: NDArray[np.float32],
    pairs: dict[str, tuple[Rows, Rows]],
) -> Iterator[str]:
    """Table 5.2 with a row for how targets were changed and for each kind of pairs, Markdown.

    The last column compares the first two measures: pairs in which only the one finds the result nearer to its target
    than to its source, and pairs in which only the other does.
    """
    yield "| how changed | t and s | " + " | ".join(vectors) + " | only one of the first two is right |"
    yield "|---|---|" + "---|" * (len(vectors) + 1)
    for method, change in methods.items():
        for which, (targets, sources) in pairs.items():
            cells, nearer = [], []
            for name, c in measured(change(faces.faces[targets], identities[sources])).items():
                t, s = vectors[name][targets], vectors[name][sources]
                kept = retention(t, s, c)
                cells.append(f"{kept.error:.2f}, {kept.moved:.2f}, {kept.ratio:.3f}")
                nearer.append(np.linalg.norm(t - c, axis=1) < np.linalg.norm(s - c, axis=1))
            alone = f"{(nearer[0] & ~nearer[1]).sum()} : {(nearer[1] & ~nearer[0]).sum()}"
            yield f"| {method} | {which} | " + " | ".join(cells) + f" | {alone} |"


def understood(vectors: Vectors, faces: FaceSet, classes: Rows) -> list[str]:
    """Whether a measure tells expressions apart, and whether it tells people apart, Markdown."""
    known = np.flatnonzero(classes >= 0)
    first, second = (known[rows] for rows in np.triu_indices(len(known), 1))
    person, expression = faces.people[first] == faces.people[second], classes[first] == classes[second]
    smiling, neutral = (classes == CLASSES.index(name) for name in ("happiness", "neutral"))
    both_smile, one_smiles = smiling[first] & smiling[second], (smiling | neutral)[first] & (smiling | neutral)[second]
    kinds = {
        "one class": ~person & expression,
        "two classes": ~person & ~expression,
        "two people, both smile": ~person & both_smile,
        "one person, smiling and neutral": person & one_smiles & ~expression,
        "one person, one class": person & expression,
        "one person": person,
        "two people": ~person,
    }
    picked = {}
    for kind, which in kinds.items():
        some = np.flatnonzero(which)
        picked[kind] = np.random.default_rng(0).choice(some, min(TRIALS, len(some)), replace=False)
    lines = [
        "| measure | one class nearer than two | a stranger's smile nearer than one's own neutral face "
        "| one person nearer than two, in one class | TAR at FAR 1e-3 |",
        "|---|---|---|---|---|",
    ]
    for name, rows in vectors.items():
        apart = {
            kind: np.concatenate(
                [
                    np.linalg.norm(rows[first[some]] - rows[second[some]], axis=1)
                    for some in np.array_split(which, 1 + len(which) // 8192)
                ]
            )
            for kind, which in picked.items()
        }
        cells = (
            told_apart(apart["one class"], apart["two classes"]),
            told_apart(apart["two people, both smile"], apart["one person, smiling and neutral"]),
            told_apart(apart["one person, one class"], apart["one class"]),
            tar_at_far(apart["one person"], apart["two people"], 1e-3),
        )
        lines.append(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return lines


def main(
    data: Annotated[Path, typer.Option(help="Folder of the archives, and of their labels.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the networks that label and measure.")],
    work: Annotated[Path, typer.Option(help="Folder for caches.")] = Path("runs"),
    swapper: Annotated[list[str] | None, typer.Option(help="NAME=FILE; may be given several times.")] = None,
    reader: Annotated[Path | None, typer.Option(help="An exported embedder instead of the packaged one.")] = None,
    pairs: Annotated[int, typer.Option(min=10, help="Of each kind.")] = 400,
) -> None:
    """Print both tables."""
    faces = read_archive(data / ARCHIVE, work / "cache", labelled=True)
    classes = read_labels(ARCHIVE, faces, data, work / "cache", teachers).hard(SURE)
    identities = teacher_embeddings(ARCHIVE, faces, data, work / "cache", teachers)
    files = {name: Path(file) for name, file in (one.split("=", 1) for one in swapper or [])}
    if (own := packaged_swapper()) is not None:
        files["packaged swapper"] = fetch(card(own), accept_noncommercial=True)
    methods: dict[str, Swap] = {"no change": lambda some, _: some}
    for name, file in files.items():
        methods[name] = open_swapper(file)
    if own is not None:
        methods[f"packaged swapper, shown {COARSE} px"] = partial(coarsely, methods["packaged swapper"])
    methods |= {"mosaic": partial(redacted, "pixelate"), "blur": partial(redacted, "blur")}
    network, marks = open_expression(reader), partial(landmarks, teachers / "fr_landmark.onnx")
    middle = marks(faces.faces).mean(0)
    turned = partial(poses, teachers / "fr_pose.onnx")

    def measured(some: Faces) -> Vectors:
        points = marks(some)
        return {
            "embedder": network.read_crops(np.ascontiguousarray(some)).embedding.astype(np.float64),
            "51 landmarks": landmark_vectors(points, jaw=False),
            "68 landmarks": landmark_vectors(points, jaw=True),
            "51, laid on one face": landmark_vectors(points, jaw=False, onto=middle),
            "68, laid on one face": landmark_vectors(points, jaw=True, onto=middle),
            "pose alone": turned(some).astype(np.float64),
        }

    vectors = measured(faces.faces)
    kinds = {
        word + which: drawn(faces, classes, pairs, same=same, posed=posed)
        for which, posed in (("", None), (", one pose", vectors["pose alone"]))
        for word, same in (("two classes", False), ("one class", True))
    }
    typer.echo(", ".join(f"{len(targets)} pairs of {kind}" for kind, (targets, _) in kinds.items()) + "\n")
    for line in retained(methods, measured, vectors, faces, identities, kinds):
        typer.echo(line)
    typer.echo()
    typer.echo("\n".join(understood(vectors, faces, classes)))


if __name__ == "__main__":
    typer.run(main)
