"""What keeps an expression, and do we measure it well? Table 5.2 of the thesis, on people nobody trained on.

    python benchmarks/expression_retention.py --data ../shared/data --teachers ../shared/models --work runs
        [--swapper NAME=FILE ...] [--reader expression.onnx] [--pairs 200]

Targets get the identity of sources, other people, drawn by a fixed seed: with expressions of two classes, and of one.
Each target is changed in no way, by each swapper (exported or a run's checkpoint; the packaged one where there is
one), by mosaic and by blur as `masquerade anonymize` has them. All are measured by the expression embedder and by 51
and 68 landmarks, the thesis's baselines.

A swapper of aligned crops keeps the pose of the head, and where in the crop the face lies. Two strangers hardly ever
agree in both, so that whoever knows nothing else finds most results nearer to their targets: the column "pose alone".
Hence two more rows of each, of pairs whose poses are one; and every measure once more with each face, of target, source
and result, laid on one mean face by its own landmarks, as if the three pictures had been found in three places.

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
from masquerade.faces.align import estimate_similarity, warp
from masquerade.faces.expression import CLASSES, open_expression
from masquerade.models import card, fetch
from masquerade.models.cards import packaged_swapper
from masquerade.swap.redact import Method, Redaction, redact
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
LAID = ", laid"
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


def laid(faces: Faces, points: NDArray[np.float32], onto: NDArray[np.float32]) -> Faces:
    """Each crop moved, scaled and turned so that its inner 51 landmarks lie on those of one face, (68, 2)."""
    side = faces.shape[1]
    return np.stack(
        [
            np.asarray(warp(face, estimate_similarity(own[17:], onto[17:]), (side, side)), np.uint8)
            for face, own in zip(np.ascontiguousarray(faces), points, strict=True)
        ]
    )


def retained(
    methods: dict[str, Swap],
    measured: Callable[[Faces], Vectors],
    vectors: Vectors,
    faces: FaceSet,
    identities: NDArray[np.float32],
    pairs: dict[str, tuple[Rows, Rows]],
) -> Iterator[str]:
    """Table 5.2 with a row for how targets were changed and for each kind of pairs, Markdown.

    The last columns hold pairs in which only the embedder finds the result nearer to its target than to its source, and
    pairs in which only 51 landmarks do.
    """
    yield "| how changed | t and s | " + " | ".join(vectors) + " | only one is right | only one is right, laid |"
    yield "|---|---|" + "---|" * (len(vectors) + 2)
    for method, change in methods.items():
        for which, (targets, sources) in pairs.items():
            cells, nearer = [], {}
            for name, c in measured(change(faces.faces[targets], identities[sources])).items():
                t, s = vectors[name][targets], vectors[name][sources]
                kept = retention(t, s, c)
                cells.append(f"{kept.error:.2f}, {kept.moved:.2f}, {kept.ratio:.3f}")
                nearer[name] = np.linalg.norm(t - c, axis=1) < np.linalg.norm(s - c, axis=1)
            for suffix in ("", LAID):
                ours, theirs = nearer["embedder" + suffix], nearer["51 landmarks" + suffix]
                cells.append(f"{(ours & ~theirs).sum()} : {(theirs & ~ours).sum()}")
            yield f"| {method} | {which} | " + " | ".join(cells) + " |"


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
    pairs: Annotated[int, typer.Option(min=10, help="Of each kind.")] = 200,
) -> None:
    """Print both tables."""
    faces = read_archive(data / ARCHIVE, work / "cache", labelled=True)
    classes = read_labels(ARCHIVE, faces, data, work / "cache", teachers).hard(SURE)
    identities = teacher_embeddings(ARCHIVE, faces, data, work / "cache", teachers)
    methods: dict[str, Swap] = {"no change": lambda some, _: some}
    if (own := packaged_swapper()) is not None:
        methods["packaged swapper"] = open_swapper(fetch(card(own), accept_noncommercial=True))
    for name, file in (one.split("=", 1) for one in swapper or []):
        methods[name] = open_swapper(Path(file))
    methods |= {"mosaic": partial(redacted, "pixelate"), "blur": partial(redacted, "blur")}
    network, marks = open_expression(reader), partial(landmarks, teachers / "fr_landmark.onnx")
    middle = marks(faces.faces).mean(0)
    turned = partial(poses, teachers / "fr_pose.onnx")

    def measured(some: Faces) -> Vectors:
        points = marks(some)
        found = {}
        for suffix, crops, onto in (("", np.ascontiguousarray(some), None), (LAID, laid(some, points, middle), middle)):
            found[f"embedder{suffix}"] = network.read_crops(crops).embedding.astype(np.float64)
            found[f"51 landmarks{suffix}"] = landmark_vectors(points, jaw=False, onto=onto)
            found[f"68 landmarks{suffix}"] = landmark_vectors(points, jaw=True, onto=onto)
        return found | {"pose alone": turned(some).astype(np.float64)}

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
