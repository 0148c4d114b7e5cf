"""Who wears a face gets it where it can be seen and checked, and is redacted everywhere else."""

import numpy as np
import pytest
from PIL import Image

from masquerade.faces.align import template
from masquerade.pipeline.render import Wardrobe, render
from masquerade.plan import Person, Treatment
from masquerade.swap.base import Swapped
from masquerade.swap.impose import Imposer
from masquerade.types import Box, Face, Provenance, TrackedFace

from .test_render import clip, frames_of, noise, photo, plan_for  # noqa: F401 - fixtures

SIDE = 32
WHITE = np.s_[50:70, 50:70]
"""Rows and columns well inside the swapped face."""


class Painter:
    """A swapper that paints the crop in the shade of the identity's first number."""

    side, dimensions = SIDE, 2

    def swap(self, crops, identities):
        shades = identities[:, :1, None, None]
        return Swapped(np.broadcast_to(shades, crops.shape).astype(np.float32), None)


class Watchman:
    """A guard who lets pass what is light, and on average what is lighter."""

    def gone(self, originals, swapped):
        return swapped.mean(axis=(1, 2, 3)) > 128

    def gone_on_average(self, originals, swapped):
        return swapped.mean() > 150


def worn(identity):
    imposer = Imposer(Painter(), template(SIDE), Watchman())
    return Wardrobe(imposer, {1: np.array([identity, 0.0], np.float32)})


LEFT, RIGHT = Box(40, 30, 80, 90), Box(60, 30, 100, 90)


def person(provenances, number=1, box=LEFT):
    points = (template(112) * 0.5 + [box.x1 - 8, box.y1 + 4]).astype(np.float32)
    faces = tuple(TrackedFace(i, Face(box, 0.9, points), p) for i, p in enumerate(provenances))
    return Person(id=number, anchor="a", faces=faces)


SEEN, SUPPOSED = Provenance.DETECTED, Provenance.INTERPOLATED
BLACK = Treatment(method="solid", color=[0, 0, 0])


def test_a_face_is_worn_where_it_was_seen_and_redacted_where_it_was_only_supposed(clip, tmp_path):  # noqa: F811
    out = tmp_path / "out.mp4"
    plan = plan_for(clip, (person([SEEN] * 8 + [SUPPOSED] * 4 + [SEEN] * 8),), treatment=BLACK)
    report = render(clip, plan, out, wardrobe=worn(0.9))
    assert report.outcomes == {"swapped": 16, "not seen in this frame": 4}
    assert report.replaced == {"detected": 16, "interpolated": 4}
    for i, picture in enumerate(frames_of(out)):
        shade = picture[WHITE].mean()
        assert shade < 20 if 8 <= i < 12 else shade > 150, i


def test_what_the_guard_turns_down_is_redacted(photo, tmp_path):  # noqa: F811
    out = tmp_path / "out.png"
    report = render(photo, plan_for(photo, (person([SEEN]),), treatment=BLACK), out, wardrobe=worn(-0.9))
    assert report.outcomes == {"recognised": 1}
    assert np.array(Image.open(out))[WHITE].max() == 0


def test_who_wears_no_face_is_redacted(photo, tmp_path):  # noqa: F811
    out = tmp_path / "out.png"
    report = render(photo, plan_for(photo, (person([SEEN], number=2),), treatment=BLACK), out, wardrobe=worn(0.9))
    assert report.outcomes == {}
    assert np.array(Image.open(out))[WHITE].max() == 0


@pytest.mark.parametrize("method", ["solid", "blur"])
def test_a_redacted_face_stays_redacted_beside_one_that_is_worn(photo, tmp_path, method):  # noqa: F811
    people = (person([SEEN]), person([SEEN], number=2, box=RIGHT))
    treatment = Treatment(method=method, color=[0, 0, 0])
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    render(photo, plan_for(photo, people[1:], treatment=treatment), alone)
    render(photo, plan_for(photo, people, treatment=treatment), both, wardrobe=worn(0.9))
    second = np.array(Image.open(both)).astype(int)[40:80, 66:94]
    if method == "solid":
        assert second.max() == 0
    original = noise(0).astype(int)[40:80, 66:94]
    assert np.abs(second - original).mean() > 15


def test_a_face_that_nobody_saw_gives_way_to_a_worn_one_and_shows_nothing_of_itself(photo, tmp_path):  # noqa: F811
    people = (person([SEEN]), person([SUPPOSED], number=2, box=RIGHT))
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    render(photo, plan_for(photo, people[1:], treatment=BLACK), alone)
    report = render(photo, plan_for(photo, people, treatment=BLACK), both, wardrobe=worn(0.9))
    assert report.replaced == {"detected": 1, "interpolated": 1}
    covered = np.array(Image.open(alone)).max(axis=2) == 0
    after = np.array(Image.open(both)).astype(float)
    assert covered[WHITE].any() and after[WHITE].mean() > 200
    assert after[covered].min() == 0, "where no face is worn, it is redacted"
    seen = covered & (after.max(axis=2) > 0)
    assert abs(np.corrcoef(after[seen].ravel(), noise(0)[seen].ravel())[0, 1]) < 0.1


def test_the_same_three_give_the_same_bytes(photo, tmp_path):  # noqa: F811
    plan = plan_for(photo, (person([SEEN]),))
    files = []
    for name in ("a.png", "b.png"):
        render(photo, plan, tmp_path / name, wardrobe=worn(0.9))
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
