"""Is a swapper good enough to ship? One table, each figure beside its bar.

    python benchmarks/swapper.py --data ../shared/data --teachers ../shared/models [--swapper CARD] [--count 600]
    python benchmarks/swapper.py --data ../shared/data --teachers ../shared/models --away [--count 200]

Faces: people nobody trained on (`celeba-val-128.zip`), each given a fabricated identity of the bank as the product
does, put through swapper, blend and guard; every figure is of what would be written if there were no guard, and how
often the guard says no stands beside it. Recognised is who lies nearer than the threshold of FAR 1e-3 on all pairs of
the archive. Groups are by what networks (yaw) and the names of UTKFace's files (age, sex, ethnicity: apparent, as its
makers saw them) say.

Clips: the first `--frames` frames of each, through the whole product.

Away: what it costs to give a face an identity farther from the person, as the product does where the guard says no.
An attacker ranks people by how far their photo is from the face that came out; AUC is how well that tells the person
from strangers, by the very photo and by another one.

Development only: the networks that measure are third parties', and none comes with the package. With `--count 600` and
`--frames 120` about ten minutes on two cores.
"""

import argparse
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from masquerade.audit import Moments, frechet_distance
from masquerade.audit.reproduction.faces import fabricated
from masquerade.audit.temporal import consistency, people_over_time
from masquerade.audit.verification import retrieval_ranks, threshold_at_far
from masquerade.faces.align import align, template
from masquerade.faces.detect import Detector, detect_in_windows, open_detector
from masquerade.faces.detect.boxes import iou
from masquerade.faces.embed import Encoder, open_encoder
from masquerade.identity import START_SCORE, Policy
from masquerade.identity.bank import learn_probe
from masquerade.media import StillFrame, open_video
from masquerade.models import has_bfloat16, open_session
from masquerade.models.runtime import import_openvino
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.fitting import fit
from masquerade.pipeline.people import Director, Wishes
from masquerade.pipeline.refine import refine
from masquerade.pipeline.render import Report, Wardrobe, render
from masquerade.pipeline.tailor import Tailor
from masquerade.plan import Plan
from masquerade.swap.base import Canvas
from masquerade.swap.guard import EncoderGuard
from masquerade.swap.impose import AWAY, GUARD_SIDE, Imposer, Outcome, Shown, Task, turned_away
from masquerade.swap.neural import model_of
from masquerade.train.data import FaceSet, derived, map_batches, read_archive, resized
from masquerade.train.judge import FAR, PACKAGED_ENCODERS, landmarks, openness, recognisers
from masquerade.train.teachers import poses
from masquerade.types import Box, Face

Faces = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE = 128
SMALL = (64, 48, 36)
"""Sides of crops, pixels, of which small faces are made; the face is about 0.7 of it wide."""
FEWEST = 10
"""Faces of which a mean is shown."""
UTKFACE = "utkface-128.zip"
_SEED = 1_000_003
"""`pipeline.render` seeds the grain with frame · this + person."""


class Everything:
    """A guard that lets everything pass and remembers what the real one says."""

    def __init__(self, guard: EncoderGuard) -> None:
        self._guard = guard
        self.passed: list[bool] = []

    def gone(self, originals: Faces, swapped: Faces) -> NDArray[np.bool_]:
        said = self._guard.gone(originals, swapped)
        self.passed += said.tolist()
        return np.ones(len(said), bool)

    def gone_on_average(self, originals: Faces, swapped: Faces) -> bool:
        return True


class Listener(Imposer):
    """An imposer that remembers what became of whom: (frame, person) → outcome."""

    def __init__(self, imposer: Imposer) -> None:
        self._imposer = imposer
        self.became: dict[tuple[int, int], Outcome] = {}

    def impose_and_show(
        self, canvas: Canvas, tasks: Sequence[Task], *, again: bool = True
    ) -> tuple[list[Outcome], list[Shown]]:
        outcomes, shown = self._imposer.impose_and_show(canvas, tasks, again=again)
        self.became.update({divmod(task.seed, _SEED): out for task, out in zip(tasks, outcomes, strict=True)})
        return outcomes, shown


@dataclass(frozen=True, slots=True)
class Made:
    """What a swapper made of faces.

    Attributes:
        faces: RGB (n, 128, 128, 3).
        passed: what the guard let pass, (n,).
        anchors: which fabricated identity each wears, numbers, (n,).
    """

    faces: Faces
    passed: NDArray[np.bool_]
    anchors: NDArray[np.int64]


