"""Evidence + policy → findings: every figure once, and the verdict. They hold no embedding."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.attacks.linkage import BroughtBack, Means, brought_back
from masquerade.audit.evidence import (
    Evidence,
    FileEvidence,
    Instruments,
    Refused,
    Sighting,
    Stray,
    Uncovered,
    Weak,
    is_guard,
    trained_with,
)
from masquerade.audit.intervals import Estimate, bootstrap, jackknife, mean_of, share_of
from masquerade.audit.policy import AT_LEAST, Limits, Policy, kept
from masquerade.audit.quality import Moments, frechet_distance, kernel_distance
from masquerade.audit.retrieval import Linkability, Probes, Retrieval, drift, linkability, retrieve
from masquerade.audit.utility import correlation
from masquerade.audit.verification import make_pairs, pair_distances
from masquerade.faces.embed import Encoder
from masquerade.version import __version__

_BIN = 0.05  # of cosine distances
_PAIRS = 4000  # of each kind, for the distributions of originals
_KERNEL_FACES = 1000  # of each kind at most: the kernel distance takes their number squared
_FEW = 200  # resamples of what takes long
_NAMED = 5  # files in one note
_LUCK = 0.05  # what chance alone does more often than that proves nothing

Part = Literal["trained with", "guard", "none"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with what it takes to judge it.

    Attributes:
        key: its name in JSON and, where there may be a limit, in a policy.
        title, gloss: in words, short and long.
        unit: "share", "°", "", ...
        estimate: value, interval, faces, people; None where nothing could be measured.
        before: the same of the original by itself, where that means something.
        how: by what it was measured.
    """

    key: str
    title: str
    gloss: str
    unit: str
    estimate: Estimate | None
    how: str
    before: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How far faces are apart, as one recogniser sees it; shares of each kind in bins.

    Attributes:
        edges: of the bins, cosine distances from 0 to 2.
        replaced: an original face and the same face anonymized.
        one_person: two original faces of one person, from different looks; None where there are none.
        two_people: original faces of two people; None where there are none.
    """

    edges: tuple[float, ...]
    replaced: tuple[float, ...]
    one_person: tuple[float, ...] | None
    two_people: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Recogniser:
    """What one recogniser says.

    Attributes:
        name, sha256: which.
        part: "trained with": it took part in training swappers, and does not decide. "guard": it decides whether a
            swapped face is written at all, so that it finds few of those. "none": no part that we know of.
        far, threshold, low, high, data: when two faces match for it, with the threshold's interval, and by what faces.
        retrieval: None where no face could be judged.
        drift: M_tc of the output and, as `before`, of the original; None where nobody was seen twice.
        drift_std: standard deviations of the same distances, of the output and of the original.
        links: between files.
        averaged: whether the mean of a person's anonymized faces leads back; None where nobody was judged twice.
        surroundings: whether what is around each person's face does, by itself; None where no face could be judged.
        distribution: None where no face could be judged.
    """

    name: str
    sha256: str
    part: Part
    far: float
    threshold: float
    low: float
    high: float
    data: str
    retrieval: Retrieval | None
    drift: Figure | None
    drift_std: tuple[float, float] | None
    links: Linkability
    averaged: BroughtBack | None
    surroundings: BroughtBack | None
    distribution: Distribution | None

    @property
    def decides(self) -> bool:
        """Whether the verdict listens to it."""
        return self.part != "trained with"


@dataclass(frozen=True, slots=True)
class Check:
    """One limit of the policy.

    Attributes:
        key: its name.
        said: the figure in words.
        value: measured; None where nothing could be.
        limit: of the policy.
        passed: whether it is kept.
        low, high: 95 % interval of the value; None where it is a count, or there are too few people.
    """

    key: str
    said: str
    value: float | None
    limit: float
    passed: bool
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One person through time: distance of each judged face to itself before, by one recogniser."""

    person: str
    recogniser: str
    times: tuple[float, ...]
    distances: tuple[float, ...]
    threshold: float

    @property
    def ratio(self) -> float:
        """Of the weakest face, as `Weak.ratio`: below 1 it is recognised."""
        return min(min(d, 2 - d) for d in self.distances) / self.threshold


