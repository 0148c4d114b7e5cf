"""Truncation: less of a face's own, all of its wearer's age and sex."""

import numpy as np
import pytest

from masquerade.errors import WeightsError
from masquerade.identity import open_bank
from masquerade.identity.truncation import Truncator, load_directions, save_directions
from masquerade.models.cards import PACKAGED, Truncation, cards

HALF = Truncation(identity=0.5)
AXES = np.eye(2, 512, dtype=np.float32)


def test_without_directions_a_face_is_only_made_shorter():
    faces = open_bank().members[:3]
    for truncate in (Truncator(HALF), Truncator(HALF.model_copy(update={"age": 1.0}), AXES)):
        np.testing.assert_allclose(truncate(faces), 0.5 * faces, atol=1e-6)
        np.testing.assert_allclose(truncate(faces[0]), 0.5 * faces[0], atol=1e-6)
    apparent = np.full((3, 2), 0.9, np.float32)
    np.testing.assert_allclose(Truncator(HALF)(faces, apparent), 0.5 * faces, atol=1e-6)
    assert not Truncator(HALF).holds and Truncator(HALF, AXES).holds


def test_who_is_not_in_the_middle_is_pushed_along_the_directions():
    face = open_bank().members[0]
    truncate = Truncator(Truncation(identity=0.5, age=2.0, sex=-1.0, middle=(0.4, 0.5)), AXES)
    old, young = (truncate(face, np.array([age, 0.5], np.float32)) for age in (0.7, 0.2))
    np.testing.assert_allclose(old - 0.5 * face, 0.6 * AXES[0], atol=1e-6)
    np.testing.assert_allclose(young - 0.5 * face, -0.4 * AXES[0], atol=1e-6)
    np.testing.assert_allclose(truncate(face, np.array([0.4, 1.0], np.float32)) - 0.5 * face, -0.5 * AXES[1], atol=1e-6)
    both = truncate(np.stack([face, face]), np.array([[0.7, 0.5], [0.2, 0.5]], np.float32))
    np.testing.assert_allclose(both, [old, young], atol=1e-6)


def test_directions_come_back_for_the_swapper_they_are_of_and_no_other(tmp_path):
    path = tmp_path / "directions.npz"
    with pytest.raises(WeightsError, match="no directions"):
        load_directions(path, "a")
    save_directions(path, AXES, "a")
    np.testing.assert_array_equal(load_directions(path, "a"), AXES)
    with pytest.raises(WeightsError, match="another swapper"):
        load_directions(path, "b")


def test_the_packaged_swapper_is_asked_for_less_and_people_stay_apart():
    bank, card = open_bank(), cards()["swapper"]
    assert card.swap is not None and card.swap.truncation is not None
    amount = card.swap.truncation
    assert amount.directions is not None
    directions = load_directions(PACKAGED / amount.directions, card.sha256)
    apparent = np.tile(np.array([[0.3, 0.0], [0.6, 1.0]], np.float32), (150, 1))
    told = Truncator(amount, directions)(bank.members[:300], apparent)
    assert np.linalg.norm(told, axis=1).mean() < 0.95
    unit = told / np.linalg.norm(told, axis=1, keepdims=True)
    nearest = 1 - (unit @ unit.T)[np.triu_indices(300, 1)]
    assert np.quantile(nearest, 0.01) > 0.2
