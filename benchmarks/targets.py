"""What a teacher says with its mean taken out or whitened, and how far its student follows.

    python benchmarks/targets.py driver --data ../shared/data --teachers ../shared/models --work runs

All pairs of the validation archive. "out" is the share of the training faces' mean that is taken out; whitening divides
by the standard deviation along each axis to the power given, of all faces or within people. The student is the packaged
encoder: its mean cosine distance from the teacher of its recipe on 1,500 clean faces it was trained on and on all
validation faces, and what a mean with the mirror image's embedding would bring.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.verification import equal_error_rate, threshold_at_far
from masquerade.faces.embed import open_encoder
from masquerade.train.data import FaceSet, derived, inputs, map_batches, read_archive
from masquerade.train.recipe import EncoderRecipe, read_recipe
from masquerade.train.teachers import TEACHERS, both_ways

Vectors = NDArray[np.float32]
ON_TRAINING = 1500


def unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def say(what: str, vectors: NDArray[np.floating], people: NDArray[np.int64]) -> None:
    """One row: how strangers and pictures of one person lie, by all pairs."""
    faces = unit(vectors)
    first, second = np.triu_indices(len(people), 1)
    distances = (1 - (faces @ faces.T)[first, second]).astype(np.float64)
    same = people[first] == people[second]
    threshold = threshold_at_far(distances[~same], 1e-3)
    eer = equal_error_rate(distances[~same], distances[same])[0]
    tar, strangers = (distances[same] < threshold).mean(), distances[~same].mean()
    print(f"| {what} | {100 * eer:.2f} % | {100 * tar:.2f} % | {strangers:.3f} |", flush=True)


def whitened(vectors: Vectors, of: NDArray[np.floating], power: float) -> NDArray[np.floating]:
    variance, axes = np.linalg.eigh(np.cov(of.T))
    scale = (variance + 1e-3 * variance.mean()) ** (-power / 2)
    result: NDArray[np.floating] = vectors @ (axes * scale) @ axes.T
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", choices=["driver", "guard"])
    for name in ("data", "teachers", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    recipe = read_recipe(f"encoder-{given.encoder}")
    assert isinstance(recipe, EncoderRecipe)
    cache = given.work / "cache"
    train = read_archive(given.data / recipe.data.labelled, cache, labelled=True)
    val = read_archive(given.data / recipe.data.validation, cache, labelled=True)
    teacher = TEACHERS[recipe.loss.teacher](given.teachers)

    def opinions(name: str, faces: FaceSet) -> Vectors:
        stored = cache / f"{Path(name).stem}.{recipe.loss.teacher}2.npy"
        return derived(stored, lambda: map_batches(lambda some: both_ways(teacher, some), faces.faces))

    taught, shown = opinions(recipe.data.labelled, train), opinions(recipe.data.validation, val)
    mean = taught.mean(axis=0)
    print(f"{recipe.loss.teacher}: its mean over {len(taught)} faces is {np.linalg.norm(mean):.2f} long\n")
    print("| | EER | TAR @ 1e-3 | strangers' mean distance |\n|---|---|---|---|")
    for out in (0, 0.5, 0.8, 1.0):
        say(f"{out} of the mean out", shown - out * mean, val.people)
    centred, centred_shown = unit(taught - mean), unit(shown - mean)
    people = np.array([centred[train.people == person].mean(axis=0) for person in np.unique(train.people)])
    for power in (0.5, 1.0):
        say(f"whitened, power {power}", whitened(centred_shown, centred, power), val.people)
        within = centred - people[train.people]
        say(f"whitened within people, power {power}", whitened(centred_shown, within, power), val.people)

    student = open_encoder(given.encoder)
    crops = inputs(val.faces)
    seen, mirrored = student.embed_crops(crops), student.embed_crops(np.ascontiguousarray(crops[:, :, ::-1]))
    say(f"{given.encoder}", seen, val.people)
    say(f"{given.encoder}, with the mirror image", seen + mirrored, val.people)
    if seen.shape[1] == shown.shape[1]:
        rows = np.sort(np.random.default_rng(0).choice(len(taught), min(ON_TRAINING, len(taught)), replace=False))
        known = student.embed_crops(inputs(train.faces[rows]))
        for what, ours, theirs in (("training", known, taught[rows]), ("validation", seen, shown)):
            print(f"\ndistance from its teacher on {what} faces: {1 - float((ours * theirs).sum(axis=1).mean()):.3f}")


if __name__ == "__main__":
    main()
