"""What the packaged swapper is told."""

import numpy as np
import pytest

from masquerade.identity import anchor_name
from masquerade.identity.anchors import Anchor
from masquerade.identity.truncation import load_directions
from masquerade.models.cards import PACKAGED, cards
from masquerade.pipeline.tailor import Tailor

from .test_render import photo, plan_for  # noqa: F401 - a fixture
from .test_wardrobe import SEEN, person


@pytest.fixture(scope="module")
def tailor():
    return Tailor("swapper")


def test_people_wear_their_face_as_old_as_they_look(tailor, photo):  # noqa: F811
    name = anchor_name(Anchor(7, tailor.bank.members[7]), tailor.bank)
    people = tuple(
        person([SEEN], number).model_copy(update={"anchor": name, "apparent": apparent})
        for number, apparent in ((1, None), (2, (0.2, 0.5)), (3, (0.7, 0.5)))
    )
    worn = tailor.wardrobe(plan_for(photo, people)).identities
    np.testing.assert_array_equal(worn[1], tailor.condition(tailor.bank.members[7]))
    ages, _ = load_directions(PACKAGED / "swapper-directions.npz", cards()["swapper"].sha256)
    amount = cards()["swapper"].swap.truncation
    np.testing.assert_allclose(worn[3] - worn[2], 0.5 * amount.age * ages, atol=1e-5)


def test_a_whole_face_is_given_where_nothing_is_truncated(tailor):
    face = tailor.bank.members[:2]
    np.testing.assert_array_equal(tailor.condition(face, truncated=False), face)
    amount = cards()["swapper"].swap.truncation
    middle = np.array([amount.middle] * 2, np.float32)
    np.testing.assert_allclose(np.linalg.norm(tailor.condition(face, middle), axis=1), amount.identity, atol=1e-4)


def test_faces_are_read_by_the_guard(tailor):
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    age, sex = tailor.apparent(crops)
    ages, sexes = np.array([tailor.apparent(crop[None]) for crop in crops]).T
    assert min(ages) <= age <= max(ages)
    assert min(sexes) <= sex <= max(sexes)
    assert sex in (0, 0.25, 0.5, 0.75, 1)
