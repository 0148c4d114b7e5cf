"""What keeps an expression, and do we measure it well? Table 5.2 of the thesis, on people nobody trained on.

    python benchmarks/expression_retention.py --data ../shared/data --teachers ../shared/models --work runs
        [--swapper NAME=FILE ...] [--reader expression.onnx] [--pairs 1500]

Targets get the identity of sources, other people, drawn by a fixed seed: half of the pairs with expressions of one
class, half of two. Each target is changed in no way, by each swapper (exported or a run's checkpoint; the packaged one
where there is one), by blur and by mosaic as `masquerade anonymize` has them, and all are measured by the expression
embedder and by 68 and 51 landmarks, the thesis's baselines.

Then, without any change: how often two pictures of one class are nearer than two of two classes, all of different
people; and how often two pictures of one person are nearer than two of two people, in one class. The first should be
1, the second, which says how much identity is measured along, one half. The last column is the same as recognisers are
measured: the share of pairs of one person that are found where one in a thousand pairs of strangers is.
"""

from collections.abc import Callable
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
from masquerade.train.data import FaceSet, read_archive
from masquerade.train.expression_labels import read_labels
from masquerade.train.judge import landmarks, open_swapper
from masquerade.train.swapper import teacher_embeddings
from masquerade.types import Box

Faces = NDArray[np.uint8]
Rows = NDArray[np.int64]
Measure = Callable[[Faces], NDArray[np.float64]]

ARCHIVE = "celeba-val-128.zip"
BOX = Box(20, 8, 108, 122)
"""Of the face in an aligned crop of 128 px."""
SURE = 0.5
"""The teacher's probability from which a face has a class."""
TRIALS = 200_000


def drawn(faces: FaceSet, classes: Rows, count: int, *, same: bool, seed: int = 0) -> tuple[Rows, Rows]:
    """Rows of targets and of sources: of two people each, and of one class or of two; −1 is no class."""
    rng = np.random.default_rng((seed, int(same)))
    known = np.flatnonzero(classes >= 0)
    targets, sources = rng.choice(known, (2, 50 * count))
    fit = (faces.people[targets] != faces.people[sources]) & ((classes[targets] == classes[sources]) == same)
    return targets[fit][:count], sources[fit][:count]


def redacted(method: Method, faces: Faces, identities: NDArray[np.float32]) -> Faces:
    """Faces without a face."""
    return np.stack([np.asarray(redact(face, BOX, Redaction(method)), np.uint8) for face in faces])


def retained(
    methods: dict[str, Callable[[Faces, NDArray[np.float32]], Faces]],
    measures: dict[str, Measure],
    vectors: dict[str, NDArray[np.float64]],
    faces: FaceSet,
    identities: NDArray[np.float32],
    pairs: dict[str, tuple[Rows, Rows]],
) -> list[str]:
    """Table 5.2 with a column for how each target was changed, Markdown."""
    lines = [
        "| how changed | classes of target and source | measure | L2 error | mean t2c | t2c < s2c |",
        "|---|---|---|---|---|---|",
    ]
    for method, change in methods.items():
        for which, (targets, sources) in pairs.items():
            made = change(faces.faces[targets], identities[sources])
            for name, measure in measures.items():
                kept = retention(vectors[name][targets], vectors[name][sources], measure(made))
                figures = f"{kept.error:.3f} | {kept.moved:.3f} | {kept.ratio:.3f}"
                lines.append(f"| {method} | {which} | {name} | {figures} |")
            typer.echo(f"{method}, {which}: {len(targets)} pairs", err=True)
    return lines


def understood(vectors: dict[str, NDArray[np.float64]], faces: FaceSet, classes: Rows) -> list[str]:
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
        "| one person nearer than two | TAR at FAR 1e-3 |",
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
    pairs: Annotated[int, typer.Option(min=10, help="Of each half.")] = 1500,
) -> None:
    """Print both tables."""
    faces = read_archive(data / ARCHIVE, work / "cache", labelled=True)
    classes = read_labels(ARCHIVE, faces, data, work / "cache", teachers).hard(SURE)
    identities = teacher_embeddings(ARCHIVE, faces, data, work / "cache", teachers)
    files = dict(one.split("=", 1) for one in swapper or [])
    if (own := packaged_swapper()) is not None:
        files["packaged swapper"] = str(fetch(card(own), accept_noncommercial=True))
    methods: dict[str, Callable[[Faces, NDArray[np.float32]], Faces]] = {
        "identity (no change)": lambda some, _: some,
        **{name: open_swapper(Path(file)) for name, file in files.items()},
        **{method: partial(redacted, method) for method in ("blur", "pixelate")},
    }
    network, marks = open_expression(reader), partial(landmarks, teachers / "fr_landmark.onnx")
    measures: dict[str, Measure] = {
        "expression embedder": lambda some: network.read_crops(np.ascontiguousarray(some)).embedding.astype(np.float64),
        "68 landmarks": lambda some: landmark_vectors(marks(some), jaw=True),
        "51 landmarks": lambda some: landmark_vectors(marks(some), jaw=False),
    }
    halves = {
        name: drawn(faces, classes, pairs, same=same) for name, same in (("different", False), ("the same", True))
    }
    vectors = {name: measure(faces.faces) for name, measure in measures.items()}
    typer.echo("\n".join(retained(methods, measures, vectors, faces, identities, halves)) + "\n")
    typer.echo("\n".join(understood(vectors, faces, classes)))


if __name__ == "__main__":
    typer.run(main)