def swap_crops(tailor: Tailor, faces: Faces, side: int = SIDE, away: float = 0.0) -> Made:
    """Each face as the product would write it, from a crop of `side` pixels, with an identity that suits its wearer.

    With `away`, that identity lies so far from the wearer's (`impose.turned_away`).
    """
    listening = Everything(EncoderGuard(open_encoder("guard")))
    imposer = Imposer(tailor.swapper, tailor.swapper.template, listening)
    own = map_batches(tailor.encoder.embed_crops, faces)
    chosen = fabricated(tailor, own, list(map(str, range(len(faces)))))
    _, anchors = np.unique(chosen, axis=0, return_inverse=True)
    apparent = np.stack([tailor.apparent(resized(face, GUARD_SIDE)[None]) for face in faces])
    conditions = turned_away(tailor.condition(chosen, apparent), own, away)
    made = []
    for number, (face, condition) in enumerate(zip(faces, conditions, strict=True)):
        frame = StillFrame(resized(face, side).copy())
        box = Box(0.14 * side, 0.05 * side, 0.86 * side, 1.0 * side)
        outcome = imposer.impose(frame, [Task(Face(box, 1.0, template(side)), condition, seed=number)])
        assert outcome == [Outcome.SWAPPED], outcome
        made.append(resized(np.asarray(frame.samples, np.uint8), SIDE))
    return Made(np.stack(made), np.array(listening.passed), anchors)


@dataclass(frozen=True, slots=True)
class Judge:
    """A recogniser and its threshold.

    Attributes:
        name: of it.
        part: whether it took part in training.
        embed: crops → unit vectors.
        known: of the whole archive, (n, d).
        threshold: cosine distance at FAR 1e-3.
    """

    name: str
    part: str
    embed: Callable[[Faces], Floats]
    known: Floats
    threshold: float

    def found(self, one: Floats, other: Floats) -> NDArray[np.bool_]:
        """Row by row, whether they count as one person."""
        return np.asarray(1 - (one * other).sum(axis=1) < self.threshold)


def judges(faces: FaceSet, archive: str, teachers: Path, cache: Path) -> Iterator[Judge]:
    """Every recogniser at hand; what those say that do not change with the package is stored."""
    first, second = np.triu_indices(len(faces), 1)
    other = faces.people[first] != faces.people[second]
    for name, part, embed in recognisers(teachers):

        def look(embed: Callable[[Faces], Floats] = embed) -> Floats:
            return map_batches(embed, faces.faces)

        stored = cache / f"{Path(archive).stem}.{name}1.npy"
        known = look() if name in PACKAGED_ENCODERS else derived(stored, look)
        distances = 1 - (known @ known.T)[first, second].astype(np.float64)
        yield Judge(name, part, embed, known, threshold_at_far(distances[other], FAR))


def gazes(model: Path, faces: Faces, points: Floats, angles: Floats) -> Floats:
    """Unit vectors of where the eyes look, (n, 3), by `gaze-estimation-adas-0002`.

    Args:
        points: 68 landmarks, (n, 68, 2).
        angles: yaw, pitch, roll in degrees, (n, 3).
    """
    network = import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = []
    for face, marks, pose in zip(faces, points, angles, strict=True):
        eyes = {}
        for name, corners in (("right_eye_image", marks[36:42]), ("left_eye_image", marks[42:48])):
            x, y = corners.mean(axis=0)
            half = max(8.0, float(np.ptp(corners[:, 0])))
            view = np.array([[30 / half, 0, 30 - x * 30 / half], [0, 30 / half, 30 - y * 30 / half]])
            eye = cv2.warpAffine(face[..., ::-1], view, (60, 60), borderMode=cv2.BORDER_REPLICATE)
            eyes[name] = eye.transpose(2, 0, 1)[None].astype(np.float32)
        read = network({**eyes, "head_pose_angles": pose[None].astype(np.float32)})
        rows.append(np.asarray(read["gaze_vector"], np.float32)[0])
    vectors = np.stack(rows)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, slots=True)