@dataclass(frozen=True, slots=True)
class Findings:
    """An audit's result; `networks` are (what for, name, SHA-256) of all that looked but detector and recognisers."""

    passed: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    recognisers: tuple[Recogniser, ...]
    utility: tuple[Figure, ...]
    quality: tuple[Figure, ...]
    timelines: tuple[Timeline, ...]
    files: tuple[FileEvidence, ...]
    refused: tuple[Refused, ...]
    strays: tuple[Stray, ...]
    uncovered: tuple[Uncovered, ...]
    weakest: tuple[Weak, ...]
    not_measured: tuple[str, ...]
    policy: Policy
    detector: str
    detector_sha256: str | None
    networks: tuple[tuple[str, str, str], ...]
    versions: Mapping[str, str]

    @property
    def faces(self) -> int:
        """Found in the originals, once a look."""
        return sum(file.faces for file in self.files)

    @property
    def judged(self) -> int:
        """Of these, looked at by recognisers."""
        return sum(file.judged for file in self.files)

    @property
    def sure(self) -> int:
        """Uncovered faces that the detector has no doubt of."""
        return sum(one.sure for one in self.uncovered)


def conclude(evidence: Evidence, instruments: Instruments, policy: Policy) -> Findings:
    """All figures and the verdict.

    Args:
        evidence: of all files together.
        instruments: with which it was gathered.
        policy: what must be kept.
    """
    sightings = evidence.sightings
    recognisers = tuple(_recogniser(encoder, evidence, policy.far) for encoder in instruments.encoders)
    deciding = [one for one in recognisers if one.decides]
    utility, quality = _utility(sightings, instruments), _quality(sightings, evidence, deciding)
    checks = _checks(evidence, policy, recognisers, [*utility, *quality])
    return Findings(
        passed=all(check.passed for check in checks),
        checks=tuple(checks),
        notes=tuple(_notes(evidence, recognisers, policy)),
        recognisers=recognisers,
        utility=tuple(utility),
        quality=tuple(quality),
        timelines=tuple(_timelines(sightings, deciding)),
        files=evidence.files,
        refused=evidence.refused,
        strays=evidence.strays,
        uncovered=evidence.uncovered,
        weakest=evidence.weakest,
        not_measured=tuple(_not_measured(instruments)),
        policy=policy,
        detector=instruments.detector.name,
        detector_sha256=instruments.detector_sha256,
        networks=tuple(
            (task, network.name, network.sha256)
            for task, network in (
                ("head pose", instruments.pose),
                ("landmarks", instruments.landmarks),
                ("gaze", instruments.gaze),
                ("expression", instruments.expression),
            )
            if network is not None
        ),
        versions={
            "masquerade": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "opencv-python-headless", "openvino", "av")},
        },
    )


# Recognisers


def _recogniser(encoder: Encoder, evidence: Evidence, far: float) -> Recogniser:
    entry = next(one for one in encoder.calibration if math.isclose(one.far, far, rel_tol=1e-6))
    part: Part = "trained with" if trained_with(encoder) else "guard" if is_guard(encoder) else "none"
    judged = [one for one in evidence.sightings if one.distances]
    originals, anonymized = evidence.vectors[encoder.name]
    people, files = np.array([one.person for one in judged]), np.array([one.file for one in judged])
    probes = Probes(people, files, originals, anonymized)
    known = Means.of(people, originals)
    around = evidence.surroundings.get(encoder.name, Means())
    retrieval = retrieve(probes, entry.threshold, far)
    # Where single faces resemble everybody their means do, too.
    adapted = retrieval.adapted_threshold if retrieval else None
    strict = entry.threshold if adapted is None else min(entry.threshold, adapted)
    moved, deviations = None, None
    if (after := drift(people, anonymized)) and (before := drift(people, originals)):
        moved = Figure(
            "drift",
            f"How much faces change over time (M_tc, {encoder.name})",
            "Cosine distance of a person's face to itself a little later, ten frames of each person; small is steady",
            "",
            after[1],
            encoder.name,
            before[1],
        )
        deviations = after[0].steps.std, before[0].steps.std
    return Recogniser(
        name=encoder.name,
        sha256=encoder.sha256,
        part=part,
        far=far,
        threshold=entry.threshold,
        low=entry.low,
        high=entry.high,
        data=entry.data,
        retrieval=retrieval,
        drift=moved,
        drift_std=deviations,
        links=linkability(probes, entry.threshold),
        averaged=brought_back(Means.of(people, anonymized), known, strict, far, least=2),
        surroundings=brought_back(around, known, entry.threshold, far),
        distribution=_distribution(probes),
    )


