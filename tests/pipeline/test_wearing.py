"""When a fabricated face is worn: where it was seen, across a blink, and never for a flash."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.faces.align import template
from masquerade.pipeline.wearing import BRIDGED, BRIEF, MOMENT, PATIENCE, Patience, worn_frames
from masquerade.plan import Person
from masquerade.swap.impose import Outcome
from masquerade.types import Box, Face, Provenance, TrackedFace

KINDS = {"d": Provenance.DETECTED, "i": Provenance.INTERPOLATED, "e": Provenance.EXTRAPOLATED}


def person(pattern, speed=0.0):
    """One letter a frame, a dot where the person is not there; moving by `speed` faces a frame."""
    faces = []
    for frame, letter in enumerate(pattern):
        if letter in KINDS:
            x = 60 * speed * frame
            face = Face(Box(x, 0, x + 60, 80), 0.9, (template(80) + np.array([x, 0])).astype(np.float32))
            faces.append(TrackedFace(frame, face, KINDS[letter]))
    return Person(id=1, anchor="a", faces=tuple(faces))


def worn(pattern, speed=0.0):
    frames = worn_frames(person(pattern, speed))
    return "".join("x" if i in frames else "-" for i in range(len(pattern)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ddddd", "xxxxx"),
        ("d", "x"),  # a photo, or somebody who is seen for a moment and not supposed before or after
        ("dd...dd", "xx---xx"),
        ("eedddddee", "--xxxxx--"),
        ("eeddddee", "--------"),
        ("ddidiiddiiid", "xxxxxxxxxxxx"),
        ("dddddiiiiddddd", "xxxxx----xxxxx"),
        ("dddddiiiiddd", "xxxxx-------"),
        ("dddddeeddddd", "xxxxx--xxxxx"),
        ("ddddd.iddddd", "xxxxx--xxxxx"),
        ("iddddd", "-xxxxx"),
        ("", ""),
    ],
)
def test_patterns(pattern, expected):
    assert (BRIDGED, BRIEF) == (3, 5)
    assert worn(pattern) == expected


@pytest.mark.parametrize("box", [Box(70, 0, 150, 80), Box(0, 0, 60, 240), Box(-90, 0, 180, 80)])
def test_a_box_that_was_moved_or_widened_is_covered_and_not_worn_in_its_old_place(box):
    face = Face(box, 0.9, template(80))
    assert worn_frames(Person(id=1, anchor="a", faces=(TrackedFace(0, face, Provenance.DETECTED),))) == set()


def test_who_moves_fast_is_not_guessed():
    assert worn("dddddiiddddd", speed=0.04) == "xxxxxxxxxxxx"
    assert worn("dddddiiddddd", speed=0.08) == "xxxxx--xxxxx"


@given(st.text("die.", max_size=40))
def test_nothing_flashes_and_nobody_is_made_up(pattern):
    result = worn(pattern)
    for i, letter in enumerate(pattern):
        assert result[i] == "-" or letter in "di"
    for start in range(len(pattern)):
        for length in range(1, BRIEF):
            piece = result[start - 1 : start + length + 1] if start else ""
            if piece == "-" + "x" * length + "-":
                around = pattern[start - 1], pattern[start + length]
                assert around == (".", "."), "shorter only for who is nowhere before and after"


def shown(guard):
    """What is seen of one person whom the guard lets pass (p), turns down (n), or is not asked about (.)."""
    patience, seen = Patience(), ""
    for frame, letter in enumerate(guard):
        if letter == ".":
            seen += "."
            continue
        waits = patience.waits(1)
        seen += "x" if letter == "p" and not waits else "-"
        outcome = Outcome.RECOGNISED if letter == "n" else Outcome.WAITING if waits else Outcome.SWAPPED
        patience.hears(1, frame, outcome)
    return seen


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ("pppppp", "xxxxxx"),
        ("pppnppp", "xxx-xxx"),
        ("npnpppppppppp", "-x---------xx"),
        ("nnpppnpppppppppp", "--------------xx"),
        ("pn" + "p" * 12 + "nppp", "x-" + "x" * 12 + "-xxx"),
        ("pn" + "p" * 11 + "nppp", "x-" + "x" * 11 + "----"),
        ("nn....pppppppppp", "--....--------xx"),
        ("nn" + "." * 40 + "pppppppppp", "--" + "." * 40 + "--------xx"),
    ],
)
def test_who_is_known_again_and_again_waits_until_that_is_over(guard, expected):
    assert (MOMENT, PATIENCE) == (12, 8)
    assert shown(guard) == expected


def test_everyone_waits_for_themselves():
    patience = Patience()
    for frame in range(2):
        patience.hears(1, frame, Outcome.RECOGNISED)
        patience.hears(2, frame, Outcome.SWAPPED)
    assert patience.waits(1)
    assert not patience.waits(2)