class Looks:
    """What the measuring networks see: 68 points, angles in degrees, unit vectors of gaze."""

    points: Floats
    angles: Floats
    gaze: Floats

    @staticmethod
    def at(faces: Faces, teachers: Path) -> "Looks":
        points, angles = landmarks(teachers / "fr_landmark.onnx", faces), poses(teachers / "fr_pose.onnx", faces)
        gaze = teachers / "gaze-estimation-adas-0002" / "gaze-estimation-adas-0002.xml"
        return Looks(points, angles, gazes(gaze, faces, points, angles))

    def pose_error(self, other: "Looks") -> Floats:
        """Degrees, (n, 3)."""
        return np.asarray(np.abs(self.angles - other.angles), np.float32)

    def gaze_error(self, other: "Looks") -> Floats:
        """Degrees, (n,)."""
        cosine = (self.gaze * other.gaze).sum(axis=1).clip(-1, 1)
        return np.asarray(np.degrees(np.arccos(cosine)), np.float32)

    def landmark_error(self, other: "Looks") -> Floats:
        """Percent of the distance between the outer eye corners, (n,)."""
        away = np.linalg.norm(self.points - other.points, axis=2).mean(axis=1)
        return np.asarray(100 * away / np.linalg.norm(self.points[:, 36] - self.points[:, 45], axis=1), np.float32)


def evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """Rows, evenly picked."""
    return np.unique(np.linspace(0, count - 1, wanted).astype(np.int64))


def auc(positives: Floats, negatives: Floats) -> float:
    """How often a positive is nearer than a negative."""
    ranks = rankdata(np.concatenate([positives, negatives]))
    n, m = len(positives), len(negatives)
    return 1 - float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


class Table:
    """Rows of a Markdown table, printed as they come."""

    def __init__(self, *columns: str) -> None:
        print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)

    def row(self, *cells: object) -> None:
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)

    def bar(self, what: str, value: float, bar: float | None = None, *, least: bool = False, digits: int = 4) -> None:
        """A figure beside the most, or the least, that it may be."""
        met = "" if bar is None else "yes" if (value >= bar if least else value <= bar) else "**no**"
        limit = "" if bar is None else f"{'≥' if least else '≤'} {bar:g}"
        self.row(what, f"{value:.{digits}f}", limit, met)


@dataclass(frozen=True, slots=True)
class Study:
    """Faces before and after, and what is seen of them.

    Attributes:
        targets: RGB (n, 128, 128, 3).
        made: what became of them.
        before, after: as the measuring networks see them.
        own: in which the unseen judge still finds the person, (n,).
    """

    targets: Faces
    made: Made
    before: Looks
    after: Looks
    own: NDArray[np.bool_]

    def row(self, table: Table, name: str, who: NDArray[np.bool_]) -> None:
        """A group's row; none where it is too small to say anything."""
        if (n := int(who.sum())) >= FEWEST:
            pose = self.before.pose_error(self.after)[who].mean()
            marks = self.before.landmark_error(self.after)[who].mean()
            rejected = 1 - self.made.passed[who].mean()
            table.row(name, n, f"{self.own[who].mean():.3f}", f"{rejected:.3f}", f"{pose:.2f}", f"{marks:.2f}")


