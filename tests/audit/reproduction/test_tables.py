"""The protocols on people of whom all is known: everyone has stripes of their own, recognisers see nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest

from masquerade.audit.reproduction import PUBLISHED, Seen, Setting, reproduce
from masquerade.audit.reproduction.anonymizing import measure_anonymized, real_steps
from masquerade.audit.reproduction.faces import fabricated, put_on
from masquerade.audit.reproduction.swapping import measure_retention, measure_swaps, swap_among
from masquerade.errors import InputError, OptionError
from masquerade.faces.align import template
from masquerade.identity import open_bank
from masquerade.swap.base import Swapped
from masquerade.swap.defences import Defence

SIDE = 64
PEOPLE = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
"""How much of each kind of stripes six people have."""


def stripes(across):
    """Three kinds, too fine for a blend to take for light; (3, n) for places across an aligned crop of side 1."""
    return np.stack([np.sin(2 * np.pi * cycles * across) for cycles in (5, 7, 9)]).astype(np.float32)


def painted(codes, texture):
    """(n, 96, 96, 3), uint8: grey, stripes across the aligned crop in the middle, and a texture that is no one's."""
    rows = codes @ stripes((np.arange(96) - 16) / SIDE)
    return (
        np.rint(128 + 40 * rows[:, None, :, None] + texture[..., None]).clip(0, 255).astype(np.uint8).repeat(3, axis=3)
    )


def people(repeats=2, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(PEOPLE)), repeats)
    names = np.array([f"p{i}" for i in who])
    return Seen(painted(PEOPLE[who], rng.normal(0, 15, (len(who), 96, 96))), names, names, 0)


class Stripes:
    """An encoder that sees how much of each kind of stripes is in a face's middle."""

    name, dimensions, sha256 = "stripes", 3, "of no file"

    def embed_crops(self, crops):
        side = crops.shape[1]
        middle = slice(round(0.3 * side), round(0.7 * side))
        seen = crops[:, middle, middle].astype(np.float32).mean(axis=(1, 3))
        known = np.concatenate([stripes(np.arange(side) / side)[:, middle], np.ones((1, seen.shape[1]))])
        found = (seen @ np.linalg.pinv(known))[:, :3]
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    def threshold(self, far):
        assert far == 1e-3
        return 0.3


class Painter:
    """A swapper that gives a grey face the identity's stripes, or does nothing at all."""

    side, dimensions, answers, template = SIDE, 3, "swap", template(SIDE)

    def __init__(self, *, paints=True):
        self._paints = paints

    def swap(self, crops, identities):
        rows = identities @ stripes(np.arange(SIDE) / SIDE) * 40 / 127.5
        made = crops.mean((2, 3), keepdims=True) + np.broadcast_to(rows[:, None, None, :], crops.shape)
        return Swapped(made.astype(np.float32) if self._paints else crops, None)


class Reader:
    """Expressions are how coarse the texture is: an angle, and a class for either half."""

    name = "reader"

    def read_crops(self, crops):
        level = crops[..., 1].astype(np.float32).std(axis=(1, 2))
        embedding = np.stack([np.cos(level / 40), np.sin(level / 40)], axis=1)
        return SimpleNamespace(embedding=embedding, classes=np.stack([level < 40, level >= 40], axis=1))


def tailor(**how):
    members = np.array([[1, 1, 1], [-1, -1, -1], [1, -1, 1], [-1, 1, -1]], np.float32) / np.sqrt(3)
    info = SimpleNamespace(encoder=SimpleNamespace(far_1e3=0.3))
    swapper = Painter(**how)
    return SimpleNamespace(
        name="painter",
        swapper=swapper,
        apparent=lambda crops: np.full(2, 0.5, np.float32),
        condition=lambda faces, apparent=None, truncated=True: faces if swapper.answers == "swap" else -faces,
        encoder=Stripes(),
        bank=SimpleNamespace(members=members, info=info, probe=None),
    )


class Undoer:
    """An adversary who gives everybody their own face back."""

    def __init__(self, seen):
        self._crops = seen.crops

    def guess(self, crops):
        assert len(crops) == len(self._crops)
        return self._crops


def test_swaps_are_found_where_they_were_made():
    seen = people()
    rows = swap_among(seen, seen)
    assert (seen.people[rows] != seen.people).all() and np.bincount(rows).max() <= 2
    [found] = measure_swaps(tailor(), seen, seen, [Stripes()], Reader(), None)
    assert (found.id.value, found.id.count, found.id.people, found.failed) == (1.0, 12, 6, 0)
    assert found.pose is None and found.frechet < 0.3, "the same stripes, on others"
    [kept] = measure_swaps(tailor(paints=False), seen, seen, [Stripes()], Reader(), None)
    assert kept.id.value == 0 and kept.expression.value == pytest.approx(0, abs=1e-6)
    one = seen.only(seen.people == "p0")
    with pytest.raises(InputError, match="one person"):
        measure_swaps(tailor(), one, one, [Stripes()], Reader(), None)


