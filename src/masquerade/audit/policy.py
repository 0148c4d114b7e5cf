"""What an audit must find so that an output may be released: limits, in a small TOML file.

    far = 1e-3              # false acceptance rate at which recognisers decide
    by = "value"            # or "interval": the bad end of the 95 % interval must keep the limit too
    judged = 1              # at least so many faces must have been judged, where there are any; 0: none need be
    silent = false          # whether outputs may lack sound that the original has

    [limits]                # each may be left out
    uncovered = 0           # faces left as they were, or that the Plan does not know
    strays = 0              # photos and videos in the output folder that have no original
    id = 0.01               # share of faces whose person is found again
    neg_id = 0.01           # the same, by negation
    averaged = 0.01         # share of people found again by averaging their frames, where that is more than chance
    pose = 4.0              # degrees

A limit that nothing could be measured for is not kept.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from masquerade.errors import InputError, OptionError
from masquerade.media.files import check_readable

Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Correlation = Annotated[float, Field(ge=-1, le=1)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Data):
    """Each is the most that is allowed, but for those that say "at least". None: no limit."""

    refused: int | None = Field(default=0, ge=0)
    """Pairs that could not be compared."""
    strays: int | None = Field(default=0, ge=0)
    """Photos and videos in the output folder that have no original, so that nobody knows who is in them."""
    uncovered: int | None = Field(default=0, ge=0)
    """Faces left as they were or unknown to the Plan, that the detector is sure of; counted once a look."""
    uncovered_unsure: int | None = Field(default=None, ge=0)
    """The same that the detector is not sure of."""
    id: Share | None = 0.01
    """Share of the anonymized faces whose person is the nearest original, within the threshold."""
    neg_id: Share | None = 0.01
    """The same with the embedding negated."""
    averaged: Share | None = 0.01
    """Share of the people whose anonymized faces, averaged over all frames, lead back to them; not where chance alone
    would find as many."""
    people: Share | None = None
    """Share of the people who are recognised in at least one look."""
    linked: Share | None = None
    """Share of the people in two files who can be followed from one to the other."""
    drift: Amount | None = None
    """Temporal identity consistency M_tc of the output, cosine distance."""
    pose: Amount | None = None
    """Head pose error in degrees."""
    gaze: Amount | None = None
    """Gaze error in degrees. Needs a gaze network."""
    landmarks: Amount | None = None
    """Landmark error in distances of the eyes."""
    expression: Amount | None = None
    """Distance of expressions before and after; 1 is how far two people's are apart."""
    boundary: Amount | None = None
    """Visibility of the edge of what was replaced; 1 is no more than before."""
    flicker: Amount | None = None
    """Flicker beyond the original's own, in grey levels."""
    found: Share | None = None
    """At least: share of the faces that a detector still finds."""
    mouth: Correlation | None = None
    """At least: correlation of how far mouths are open. Needs a landmark network."""
    eyes: Correlation | None = None
    """At least: correlation of how far eyes are open. Needs a landmark network."""


AT_LEAST = frozenset({"found", "mouth", "eyes"})
"""Limits that must be reached, not kept below."""


class Policy(_Data):
    """See the module."""

    far: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    by: Literal["value", "interval"] = "value"
    judged: Annotated[int, Field(ge=0)] = 1
    silent: bool = False
    limits: Limits = Limits()


def read_policy(path: Path) -> Policy:
    """Reads a policy.

    Raises:
        InputError: the file cannot be read.
        OptionError: it is no TOML, or says something that a policy cannot mean.
    """
    check_readable(path)
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(Limits.model_fields)
        raise OptionError(f"no policy: {where}: {first['msg']}", path=path, hint=f"Limits are {known}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"is no TOML file ({error})", path=path) from error


def kept(name: str, limit: float, value: float, low: float | None, high: float | None, by: str) -> bool:
    """Whether a figure keeps its limit; by the interval only where there is one and its bad end keeps it too."""
    at_least = name in AT_LEAST
    worst = value if by == "value" else low if at_least else high
    if worst is None:
        return False
    return min(worst, value) >= limit if at_least else max(worst, value) <= limit