def measure_faces(tailor: Tailor, options: argparse.Namespace, cache: Path) -> None:
    """Everything about single faces."""
    faces = read_archive(options.data / options.archive, cache, labelled=True)
    rows = evenly(len(faces), options.count)
    targets = faces.faces[rows]
    made = swap_crops(tailor, targets)
    judge, own = measure_recognition(faces, rows, made, options, cache)
    study = Study(targets, made, Looks.at(targets, options.teachers), Looks.at(made.faces, options.teachers), own)
    measure_likeness(study, judge, np.setdiff1d(np.arange(len(faces)), rows))
    if (options.data / UTKFACE).is_file():
        measure_attributes(study, options)
    table = Table("group", "faces", "ID (dlib)", "guard: no", "pose error (°)", "landmark error (%)")
    study.row(table, "all", np.ones(len(rows), bool))
    yaw = np.abs(study.before.angles[:, 0])
    for low, high in ((0, 15), (15, 30), (30, 90)):
        study.row(table, f"yaw {low}–{high}°", (yaw >= low) & (yaw < high))
    some = evenly(len(rows), max(FEWEST, options.count // 3))
    for side in SMALL:
        small = swap_crops(tailor, targets[some], side)
        own = judge.found(map_batches(judge.embed, small.faces), judge.known[rows[some]])
        # What a network sees of a small face it sees of the small original too.
        reduced = np.stack([resized(resized(face, side), SIDE) for face in targets[some]])
        one, two = (Looks.at(pictures, options.teachers) for pictures in (reduced, small.faces))
        study = Study(targets[some], small, one, two, own)
        study.row(table, f"face {round(0.72 * side)} px wide", np.ones(len(some), bool))
    if (options.data / UTKFACE).is_file():
        measure_groups(tailor, options, cache, judge, table)


def measure_recognition(
    faces: FaceSet, rows: NDArray[np.int64], made: Made, options: argparse.Namespace, cache: Path
) -> tuple[Judge, NDArray[np.bool_]]:
    """Who is still found; gives the judge that took no part in anything (dlib's), and in which faces it finds them."""
    people = faces.people[rows]
    table = Table("recogniser", "part in training", "ID", "¬ID", "rank-1", "rank-1 at FAR", "ID if passed", "met")
    judge, found = None, np.zeros(0, bool)
    for one in judges(faces, options.archive, options.teachers, cache):
        before, after = one.known[rows], map_batches(one.embed, made.faces)
        own, negated = one.found(after, before), one.found(-after, before)
        ranks = retrieval_ranks(after, one.known, people, faces.people)
        near = retrieval_ranks(after, one.known, people, faces.people, threshold=one.threshold)
        met = "yes" if max(own.mean(), negated.mean()) <= 0.002 else "**no**"
        shares = (own.mean(), negated.mean(), (ranks == 1).mean(), (near == 1).mean(), own[made.passed].mean())
        cells = (f"{share:.4f}" for share in shares)
        table.row(one.name, one.part, *cells, met if one.part == "unseen" else "")
        if one.name == "dlib":
            judge, found = one, own
    print(
        f"\n{len(rows)} faces of {len(set(people.tolist()))} people, each looked for among {len(faces)} photos, its "
        f"own original among them. ID and ¬ID at FAR {FAR:g}: at most 0.002 by whoever took no part in training."
    )
    assert judge is not None
    return judge, found


def measure_likeness(study: Study, judge: Judge, others: NDArray[np.int64]) -> None:
    """What is kept of a face, and whether identities are real."""
    before, after, made = study.before, study.after, study.made
    table = Table("figure", "value", "bar", "met")
    table.bar("turned down by the guard, share", 1 - made.passed.mean())
    for axis, error in zip(("yaw", "pitch", "roll"), before.pose_error(after).mean(axis=0), strict=True):
        table.bar(f"pose error, {axis} (°)", error, 2.5, digits=2)
    table.bar("gaze error (°)", before.gaze_error(after).mean(), digits=2)
    table.bar("landmark error (% of the distance of outer eye corners)", before.landmark_error(after).mean(), digits=2)
    for part, one, two in zip(("mouth", "eye"), openness(before.points).T, openness(after.points).T, strict=True):
        table.bar(f"{part} openness across people, r", np.corrcoef(one, two)[0, 1], digits=3)
    originals, results = (map_batches(judge.embed, some) for some in (study.targets, made.faces))
    distance = frechet_distance(Moments.of(originals), Moments.of(results))
    table.bar("Fréchet distance to the originals, in dlib's space (128-d)", distance)
    if len(others) > FEWEST:
        distance = frechet_distance(Moments.of(originals), Moments.of(judge.known[others]))
        table.bar("the same, of the archive's other photos", distance)
    first, second = np.triu_indices(len(results), 1)
    same = made.anchors[first] == made.anchors[second]
    pairs = (1 - results @ results.T)[first, second]
    if same.any():
        table.bar(
            "one identity on different people told from others (AUC, dlib)", auc(pairs[same], pairs[~same]), digits=3
        )
        table.bar("distance of one identity on different people (dlib; threshold below)", pairs[same].mean(), digits=3)
        table.bar("two identities on two people taken for one (dlib), share", (pairs[~same] <= judge.threshold).mean())
    table.bar("dlib's threshold at FAR 1e-3", judge.threshold, digits=3)


def measure_attributes(study: Study, options: argparse.Namespace) -> None:
    """Whether people look as old and as much like men or women as before, read by whom the product does not ask."""
    reader = open_encoder(options.teachers / "dlib_resnet29_128d.onnx", kind="dlib")
    probe = learn_probe(reader, options.data / UTKFACE)
    before, after = (probe.scores(map_batches(reader.embed_crops, some)) for some in (study.targets, study.made.faces))
    table = Table("attribute, read off dlib's embeddings", "value")
    table.row("mean error of the reading itself, years", f"{probe.info.age_error:.1f}")
    table.row("mean difference of apparent age, years", f"{100 * np.abs(before - after)[:, 0].mean():.1f}")
    table.row("apparent age before and after, r", f"{np.corrcoef(before[:, 0], after[:, 0])[0, 1]:.2f}")
    table.row("sex read rightly of photos", f"{probe.info.sex_right:.3f}")
    kept = (before[:, 1] > 0.5) == (after[:, 1] > 0.5)
    for word, who in (("men", before[:, 1] <= 0.5), ("women", before[:, 1] > 0.5)):
        table.row(f"{word} still read as such", f"{kept[who].mean():.3f} of {who.sum()}")


def measure_away(tailor: Tailor, options: argparse.Namespace, cache: Path) -> None:
    """What a step away from the person does for the guard, and for whoever looks for the opposite."""
    faces = read_archive(options.data / options.archive, cache, labelled=True)
    alone = np.bincount(faces.people)[faces.people] == 1
    rows = np.flatnonzero(~alone)[evenly(int((~alone).sum()), options.count)]
    people = faces.people[rows]
    other = [
        int(np.flatnonzero((faces.people == who) & (np.arange(len(faces)) != row))[0])
        for who, row in zip(people, rows, strict=True)
    ]
    strangers = people[:, None] != people
    everyone = list(judges(faces, options.archive, options.teachers, cache))
    names = [f"{what}, {one.name}" for one in everyone for what in ("ID", "¬ID", "AUC", "AUC, another photo")]
    table = Table("step", "guard: no", *names)
    for step in (0.0, AWAY, 2 * AWAY, 4 * AWAY):
        made = swap_crops(tailor, faces.faces[rows], away=step)
        cells = []
        for one in everyone:
            after = map_batches(one.embed, made.faces)
            photo, another = one.known[rows], one.known[other]
            likeness = after @ photo.T
            cells += [f"{one.found(after, photo).mean():.3f}", f"{one.found(-after, photo).mean():.3f}"]
            cells += [f"{auc((after * some).sum(1), likeness[strangers]):.2f}" for some in (photo, another)]
        table.row(f"{step:g}", f"{100 * (1 - made.passed.mean()):.1f} %", *cells)


def measure_groups(tailor: Tailor, options: argparse.Namespace, cache: Path, judge: Judge, table: Table) -> None:
    """By apparent age, sex and ethnicity."""
    faces = read_archive(options.data / UTKFACE, cache, labelled=False)
    with zipfile.ZipFile(options.data / UTKFACE) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    rows = evenly(len(faces), options.count)
    age, sex, ethnicity = np.array([[int(part) for part in Path(names[i]).name.split("_")[:3]] for i in rows]).T
    targets = faces.faces[rows]
    made = swap_crops(tailor, targets)
    own = judge.found(map_batches(judge.embed, made.faces), map_batches(judge.embed, targets))
    study = Study(targets, made, Looks.at(targets, options.teachers), Looks.at(made.faces, options.teachers), own)
    for low, high in ((0, 13), (13, 30), (30, 50), (50, 120)):
        study.row(table, f"apparent age {low}–{high - 1}", (age >= low) & (age < high))
    for code, word in enumerate(("male", "female")):
        study.row(table, f"apparent sex {word}", sex == code)
    for code, word in enumerate(("White", "Black", "Asian", "Indian", "other")):
        study.row(table, f"apparent ethnicity {word}", ethnicity == code)


def measure_speed(tailor: Tailor, options: argparse.Namespace) -> None:
    """Milliseconds of one core for one face, the network alone."""
    table = Table("figure", "value", "bar", "met")
    model, swapper = model_of(options.swapper), tailor.swapper
    for precision, bar in (("float32", 30.0), ("bfloat16", 12.0)):
        if precision == "bfloat16" and not has_bfloat16():
            table.row("bfloat16", "not on this processor", "≤ 12", "")
            continue
        session = open_session(model, engine="openvino", threads=1, precision=precision)  # type: ignore[arg-type]
        rng = np.random.default_rng(0)
        feeds = {p.name: rng.normal(size=[1, *p.shape[1:]]).astype(np.float32) * 0.1 for p in session.inputs}
        times = []
        for _ in range(40):
            start = time.process_time()  # not the clock's: others may want the core
            session.run(feeds)
            times.append(time.process_time() - start)
        table.bar(f"ms a face, {swapper.side} px, one core, OpenVINO {precision}", 1000 * min(times), bar, digits=1)


def excerpt(source: Path, target: Path, frames: int) -> Path:
    """The first frames of a clip, packet by packet, without sound."""
    with av.open(str(source)) as one, av.open(str(target), "w") as other:
        stream = one.streams.video[0]
        copy = other.add_stream_from_template(stream)
        for number, packet in enumerate(one.demux(stream)):
            if number >= frames or packet.dts is None:
                break
            packet.stream = copy
            other.mux(packet)
    return target


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip through the product.

    Attributes:
        plan: as rendered.
        report: of the rendering.
        became: (frame, person) → outcome, of those that were to be swapped.
        seconds: of the clock, all stages.
        output: the file.
    """

    plan: Plan
    report: Report
    became: Mapping[tuple[int, int], Outcome]
    seconds: float
    output: Path


def anonymized(source: Path, output: Path, tailor: Tailor, detector: Detector) -> Clip:
    """What `masquerade anonymize` does, with an ear at the imposer."""
    director = Director(Wishes(policy=Policy.PER_VIDEO), detector, encoder=tailor.encoder, bank=tailor.bank)
    start = time.perf_counter()
    plan = analyze(source, detector, cast=director.cast, encoder=tailor.encoder)
    plan = refine(source, plan, detector, tailor.aligner)
    plan = fit(source, plan, tailor, director)
    wardrobe = tailor.wardrobe(plan)
    listener = Listener(wardrobe.imposer)
    report = render(source, plan, output, wardrobe=Wardrobe(listener, wardrobe.identities))
    return Clip(plan, report, listener.became, time.perf_counter() - start, output)


Place = tuple[int, int]
"""Frame and person."""


def crops_of(path: Path, clip: Clip, detector: Detector) -> tuple[dict[int, list[Faces]], set[Place]]:
    """Aligned crops of every swapped face, in runs of frames on end, by person; and which of them the detector finds.

    Every third frame is looked at.
    """
    runs: dict[int, list[list[Faces]]] = {}
    last: dict[int, int] = {}
    found: set[Place] = set()
    faces = clip.plan.faces_by_frame()
    with open_video(path) as reader:
        for frame in reader:
            shown = [
                (person.id, tracked.face)
                for person, tracked in faces.get(frame.index, ())
                if clip.became.get((frame.index, person.id)) is Outcome.SWAPPED
            ]
            if not shown:
                continue
            picture = frame.thumbnail(frame.width, frame.height)
            for id, face in shown:
                if last.get(id) != frame.index - 1:
                    runs.setdefault(id, []).append([])
                last[id] = frame.index
                assert face.landmarks is not None, "nothing else is swapped"
                runs[id][-1].append(align(picture, face.landmarks, SIDE)[0])
            if frame.index % 3 == 0:
                seen = detect_in_windows(detector, frame, [face.box.scaled(2.0) for _, face in shown])
                sure = [face.box for face in seen if face.score >= START_SCORE]
                found |= {(frame.index, id) for id, face in shown if any(iou(face.box, box) >= 0.3 for box in sure)}
    return {id: [np.stack(run) for run in person] for id, person in runs.items()}, found


def flicker(runs: Mapping[int, Sequence[Faces]]) -> float:
    """Mean difference of aligned crops of consecutive frames, grey levels, in their middle, where the face is."""
    steps = [
        np.abs(np.diff(run[:, 24:120, 24:104].astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        for person in runs.values()
        for run in person
        if len(run) > 1
    ]
    return float(np.concatenate(steps).mean()) if steps else float("nan")


def switches(clip: Clip) -> int:
    """How often somebody turns from swapped to redacted or back from one frame to the next."""
    count = 0
    for person in clip.plan.people:
        states = {t.frame: clip.became.get((t.frame, person.id)) is Outcome.SWAPPED for t in person.faces}
        count += sum(states[frame] != states[frame - 1] for frame in states if frame - 1 in states)
    return count


def worn_plan(clip: Clip) -> Plan:
    """The Plan of nothing but what was swapped."""
    people = []
    for person in clip.plan.people:
        kept = tuple(t for t in person.faces if clip.became.get((t.frame, person.id)) is Outcome.SWAPPED)
        if kept:
            people.append(person.model_copy(update={"faces": kept}))
    return clip.plan.model_copy(update={"people": tuple(people)})


def measure_clips(tailor: Tailor, options: argparse.Namespace) -> None:
    """Everything about time."""
    detector = open_detector()
    judge: Encoder = open_encoder(options.teachers / "dlib_resnet29_128d.onnx", kind="dlib")
    table = Table(
        "clip", "faces", "swapped", "guard: no", "M_tc out / in (dlib)", "flicker out / in", "switches",
        "still found", "mouth, eyes r", "fps", "redacted for other reasons",
    )  # fmt: skip
    for source in sorted((options.data / "videos").glob("*.mp4")):
        with TemporaryDirectory() as folder:
            short = excerpt(source, Path(folder) / source.name, options.frames)
            clip = anonymized(short, Path(folder) / f"out-{source.name}", tailor, detector)
            faces = sum(clip.report.replaced.values())
            outcomes = clip.report.outcomes
            hindered = {**outcomes, "nobody's face chosen": faces - sum(outcomes.values())}
            redacted = ", ".join(
                f"{n} {why}" for why, n in hindered.items() if n and why not in ("swapped", "recognised")
            )
            swapped, known = outcomes.get("swapped", 0), outcomes.get("recognised", 0)
            if not swapped:
                speed = f"{clip.report.frames / clip.seconds:.1f}"
                table.row(source.stem, faces, 0, known, *[""] * 5, speed, redacted)
                continue
            worn = worn_plan(clip)
            spread = [
                consistency(people_over_time(path, worn, [judge], min_face=40)[0]) for path in (clip.output, short)
            ]
            ratio = "" if None in spread else " / ".join(f"{s.steps.mean:.3f}" for s in spread if s is not None)
            (before, there), (after, still) = (crops_of(path, clip, detector) for path in (short, clip.output))
            table.row(
                source.stem,
                faces,
                swapped,
                known,
                ratio,
                f"{flicker(after):.2f} / {flicker(before):.2f}",
                switches(clip),
                f"{len(there & still) / max(len(there), 1):.3f}",
                openness_over_time(before, after, options.teachers),
                f"{clip.report.frames / clip.seconds:.1f}",
                redacted,
            )
    print(
        "\nBars: M_tc of the output at most 1.3 times the original's; still found in at least 0.98; r of the openness "
        "of mouth and eyes (of the person seen longest) at least 0.9 in a talking clip (expressive-single)."
    )


def openness_over_time(
    before: Mapping[int, Sequence[Faces]], after: Mapping[int, Sequence[Faces]], teachers: Path
) -> str:
    """Correlation of openness of mouth and eyes of the person seen longest; nothing below 40 frames."""
    whom = max(before, key=lambda id: sum(map(len, before[id])))
    pictures = [np.concatenate(runs[whom]) for runs in (before, after)]
    if len(pictures[0]) < 40:
        return ""
    one, two = (openness(landmarks(teachers / "fr_landmark.onnx", some)) for some in pictures)
    return ", ".join(f"{np.corrcoef(a, b)[0, 1]:.2f}" for a, b in zip(one.T, two.T, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the archives and of videos/")
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the networks that measure")
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for caches")
    parser.add_argument("--swapper", default="swapper", help="a card of the package, or a user's own (TOML)")
    parser.add_argument("--archive", default="celeba-val-128.zip")
    parser.add_argument("--count", type=int, default=600, help="faces of each archive; 0 for none")
    parser.add_argument("--frames", type=int, default=120, help="of each clip; 0 for no clips")
    parser.add_argument("--away", action="store_true", help="only what a step away from the person does")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tailor = Tailor(options.swapper)
    if options.away:
        measure_away(tailor, options, options.work / "cache")
        return
    measure_speed(tailor, options)
    if options.count:
        measure_faces(tailor, options, options.work / "cache")
    if options.frames:
        measure_clips(tailor, options)


if __name__ == "__main__":
    main()
