"""Was this face swapped? An adversary that undoes swaps as a detector (thesis 5.4.3).

    python benchmarks/detection.py --data DATA --teachers TEACHERS --work RUNS --swapper NAME=FILE [--swapper ...]

`--recipe` names the attack, trained before by `masquerade attack`; a swapper is a checkpoint or an exported file, and
the first should be the one that the adversary was trained on. Faces: `celeba-val-128.zip`, as they are and swapped to
fabricated identities. Printed is how well each score tells the two apart: the area under its curve (1/2 is chance), and
the share of swapped faces found where at most one real face in a hundred is taken for one.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.attacks import embedding_change, picture_change, roc
from masquerade.faces.embed import open_encoder
from masquerade.nets.reconstruction import Reconstructor
from masquerade.train import engine
from masquerade.train.attack import Archives, build_anonymizer, build_encoder, read_adversary
from masquerade.train.data import SIDE, at_side
from masquerade.train.recipe import AttackRecipe, Victim, read_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder in ("data", "teachers", "work"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    parser.add_argument("--recipe", default="attack-quick")
    parser.add_argument("--swapper", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--count", type=int, default=600, help="faces")
    given = parser.parse_args()

    recipe = read_recipe(given.recipe)
    assert isinstance(recipe, AttackRecipe), "no attack"
    device = engine.device_of_choice()
    examination = Archives(recipe, data=given.data, teachers=given.teachers, work=given.work).examination(
        given.count, given.teachers, thorough=False
    )
    undo = Reconstructor(read_adversary(given.work / recipe.name, recipe), build_encoder()).to(device)
    guard = open_encoder("guard")

    def scores(faces: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        made = at_side(examination.guessed(undo, faces), SIDE)
        return [embedding_change(guard.embed_crops(faces), guard.embed_crops(made)), picture_change(faces, made)]

    real = scores(examination.originals())
    print(f"{len(real[0])} real faces, each swapped once by every swapper")
    print("| swapper | change of the person | at 1 % false alarms | change of the picture | at 1 % false alarms |")
    print("|---|---|---|---|---|")
    for swapper in given.swapper:
        name, _, path = swapper.partition("=")
        shown = examination.published(build_anonymizer(recipe, Victim(), given.work, Path(path)).to(device))
        curves = [roc(*pair) for pair in zip(real, scores(at_side(shown, SIDE)), strict=True)]
        cells = [f"{curve.area:.3f} | {curve.found_at_1_percent:.3f}" for curve in curves if curve is not None]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