def _distribution(probes: Probes) -> Distribution | None:
    if not len(probes):
        return None
    edges = np.linspace(0, 2, round(2 / _BIN) + 1)

    def shares(distances: NDArray[np.float64]) -> tuple[float, ...] | None:
        if not len(distances):
            return None
        return tuple((np.histogram(distances, edges)[0] / len(distances)).tolist())

    own = 1 - np.einsum("nd,nd->n", probes.originals, probes.anonymized).astype(np.float64)
    pairs = make_pairs(probes.people, _PAIRS, _PAIRS)
    apart = pair_distances(probes.originals, pairs.first, pairs.second)
    replaced = shares(np.clip(own, 0, 2))
    assert replaced is not None  # there are faces
    return Distribution(tuple(edges.tolist()), replaced, shares(apart[pairs.same]), shares(apart[~pairs.same]))


def _timelines(sightings: Sequence[Sighting], deciding: Sequence[Recogniser]) -> list[Timeline]:
    """Of every person by the recogniser that comes nearest, the weakest first."""
    by_person: dict[str, list[Sighting]] = {}
    for one in sightings:
        if one.distances and deciding:
            by_person.setdefault(one.person, []).append(one)
    lines = []
    for person, seen in by_person.items():
        times = tuple(one.time for one in seen)
        own = [
            Timeline(person, judge.name, times, tuple(one.distances[judge.name] for one in seen), judge.threshold)
            for judge in deciding
        ]
        lines.append(min(own, key=lambda line: line.ratio))
    return sorted(lines, key=lambda line: line.ratio)


# Utility and quality


