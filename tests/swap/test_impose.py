"""The walk of a swap on a real face, with the package's own guard."""

import numpy as np
import pytest

from masquerade.errors import EngineError, OptionError
from masquerade.faces.align import template
from masquerade.faces.detect import detect_everywhere
from masquerade.faces.embed import open_encoder
from masquerade.media import StillFrame
from masquerade.swap.base import Swapped
from masquerade.swap.guard import EncoderGuard
from masquerade.swap.impose import SMALLEST, Imposer, Outcome, Task, turned_away
from masquerade.types import Box, Face
from tests.scenes import placed

SIDE = 64
WHO = np.eye(1, 4, dtype=np.float32)[0]


class Made:
    """A swapper by a rule."""

    side, dimensions = SIDE, 4

    def __init__(self, rule, mask=None):
        self._rule, self._mask = rule, mask

    def swap(self, crops, identities):
        assert crops.shape[1:] == (3, SIDE, SIDE)
        assert np.abs(crops).max() <= 1
        made = np.stack([self._rule(crop) for crop in crops]).astype(np.float32)
        return Swapped(made, None if self._mask is None else np.full((len(crops), 1, SIDE, SIDE), self._mask))


def upside_down(crop):
    return crop[:, ::-1]


def unchanged(crop):
    return crop


@pytest.fixture(scope="module")
def guard():
    return EncoderGuard(open_encoder("guard"))


@pytest.fixture(scope="module")
def face(detector, astronaut):
    (found,) = (f for f in detect_everywhere(detector, astronaut) if f.score > 0.6)
    return found


def test_a_face_that_is_gone_is_written(guard, astronaut, face):
    frame = StillFrame(astronaut.copy())
    assert Imposer(Made(upside_down), template(SIDE), guard).impose(frame, [Task(face, WHO)]) == [Outcome.SWAPPED]
    x, y = (int(v) for v in face.box.centre)
    assert (frame.samples[y - 20 : y + 20, x - 20 : x + 20] != astronaut[y - 20 : y + 20, x - 20 : x + 20]).mean() > 0.8
    far = int(face.box.y2 + face.box.height)
    np.testing.assert_array_equal(frame.samples[far:], astronaut[far:])


def test_a_face_that_can_still_be_recognised_never_reaches_the_picture(guard, astronaut, face):
    frame = StillFrame(astronaut.copy())
    assert Imposer(Made(unchanged), template(SIDE), guard).impose(frame, [Task(face, WHO)]) == [Outcome.RECOGNISED]
    np.testing.assert_array_equal(frame.samples, astronaut)


def test_a_face_that_waits_is_shown_to_the_guard_and_to_nobody_else(guard, astronaut, face):
    for draw, expected in ((upside_down, Outcome.WAITING), (unchanged, Outcome.RECOGNISED)):
        frame = StillFrame(astronaut.copy())
        outcomes, shown = Imposer(Made(draw), template(SIDE), guard).impose_and_show(
            frame, [Task(face, WHO, waits=True)]
        )
        assert outcomes == [expected]
        assert shown == []
        np.testing.assert_array_equal(frame.samples, astronaut)


