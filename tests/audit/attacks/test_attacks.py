"""Attacks on vectors and crops whose truth is known, against loops and scikit-learn."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score, roc_curve

from masquerade.audit.attacks import (
    Means,
    averaging,
    brought_back,
    embedding_change,
    fit_translation,
    found_at_far,
    nearest_neighbour,
    negation,
    outside_only,
    parrot,
    picture_change,
    roc,
    translated,
)
from masquerade.audit.retrieval import Probes
from masquerade.errors import OptionError
from masquerade.faces.align import template


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def people(rng, count, photos, dimensions=64, spread=0.4):
    """Photos of people: (count · photos, dimensions), and who they are."""
    who = np.repeat(np.arange(count), photos)
    centres = unit(rng.normal(size=(count, dimensions)))
    return unit(centres[who] + spread * unit(rng.normal(size=(len(who), dimensions)))), who


def test_negation_finds_what_was_driven_away_and_nothing_else(rng):
    originals, who = people(rng, 40, 1)
    strangers, _ = people(rng, 40, 1)
    assert negation(-originals, originals, who, 0.3).value == 1
    assert negation(originals, originals, who, 0.3).value == 0
    mixed = np.concatenate([-originals[:10], strangers[10:]])
    assert negation(mixed, originals, who, 0.3).value == 10 / 40


def test_the_threshold_is_that_at_which_strangers_seldom_match(rng):
    originals, who = people(rng, 60, 3)
    queries = unit(originals + 0.9 * unit(rng.normal(size=originals.shape)))
    share, threshold = found_at_far(queries, originals, who, far=0.01)
    strangers = [
        1 - float(q @ o)
        for q, a in zip(queries, who, strict=True)
        for o, b in zip(originals, who, strict=True)
        if a != b
    ]
    assert np.mean(np.array(strangers) < threshold) == pytest.approx(0.01, abs=1e-3)
    assert share.value == pytest.approx(
        np.mean([1 - q @ o < threshold for q, o in zip(queries, originals, strict=True)])
    )
    # Faces that all look alike match everybody at any fixed threshold, and nobody here.
    alike = unit(np.ones_like(originals) + 0.01 * rng.normal(size=originals.shape))
    assert found_at_far(alike, originals, who, far=0.01)[0].value < 0.1
    assert found_at_far(originals[:3], originals[:3], who[:3])[0] is None


def test_nearest_neighbour_by_a_loop(rng):
    gallery, gallery_people = people(rng, 30, 3)
    probes, whose = people(rng, 30, 2)
    probes = unit(probes + 0.3 * gallery[::3][whose])
    found = nearest_neighbour(probes, whose, gallery, gallery_people)
    first = [gallery_people[np.argmax(gallery @ probe)] for probe in probes]
    assert found.right.value == pytest.approx(np.mean(first == whose))
    assert found.chance == 1 / 30 and found.people == 30
    assert found.right.value <= found.among_first.value <= 1
    with pytest.raises(OptionError, match="on it"):
        nearest_neighbour(probes, whose + 1, gallery, gallery_people)


def test_a_parrot_learns_what_an_anonymizer_does_to_all_faces_alike(rng):
    """A turn of the space that a recogniser does not expect, and a fabricated face over everything."""
    photos, who = people(rng, 40, 6)
    turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    anonymized = unit(0.6 * photos @ turn.T + unit(rng.normal(size=photos.shape)))
    lessons = np.tile([True, True, True, True, False, False], 40)
    naive = nearest_neighbour(anonymized[~lessons], who[~lessons], photos, who)
    learnt = parrot(anonymized[lessons], who[lessons], anonymized[~lessons], who[~lessons])
    assert naive.right.value < 0.15
    assert learnt.right.value > naive.right.value + 0.3
    scores = Ridge(alpha=1e-2 * lessons.sum(), fit_intercept=False).fit(
        anonymized[lessons], (who[lessons, None] == np.arange(40)) - 1 / 40
    )
    expected = scores.predict(anonymized[~lessons]).argmax(1)
    assert learnt.right.value == pytest.approx(np.mean(expected == who[~lessons]))


def test_a_parrot_learns_nothing_where_nothing_is_left(rng):
    _, who = people(rng, 40, 6)
    anonymized = unit(rng.normal(size=(240, 64)))
    lessons = np.tile([True, True, True, False, False, False], 40)
    learnt = parrot(anonymized[lessons], who[lessons], anonymized[~lessons], who[~lessons])
    assert learnt.right.low <= 1 / 40 <= learnt.right.high


def test_a_translation_learnt_on_some_people_undoes_it_for_others(rng):
    photos, who = people(rng, 300, 2)
    turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    anonymized = unit(photos @ turn.T + 0.4 * unit(rng.normal(size=photos.shape)))
    mine, theirs = who < 200, who >= 200
    plain, _ = found_at_far(anonymized[theirs], photos[theirs], who[theirs])
    guesses = translated(fit_translation(anonymized[mine], photos[mine]), anonymized[theirs])
    undone, _ = found_at_far(guesses, photos[theirs], who[theirs])
    assert plain.value < 0.05 and undone.value > 0.8
    np.testing.assert_allclose(np.linalg.norm(guesses, axis=1), 1, atol=1e-5)


def test_averages_bring_back_what_frames_have_in_common(rng):
    originals, who = people(rng, 80, 32, spread=0.2)
    names = np.array([f"{p:03}" for p in who])
    faces = unit(0.15 * originals + unit(rng.normal(size=originals.shape)))
    found = averaging(Probes(names, names, originals, faces), frames=(1, 8, 32))
    shares = [one.found.value for one in found]
    assert shares[0] < 0.2 < shares[1] < shares[2] and shares[2] > 0.7
    assert found[2].similarity > found[0].similarity + 0.3
    assert abs(found[2].strangers) < 0.05
    blank = averaging(Probes(names, names, originals, unit(rng.normal(size=faces.shape))), frames=(32,))
    assert blank[0].found.value < 0.1
    one = names == "000"
    assert averaging(Probes(names[one], names[one], originals[one], faces[one])) == []


def tracks(rng, count, frames, trace, noise=1.0):
    """Originals of people and anonymized faces with so much of them in each: people, originals, anonymized."""
    originals, who = people(rng, count, frames, spread=0.2)
    names = np.array([f"{p:03}" for p in who])
    return names, originals, unit(trace * originals + noise * unit(rng.normal(size=originals.shape)))


def directions(names, vectors):
    return unit(np.stack([vectors[names == name].mean(0) for name in np.unique(names)]))


def test_averages_of_few_people_are_held_against_the_recognisers_threshold_and_chance(rng):
    names, originals, faces = tracks(rng, 5, 32, 0.25)
    found = brought_back(Means.of(names, faces), Means.of(names, originals), 0.6, 1e-3)
    after, before = directions(names, faces), directions(names, originals)
    distances = np.array([[1 - float(a @ b) for b in before] for a in after])
    own = np.array([distances[i, i] < 0.6 and distances[i, i] == min(distances[i]) for i in range(5)])
    apart = [distances[i, j] < 0.6 for i in range(5) for j in range(5) if i != j]
    assert found.found.value == own.mean() > 0.5
    assert found.strangers.value == pytest.approx(np.mean(apart)) and found.strangers.count == 20
    assert (found.threshold, found.adapted, found.candidates, found.faces) == (0.6, False, 5, 32)
    assert (1 - (faces * originals).sum(1) < 0.6).mean() < 0.1, "single frames do not say it"
    brought, chance = 5 * own.mean(), max(np.mean(apart), 1e-3)
    more = sum(math.comb(5, k) * chance**k * (1 - chance) ** (5 - k) for k in range(round(brought), 6))
    assert found.luck == pytest.approx(more) and more < 1e-3
    loose = brought_back(Means.of(names, faces), Means.of(names, originals), 2.1, 1e-3)
    assert loose.strangers.value == loose.luck == 1, "at a threshold that everybody keeps, chance is told to be all"


def test_one_person_in_two_tracks_hides_nobody_who_comes_back(rng):
    """The nearest strangers are the same person here, and would be a threshold that nobody comes below."""
    names, originals, faces = tracks(rng, 1, 64, 0.5)
    names = np.repeat(["a", "b"], 32)
    found = brought_back(Means.of(names, faces), Means.of(names, originals), 0.6, 1e-3)
    assert found.found.value + found.strangers.value >= 1 and found.strangers.value == 1


def test_averages_of_many_people_have_a_threshold_of_their_own(rng):
    names, originals, faces = tracks(rng, 40, 16, 0.25)
    found = brought_back(Means.of(names, faces), Means.of(names, originals), 0.01, 1e-3)
    share, threshold = found_at_far(directions(names, faces), directions(names, originals), np.unique(names), 1e-3)
    assert found.adapted and found.threshold == pytest.approx(threshold, abs=1e-6) and threshold > 0.3
    assert found.found.value == share.value > 0.5 and found.strangers.value <= 1e-3
    alike = unit(np.ones_like(originals) + 0.01 * rng.normal(size=originals.shape))
    blank = brought_back(Means.of(names, alike), Means.of(names, originals), 2.1, 1e-3)
    assert blank.found.value < 0.1, "what resembles everybody is nobody"
    fewer = names < "032"  # 32 * 31 pairs of strangers are fewer than 1 in 1e-3
    few = brought_back(Means.of(names[fewer], faces[fewer]), Means.of(names[fewer], originals[fewer]), 0.5, 1e-3)
    assert not few.adapted and few.threshold == 0.5


def test_who_was_seen_once_is_not_averaged_and_still_somebody_to_be_taken_for(rng):
    names, originals, faces = tracks(rng, 3, 4, 1.0)
    some = np.array([0, 1, 2, 3, 4, 5, 8])  # of the last person one face
    found = brought_back(Means.of(names[some], faces[some]), Means.of(names, originals), 0.6, 1e-3, least=2)
    assert (found.found.people, found.candidates, found.strangers.count) == (2, 3, 4)
    assert brought_back(Means.of(names[:1], faces[:1]), Means.of(names, originals), 0.6, 1e-3, least=2) is None
    assert brought_back(Means(), Means.of(names, originals), 0.6, 1e-3) is None
    alone = brought_back(Means.of(names[:4], faces[:4]), Means.of(names[:4], originals[:4]), 0.6, 1e-3)
    assert alone.strangers is None and alone.found.people == 1
    assert (alone.found.value, alone.luck) == (1, pytest.approx(1e-3)), "what one pair of strangers in 1,000 does"


def test_means_of_two_machines_are_those_of_one(rng):
    names, originals, _ = tracks(rng, 4, 6, 1.0)
    whole = Means.of(names, originals)
    for part in (np.arange(24) % 2 == 0, names < "002"):
        halves = Means.of(names[part], originals[part]), Means.of(names[~part], originals[~part])
        for both in (halves[0] + halves[1], halves[1] + halves[0]):
            assert dict(both.counts) == dict(whole.counts) == {f"{i:03}": 6 for i in range(4)}
            for name, total in whole.sums.items():
                np.testing.assert_allclose(both.sums[name], total, atol=1e-9)


def test_what_is_outside_the_face_does_not_depend_on_the_face(rng):
    crops = rng.integers(0, 256, (2, 112, 112, 3), np.uint8)
    other = crops.copy()
    for x, y in template(112):
        cv2.circle(other[0], (round(x), round(y)), 8, (0, 255, 0), -1)
    left = outside_only(crops)
    np.testing.assert_array_equal(left, outside_only(other))
    corners = np.s_[:, :4, :4]
    np.testing.assert_array_equal(left[corners], crops[corners])
    inside = left[:, 50:70, 50:70]
    assert (inside == inside[:, :1, :1]).all()


scores = hnp.arrays(np.float64, st.integers(1, 30), elements=st.integers(-5, 5).map(float))


@given(scores, scores)
def test_the_curve_is_that_of_scikit_learn(real, swapped):
    found = roc(real, swapped)
    truth = np.concatenate([np.zeros(len(real)), np.ones(len(swapped))])
    both = np.concatenate([real, swapped])
    assert found.area == pytest.approx(roc_auc_score(truth, both))
    alarms, hits, _ = roc_curve(truth, both, drop_intermediate=False)
    np.testing.assert_allclose(found.false_alarms, alarms, atol=1e-12)
    np.testing.assert_allclose(found.found, hits, atol=1e-12)
    assert found.found_at_1_percent == pytest.approx(hits[alarms <= 0.01].max())


def test_a_reconstructor_that_changes_swapped_faces_more_tells_them_apart(rng):
    faces = rng.integers(60, 190, (20, 8, 8, 3), np.uint8)
    guesses = faces.copy()
    guesses[10:] += 30
    guesses[:10] += 1
    changes = picture_change(faces, guesses)
    np.testing.assert_allclose(changes, np.repeat([1 / 255, 30 / 255], 10))
    assert roc(changes[:10], changes[10:]).area == 1
    vectors, _ = people(rng, 4, 1)
    np.testing.assert_allclose(embedding_change(vectors, -vectors), 2, atol=1e-6)
    assert roc([], [1.0]) is None
