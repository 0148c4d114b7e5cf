import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.errors import BankError, OptionError
from masquerade.identity.anchors import attribute_penalty, choose_anchor, safe_window, slerp_to_distance
from tests.identity.population import Population, unit

T = 0.66  # the FAR 1e-3 threshold of a real encoder
WINDOW = safe_window(T, 0.05)
PEOPLE = Population(2000, seed=1).identities
MEMBERS = Population(2048, seed=2).identities
ORDER = np.random.default_rng(3).permutation(len(MEMBERS))


def distance(a, b):
    return 1 - float(np.asarray(a, np.float64) @ np.asarray(b, np.float64))


def test_the_window_of_the_field_is_the_one_the_thesis_uses():
    low, high = safe_window(0.63)
    assert (low, high) == pytest.approx((0.63, 1.37))
    assert low < 0.7 < high  # FIVA's margin
    assert low < 2 - 0.7 < high  # and where its output lands
    assert safe_window(0.63, 0.1) == pytest.approx((0.73, 1.27))


@given(st.floats(0.05, 0.95), st.floats(0, 2), st.sampled_from(["swap", "fiva"]), st.integers(0, 2**32 - 1))
def test_inside_the_window_no_output_matches_plain_or_negated_and_outside_one_does(t, d, kind, seed):
    z, b = unit(np.random.default_rng(seed).standard_normal((2, 8)))
    low, high = safe_window(t)
    anchor = slerp_to_distance(z, b, d)
    output = anchor if kind == "swap" else -anchor
    recognised = distance(z, output) <= t or distance(-z, output) <= t
    if low + 1e-5 < d < high - 1e-5:
        assert not recognised
    elif d < low - 1e-5 or d > high + 1e-5:
        assert recognised


@pytest.mark.parametrize(("threshold", "safety"), [(0.9, 0.1), (1.2, 0), (-0.1, 0), (0.5, -0.1)])
def test_no_window_is_an_error(threshold, safety):
    with pytest.raises(OptionError):
        safe_window(threshold, safety)


@given(st.floats(0, 2), st.integers(2, 600), st.integers(0, 2**32 - 1))
def test_slerp_is_exact_unit_and_on_the_great_circle(d, dimensions, seed):
    z, b = unit(np.random.default_rng(seed).standard_normal((2, dimensions)))
    face = slerp_to_distance(z, b, d)
    assert distance(z, face) == pytest.approx(d, abs=2e-6)
    assert np.linalg.norm(face) == pytest.approx(1, abs=1e-6)
    # The independent way: in the plane of z and b, on b's side.
    coefficients, *_ = np.linalg.lstsq(np.stack([z, b], 1).astype(float), face.astype(float), rcond=None)
    assert np.abs(np.stack([z, b], 1) @ coefficients - face).max() < 1e-4
    assert coefficients[1] >= -1e-4


def test_slerp_at_the_member_s_own_distance_is_the_member():
    z, b = PEOPLE[0], MEMBERS[0]
    np.testing.assert_allclose(slerp_to_distance(z, b, distance(z, b)), b, atol=1e-5)


def test_there_is_no_circle_through_opposite_points():
    with pytest.raises(ValueError, match="great circle"):
        slerp_to_distance(PEOPLE[0], -PEOPLE[0], 1.0)
    with pytest.raises(OptionError):
        slerp_to_distance(PEOPLE[0], MEMBERS[0], 2.1)


def test_an_anchor_of_fiva_and_one_of_a_swap_at_the_other_edge_are_the_same_face():
    near = slerp_to_distance(PEOPLE[0], -MEMBERS[0], 0.7)
    far = slerp_to_distance(PEOPLE[0], MEMBERS[0], 1.3)
    np.testing.assert_allclose(-near, far, atol=1e-6)


@pytest.mark.parametrize("wanted", [None, 0.75, 1.0, 1.3 - 0.05])
def test_every_one_of_thousands_of_choices_is_in_the_window(wanted):
    low, high = WINDOW
    rng = np.random.default_rng(4)
    bank = MEMBERS if wanted is None else MEMBERS[:200]
    for z in PEOPLE:
        anchor = choose_anchor(z, bank, rng.permutation(len(bank)), window=WINDOW, apart=T, distance=wanted)
        got = distance(z, anchor.face)
        assert low <= got <= high
        assert distance(-z, anchor.face) > T
        if wanted is None:
            assert (anchor.face == MEMBERS[anchor.member]).all()
        else:
            assert got == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize("wanted", [None, 1.2])
