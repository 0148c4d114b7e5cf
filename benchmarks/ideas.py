"""Do the thesis's ideas work? Its comparisons at a small scale, beside the signs of its tables 5.4 and 5.5.

    python benchmarks/ideas.py --data ../shared/data --teachers ../shared/models --work runs [--steps 2000] [--rows a,b]

Every row is a packaged recipe (`masquerade train`) made small: crops of 64 px, 16 channels where the thesis has 64, the
compact discriminator with R1 every 16 steps, the package's driver as the only recogniser, four times the learning rate.
The sources are 64 people of CelebA, whose 319 photos are also all that there is to train on: with everybody's faces
no row had learnt anything but to copy its target after 1,000 steps, with these it begins at about 450. All rows see the
same batches in the same order. IFSR is all that tells A from B; B to D differ in what skips carry and how, E from D by
having no mapping network. FIVA is judged twice: told the target, to get away from, and told the opposite of a source,
as a swapper.

Judged on targets nobody trained on, by networks that took no part, all crops being brought to 64 px first:
  ID          share of results that the guard, or dlib's network, places nearest to their source among the 64 people
  own, ¬own   share in which dlib's network finds the target, in its embedding or in the negated one, at FAR 1e-3 (the
              thesis finds .966 of FIVA's in the negated one, none of FaceDancer's)
  pose        degrees between target and result (length of the difference of the three angles), `fr_pose`
  landmarks   mean distance in % of the distance of the outer eye corners, `fr_landmark`; stands for expression
  Fréchet     distance of results from targets in the 128-d space of dlib's network, x 1000; stands for FID

A thousand steps of a row take eleven to fourteen minutes of one core of a server processor (AMD Zen 3) that does
nothing else, and one more for the judges. A row that is done is not trained again, one that was stopped goes on; all
state lies under --work. One seed: a sign that is smaller than two standard errors over the faces is printed as 0, and
the others may be chance of training.
"""

import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from masquerade.faces.embed import open_encoder
from masquerade.nets.base import Generator
from masquerade.train import engine
from masquerade.train.data import SIDE, FaceSet, at_side, derived, inputs, map_batches, read_archive, whole_file
from masquerade.train.grids import write_grid
from masquerade.train.judge import landmarks, pairs, recognised
from masquerade.train.recipe import Discriminator, SwapperRecipe, read_recipe
from masquerade.train.swapper import swapped, teacher_embeddings, train_swapper
from masquerade.train.teachers import Embed, dlib, poses

ROWS = {name: f"facedancer-{name}" for name in ("baseline-1", "baseline-2", "a", "b", "c", "d", "e")} | {"fiva": "fiva"}
"""Row → recipe."""
TRAIN, VALIDATION = "celeba-train-128.zip", "celeba-val-128.zip"
SMALL, BATCH, PEOPLE = 64, 10, 64
LEARNING_RATE = 4e-4
MARGINS = [[0.08, 0.10]]
"""Of the driver's two maps, as `swapper-128` has them."""

FIGURES = {"ID": 1, "pose": -1, "landmarks": -1, "Fréchet": -1}
"""Of tables 5.4 and 5.5, in their order (Exp and FID are the last two) → 1 where more is better."""
THESIS = {
    "baseline-1": ((97.66, 1.97, 8.20, 16.72), (89.10, 5.63, 5.34, 19.26)),
    "baseline-2": ((92.61, 1.87, 7.97, 13.51), (94.95, 6.23, 5.60, 21.30)),
    "a": ((98.14, 3.61, 9.82, 31.63), (98.50, 14.97, 7.07, 40.34)),
    "b": ((96.96, 2.48, 8.25, 23.11), (97.95, 5.86, 5.74, 21.50)),
    "c": ((98.57, 2.27, 7.98, 14.59), (97.65, 5.82, 4.13, 18.50)),
    "d": ((97.53, 2.04, 7.76, 13.50), (97.10, 5.75, 4.15, 20.41)),
    "e": ((97.38, 2.07, 5.73, 14.68), (95.45, 6.16, 4.19, 18.13)),
}
"""Table 5.4 (FaceForensics++), table 5.5 (AFLW2000-3D)."""
COMPARISONS = [
    ("b", "a", "IFSR on (B) against off (A)"),
    *((row, base, f"AFFA ({row.upper()}) against {how}") for row in "bcd" for base, how in
      (("baseline-1", "concat"), ("baseline-2", "add"))),
    ("e", "d", "mapping off (E) against on (D)"),
    ("fiva as swap", "b", "FIVA as a swap against B"),
]  # fmt: skip

Vectors = NDArray[np.float32]
Judged = dict[str, Any]
"""Figure → one number, or one for each face."""


def few(archive: Path, people: int, target: Path) -> Path:
    """An archive of some of the people of another, chosen by chance once and for all."""
    if not target.is_file():
        with zipfile.ZipFile(archive) as everyone, whole_file(target) as part, zipfile.ZipFile(part, "w") as some:
            names = sorted(everyone.namelist())
            chosen = np.random.default_rng(1).permutation(sorted({name.split("/")[0] for name in names}))[:people]
            for name in names:
                if name.split("/")[0] in set(chosen.tolist()):
                    some.writestr(name, everyone.read(name))
    return target


