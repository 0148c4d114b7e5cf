"""Retrieval against a hand loop, and on people whose distances are known."""

import numpy as np
import pytest

from masquerade.audit.retrieval import Probes, drift, linkability, retrieve


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def crowd(seed=0, people=6, frames=5, dimensions=16, files=("a", "b")):
    """Faces near their person, anonymized to anything between themselves, somebody else, and their negation."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(people, dimensions)))
    who = np.repeat(np.arange(people), frames)
    originals = unit(centres[who] + 0.15 * rng.normal(size=(len(who), dimensions)))
    pull = rng.uniform(-1, 1, (len(who), 1))
    anonymized = unit(pull * originals + 0.2 * rng.normal(size=originals.shape))
    names = np.array([f"{files[p % len(files)]}#{p}" for p in who])
    return Probes(names, np.array([name.split("#")[0] for name in names]), originals, anonymized)


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.9])
def test_every_share_by_a_loop(threshold):
    probes = crowd()
    found = retrieve(probes, threshold, 1e-3)
    counts = dict.fromkeys(("id", "neg_id", "verified", "neg_verified", "rank1", "others"), 0)
    known = set()
    for person, vector in zip(probes.people, probes.anonymized, strict=True):
        for sign, names in ((1, ("id", "verified")), (-1, ("neg_id", "neg_verified"))):
            distances = [1 - float(sign * vector @ other) for other in probes.originals]
            own = min(d for d, p in zip(distances, probes.people, strict=True) if p == person)
            others = min(d for d, p in zip(distances, probes.people, strict=True) if p != person)
            counts[names[0]] += own < threshold and own < others
            counts[names[1]] += own < threshold
            counts["rank1"] += sign == 1 and own < others
            counts["others"] += sign == 1 and others < threshold
            if own < threshold:
                known.add(person)
    for name, count in counts.items():
        assert getattr(found, name).value == pytest.approx(count / len(probes)), name
    assert found.people.value == pytest.approx(len(known) / 6)
    assert (found.gallery, found.gallery_people, found.id.count, found.id.people) == (30, 6, 30, 6)


def test_unchanged_faces_are_all_found_and_negated_ones_by_negation():
    probes = crowd()
    same = Probes(probes.people, probes.files, probes.originals, probes.originals)
    assert (retrieve(same, 0.3, 1e-3).id.value, retrieve(same, 0.3, 1e-3).neg_id.value) == (1, 0)
    turned = Probes(probes.people, probes.files, probes.originals, -probes.originals)
    found = retrieve(turned, 0.3, 1e-3)
    assert (found.id.value, found.neg_id.value, found.people.value) == (0, 1, 1)


def test_two_machines_see_what_one_would():
    whole = crowd()
    halves = [whole.files == name for name in ("a", "b")]
    parts = [Probes(whole.people[i], whole.files[i], whole.originals[i], whole.anonymized[i]) for i in halves]
    together = parts[0] + parts[1]
    for found in (retrieve(together, 0.4, 1e-3), retrieve(parts[1] + parts[0], 0.4, 1e-3)):
        assert found.id.value == pytest.approx(retrieve(whole, 0.4, 1e-3).id.value)
        assert found.neg_verified.value == pytest.approx(retrieve(whole, 0.4, 1e-3).neg_verified.value)
        assert found.gallery == 30
    alone = Probes(whole.people[:1], whole.files[:1], whole.originals[:1], whole.anonymized[:1])
    assert retrieve(alone, 0.4, 1e-3).others is None
    empty = Probes(whole.people[:0], whole.files[:0], whole.originals[:0], whole.anonymized[:0])
    assert retrieve(empty, 0.4, 1e-3) is None and len(empty) == 0
    assert len(empty + whole) == 30


def test_who_keeps_one_fabricated_face_can_be_linked():
    rng = np.random.default_rng(3)
    people, worn = unit(rng.normal(size=(5, 64))), unit(rng.normal(size=(5, 64)))
    files = np.repeat(["one", "two"], 5)
    names = np.array([f"{file}#{i}" for file, i in zip(files, [*range(5)] * 2, strict=True)])
    originals = unit(np.tile(people, (2, 1)) + 0.05 * rng.normal(size=(10, 64)))
    kept = unit(np.tile(worn, (2, 1)) + 0.05 * rng.normal(size=(10, 64)))
    found = linkability(Probes(names, files, originals, kept), 0.4)
    assert (found.linked.value, found.linked.count, found.strangers.value, found.strangers.count) == (1, 5, 0, 20)
    other = np.concatenate([worn, unit(rng.normal(size=(5, 64)))])
    found = linkability(Probes(names, files, originals, other), 0.4)
    assert found.linked.value == 0
    alone = linkability(Probes(names[:5], files[:5], originals[:5], kept[:5]), 0.4)
    assert alone.linked is None and alone.strangers is None


def test_drift_is_m_tc_with_an_interval():
    rng = np.random.default_rng(4)
    people = np.repeat([f"p{i}" for i in range(8)], 4)
    vectors = unit(np.repeat(rng.normal(size=(8, 8)), 4, axis=0) + 0.3 * rng.normal(size=(32, 8)))
    found, mean = drift(people, vectors)
    steps = [1 - vectors[i] @ vectors[i + 1] for i in range(31) if people[i] == people[i + 1]]
    assert mean.value == found.steps.mean == pytest.approx(np.mean(steps), abs=1e-6)
    assert mean.low < mean.value < mean.high and mean.people == 8
    assert drift(people[::4], vectors[::4]) is None


def test_where_all_faces_are_alike_the_threshold_adapts():
    """Everybody's replacement is one and the same, and near to all: only chance finds somebody there."""
    rng = np.random.default_rng(5)
    base = unit(rng.normal(size=(1, 64)))
    people = np.repeat([f"f#{i}" for i in range(40)], 3)
    originals = unit(base + 0.05 * unit(rng.normal(size=(120, 64))))
    alike = np.repeat(base, 120, axis=0)
    files = np.full(120, "f")
    found = retrieve(Probes(people, files, originals, alike), 0.3, 1e-3)
    assert (found.others.value, found.verified.value) == (1, 1)
    assert found.id.value == pytest.approx(1 / 40)
    assert found.adapted_threshold < 0.1 and found.adapted.value <= 1 / 40 and found.own is found.adapted
    apart = (1 - alike @ originals.T)[people[:, None] != people[None, :]]
    assert (apart < found.adapted_threshold).mean() <= 1e-3


def test_where_faces_resemble_nobody_the_threshold_rises_and_the_verdict_does_not_fall():
    rng = np.random.default_rng(6)
    people = np.repeat([f"f#{i}" for i in range(40)], 3)
    originals = unit(np.repeat(unit(rng.normal(size=(40, 64))), 3, axis=0) + 0.02 * rng.normal(size=(120, 64)))
    probes = Probes(people, np.full(120, "f"), originals, unit(0.6 * originals + 0.1 * rng.normal(size=(120, 64))))
    found = retrieve(probes, 0.1, 1e-3)
    assert found.adapted_threshold > 0.3 and found.adapted.value == 1 and found.own is found.id
    few = Probes(people[:9], probes.files[:9], originals[:9], probes.anonymized[:9])
    assert retrieve(few, 0.1, 1e-3).adapted is None
