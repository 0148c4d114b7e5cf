"""The thesis's tables on a user's own data: ours beside the published rows, and in words what is different."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masquerade.audit.attacks.reconstruction import Adversary
from masquerade.audit.intervals import Estimate
from masquerade.audit.reproduction.anonymizing import FAR, Anonymized, measure_anonymized, real_steps
from masquerade.audit.reproduction.faces import Seen
from masquerade.audit.reproduction.published import PUBLISHED, Cells
from masquerade.audit.reproduction.swapping import Swaps, measure_retention, measure_swaps, milliseconds
from masquerade.audit.temporal import Spread
from masquerade.audit.utility_networks import LandmarkNetwork, PoseNetwork
from masquerade.errors import OptionError
from masquerade.faces.embed import Encoder
from masquerade.faces.expression import ExpressionReader
from masquerade.pipeline.tailor import Tailor
from masquerade.swap.defences import Defence

_NONE = "–"


@dataclass(frozen=True, slots=True)
class Setting:
    """With what a table is made.

    Attributes:
        tailor: whose swapper is measured.
        judges: recognisers, calibrated at FAR 1e-3 for tables 5.6 to 5.8.
        reader: of expressions.
        pose, landmarks: networks of the user's own; None: what they would measure is left out.
        adversary: who undoes swaps; None: RA is left out.
    """

    tailor: Tailor
    judges: list[Encoder]
    reader: ExpressionReader
    pose: PoseNetwork | None = None
    landmarks: LandmarkNetwork | None = None
    adversary: Adversary | None = None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One table.

    Attributes:
        table: its number.
        rows: ours, in the published columns.
        differs: in what, one sentence each.
    """

    table: str
    rows: tuple[Cells, ...]
    differs: tuple[str, ...]

    def markdown(self) -> str:
        """The published rows, ours below them, and what is different."""
        published = PUBLISHED[self.table]
        lines = [
            f"Table {self.table}: {published.title}",
            "",
            "| " + " | ".join(published.columns) + " |",
            "|" + "---|" * len(published.columns),
            *("| " + " | ".join(row) + " |" for row in (*published.rows, *self.rows)),
            "",
            "What is different:",
            "",
            *(f"- {said}" for said in self.differs),
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        published = PUBLISHED[self.table]
        rows = {"published": published.rows, "ours": self.rows}
        named = {
            whose: [dict(zip(published.columns, row, strict=True)) for row in some] for whose, some in rows.items()
        }
        return {"table": self.table, "title": published.title, **named, "differs": list(self.differs)}


def reproduce(
    table: str, setting: Setting, seen: Seen, sources: Seen | None, *, name: str, videos: bool, pairs: int
) -> Reproduction:
    """One of tables 5.2 to 5.8.

    Args:
        table: its number.
        setting: with what.
        seen: the faces that are changed.
        sources: whose faces are put on, in tables 5.3 to 5.5; None: those of `seen`.
        name: of the data, for the reader.
        videos: whether one person's faces follow each other in time.
        pairs: in table 5.2.

    Raises:
        OptionError: there is no such table, or it needs an adversary.
        InputError: there are too few people, or no face can be swapped.
    """
    if table not in PUBLISHED:
        raise OptionError(f"there is no table {table!r} here", hint=f"There is {', '.join(PUBLISHED)}")
    published = PUBLISHED[table]
    network = setting.tailor.name
    if table == "5.2":
        rows, more = _retained(setting, seen, pairs)
    elif table in ("5.3", "5.4", "5.5"):
        rows, more = _swapped(table, setting, seen, sources or seen)
    elif table == "5.8":
        rows, more = _defended(setting, seen)
    else:
        rows, more = _anonymized(table, setting, seen, videos)
    differs = (
        f"Data. Ours: {len(seen)} faces of {len(set(seen.people.tolist()))} people from {name}"
        f"{_missing(seen)}. The thesis: {published.data}.",
        *more,
        f"Measured by. The thesis: {published.by}.",
        f"Network. Ours: {network}. The thesis's networks were trained elsewhere, on other faces and for longer.",
        "Nothing was kept: no changed picture has been written.",
    )
    return Reproduction(table, tuple(rows), differs)


def _missing(seen: Seen) -> str:
    return f" ({seen.missed} files without a face left out)" if seen.missed else ""


def _recognisers(found: Sequence[Swaps | Anonymized]) -> str:
    said = []
    for name, took_part in {one.recogniser: one.took_part for one in found}.items():
        said.append(f"{name}, which took part in training swappers, so its word counts little" if took_part else name)
    return "; ".join(said)


def _failed(count: int) -> list[str]:
    if not count:
        return []
    return [f"{count} faces could not be swapped (too dark, or from the side) and are in no figure."]


def _retained(setting: Setting, seen: Seen, pairs: int) -> tuple[list[Cells], list[str]]:
    kept, failed = measure_retention(setting.tailor, seen, setting.reader, setting.landmarks, pairs)
    rows: list[Cells] = [
        (f"{how} ({one.pairs} swaps)", f"{one.error:.2f}", f"{one.moved:.2f}", f"{one.ratio:.2f}") for how, one in kept
    ]
    more = [
        "Expressions. Ours are read by the packaged embedder, which was not trained on AffectNet; it also says which "
        "class a face shows. Distances are in mean distances of targets from sources, because the thesis does not say "
        "how its own are normalized.",
    ]
    if setting.landmarks is None:
        more.append("Landmarks were not measured: name a network of 68 landmarks with --landmarks.")
    return rows, more + _failed(failed)


def _swapped(table: str, setting: Setting, targets: Seen, sources: Seen) -> tuple[list[Cells], list[str]]:
    found = measure_swaps(setting.tailor, targets, sources, setting.judges, setting.reader, setting.pose)
    time = (f"{milliseconds(setting.tailor):.3g}",) if table == "5.4" else ()
    rows = [
        (
            f"{setting.tailor.name}, by {one.recogniser}",
            f"{100 * one.id.value:.2f}",
            _NONE if one.pose is None else f"{one.pose.value:.2f}",
            f"{one.expression.value:.3f}",
            f"{one.frechet:.3f}",
            *time,
        )
        for one in found
    ]
    people = len(set(sources.people.tolist()))
    more = [
        f"Recogniser. Ours: {_recognisers(found)}; among {len(sources)} faces of {people} people, where "
        f"chance is {100 / people:.2f} %.",
        "Exp. Ours is the distance of the packaged embedder's unit vectors, 0 to 2: another scale than the thesis's.",
        "FID. Ours is the Fréchet distance in the recogniser's space, not of Inception features: another scale, too.",
    ]
    if setting.pose is None:
        more.append("Pose was not measured: name a head pose network with --pose.")
    else:
        more.append(f"Pose. Ours: mean length of the difference in yaw, pitch and roll by {setting.pose.name}.")
    if time:
        more.append("Milliseconds. Ours: one face on this machine's processor; the thesis's: a graphics processor.")
    return rows, more + _failed(found[0].failed)


def _anonymized(table: str, setting: Setting, seen: Seen, videos: bool) -> tuple[list[Cells], list[str]]:
    tailor, rows = setting.tailor, []
    if table == "5.6" and videos:
        for judge, steps in zip(setting.judges, real_steps(seen, setting.judges), strict=True):
            rows.append((f"real data, by {judge.name}", _NONE, _NONE, _NONE, *_spread(steps)))
    found = []
    for how in ("Sampling", "ITM") if table == "5.6" else ("ITM",):
        found += measure_anonymized(
            tailor, seen, how, setting.judges, adversary=setting.adversary if table == "5.6" else None, timed=videos
        )
    for one in found:
        row = (f"{tailor.name} + {one.how}, by {one.recogniser}", _share(one.id))
        more = (_share(one.neg_id), _share(one.attacked), *_spread(one.steps)) if table == "5.6" else ()
        rows.append(row + more)
    said = [_thresholds(found)]
    if table == "5.6":
        said.append(_attacker(setting))
        if not videos:
            said.append("M_tc needs videos: photos of one person do not follow each other in time.")
        else:
            said.append("M_tc. Ours: cosine distances of each of ten frames of a person to the next; see consistency.")
    return rows, said + _failed(found[0].failed)


def _defended(setting: Setting, seen: Seen) -> tuple[list[Cells], list[str]]:
    if setting.adversary is None:
        raise OptionError(
            "table 5.8 needs an adversary", hint="Train one with masquerade attack, and name its adversary.onnx"
        )
    rows: list[Cells] = []
    found: list[Anonymized] = []
    for method, size, defences in (("none", _NONE, ()), ("Noise Defense", "0.15", (Defence("noise", 0.15),))):
        made = measure_anonymized(
            setting.tailor, seen, method, setting.judges, adversary=setting.adversary, defences=defences
        )
        for one in made:
            label = f"{method}: {setting.tailor.name}, by {one.recogniser}"
            rows.append((label, size, _share(one.attacked), "yes" if defences else _NONE))
        found += made
    return rows, [
        _thresholds(found),
        _attacker(setting),
        "Parameter noise and adversarial noise need the weights and a gradient: "
        "python -m masquerade.train.defences measures them, and an adversary who knows the defence, too.",
        *_failed(found[0].failed),
    ]


def _thresholds(found: Sequence[Anonymized]) -> str:
    """Who looked, and at what."""
    limits = ", ".join(f"{name} below {t:.3f}" for name, t in {one.recogniser: one.threshold for one in found}.items())
    return (
        f"Recogniser. Ours: {_recognisers(found)}; cosine distances of {limits}, a FAR of {FAR:g}. "
        "Every swap counts, also those that the product would redact because its guard still knows the person."
    )


def _attacker(setting: Setting) -> str:
    if setting.adversary is None:
        return "RA was not measured: name an adversary that masquerade attack has trained with --adversary."
    return "Adversary. Ours: the one that was named; how long it was trained decides what RA can say."


def _share(share: Estimate | None) -> str:
    if share is None:
        return _NONE
    if share.low is None or share.high is None:
        return f"{share.value:.3f}"
    return f"{share.value:.3f} ({share.low:.3f}–{share.high:.3f})"


def _spread(steps: Spread | None) -> Cells:
    return (_NONE, _NONE) if steps is None else (f"{steps.mean:.3f}", f"{steps.std:.3f}")