def test_a_face_without_contrast_is_counted_and_in_no_figure():
    seen = people()
    seen.pictures[3] = 90
    [found] = measure_swaps(tailor(), seen, seen, [Stripes()], Reader(), None)
    assert found.failed == 1 and found.id.count == 11
    made, done = put_on(tailor(), seen, PEOPLE[np.zeros(12, int)])
    assert not done[3] and done.sum() == 11
    np.testing.assert_array_equal(made[3], seen.pictures[3])
    before = people().pictures
    assert (seen.pictures[:3] == before[:3]).all(), "originals stay as they were"


def test_fabricated_faces_keep_away_and_stay():
    seen = people()
    vectors = Stripes().embed_crops(seen.crops)
    worn = fabricated(tailor(), vectors, list(seen.people))
    apart = 1 - (worn * vectors).sum(axis=1)
    assert (apart > 0.35).all() and (apart < 1.65).all()
    np.testing.assert_array_equal(worn[::2], worn[1::2])


def test_nobody_is_found_in_a_painted_face_and_everybody_in_an_untouched_one():
    seen = people(4)
    [found] = measure_anonymized(tailor(), seen, "ITM", [Stripes()], adversary=Undoer(seen), timed=True)
    assert (found.id.value, found.attacked.value) == (0, 1) and found.neg_id.value < 0.2
    assert found.steps.mean < 0.05 and found.steps.count == 18
    [drawn] = measure_anonymized(tailor(), seen, "Sampling", [Stripes()], timed=True)
    assert drawn.attacked is None and drawn.steps.mean > 0.2
    [nothing] = measure_anonymized(tailor(paints=False), seen, "ITM", [Stripes()])
    assert (nothing.id.value, nothing.steps) == (1, None)
    [real] = real_steps(seen, [Stripes()])
    assert real.mean < 0.05
    noisy = measure_anonymized(tailor(), seen, "noise", [Stripes()], defences=(Defence("noise", 0.3),))
    assert noisy[0].id.value == 0 and noisy[0].how == "noise"


def test_expressions_are_kept_by_a_swapper_that_keeps_everything():
    seen = people()
    seen.pictures[::2] = painted(PEOPLE, np.random.default_rng(1).normal(0, 40, (6, 96, 96)))
    rows, failed = measure_retention(tailor(paints=False), seen, Reader(), None, 20)
    assert failed == 0 and [how.split(", ")[1] for how, _ in rows] == ["different classes", "same class"]
    different = rows[0][1]
    assert (different.pairs, different.ratio) == (10, 1)
    assert max(different.error, different.moved) < 1e-6


@pytest.mark.parametrize("table", [table for table in PUBLISHED if table != "5.2"])
def test_a_table_has_published_rows_ours_and_what_differs(table):
    seen = people()
    setting = Setting(tailor(), [Stripes()], Reader(), adversary=Undoer(seen))
    found = reproduce(table, setting, seen, None, name="stripes.zip", videos=table == "5.6", pairs=10)
    said = found.markdown()
    width = {line.count("|") for line in said.splitlines() if line.startswith("|")}
    assert width == {len(PUBLISHED[table].columns) + 1}
    assert all(" | ".join(row) in said for row in (*PUBLISHED[table].rows, *found.rows))
    assert "12 faces of 6 people from stripes.zip" in said and PUBLISHED[table].data in said
    row = found.as_json()
    assert len(row["ours"]) == {"5.6": 3, "5.8": 2}.get(table, 1)
    assert row["published"][0][PUBLISHED[table].columns[0]].startswith("thesis")
    if table == "5.4":
        assert row["ours"][0]["ID % ↑"] == "100.00" and float(row["ours"][0]["ms ↓"]) > 0
    if table == "5.6":
        assert row["ours"][0]["M_tc μ ↓"].startswith("0.0")
        assert row["ours"][2]["RA ↓"].startswith("1.000")


def test_what_is_missing_is_said():
    seen = people()
    setting = Setting(tailor(), [Stripes()], Reader())
    said = reproduce("5.6", setting, seen, None, name="x", videos=False, pairs=10).markdown()
    assert "RA was not measured" in said and "M_tc needs videos" in said
    assert "--pose" in reproduce("5.3", setting, seen, seen, name="x", videos=False, pairs=10).markdown()
    with pytest.raises(OptionError, match="adversary"):
        reproduce("5.8", setting, seen, None, name="x", videos=False, pairs=10)
    with pytest.raises(OptionError, match=r"5\.9"):
        reproduce("5.9", setting, seen, None, name="x", videos=False, pairs=10)


def test_the_published_tables_are_whole():
    assert list(PUBLISHED) == [f"5.{i}" for i in range(2, 9)]
    for published in PUBLISHED.values():
        assert {len(row) for row in published.rows} == {len(published.columns)}


def test_fabricated_faces_fit_age_and_sex_where_the_bank_can_tell():
    bank = open_bank()
    people = bank.members[[3, 1000]]  # they have ages and sexes, too
    worn = fabricated(SimpleNamespace(bank=bank), people, ["a", "b"])
    for z, face in zip(people, worn, strict=True):
        [member] = np.flatnonzero((bank.members == face).all(axis=1))
        misfit = bank.misfit(z)
        assert misfit[member] <= np.quantile(misfit, 0.3)  # a few of those that lie on the other side