@pytest.mark.parametrize("mask", [None, 0.5])
def test_a_written_face_can_be_laid_on_another_picture_and_brings_nothing_else_along(guard, astronaut, face, mask):
    blank = np.full((3, SIDE, SIDE), 0.2, np.float32)
    frame = StillFrame(astronaut.copy())
    outcomes, shown = Imposer(Made(lambda _: blank, mask), template(SIDE), guard).impose_and_show(
        frame, [Task(face, WHO), Task(Face(Box(0, 0, 10, 10), 1.0), WHO)]
    )
    assert outcomes[1] is Outcome.TOO_SMALL
    assert [Outcome.SWAPPED] * len(shown) == outcomes[: len(shown)] and (mask or len(shown) == 1)
    for one in shown:
        before = frame.samples.copy()
        one.upon(frame, one.seen_on(frame))
        np.testing.assert_array_equal(frame.samples, before, "where nothing has changed, nothing does")
        other = np.random.default_rng(1).integers(0, 256, astronaut.shape, np.uint8)
        elsewhere = StillFrame(other.copy())
        one.upon(elsewhere, one.after)
        height, width = one.weight.shape
        area = np.s_[one.y : one.y + height, one.x : one.x + width]
        untouched = np.ones(astronaut.shape[:2], bool)
        untouched[area] = one.weight < 1e-6
        np.testing.assert_array_equal(elsewhere.samples[untouched], other[untouched])
        partly = (one.weight > 0.2) & (one.weight < 0.8)
        assert partly.sum() > 100
        traces = elsewhere.samples[area][partly].astype(float), astronaut[area][partly], other[area][partly]
        old, new = (np.corrcoef(traces[0].ravel(), trace.ravel())[0, 1] for trace in traces[1:])
        assert new > 0.6 and abs(old) < 0.2


class Reluctant:
    """A swapper that changes nobody before it is asked for somebody so far from a person."""

    side, dimensions = SIDE, 512

    def __init__(self, cosine):
        self._cosine, self.asked = cosine, []

    def swap(self, crops, identities):
        self.asked.append(identities)
        return Swapped(
            np.stack([c[:, ::-1] if i[0] < self._cosine else c for c, i in zip(crops, identities, strict=True)]), None
        )


class Known:
    """An encoder to which everyone is the first axis."""

    def embed_crops(self, crops):
        assert crops.shape[1:] == (112, 112, 3)
        return np.eye(1, 512, dtype=np.float32).repeat(len(crops), axis=0)


@pytest.mark.parametrize(("cosine", "tries"), [(0.1, 1), (-0.1, 2)])
def test_whom_the_guard_still_knows_is_made_again_farther_away(guard, astronaut, face, cosine, tries):
    swapper, frame = Reluctant(cosine), StillFrame(astronaut.copy())
    task = Task(face, np.eye(2, 512, dtype=np.float32)[1])
    assert Imposer(swapper, template(SIDE), guard, Known()).impose(frame, [task]) == [Outcome.SWAPPED]
    assert len(swapper.asked) == tries
    asked = np.concatenate(swapper.asked)
    np.testing.assert_allclose(np.linalg.norm(asked, axis=1), 1, rtol=1e-6)
    angles = np.degrees(np.arctan2(-asked[:, 0], asked[:, 1]))
    np.testing.assert_allclose(angles, [0, 8.531][:tries], atol=1e-3)


def test_farther_away_than_that_nobody_is_driven(guard, astronaut, face):
    swapper, frame = Reluctant(-0.2), StillFrame(astronaut.copy())
    task = Task(face, np.eye(2, 512, dtype=np.float32)[1])
    imposer = Imposer(swapper, template(SIDE), guard, Known())
    assert imposer.impose(frame, [task]) == [Outcome.RECOGNISED]
    assert len(swapper.asked) == 2
    assert imposer.impose(frame, [task], again=False) == [Outcome.RECOGNISED]
    assert len(swapper.asked) == 3
    np.testing.assert_array_equal(frame.samples, astronaut)


def test_a_mask_that_hides_the_new_face_shows_the_old_one_to_the_guard(guard, astronaut, face):
    frame = StillFrame(astronaut.copy())
    imposer = Imposer(Made(upside_down, mask=np.float32(0.05)), template(SIDE), guard)
    assert imposer.impose(frame, [Task(face, WHO)]) == [Outcome.RECOGNISED]
    np.testing.assert_array_equal(frame.samples, astronaut)


def test_a_network_that_fails_writes_nothing(guard, astronaut, face):
    def broken(crop):
        raise EngineError("out of memory")

    frame = StillFrame(astronaut.copy())
    assert Imposer(Made(broken), template(SIDE), guard).impose(frame, [Task(face, WHO)]) == [Outcome.FAILED]
    np.testing.assert_array_equal(frame.samples, astronaut)


