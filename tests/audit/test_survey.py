"""A survey's arithmetic: the thesis's own rates, and Wilson's interval by its formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.audit.survey import Answer, rate, read_answers, recognition
from masquerade.errors import InputError


@given(st.integers(1, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_wilson_s_interval_by_its_formula(counts):
    hits, of = counts
    found, z, p = rate(hits, of), 1.959963984540054, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert found.share == p


def survey_of_the_thesis():
    """14 participants, five pictures a condition; the counts are inferred from the rates (see the module)."""
    shown = {"anonymized, full body": 25, "anonymized, face": 28, "unaltered, full body": 49, "unaltered, face": 43}
    for condition, recognised in shown.items():
        for number in range(70):
            answer = "Somebody" if number < recognised else ("no", "", "-", " None")[number % 4]
            yield f"p{number % 14}", f"picture {number // 14}", condition, answer


def test_the_rates_of_the_thesis(tmp_path):
    path = tmp_path / "answers.csv"
    lines = [",".join(f'"{cell}"' for cell in row) for row in survey_of_the_thesis()]
    path.write_text("participant,image,condition,answer\n" + "\n".join(lines), encoding="utf-8-sig")
    found = recognition(read_answers(path))
    assert [f"{100 * one.recognised.share:.1f}" for one in found] == ["35.7", "40.0", "70.0", "61.4"]
    assert {(one.participants, one.images, one.recognised.of, one.right) for one in found} == {(14, 5, 70, None)}
    assert found[0].recognised.low < 0.357 < found[0].recognised.high
    assert (found[0].recognised.low, found[0].recognised.high) == pytest.approx((0.255, 0.474), abs=1e-3)


def test_names_are_compared_without_case_and_blanks():
    answers = [
        Answer("a", "1", "face", "tom  HANKS", "Tom Hanks"),
        Answer("b", "1", "face", "Tom Cruise", "Tom Hanks"),
        Answer("c", "1", "face", "No", "Tom Hanks"),
        Answer("d", "2", "face", "Emma", ""),
    ]
    [found] = recognition(answers)
    assert (found.recognised.hits, found.recognised.of) == (3, 4)
    assert (found.right.hits, found.right.of) == (1, 3), "only where the truth is known"
    assert (found.participants, found.images) == (4, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("participant,image,answer\na,1,no\n", "no column condition"),
        ("participant,image,condition,answer\n", "no answers"),
        ("participant,image,condition,answer\na,1,c,no\n,1,c,no\n", "line 3 does not say"),
        ("participant,image,condition,answer\na,1,c\na,1,c,yes\n", "a answered twice about 1"),
        (b"participant,image,condition,answer\n\xff,1,c,no\n", "no CSV file"),
    ],
)
def test_bad_answers_are_refused_by_name(tmp_path, text, said):
    path = tmp_path / "answers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as caught:
        read_answers(path)
    assert caught.value.path == path
