"""How well a swapper anonymises, on people nobody trained on: `python -m masquerade.train.judge`.

Every target gets the identity of another person of the validation archive. Whether the target is still found in the
result (ID), or in its negated embedding (¬ID), and whether the source is, is asked of four recognisers at their own
thresholds; the first two took part in no swapper's training, the last two did. Pose and landmarks are measured on
target and result by networks that took no part either.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from masquerade.audit.verification import threshold_at_far
from masquerade.faces.embed import open_encoder
from masquerade.models.runtime import import_openvino
from masquerade.swap.defences import low_resolution
from masquerade.train.data import FaceSet, derived, map_batches, read_archive
from masquerade.train.grids import write_grid
from masquerade.train.swapper import teacher_embeddings
from masquerade.train.teachers import TEACHERS, Embed, openvino_model, poses

Faces = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Swap = Callable[[Faces, Vectors], Faces]

FAR = 1e-3
PACKAGED_ENCODERS = ("guard", "driver")
"""They change with the package, so what they say is not stored; that of the teachers is."""
_BATCH = 16
_COLUMNS = 12
_BOX = slice(14, 128), slice(7, 121)
"""Rows and columns of an aligned 128 px crop that a detector's face box, grown by a tenth, would hold."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What one recogniser says, shares of all faces from 0 to 1.

    Attributes:
        own: ID: the target is still found in the result.
        negated: ¬ID: the target is found in the result's negated embedding.
        source: the source is found in the result.
        strangers: the source is found in the target itself: what is left when nothing is recognised.
        people: pairs of pictures of one person that are found to be, among all such pairs of the archive.
    """

    own: float
    negated: float
    source: float
    strangers: float
    people: float


def recognised(
    all_faces: Vectors, people: NDArray[np.int64], target: Vectors, source: Vectors, made: Vectors
) -> Recognised:
    """Shares at the threshold of a FAR of 1e-3 on all pairs of the archive.

    Args:
        all_faces: embeddings of the archive, unit vectors (n, d).
        people: who they show, (n,).
        target, source, made: row by row of one swap, (m, d).
    """
    first, second = np.triu_indices(len(people), 1)
    distances = 1 - (all_faces @ all_faces.T)[first, second].astype(np.float64)
    same = people[first] == people[second]
    threshold = threshold_at_far(distances[~same], FAR)

    def found(one: Vectors, other: Vectors) -> float:
        return float((1 - (one * other).sum(1) < threshold).mean())

    return Recognised(
        found(made, target),
        found(-made, target),
        found(made, source),
        found(target, source),
        float((distances[same] < threshold).mean()),
    )


def landmarks(model: Path, faces: Faces) -> NDArray[np.float32]:
    """68 points in pixels of the crop, (n, 68, 2), by `fr_landmark.onnx`."""
    run = openvino_model(model)
    rows, columns = _BOX
    side = rows.stop - rows.start

    def points(face: Faces) -> NDArray[np.float32]:
        grey = cv2.resize(cv2.cvtColor(np.ascontiguousarray(face[_BOX]), cv2.COLOR_RGB2GRAY), (64, 64))
        read = run(grey[None, None].astype(np.float32) / np.float32(255)).reshape(68, 2)
        return np.asarray(read * side + (columns.start, rows.start), np.float32)

    return np.stack([points(face) for face in faces])


def openness(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far mouth and eyes are open, height by width, (n, 2), from 68 points (n, 68, 2)."""

    def gap(*pairs: tuple[int, int]) -> NDArray[np.float32]:
        return np.asarray(sum(np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs), np.float32)

    mouth = gap((61, 67), (62, 66), (63, 65)) / gap((60, 64)) / 3
    eyes = gap((37, 41), (38, 40), (43, 47), (44, 46)) / gap((36, 39), (42, 45)) / 2
    return np.stack([mouth, eyes], 1)


def open_swapper(model: Path) -> Swap:
    """The swapper of an exported file or of a run's checkpoint, from uint8 crops and unit vectors to uint8 crops."""
    if model.suffix == ".onnx":
        compiled = import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(crops: NDArray[np.float32], wanted: Vectors) -> NDArray[np.float32]:
            return np.asarray(compiled([np.ascontiguousarray(crops), wanted])["crop"], np.float32)

    else:
        import torch  # noqa: PLC0415 - an exported file needs none

        from masquerade.train.export import averaged_generator  # noqa: PLC0415

        net = averaged_generator(model)

        def run(crops: NDArray[np.float32], wanted: Vectors) -> NDArray[np.float32]:
            with torch.inference_mode():
                return np.asarray(net(torch.from_numpy(crops), torch.from_numpy(wanted)).crops.numpy(), np.float32)

    def swap(faces: Faces, wanted: Vectors) -> Faces:
        made = [
            run(faces[i : i + _BATCH].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1, wanted[i : i + _BATCH])
            for i in range(0, len(faces), _BATCH)
        ]
        scaled = (np.concatenate(made).clip(-1, 1) * 127.5 + 127.5).round()
        return np.ascontiguousarray(scaled.transpose(0, 2, 3, 1)).astype(np.uint8)

    return swap