class Stripes:
    """An enlarger that anyone can see."""

    side = SIDE

    def enlarge(self, crops):
        large = crops.repeat(2, axis=2).repeat(2, axis=3)
        large[..., 1::4, :] = large[..., 2::4, :] = 1
        return large


def test_an_enlarger_draws_faces_larger_than_the_crop(guard, astronaut, face):
    plain, drawn = StillFrame(astronaut.copy()), StillFrame(astronaut.copy())
    for frame, enlarger in ((plain, None), (drawn, Stripes())):
        imposer = Imposer(Made(upside_down), template(SIDE), guard, enlarger=enlarger)
        assert imposer.impose(frame, [Task(face, WHO)]) == [Outcome.SWAPPED]
    x, y = (int(v) for v in face.box.centre)
    rows = [np.diff(f.samples[y - 16 : y + 16, x].astype(float), axis=0) for f in (plain, drawn)]
    assert np.abs(rows[1]).mean() > 2 * np.abs(rows[0]).mean()


def test_an_enlarger_that_fails_writes_nothing(guard, astronaut, face):
    class Broken(Stripes):
        def enlarge(self, crops):
            raise EngineError("out of memory")

    frame = StillFrame(astronaut.copy())
    imposer = Imposer(Made(upside_down), template(SIDE), guard, enlarger=Broken())
    assert imposer.impose(frame, [Task(face, WHO)]) == [Outcome.FAILED]
    np.testing.assert_array_equal(frame.samples, astronaut)


def test_faces_without_landmarks_too_small_or_outside_are_left_to_redaction(guard, astronaut, face):
    frame = StillFrame(astronaut.copy())
    x, y = face.box.centre
    half = SMALLEST / 2 - 0.5
    away = Face(Box(-500, -500, -400, -400), 1.0, template(100) - np.float32(500))
    tasks = [
        Task(Face(face.box, face.score), WHO),
        Task(Face(Box(x - half, y - half, x + half, y + half), 1.0, face.landmarks), WHO),
        Task(Face(face.box, face.score, np.zeros((5, 2), np.float32)), WHO),
        Task(away, WHO),
    ]
    outcomes = Imposer(Made(upside_down), template(SIDE), guard).impose(frame, tasks)
    assert outcomes == [Outcome.TOO_SMALL, Outcome.TOO_SMALL, Outcome.TOO_SMALL, Outcome.FAILED]
    np.testing.assert_array_equal(frame.samples, astronaut)


@pytest.mark.parametrize(("light", "outcome"), [(0.5, Outcome.SWAPPED), (0.08, Outcome.DARK)])
def test_a_face_of_which_light_shows_nothing_is_left_to_redaction(guard, astronaut, face, light, outcome):
    dim = (astronaut * light).astype(np.uint8)
    frame = StillFrame(dim.copy())
    assert Imposer(Made(upside_down), template(SIDE), guard).impose(frame, [Task(face, WHO)]) == [outcome]
    assert np.array_equal(frame.samples, dim) == (outcome is Outcome.DARK)


def test_many_faces_in_deep_colour_are_swapped_alike(guard, astronaut, detector):
    picture, _ = placed(astronaut, 0.5, 10, 10, 700, 300)
    right, _ = placed(astronaut, 0.5, 400, 10, 700, 300)
    picture[:, 350:] = right[:, 350:]
    deep = (picture.astype(np.uint16) << 8) + picture
    tasks = [Task(f, WHO, seed=i) for i, f in enumerate(detect_everywhere(detector, picture)) if f.score > 0.5]
    assert len(tasks) == 2
    imposer = Imposer(Made(upside_down), template(SIDE), guard)
    shallow, first, second = StillFrame(picture.copy()), StillFrame(deep.copy()), StillFrame(deep.copy())
    assert imposer.impose(shallow, tasks) == imposer.impose(first, tasks) == imposer.impose(second, tasks)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert np.abs((first.samples / 257) - shallow.samples).max() < 2.5  # noise is measured a little differently


