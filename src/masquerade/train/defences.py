"""Which defence holds, and against whom: `python -m masquerade.train.defences`.

A row says what is published: a method, then its defences in order, as in `swapper+low_resolution-24+jpeg-50`, with the
names and strengths of `recipe.Defence`. Two adversaries attack each row: one who has never seen the defence (she was
trained on undefended faces), and one who trains on defended ones, beginning with the weights of the first. A defence
that only the first cannot break is none. The row without defences, `swapper`, has the first alone.

State lies under --work, a run for each row. A row that was trained is not trained again, one that was stopped goes on.
"""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from pydantic import ValidationError

from masquerade.audit.survey import Rate
from masquerade.errors import EngineError, OptionError
from masquerade.nets.reconstruction import Reconstructor
from masquerade.train import engine
from masquerade.train.attack import (
    JUDGED,
    OUTCOME,
    Archives,
    Examination,
    Outcome,
    as_json,
    build_anonymizer,
    build_encoder,
    from_json,
    read_adversary,
    train_attack,
)
from masquerade.train.data import SIDE, at_side, whole_file
from masquerade.train.judge import landmarks
from masquerade.train.recipe import AttackRecipe, Victim, read_recipe
from masquerade.train.teachers import poses

Faces = NDArray[np.uint8]
MEASURED = "defence.json"

ROWS = [
    "swapper",
    "swapper+parameters-0.1",
    "swapper+fgsm-0.15",
    "swapper+noise-0.15",
    "swapper+jpeg-30",
    "swapper+again-1",
    "swapper+quantised-8",
    "swapper+low_resolution-32",
    "swapper+low_resolution-16",
    "swapper+low_resolution-16+again-1",
    "none+low_resolution-32",
    "none+low_resolution-16",
    "none+low_resolution-8",
    "hole",
    "blur",
    "pixelate",
    "solid",
]
"""No defence, those of the thesis's table 5.8, others, the bottleneck alone and no face at all, then redactions."""

_WARMUP = 8
"""Steps: the weights have been trained before, only the optimizer has to find its feet."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one row.

    Attributes:
        name: see this module.
        stranger: what recognisers find after an adversary who does not know the defence.
        adaptive: the same after one who trained on it.
        trained: the faces that the adaptive one was shown, after all that the other was.
        pose: mean absolute difference of original and published face over yaw, pitch and roll, in degrees; None where
            that network is not at hand.
        landmarks: mean distance of 68 points, in % of the distance of the outer eye corners; likewise.
        pixels: mean absolute difference between published with and without the defence, 0 to 255.
    """

    name: str
    stranger: list[Outcome]
    adaptive: list[Outcome]
    trained: int
    pose: float | None
    landmarks: float | None
    pixels: float


def victim(row: str, base: AttackRecipe) -> Victim:
    """What a row says is published; "fgsm" defends against the attack `base`.

    Raises:
        OptionError: it says nothing that exists.
    """
    method, *defences = row.split("+")
    try:
        parts = [defence.rsplit("-", 1) for defence in defences]
        named = [{"kind": kind, "strength": float(strength)} for kind, strength in parts]
        against = base.name if any(defence["kind"] == "fgsm" for defence in named) else ""
        said = base.victim.model_dump() | {"method": method, "defences": named, "surrogate": against}
        return Victim.model_validate(said)
    except (ValueError, ValidationError) as error:
        hint = "A row is a method, then defences, as in swapper+low_resolution-24+jpeg-50"
        raise OptionError(f"{row!r} names no defence", hint=hint) from error


def adaptive(base: AttackRecipe, row: str, epochs: float) -> AttackRecipe:
    """The recipe of the adversary who trains on a row for so many epochs, after `base`; `base` where it is its row."""
    attacked = victim(row, base)
    if attacked == base.victim:
        return base
    schedule = base.schedule.model_copy(update={"epochs": epochs, "fall": 0.5, "warmup": _WARMUP})
    changes = {"name": f"{base.name}-{row}", "victim": attacked, "schedule": schedule}
    return AttackRecipe.model_validate(base.model_dump() | changes)


def measure(
    row: str,
    base: AttackRecipe,
    recipe: AttackRecipe,
    examination: Examination,
    *,
    work: Path,
    swapper: Path | None,
    teachers: Path,
) -> Row:
    """A row whose adversaries, of `base` and of `recipe`, are trained. Only what was not measured before, or could not
    be, is measured."""
    device = engine.device_of_choice()
    stored = work / recipe.name / MEASURED
    found = read_row(stored) if stored.is_file() else None
    if found is not None and None not in (found.pose, found.landmarks):
        return found
    shown = examination.published(build_anonymizer(recipe, recipe.victim, work, swapper).to(device))
    if found is None:
        outcomes = {}
        for name in {base.name, recipe.name}:
            reconstruct = Reconstructor(read_adversary(work / name, recipe), build_encoder()).to(device)
            outcomes[name] = examination.outcomes(shown, examination.guessed(reconstruct, shown))
        changed = 0.0
        if recipe.victim.defences:
            undefended = recipe.victim.model_copy(update={"defences": [], "surrogate": ""})
            without = examination.published(build_anonymizer(recipe, undefended, work, swapper).to(device))
            changed = float(np.abs(shown.astype(int) - without).mean())
        trained = _faces_shown(work / recipe.name, recipe)
        found = Row(row, outcomes[base.name], outcomes[recipe.name], trained, None, None, changed)
    originals, published = examination.originals(), at_side(shown, SIDE)
    found = replace(
        found,
        pose=_kept(_pose_error, teachers / "fr_pose.onnx", originals, published),
        landmarks=_kept(_landmark_error, teachers / "fr_landmark.onnx", originals, published),
    )
    with whole_file(stored) as part:
        said = {field.name: getattr(found, field.name) for field in fields(found)}
        said |= {"stranger": as_json(found.stranger), "adaptive": as_json(found.adaptive)}
        part.write_text(json.dumps(said, indent=1) + "\n")
    return found


