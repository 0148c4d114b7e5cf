"""Do people recognise who was anonymized? Answers of a survey → rates with intervals (PAPER I, thesis 5.1.2).

The thesis gives rates without counts. Fourteen participants who each see five pictures give 70 answers, of which 25,
28, 49 and 43 are its 35.7, 40, 70 and 61.4 %: that there were five pictures is our inference.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

from masquerade.errors import InputError
from masquerade.media.files import check_readable

NOT_RECOGNISED = frozenset({"", "-", "no", "n", "none", "unknown", "0", "false"})
"""Answers, in any case, that name nobody. Every other answer says that the person was recognised."""
_COLUMNS = ("participant", "image", "condition", "answer")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one participant said of one picture.

    Attributes:
        participant, image: who and of what.
        condition: how the picture was shown, such as "anonymized, full body".
        answer: a name, yes or no; see `NOT_RECOGNISED`.
        truth: who it was; empty where nobody says, or where answers are only yes and no.
    """

    participant: str
    image: str
    condition: str
    answer: str
    truth: str = ""

    @property
    def recognised(self) -> bool:
        """Whether the participant claims to know who it is."""
        return self.answer.casefold() not in NOT_RECOGNISED

    @property
    def right(self) -> bool:
        """Whether the name is the true one; case and blanks do not matter."""
        return self.recognised and _plain(self.answer) == _plain(self.truth)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, and its 95 % confidence interval after Wilson, as if all answers were independent."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.hits / self.of


@dataclass(frozen=True, slots=True)
class Recognition:
    """How recognisable people were in one condition.

    Attributes:
        condition: which.
        participants, images: how many.
        recognised: share of the answers that claim to know the person.
        right: share of the answers with the right name, of those whose truth is known; None where none is.
    """

    condition: str
    participants: int
    images: int
    recognised: Rate
    right: Rate | None


def read_answers(path: Path) -> list[Answer]:
    """Reads a CSV file with the columns participant, image, condition, answer and, if known, truth, in any order.

    Raises:
        InputError: it cannot be read, a column or a value is missing, or somebody answered twice.
    """
    check_readable(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"has no column {', '.join(missing)}", path=path, hint=f"The first line names {','.join(_COLUMNS)}"
                )
            answers = [_answer(row, reader.line_num, path) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no CSV file that can be read ({error})", path=path, hint="Save it as UTF-8") from error
    if not answers:
        raise InputError("holds no answers", path=path)
    once: set[tuple[str, str, str]] = set()
    for answer in answers:
        key = answer.participant, answer.image, answer.condition
        if key in once:
            raise InputError(
                f"{answer.participant} answered twice about {answer.image} ({answer.condition})",
                path=path,
                hint="Keep one answer",
            )
        once.add(key)
    return answers


def recognition(answers: Iterable[Answer]) -> list[Recognition]:
    """The rates of each condition, in the order in which conditions first occur."""
    by_condition: dict[str, list[Answer]] = {}
    for answer in answers:
        by_condition.setdefault(answer.condition, []).append(answer)
    found = []
    for condition, given in by_condition.items():
        judged = [answer for answer in given if answer.truth]
        found.append(
            Recognition(
                condition=condition,
                participants=len({answer.participant for answer in given}),
                images=len({answer.image for answer in given}),
                recognised=rate(sum(answer.recognised for answer in given), len(given)),
                right=rate(sum(answer.right for answer in judged), len(judged)) if judged else None,
            )
        )
    return found


def rate(hits: int, of: int) -> Rate:
    """A share with Wilson's interval.

    Args:
        hits: 0 to `of`.
        of: at least 1.
    """
    interval = binomtest(hits, of).proportion_ci(confidence_level=0.95, method="wilson")
    return Rate(hits, of, float(interval.low), float(interval.high))


def _answer(row: dict[str, str | None], line: int, path: Path) -> Answer:
    values = {name: (row.get(name) or "").strip() for name in (*_COLUMNS, "truth")}
    if not (values["participant"] and values["image"] and values["condition"]):
        raise InputError(f"line {line} does not say who answered about what", path=path, hint="Fill in its columns")
    return Answer(**values)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