def _column(sightings: Sequence[Sighting], key: str) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Values that could be measured, and whose they are."""
    kept_ = [(one.measures[key], one.person) for one in sightings if math.isfinite(one.measures.get(key, math.nan))]
    return np.array([value for value, _ in kept_]), np.array([person for _, person in kept_])


def _utility(sightings: Sequence[Sighting], instruments: Instruments) -> list[Figure]:
    posed = instruments.pose.name if instruments.pose else "five landmarks fitted to a mean face"
    marked = instruments.landmarks.name if instruments.landmarks else f"five landmarks of {instruments.detector.name}"
    found, own = (_column(sightings, key) for key in ("found", "found_before"))
    figures = [
        Figure(
            "found",
            "Faces still found as faces",
            "Share of the faces in whose place the detector sees one when it looks there alone, where small faces are "
            "lost also in the original; redaction is meant to make this small",
            "share",
            share_of(found[0] > 0, found[1]),
            instruments.detector.name,
            share_of(own[0] > 0, own[1]),
        )
    ]
    for key, title, gloss in (
        ("pose", "Head pose", "Length of the difference in yaw, pitch and roll"),
        ("yaw", "Yaw", "Turned to the left or right"),
        ("pitch", "Pitch", "Up or down"),
        ("roll", "Roll", "Tilted to a shoulder"),
    ):
        figures.append(Figure(key, f"{title}, off by", gloss, "°", mean_of(*_column(sightings, key)), posed))
    figures.append(
        Figure(
            "landmarks",
            "Landmarks, off by",
            "Mean distance of landmarks before and after, in distances of the eyes",
            "share",
            mean_of(*_column(sightings, "landmarks")),
            marked,
        )
    )
    if instruments.gaze is not None:
        figures.append(
            Figure(
                "gaze",
                "Gaze, off by",
                "Angle between where the eyes look before and after, the head taken to be turned alike",
                "°",
                mean_of(*_column(sightings, "gaze")),
                instruments.gaze.name,
            )
        )
    if instruments.expression is not None:
        figures.append(
            Figure(
                "expression",
                "Expression, off by",
                "Distance of expressions before and after; 1 is how far the expressions of two people are apart",
                "",
                mean_of(*_column(sightings, "expression")),
                instruments.expression.name,
            )
        )
    if instruments.landmarks is not None:
        for key, title in (("mouth", "Mouth"), ("eyes", "Eyes")):
            figures.append(
                Figure(
                    key,
                    f"{title}: open when they were open",
                    "Correlation of how far they are open before and after; 1 is kept",
                    "",
                    _correlated(sightings, key),
                    marked,
                )
            )
    return figures


def _correlated(sightings: Sequence[Sighting], key: str) -> Estimate | None:
    seen = [
        one
        for one in sightings
        if math.isfinite(one.measures.get(key, math.nan) + one.measures.get(f"{key}_after", math.nan))
    ]
    before, after = (np.array([one.measures[name] for one in seen]) for name in (key, f"{key}_after"))
    if len(seen) < 3:
        return None
    names, who = np.unique([one.person for one in seen], return_inverse=True)
    rows = [np.flatnonzero(who == i) for i in range(len(names))]

    def drawn(people: NDArray[np.intp]) -> float:
        some = np.concatenate([rows[i] for i in people])
        return correlation(before[some], after[some])

    value = correlation(before, after)
    if not math.isfinite(value):
        return None
    return Estimate(value, *bootstrap(len(names), drawn, resamples=_FEW), len(seen), len(names))


def _quality(sightings: Sequence[Sighting], evidence: Evidence, deciding: Sequence[Recogniser]) -> list[Figure]:
    pixels = "pixels of the face's box"
    flickers = [one for one in sightings if math.isfinite(one.measures.get("flicker", math.nan))]
    people = [one.person for one in flickers]
    own = np.array([one.measures["flicker"] for one in flickers])
    after = np.array([one.measures["flicker_after"] for one in flickers])
    figures = [
        Figure(
            "sharpness",
            "Sharpness kept",
            "Variance of the Laplacian after over before; 1 is as sharp as it was",
            "×",
            mean_of(*_column(sightings, "sharpness")),
            pixels,
        ),
        Figure(
            "colour",
            "Colour shift",
            "Distance of the mean colours, CIE76 ΔE; about 2 can just be seen",
            "ΔE",
            mean_of(*_column(sightings, "colour")),
            pixels,
        ),
        Figure(
            "boundary",
            "Visible edge",
            "Gradient along the edge of what was replaced, after over before; above 1 a seam can be seen",
            "×",
            mean_of(*_column(sightings, "boundary")),
            "pixels about the face",
        ),
        Figure(
            "flicker",
            "Flicker beyond the original's own",
            "What changes from one frame to the next beside the original's motion, less the same of the original",
            "grey levels",
            mean_of(after - own, people),
            "Farnebäck's optical flow of the original",
            mean_of(own, people),
        ),
    ]
    for judge in deciding[:1]:
        figures += _distances(evidence, judge.name)
    return figures


def _distances(evidence: Evidence, name: str) -> list[Figure]:
    """Fréchet and kernel distance of the faces before and after, in the space of one recogniser."""
    originals, anonymized = evidence.vectors[name]
    names, who = np.unique([one.person for one in evidence.sightings if one.distances], return_inverse=True)
    some = np.unique(np.linspace(0, len(who) - 1, min(_KERNEL_FACES, len(who))).astype(int))

    def rows(people: NDArray[np.intp], among: NDArray[np.intp]) -> NDArray[np.intp]:
        return among[np.isin(who[among], people)]

    def frechet(people: NDArray[np.intp]) -> float:
        taken = rows(people, np.arange(len(who)))
        return frechet_distance(Moments.of(originals[taken]), Moments.of(anonymized[taken]))

    def kernel(people: NDArray[np.intp]) -> float:
        taken = rows(people, some)
        return kernel_distance(originals[taken], anonymized[taken])

    figures = []
    for key, title, gloss, measure, count in (
        (
            "frechet",
            "Fréchet distance",
            "Of the distributions of faces before and after; too high where faces are few",
            frechet,
            len(who),
        ),
        (
            "kernel",
            "Kernel distance",
            "The same by a kernel, without that error; about 0 where both are alike",
            kernel,
            len(some),
        ),
    ):
        value = measure(np.arange(len(names))) if len(names) else math.nan
        estimate = (
            Estimate(value, *jackknife(len(names), measure, value), count, len(names)) if math.isfinite(value) else None
        )
        figures.append(Figure(key, title, gloss, "", estimate, f"features of {name}, a recogniser of faces"))
    return figures


# Verdict


def _checks(
    evidence: Evidence, policy: Policy, recognisers: Sequence[Recogniser], figures: Sequence[Figure]
) -> list[Check]:
    limits, sure = policy.limits, sum(one.sure for one in evidence.uncovered)
    counts = {
        "uncovered": (
            sure,
            "face of the original was left as it was, or lies in no treated place",
            "faces of the original were left as they were, or lie in no treated place",
        ),
        "uncovered_unsure": (
            len(evidence.uncovered) - sure,
            "more such place may be a face; the detector is not sure",
            "more such places may be faces; the detector is not sure",
        ),
        "refused": (
            len(evidence.refused),
            "pair of files could not be compared",
            "pairs of files could not be compared",
        ),
        "strays": (
            len(evidence.strays),
            "photo or video beside the outputs has no original: nobody looked at who is in it",
            "photos or videos beside the outputs have no original: nobody looked at who is in them",
        ),
    }
    checks = [
        Check(key, one if value == 1 else many, value, getattr(limits, key), value <= getattr(limits, key))
        for key, (value, one, many) in counts.items()
        if getattr(limits, key) is not None
    ]
    faces = sum(file.faces - file.kept for file in evidence.files)
    deciding = [one for one in recognisers if one.decides]
    judged = sum(file.judged for file in evidence.files) if deciding else 0
    if faces:
        said = f"of {faces} faces could be judged by recognisers that decide"
        checks.append(Check("judged", said, judged, policy.judged, judged >= policy.judged))
    if judged:  # else there is nothing that these could be about
        checks += _recognised(policy, limits, deciding)
    by_key = {figure.key: figure for figure in figures}
    for key in ("pose", "gaze", "landmarks", "expression", "boundary", "flicker", "found", "mouth", "eyes"):
        limit = getattr(limits, key)
        if limit is not None and faces:
            figure = by_key.get(key)
            said, estimate = (figure.title, figure.estimate) if figure else (key, None)
            checks.append(_check(policy, key, said, estimate, limit))
    return checks


def _recognised(policy: Policy, limits: Limits, deciding: Sequence[Recogniser]) -> list[Check]:
    checks = []
    for judge in deciding:
        found, moved = judge.retrieval, judge.drift
        estimates = {
            "id": (found.own if found else None, f"of the anonymized faces lead back to their person ({judge.name})"),
            "neg_id": (
                found.neg_id if found else None,
                f"of the anonymized faces lead back by negation ({judge.name})",
            ),
            "people": (
                found.people if found else None,
                f"of the people are recognised in at least one frame ({judge.name})",
            ),
            "linked": (
                judge.links.linked,
                f"of the people in two files can be followed from one to the other ({judge.name})",
            ),
            "drift": (moved.estimate if moved else None, f"is how much faces change over time (M_tc, {judge.name})"),
        }
        for key, (estimate, said) in estimates.items():
            limit = getattr(limits, key)
            # Nobody in two files cannot be followed, and a photo has no time: no figure, and nothing broken.
            if limit is not None and not (estimate is None and key in ("linked", "drift")):
                checks.append(_check(policy, key, said, estimate, limit))
        if limits.averaged is not None and judge.averaged is not None:
            checks.append(_check_averaged(policy, judge.name, judge.averaged, limits.averaged))
    return checks


def _check_averaged(policy: Policy, name: str, back: BroughtBack, limit: float) -> Check:
    """Kept, too, where chance finds as many: means of few people may match everybody's. Chance is no proof, though."""
    strangers = f", and {100 * back.strangers.value:.1f} % of strangers match so" if back.strangers else ""
    said = f"of the people are found by averaging their frames{strangers} ({name})"
    check = _check(policy, "averaged", said, back.found, limit)
    return check if policy.by == "interval" or back.luck < _LUCK else replace(check, passed=True)