def small(row: str, steps: int, width: int, seed: int, archive: Path, faces: int) -> SwapperRecipe:
    """The row's packaged recipe, at this benchmark's scale."""
    recipe = read_recipe(ROWS[row])
    assert isinstance(recipe, SwapperRecipe)
    margins = MARGINS if any(map(any, recipe.loss.margins)) else [[0.0] * len(MARGINS[0])]
    changes = {
        "name": f"ideas-{steps}-{width}-{seed}-{row}",
        "side": SMALL,
        "width": width,
        "seed": seed,
        "learning_rate": LEARNING_RATE,
        "data": recipe.data.model_copy(update={"faces": [archive.name], "validation": archive.name}),
        "discriminator": Discriminator(kind="compact", width=32),
        "loss": recipe.loss.model_copy(update={"recognisers": ["driver"], "margins": margins, "r1_every": 16}),
        "schedule": recipe.schedule.model_copy(
            update={
                "epochs": steps / (faces // BATCH),
                "batch": BATCH,
                "fall": 0.3,
                "average": 0.995,
                "log_every": max(1, min(20, steps // 4)),
                "validate_every": min(1000, steps),
            }
        ),
    }
    return recipe.model_copy(update=changes)


class Jury:
    """The networks that took no part, and the faces they are asked about."""

    def __init__(
        self, faces: FaceSet, vectors: Vectors, known: FaceSet, teachers: Path, cache: Path, count: int
    ) -> None:
        """Targets of `faces`, with what the swapper knows of them, and a source of `known` for each."""
        self._teachers = teachers
        self.rows, _ = pairs(faces, count)
        self.sources = np.random.default_rng(1).integers(len(known), size=len(self.rows))
        self.faces, self.vectors, self.known = faces.faces, vectors, known
        self._people = faces.people
        guard = open_encoder("guard")
        self._encoders: dict[str, Embed] = {
            "guard": lambda some: guard.embed_crops(inputs(some)),
            "dlib": dlib(teachers),
        }
        stem = Path(VALIDATION).stem
        self._said = derived(cache / f"{stem}.dlib1.npy", lambda: map_batches(self._encoders["dlib"], faces.faces))
        self._sources = {name: map_batches(embed, known.faces) for name, embed in self._encoders.items()}
        self._targets = reduced(faces.faces[self.rows])

    def judge(self, made: NDArray[np.uint8]) -> Judged:
        """Of results, uint8 (n, 128, 128, 3), for the targets in order."""
        found: Judged = {}
        hits, embeddings = [], {}
        wanted = self.known.people[self.sources]
        for name, embed in self._encoders.items():
            embeddings[name] = map_batches(embed, made)
            centre = self._sources[name].mean(0)
            own = unit(self._sources[name] - centre)
            people = unit(np.stack([own[self.known.people == who].mean(0) for who in range(PEOPLE)]))
            hits.append((unit(embeddings[name] - centre) @ people.T).argmax(1) == wanted)
            found[f"ID, {name}"] = hits[-1].mean()
        found["ID"] = np.mean(hits, axis=0).tolist()
        centre = self._said.mean(0)
        sources = self._sources["dlib"][self.sources]
        parts = (unit(some - centre) for some in (self._said[self.rows], sources, embeddings["dlib"]))
        shares = recognised(unit(self._said - centre), self._people, *parts)
        found |= {"own": shares.own, "¬own": shares.negated}
        angles = [poses(self._teachers / "fr_pose.onnx", some) for some in (self._targets, made)]
        found["pose"] = np.linalg.norm(angles[0] - angles[1], axis=1).tolist()
        points = [landmarks(self._teachers / "fr_landmark.onnx", some) for some in (self._targets, made)]
        eyes = np.linalg.norm(points[0][:, 36] - points[0][:, 45], axis=1)
        found["landmarks"] = (100 * np.linalg.norm(points[0] - points[1], axis=2).mean(1) / eyes).tolist()
        found["Fréchet"] = 1000 * frechet(map_batches(self._encoders["dlib"], self._targets), embeddings["dlib"])
        return found


def reduced(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crops with the detail of the benchmark's side, at the side the judges take."""
    return at_side(at_side(faces, SMALL), SIDE)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def frechet(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """|μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) of two sets of vectors."""
    first, second = np.cov(one.T.astype(np.float64)), np.cov(other.T.astype(np.float64))
    values, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(values.clip(0))) @ axes.T
    both = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    apart = one.mean(0, np.float64) - other.mean(0, np.float64)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * both)


def run(row: str, recipe: SwapperRecipe, jury: Jury, wanted: Vectors, teachers: Path, work: Path) -> dict[str, Judged]:
    """Train and judge a row, or read what it came to; FIVA gives two rows."""
    result = work / recipe.name / "judged.json"
    if not result.is_file():
        # No worker processes: what has judged one row has threads, and those do not survive a fork for the next.
        net = train_swapper(recipe, data=work, teachers=teachers, work=work, workers=0)
        assert isinstance(net, Generator)
        own = jury.vectors[jury.rows]
        given = {"fiva": own, "fiva as swap": -wanted} if row == "fiva" else {row: wanted}
        judged = {}
        for name, vectors in given.items():
            made = swapped(net, jury.faces[jury.rows], vectors, engine.device_of_choice())
            shown = np.linspace(0, len(made) - 1, 12).astype(int)
            grid = [jury.faces[jury.rows[shown]], jury.known.faces[jury.sources[shown]], made[shown]]
            write_grid([at_side(faces, SMALL) for faces in grid], work / recipe.name / f"{name}.png")
            judged[name] = jury.judge(at_side(made, SIDE)) | {"s / 1000 steps": pace(work / recipe.name / engine.LOG)}
        with whole_file(result) as part:
            part.write_text(json.dumps(judged), "utf-8")
    read: dict[str, Judged] = json.loads(result.read_text("utf-8"))
    return read


def pace(log: Path) -> float:
    """Seconds for 1000 steps: the median over the log's intervals, which breaks do not change."""
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    paces = [(b["time"] - a["time"]) / (b["step"] - a["step"]) for a, b in pairwise(lines)]
    return 1000 * float(np.median(paces)) if paces else float("nan")


def table(judged: dict[str, Judged]) -> str:
    """Markdown: the figures of every row."""
    shares = ("ID, guard", "ID, dlib", "own", "¬own")
    columns = [*shares, "pose", "landmarks", "Fréchet", "s / 1000 steps"]
    units = {"pose": "pose, °", "landmarks": "landmarks, %"}
    lines = [
        "| row | " + " | ".join(units.get(name, name) for name in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row, figures in judged.items():
        cells = [
            f"{100 * figures[name]:.1f} %" if name in shares else f"{np.mean(figures[name]):.2f}" for name in columns
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sign(difference: NDArray[np.float64], *, better: int) -> str:
    """`better`, `worse`, or 0 where the mean over faces is less than two of its standard errors from 0."""
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    mean = float(difference.mean())
    if abs(mean) <= 2 * error:
        return "0"
    return "better" if mean * better > 0 else "worse"


def signs(judged: dict[str, Judged]) -> str:
    """Markdown: every comparison whose two rows are there, ours beside the thesis's."""
    lines = ["| comparison | figure | difference | here | table 5.4 | table 5.5 | agrees with |", "|---" * 7 + "|"]
    for row, base, what in COMPARISONS:
        if not {row, base} <= judged.keys():
            continue
        for place, (figure, better) in enumerate(FIGURES.items()):
            difference = np.atleast_1d(np.subtract(judged[row][figure], judged[base][figure]))
            here = sign(difference, better=better)
            theirs = ["–", "–"]
            if row in THESIS:
                theirs = [
                    sign(np.array([new[place] - old[place]]), better=better)
                    for new, old in zip(THESIS[row], THESIS[base], strict=True)
                ]
            agrees = " and ".join(name for name, one in zip(("5.4", "5.5"), theirs, strict=True) if one == here)
            agrees = "–" if theirs[0] == "–" else agrees or "neither"
            shown = difference.mean() * (100 if figure == "ID" else 1)
            lines.append(f"| {what} | {figure} | {shown:+.2f} | {here} | {theirs[0]} | {theirs[1]} | {agrees} |")
    return "\n".join(lines)


def main(
    data: Annotated[Path, typer.Option(help="Folder of the archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the networks that judge.")],
    work: Annotated[Path, typer.Option(help="Folder for caches and for the rows' state.")] = Path("runs"),
    steps: Annotated[int, typer.Option(min=2, help="Of every row.")] = 2000,
    rows: Annotated[str, typer.Option(help="Some of them, with commas.")] = ",".join(ROWS),
    width: Annotated[int, typer.Option(min=4, help="Channels of the generators at full size.")] = 16,
    seed: int = 1,
    count: Annotated[int, typer.Option(min=150, help="Faces to judge.")] = 400,
) -> None:
    """Train every row that is not done yet, and print both tables."""
    cache = work / "cache"
    archive = few(data / TRAIN, PEOPLE, work / f"celeba-{PEOPLE}-people.zip")
    known = read_archive(archive, cache, labelled=True)
    wanted = teacher_embeddings(archive.name, known, work, cache, teachers)
    validation = read_archive(data / VALIDATION, cache, labelled=True)
    vectors = teacher_embeddings(VALIDATION, validation, data, cache, teachers)
    jury = Jury(validation, vectors, known, teachers, cache, count)
    judged: dict[str, Judged] = {}
    for row in rows.split(","):
        recipe = small(row, steps, width, seed, archive, len(known))
        judged |= run(row, recipe, jury, wanted[jury.sources], teachers, work)
    print(f"{steps} steps of {BATCH} faces, width {width}, {len(jury.rows)} faces judged, seed {seed}\n")
    print(table(judged), signs(judged), sep="\n\n")


if __name__ == "__main__":
    typer.run(main)