def recognisers(teachers: Path) -> Iterator[tuple[str, str, Embed]]:
    """Name, part in training, and embedding of crops (n, 128, 128, 3)."""
    for name in PACKAGED_ENCODERS:
        yield name, "unseen" if name == "guard" else "trained with", open_encoder(name).embed_crops
    for name in ("dlib", "fr_feature"):
        yield name, "unseen" if name == "dlib" else "trained with", TEACHERS[name](teachers)


def pairs(faces: FaceSet, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of targets and of their sources: evenly picked faces, each with that of a person half the people away."""
    targets = np.unique(np.linspace(0, len(faces) - 1, count).astype(int))
    return targets, np.roll(targets, len(targets) // 2)


def judge(
    model: Annotated[Path, typer.Argument(help="Exported swapper (.onnx) or checkpoint of a run (.pt).")],
    data: Annotated[Path, typer.Option(help="Folder of the archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the recognisers, pose and landmark networks.")],
    work: Annotated[Path, typer.Option(help="Folder for caches.")] = Path("runs"),
    archive: Annotated[str, typer.Option(help="Archive of people nobody trained on.")] = "celeba-val-128.zip",
    count: Annotated[int, typer.Option(min=12, help="Faces to change.")] = 600,
    seen: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side that the swapper is shown of a target.")
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="Picture of some to write: targets, sources, results.")] = None,
) -> None:
    """Print who is recognised in what a swapper makes, and how well pose and landmarks are kept."""
    faces = read_archive(data / archive, work / "cache", labelled=True)
    vectors = teacher_embeddings(archive, faces, data, work / "cache", teachers)
    targets, sources = pairs(faces, count)
    shown_to_it = faces.faces[targets] if seen is None else low_resolution(faces.faces[targets], seen)
    made = open_swapper(model)(shown_to_it, vectors[sources])
    if grid is not None:
        shown = np.linspace(0, len(targets) - 1, _COLUMNS).astype(int)
        write_grid([faces.faces[targets[shown]], faces.faces[sources[shown]], made[shown]], grid)
    typer.echo(f"{len(targets)} faces; every share at the threshold of FAR {FAR:g} on all pairs of {archive}\n")
    typer.echo("| recogniser | part in training | ID | ¬ID | source found | strangers | one person found |")
    typer.echo("|---|---|---|---|---|---|---|")
    for name, part, embed in recognisers(teachers):
        known = (
            map_batches(embed, faces.faces)
            if name in PACKAGED_ENCODERS
            else derived(work / "cache" / f"{Path(archive).stem}.{name}1.npy", partial(map_batches, embed, faces.faces))
        )
        shares = recognised(known, faces.people, known[targets], known[sources], map_batches(embed, made))
        cells = (shares.own, shares.negated, shares.source, shares.strangers, shares.people)
        typer.echo(f"| {name} | {part} | " + " | ".join(f"{share:.4f}" for share in cells) + " |")
    before, after = (poses(teachers / "fr_pose.onnx", some) for some in (faces.faces[targets], made))
    yaw, pitch, roll = np.abs(before - after).mean(0)
    typer.echo(f"\nPose error: yaw {yaw:.2f}°, pitch {pitch:.2f}°, roll {roll:.2f}°")
    before, after = (landmarks(teachers / "fr_landmark.onnx", some) for some in (faces.faces[targets], made))
    error = np.linalg.norm(before - after, axis=2).mean(1) / np.linalg.norm(before[:, 36] - before[:, 45], axis=1)
    mouth, eyes = (np.corrcoef(a, b)[0, 1] for a, b in zip(openness(before).T, openness(after).T, strict=True))
    typer.echo(f"Landmark error: {100 * error.mean():.2f} % of the distance between the outer eye corners")
    typer.echo(f"Openness, correlation of target and result: mouth {mouth:.3f}, eyes {eyes:.3f}")


if __name__ == "__main__":
    typer.run(judge)