def _check(policy: Policy, key: str, said: str, estimate: Estimate | None, limit: float) -> Check:
    if estimate is None:
        return Check(key, f"{said}: could not be measured", None, limit, False)
    passed = kept(key, limit, estimate.value, estimate.low, estimate.high, policy.by)
    return Check(key, said, estimate.value, limit, passed, estimate.low, estimate.high)


def _notes(evidence: Evidence, recognisers: Sequence[Recogniser], policy: Policy) -> list[str]:
    """What a reader must know beside the figures."""
    notes = []
    kept_ = sum(file.kept for file in evidence.files)
    people = sum(file.kept_people for file in evidence.files)
    if kept_:
        whom = f" ({people} people)" if people else ""
        notes.append(f"{kept_} faces{whom} were left recognisable because the Plan says so. They are in no figure.")
    faces = sum(file.faces for file in evidence.files)
    judged = sum(file.judged for file in evidence.files)
    unfollowed = sum(file.unfollowed for file in evidence.files)
    if unclear := faces - kept_ - judged - unfollowed:
        notes.append(
            f"Of {faces - kept_} faces {unclear} are too small, blurred, dark or turned away for these recognisers to "
            "say whose they are. A better recogniser, or a person, may see more."
        )
    if unfollowed:
        notes.append(
            f"Of {faces - kept_} faces {unfollowed} belong to nobody whom the audit could follow: there it was only "
            "checked whether they are covered."
        )
    if not faces:
        notes.append("No face was found in the originals, so nothing was to be protected, or the detector saw nothing.")
    own = sum(file.plan_sha256 is None for file in evidence.files)
    if own:
        notes.append(
            f"For {own} of {len(evidence.files)} files no Plan was given: the audit found the people itself. Whom its "
            "detector overlooks is in no figure, uncovered or not."
        )
    if len(evidence.files) > 1:
        empty = [file.name for file in evidence.files if not file.faces]
        unjudged = [file.name for file in evidence.files if file.faces > file.kept and not file.judged]
        if empty and faces:
            notes.append(
                f"No face was found in {_listed(empty)}: nothing was to be protected there, or was overlooked."
            )
        if unjudged:
            notes.append(
                f"No face could be judged in {_listed(unjudged)}: there it was only checked whether faces are covered."
            )
        notes.append(
            "Who is in two files counts as two people: nobody tells the audit who is who. Where that is so, intervals "
            "are too narrow, and a face that is taken for somebody else may be taken for the same person elsewhere."
        )
    return [*notes, *_recognised_notes(recognisers, policy)]