def moved(face, x):
    b = face.box
    return Face(Box(b.x1 + x, b.y1, b.x2 + x, b.y2), face.score, face.landmarks + np.float32([x, 0]))


class Recorder(Made):
    """A swapper that shows a grey face and remembers what it was shown."""

    def __init__(self):
        super().__init__(np.zeros_like)
        self.shown = []

    def swap(self, crops, identities):
        self.shown.append(crops.copy())
        return super().swap(crops, identities)


def test_who_overlaps_a_neighbour_is_made_from_what_the_neighbour_wears_by_then(astronaut, face):
    """A swapper draws what stands beside a face, too: of a neighbour it must not see the face that was there."""

    class Never:
        def gone(self, before, after):
            return np.ones(len(before), bool)

    beside, apart = (moved(face, times * face.box.width) for times in (-0.5, 2.5))
    swapper, frame = Recorder(), StillFrame(astronaut.copy())
    outcomes = Imposer(swapper, template(SIDE), Never()).impose(frame, [Task(f, WHO) for f in (face, beside, apart)])
    assert outcomes == [Outcome.SWAPPED] * 3
    assert [len(crops) for crops in swapper.shown] == [2, 1]
    alone = Recorder()
    Imposer(alone, template(SIDE), Never()).impose(StillFrame(astronaut.copy()), [Task(beside, WHO)])
    changed = np.abs(swapper.shown[1][0] - alone.shown[0][0]).max(0) > 0.05
    assert changed[:, SIDE // 2 :].mean() > 0.3 and not changed[:, : SIDE // 8].any()


def test_a_guard_needs_a_threshold_that_leaves_room(guard):
    with pytest.raises(OptionError, match="guard nothing"):
        EncoderGuard(open_encoder("guard"), margin=0.9)


def test_the_guard_knows_a_person_by_the_negation_too(guard):
    class Opposite:
        name = "opposite"

        def threshold(self, far):
            return 0.4

        def embed_crops(self, crops):
            return np.array([[1.0, 0.0] if crop.mean() > 128 else [-1.0, 0.0] for crop in crops], np.float32)

    light, dark = np.full((1, 112, 112, 3), 200, np.uint8), np.full((1, 112, 112, 3), 20, np.uint8)
    blind = EncoderGuard(Opposite())  # type: ignore[arg-type]
    assert blind.distances(light, dark)[0] == 2
    assert not blind.gone(light, dark)[0]
    assert not blind.gone(light, light)[0]


def test_who_is_hidden_in_every_picture_may_be_known_by_their_average():
    """Originals all say e1; results say a little of e1, and each something else that the average forgets."""

    class Reads:
        """The first pixel's colours are the embedding."""

        name = "reads"

        def threshold(self, far):
            return 0.5

        def embed_crops(self, crops):
            vectors = crops[:, 0, 0].astype(np.float32) - 128
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def crops(*colours):
        return np.array(colours, np.uint8).reshape(-1, 1, 1, 3) * np.ones((1, 2, 2, 1), np.uint8)

    guard = EncoderGuard(Reads(), margin=0.0)
    before = crops((228, 128, 128), (228, 128, 128))
    after = crops((168, 228, 128), (168, 28, 128))
    assert guard.gone(before, after).all()
    assert not guard.gone_on_average(before, after)
    assert guard.gone_on_average(before, crops((138, 228, 128), (138, 228, 128)))
    assert not guard.gone_on_average(before, crops((108, 228, 128), (108, 28, 128)))


def test_a_step_away_keeps_the_length_of_what_the_swapper_is_told():
    told = np.array([[0.0, 0.7, 0.0], [0.3, 0.0, 0.4]], np.float32)
    turned = turned_away(told, np.eye(1, 3, dtype=np.float32).repeat(2, axis=0), 0.15)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), [0.7, 0.5], rtol=1e-6)
    np.testing.assert_allclose(turned[0] / 0.7, np.array([-0.15, 1, 0]) / np.hypot(0.15, 1), rtol=1e-5)
