import numpy as np
import pytest

from masquerade.errors import BankError, PlanError
from masquerade.identity.anchors import Anchor
from masquerade.identity.keyring import Keyring
from masquerade.identity.naming import anchor_name, resolve
from masquerade.plan import Person, Plan
from tests.identity.test_casting import plan_of
from tests.identity.test_keyring import BANK, a_bank, crowd

NAME = f"bank {BANK.info.sha256[:12]} member 41"


def plan(anchor, action="replace"):
    return plan_of((Person(id=3, anchor=anchor, action=action, faces=()),))


def test_a_name_leads_back_to_the_face_through_a_plan_on_disk(tmp_path):
    anchor = Anchor(41, BANK.members[41])
    assert anchor_name(anchor, BANK) == NAME
    (tmp_path / "plan.json").write_text(plan(NAME).dumps(), encoding="utf-8")
    [(person, again)] = resolve(Plan.load(tmp_path / "plan.json"), BANK).items()
    assert (person, again.member) == (3, 41)
    np.testing.assert_array_equal(again.face, anchor.face)


def test_a_plan_of_everyone_names_each_one_s_own_face(tmp_path):
    worn = Keyring(BANK).assign(crowd(*range(50)))
    people = tuple(Person(id=n + 1, anchor=anchor_name(anchor, BANK), faces=()) for n, anchor in worn.items())
    again = resolve(plan_of(people), BANK)
    assert all((again[n + 1].face == anchor.face).all() for n, anchor in worn.items())


def test_who_has_no_anchor_or_is_kept_wears_none():
    assert resolve(plan(None), BANK) == {}
    assert resolve(plan(NAME, "keep"), BANK) == {}


@pytest.mark.parametrize(
    "name", ["", "somebody", NAME + "0000000000", NAME.replace("41", "041"), NAME + "\n", "member 41"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(PlanError, match="person 3"):
        resolve(plan(name), BANK)


def test_another_bank_and_a_member_it_does_not_have_are_refused():
    with pytest.raises(BankError, match="wears a face of the bank"):
        resolve(plan(NAME), a_bank(5, seed=3))
    with pytest.raises(PlanError, match="member 600"):
        resolve(plan(NAME.replace("41", "600")), BANK)


def test_a_face_moved_to_a_distance_has_no_name():
    people = crowd(1)
    anchor = Keyring(BANK, distance=1.2).assign(people)[1]
    with pytest.raises(BankError, match="none of the bank's own"):
        anchor_name(anchor, BANK)
