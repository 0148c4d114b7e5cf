"""`masquerade survey`: whether people recognise who was anonymized."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from masquerade.audit.survey import Rate, read_answers, recognition
from masquerade.cli import common
from masquerade.cli.common import one_line, out, print_json


def survey_command(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="ANSWERS.csv",
            help="Columns participant, image, condition, answer and, if known, truth.",
            show_default=False,
        ),
    ],
    as_json: common.Json = False,
) -> None:
    """Turn a survey's answers into recognition rates with 95 % intervals, as in PAPER I.

    An answer that is empty, -, no, none, unknown, 0 or false means that nobody was recognised.
    """
    found = recognition(read_answers(answers))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table("condition", "recognised (95 %)", "named rightly", box=None, pad_edge=False)
    for one in found:
        right = "–" if one.right is None else _told(one.right)
        table.add_row(one_line(one.condition), _told(one.recognised), right)
    out.print(table)


def _told(rate: Rate) -> str:
    return f"{100 * rate.share:.1f} % ({100 * rate.low:.1f}–{100 * rate.high:.1f}), {rate.hits}/{rate.of}"
