"""Faces are tried on before they are worn, and exchanged where the guard still knows the person."""

from dataclasses import dataclass

import numpy as np
import pytest

from masquerade.errors import BankError
from masquerade.faces.align import template
from masquerade.pipeline.fitting import EXCHANGES, SAMPLES, fit
from masquerade.pipeline.render import Wardrobe
from masquerade.plan import Person
from masquerade.swap.impose import Imposer
from masquerade.types import Face, Provenance, TrackedFace

from .test_render import clip, photo, plan_for  # noqa: F401 - fixtures
from .test_wardrobe import LEFT, SEEN, SUPPOSED, Painter, Watchman, person


class Taylor:
    """The anchor "0.9" is worn as the shade 0.9; the watchman lets pass what is light. Everyone looks 30."""

    def __init__(self, holds_attributes=False):
        self.worn = []
        self.holds_attributes = holds_attributes

    def apparent(self, crops):
        assert crops.shape[1:] == (112, 112, 3)
        return np.array([0.3, 0.5], np.float32)

    def wardrobe(self, plan):
        self.worn.append([p.anchor for p in plan.people])
        identities = {p.id: np.array([float(p.anchor), 0], np.float32) for p in plan.people if p.anchor is not None}
        return Wardrobe(Imposer(Painter(), template(32), Watchman()), identities)


@dataclass
class Rack:
    """A director with so many faces for each person."""

    others: dict[int, list[str]]
    fits: bool = True

    def another(self, number):
        try:
            return self.others[number].pop(0)
        except IndexError:
            return None


def dressed(number, anchor, provenances=(SEEN,) * 20):
    return person(list(provenances), number).model_copy(update={"anchor": anchor})


def anchors(plan):
    return {p.id: p.anchor for p in plan.people}


def test_only_whom_the_guard_knows_gets_another_face(clip):  # noqa: F811
    plan = plan_for(clip, (dressed(1, "0.9"), dressed(2, "-0.9"), dressed(3, None)))
    rack = Rack({2: ["-0.8", "0.7", "0.6"]})
    fitted = fit(clip, plan, Taylor(), rack)
    assert anchors(fitted) == {1: "0.9", 2: "0.7", 3: None}
    assert rack.others == {2: ["0.6"]}
    assert [p.faces for p in fitted.people] == [p.faces for p in plan.people]


def test_somebody_for_whom_nothing_does_keeps_the_last(photo):  # noqa: F811
    rack = Rack({1: ["-0.8", "-0.7", "-0.6", "-0.5"]})
    fitted = fit(photo, plan_for(photo, (dressed(1, "-0.9", [SEEN]),)), Taylor(), rack)
    assert len(rack.others[1]) == 4 - EXCHANGES
    assert anchors(fitted) == {1: "-0.6"}
    assert anchors(fit(photo, fitted, Taylor(), Rack({1: []}))) == {1: "-0.6"}


def test_whom_the_guard_knows_by_the_average_alone_gets_another_face(clip, photo):  # noqa: F811
    rack = Rack({1: ["0.9"]})
    assert anchors(fit(clip, plan_for(clip, (dressed(1, "0.15"),)), Taylor(), rack)) == {1: "0.9"}
    # A photo has nothing to average.
    once = plan_for(photo, (dressed(1, "0.15", [SEEN]),))
    assert anchors(fit(photo, once, Taylor(), Rack({1: ["0.9"]}))) == {1: "0.15"}


def test_the_plan_says_coarsely_what_people_look_like(clip):  # noqa: F811
    people = (dressed(1, "0.9"), dressed(2, None), dressed(3, "0.9").model_copy(update={"action": "keep"}))
    plan = plan_for(clip, people)
    fitted = fit(clip, plan, Taylor(holds_attributes=True), Rack({}))
    assert [p.apparent for p in fitted.people] == [(0.3, 0.5), None, None]
    for tailor, rack in ((Taylor(), Rack({})), (Taylor(holds_attributes=True), Rack({}, fits=False))):
        assert {p.apparent for p in fit(clip, plan, tailor, rack).people} == {None}


def test_who_cannot_be_swapped_is_not_asked(clip):  # noqa: F811
    small = Face(LEFT.scaled(0.2), 0.9, template(20))
    people = (
        dressed(1, "-0.9", [SUPPOSED] * 20),
        Person(id=2, anchor="-0.9", faces=(TrackedFace(3, small, Provenance.DETECTED),)),
        dressed(3, "-0.9").model_copy(update={"action": "keep"}),
    )
    tailor = Taylor()
    assert anchors(fit(clip, plan_for(clip, people), tailor, Rack({}))) == {1: "-0.9", 2: "-0.9", 3: "-0.9"}
    assert len(tailor.worn) == 1


def test_frames_are_few_and_spread(clip):  # noqa: F811
    from masquerade.pipeline import fitting  # noqa: PLC0415

    frames = [frame for frame, _ in fitting._spread(dressed(1, "0.9"))]
    assert len(frames) == SAMPLES
    assert (frames[0], frames[-1]) == (0, 19)


def test_a_director_gives_others_until_the_bank_is_empty(detector):
    from masquerade.identity import Policy  # noqa: PLC0415
    from masquerade.pipeline.people import Director, Wishes  # noqa: PLC0415
    from masquerade.types import Track  # noqa: PLC0415

    director = Director(Wishes(policy=Policy.PER_VIDEO), detector)
    who = np.eye(1, 512, dtype=np.float32)[0]
    (one,) = director.cast([Track(1, (TrackedFace(0, Face(LEFT, 0.9), Provenance.DETECTED),), who)])
    second, third = director.another(1), director.another(1)
    assert len({one.anchor, second, third}) == 3
    assert director.remarks.exchanged == 1
    assert director.remarks.dressed == 1

    class Empty:
        def another(self, number):
            raise BankError("none is left")

    director._worn = Empty()
    assert director.another(1) is None


def test_progress_is_told(clip):  # noqa: F811
    told = []
    fit(clip, plan_for(clip, (dressed(1, "0.9"),)), Taylor(), Rack({}), progress=lambda *step: told.append(step))
    assert told[-1] == ("fit", 20, 20)


@pytest.mark.parametrize("provenance", [SUPPOSED, Provenance.MANUAL])
def test_nobody_to_try_on_costs_nothing(clip, provenance):  # noqa: F811
    told = []
    plan = plan_for(clip, (dressed(1, "-0.9", [provenance] * 20),))
    fit(clip, plan, Taylor(), Rack({}), progress=lambda *step: told.append(step))
    assert told == []