def _listed(names: Sequence[str]) -> str:
    """Some names and how many more there are."""
    more = f" and {len(names) - _NAMED} more files" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _recognised_notes(recognisers: Sequence[Recogniser], policy: Policy) -> list[str]:
    """Of these, what is about recognisers."""
    notes = []
    names = [one.name for one in recognisers if one.part == "guard"]
    if names and all(one.part != "none" for one in recognisers):
        notes.append(
            "Only recognisers that come with masquerade were asked. They are weak, and every swapped face that the "
            "guard recognises was turned down before it was written. Add an independent one with --encoder."
        )
    for one in recognisers:
        found, back = one.retrieval, one.averaged
        if found and not one.decides and found.people.value:
            notes.append(
                f"{one.name} decides nothing, because swappers were trained to please it, and yet it recognises "
                f"{round(found.people.value * found.people.people)} of {found.people.people} people at least once. "
                "Take that seriously."
            )
        if found and found.gallery_people > 1 and (found.rank1.low or 0.0) > 1 / found.gallery_people:
            notes.append(
                f"Whoever has the originals can tell these people apart better than by chance: for {one.name} the "
                f"nearest original is the person's for {100 * found.rank1.value:.0f} % of the faces, by chance for "
                f"about {100 / found.gallery_people:.0f} %. The policy does not limit that."
            )
        if back and one.decides and policy.limits.averaged is None and back.found.value and back.luck < _LUCK:
            count = round(back.found.value * back.found.people)
            strangers = (
                f" Of pairs of strangers {100 * back.strangers.value:.1f} % match so, too." if back.strangers else ""
            )
            notes.append(
                f"Averaging all frames of a person leads {one.name} back to {count} of {back.found.people} people."
                f"{strangers} The policy does not limit that (averaged)."
            )
    if any(one.retrieval and one.retrieval.gallery_people < 10 for one in recognisers):
        notes.append("The gallery holds few people: intervals are wide. Audit more files together.")
    return notes


def _not_measured(instruments: Instruments) -> list[str]:
    missing = [
        "attacks that train a network to undo the change: against swapped faces ours succeed, whatever is said above "
        "(masquerade attack)"
    ]
    if instruments.gaze is None:
        missing.append("gaze (name a network with --gaze)")
    if instruments.expression is None:
        missing.append("expression as a whole")
    if instruments.landmarks is None:
        missing.append("how far mouths and eyes are open (name a network of 68 landmarks with --landmarks)")
    if instruments.pose is None:
        missing.append("head pose by a network: five landmarks are a rough measure, above all of pitch (see --pose)")
    missing.append("whether people who know somebody recognise them (masquerade survey)")
    missing.append("people whom no detector finds, such as from behind")
    return missing


_SHARES = frozenset({"id", "neg_id", "averaged", "people", "linked", "found"})


def amount(check: Check, value: float | None) -> str:
    """A figure of a check as people read it: shares in per cent."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if check.key in _SHARES else f"{value:g}" if value == round(value) else f"{value:.3f}"


def allowed(check: Check) -> str:
    """The limit of a check, as people read it."""
    return f"{'at least' if check.key in AT_LEAST or check.key == 'judged' else 'at most'} {amount(check, check.limit)}"
