"""Truncation: less of a face's own, all of its age and sex."""

import numpy as np
import pytest

from masquerade.errors import BankError
from masquerade.identity import open_bank
from masquerade.identity.bank import fit_distribution, sample_bank
from masquerade.identity.truncation import Truncator, attribute_directions
from masquerade.models.cards import Truncation, cards

HALF = Truncation(identity=0.5, age=0.0, sex=0.0, middle=(0.4, 0.0))


def test_directions_are_those_of_one_attribute_while_the_other_stays():
    rng = np.random.default_rng(0)
    one, other = np.linalg.qr(rng.standard_normal((8, 2)))[0].T
    scores = rng.random((500, 2))
    scores[:, 1] = 0.5 * scores[:, 0] + 0.5 * scores[:, 1]  # where those of one are older, that must not count
    members = scores @ np.stack([one, -3 * other]) + 0.01 * rng.standard_normal((500, 8))
    np.testing.assert_allclose(attribute_directions(members, scores), [one, -other], atol=0.01)


def test_without_gains_a_face_is_only_made_shorter():
    faces = open_bank().members[:3]
    np.testing.assert_allclose(Truncator(open_bank(), HALF)(faces), 0.5 * faces, atol=1e-6)
    np.testing.assert_allclose(Truncator(open_bank(), HALF)(faces[0]), 0.5 * faces[0], atol=1e-6)


def test_gains_hold_age_and_sex_where_half_of_them_would_be_lost():
    bank = open_bank()
    held = Truncator(bank, HALF.model_copy(update={"age": 1.0, "sex": 0.5}))(bank.members)
    lost = Truncator(bank, HALF)(bank.members)
    directions = attribute_directions(bank.members, bank.scores(bank.members))
    for k, gain in enumerate((1.0, 0.5)):
        slope = np.polyfit(bank.scores(bank.members)[:, k], (held - lost) @ directions[k], 1)[0]
        assert slope == pytest.approx(gain, abs=0.05)


def test_what_wearers_look_like_comes_before_what_the_face_brings():
    bank = open_bank()
    truncate = Truncator(bank, HALF.model_copy(update={"age": 1.0}))
    old, young = (truncate(bank.members[0], np.array([age, 0.5], np.float32)) for age in (0.7, 0.2))
    age = attribute_directions(bank.members, bank.scores(bank.members))[0]
    np.testing.assert_allclose(old - young, 0.5 * age, atol=1e-6)
    both = truncate(bank.members[:2], np.array([[0.7, 0.5], [0.2, 0.5]], np.float32))
    np.testing.assert_allclose(both[0], old, atol=1e-6)


def test_the_packaged_swapper_is_asked_for_less_and_people_stay_apart():
    bank = open_bank()
    swap = cards()["swapper"].swap
    assert swap is not None and swap.truncation is not None
    told = Truncator(bank, swap.truncation)(bank.members[:300])
    assert np.linalg.norm(told, axis=1).mean() < 0.9
    unit = told / np.linalg.norm(told, axis=1, keepdims=True)
    nearest = 1 - (unit @ unit.T)[np.triu_indices(300, 1)]
    assert np.quantile(nearest, 0.01) > 0.2


def test_a_bank_that_cannot_tell_age_and_sex_is_refused():
    bank = open_bank()
    people = bank.members[:200]
    plain = sample_bank(
        fit_distribution(people), 5, training_centres=people[:2], encoder=bank.info.encoder, min_between=0.0, seed=1
    )
    with pytest.raises(BankError, match="age and sex"):
        Truncator(plain, HALF)