def test_a_crowd_wears_faces_that_nobody_confuses(wanted):
    worn = np.empty((0, 512), np.float32)
    for i, z in enumerate(PEOPLE[:40]):
        others = np.delete(PEOPLE[:40], i, axis=0)
        anchor = choose_anchor(
            z, MEMBERS, ORDER, window=WINDOW, apart=T, avoid=np.vstack([worn, others]), distance=wanted
        )
        worn = np.vstack([worn, anchor.face])
    between = (1 - worn @ worn.T)[np.triu_indices(len(worn), 1)]
    assert between.min() > T
    assert (1 - worn @ PEOPLE[:40].T).min() > T


def test_the_keyed_order_decides_and_refused_members_are_passed_over():
    z = PEOPLE[7]
    in_window = [m for m in ORDER if WINDOW[0] <= distance(z, MEMBERS[m]) <= WINDOW[1]]
    assert choose_anchor(z, MEMBERS, ORDER, window=WINDOW, apart=T).member == in_window[0]
    assert choose_anchor(z, MEMBERS, ORDER, window=WINDOW, apart=T, refused=in_window[:3]).member == in_window[3]


def test_an_exact_distance_moves_members_as_little_as_the_key_allows():
    z = PEOPLE[7]
    cost = np.abs(1 - MEMBERS @ z - 1.25)
    chosen = {
        choose_anchor(
            z, MEMBERS, np.random.default_rng(s).permutation(2048), window=WINDOW, apart=T, distance=1.25
        ).member
        for s in range(60)
    }
    assert len(chosen) > 30  # the key still chooses
    assert chosen <= set(np.argsort(cost)[:256].tolist())


def test_an_exhausted_bank_and_an_unsafe_distance_are_errors():
    with pytest.raises(BankError):
        choose_anchor(PEOPLE[0], MEMBERS, ORDER, window=WINDOW, apart=T, refused=range(2048))
    with pytest.raises(BankError):
        choose_anchor(PEOPLE[0], MEMBERS, ORDER, window=WINDOW, apart=1.5, avoid=PEOPLE[:5])
    for unsafe in (0.5, 1.5):
        with pytest.raises(OptionError, match="recognised"):
            choose_anchor(PEOPLE[0], MEMBERS, ORDER, window=WINDOW, apart=T, distance=unsafe)


def test_attributes_pull_the_choice_without_classes():
    rng = np.random.default_rng(5)
    scores = rng.random((2048, 3)).astype(np.float32)
    weights = np.float32([1, 2, 0.5])
    person = np.float32([0.3, np.nan, 0.8])
    penalty = attribute_penalty(person, scores, weights)
    by_hand = [abs(0.3 - s[0]) + 0.5 * abs(0.8 - s[2]) for s in scores.astype(float)]
    np.testing.assert_allclose(penalty, by_hand, atol=1e-6)
    gaps = []
    for z in PEOPLE[:50]:
        order = rng.permutation(2048)
        member = choose_anchor(z, MEMBERS, order, window=WINDOW, apart=T, penalty=penalty).member
        gaps.append(abs(scores[member, 0] - 0.3))
    assert max(gaps) < 0.25


def test_faces_on_the_other_side_come_first_and_others_only_where_there_are_none():
    z, order = PEOPLE[0], np.arange(len(MEMBERS))
    far = 1 - MEMBERS @ z
    beyond = float(np.quantile(far, 0.9))
    chosen = choose_anchor(z, MEMBERS, order, window=(0.0, 2.0), apart=0.0, beyond=beyond)
    assert chosen.member == np.flatnonzero(far > beyond)[0]
    taken = np.flatnonzero(far > beyond).tolist()
    left = choose_anchor(z, MEMBERS, order, window=(0.0, 2.0), apart=0.0, beyond=beyond, refused=taken)
    assert left.member == np.flatnonzero(far <= beyond)[0]
    assert choose_anchor(None, MEMBERS, order, window=(0.0, 2.0), apart=0.0, beyond=beyond).member == 0