def _faces_shown(folder: Path, recipe: AttackRecipe) -> int:
    """In all steps of a run that has ended."""
    last = (folder / engine.LOG).read_text().splitlines()[-1]
    return int(json.loads(last)["step"]) * recipe.schedule.batch


def read_row(path: Path) -> Row:
    """A row as `measure` stores it."""
    said = json.loads(path.read_text())
    return Row(**said | {name: from_json(said[name]) for name in ("stranger", "adaptive")})


def _pose_error(model: Path, originals: Faces, shown: Faces) -> float:
    return float(np.abs(poses(model, originals) - poses(model, shown)).mean())


def _landmark_error(model: Path, originals: Faces, shown: Faces) -> float:
    before, after = landmarks(model, originals), landmarks(model, shown)
    eyes = np.linalg.norm(before[:, 36] - before[:, 45], axis=1)
    return float(100 * (np.linalg.norm(before - after, axis=2).mean(1) / eyes).mean())


def _kept(error: Callable[[Path, Faces, Faces], float], model: Path, originals: Faces, shown: Faces) -> float | None:
    try:
        return error(model, originals, shown) if model.is_file() else None
    except EngineError:
        return None  # a machine lent for training need not have the package's engine


def table(rows: list[Row]) -> str:
    """Markdown, a line for each row; ID, RA and chance as found by each recogniser in turn, in their order."""
    names = " / ".join(one.recogniser for one in rows[0].adaptive)
    head = ["published", "ID", "RA, not adaptive", "RA, adaptive", "trained on", "chance", "pose", "landmarks"]
    lines = [
        f"ID, RA and chance as found by {names}; in brackets 95 % intervals, of {rows[0].adaptive[0].ra.of} faces.",
        "",
        "| " + " | ".join([*head, "Δ pixels"]) + " |",
        "|" + "---|" * (len(head) + 1),
    ]
    for row in rows:
        cells = [
            row.name,
            " / ".join(f"{one.id.share:.3f}" for one in row.adaptive),
            " / ".join(_with_interval(one.ra) for one in row.stranger),
            " / ".join(_with_interval(one.ra) for one in row.adaptive),
            f"{row.trained:,}",
            " / ".join(f"{one.chance.share:.3f}" for one in row.adaptive),
            "–" if row.pose is None else f"{row.pose:.1f}°",
            "–" if row.landmarks is None else f"{row.landmarks:.1f} %",
            f"{row.pixels:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_interval(share: Rate) -> str:
    return f"{share.share:.3f} ({share.low:.3f}–{share.high:.3f})"


def defences(
    data: Annotated[Path, typer.Option(help="Folder of the archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the recognisers, pose and landmark networks.")],
    work: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    recipe: Annotated[str, typer.Option(help="The attack on undefended faces, trained where it is not yet.")] = (
        "attack-compact"
    ),
    rows: Annotated[str, typer.Option(help="Rows, separated by commas.")] = ",".join(ROWS),
    epochs: Annotated[float, typer.Option(help="How long an adaptive adversary goes on.")] = 3.0,
    swapper: Annotated[Path | None, typer.Option(help="Exported swapper or a run's checkpoint.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Adversaries that train at a time.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches, for each adversary.")] = 1,
    count: Annotated[int, typer.Option(min=12, help="Faces to attack.")] = JUDGED,
) -> None:
    """Print how defences hold against an adversary who does not know them and against one who does."""
    base = read_recipe(recipe)
    if not isinstance(base, AttackRecipe):
        raise OptionError(f"{recipe} is no attack")
    each = {row: adaptive(base, row, epochs) for row in rows.split(",")}
    train = partial(train_attack, data=data, teachers=teachers, work=work, workers=workers, swapper=swapper)
    _trained(train, work, base)
    begin = partial(_trained, partial(train, start=work / base.name), work)
    if jobs == 1:
        for one in each.values():
            begin(one)
    else:
        with ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_share, initargs=(jobs,)
        ) as pool:
            list(pool.map(begin, each.values()))
    examination = Archives(base, data=data, teachers=teachers, work=work).examination(count, teachers, thorough=True)
    measured = partial(measure, base=base, examination=examination, work=work, swapper=swapper, teachers=teachers)
    typer.echo(table([measured(row, recipe=one) for row, one in each.items()]))


def _trained(train: Callable[[AttackRecipe], torch.nn.Module], work: Path, recipe: AttackRecipe) -> None:
    """Returns nothing, since weights need not travel between processes: they lie in the run's folder."""
    if not (work / recipe.name / OUTCOME).is_file():
        train(recipe)


def _share(jobs: int) -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))


if __name__ == "__main__":
    typer.run(defences)
