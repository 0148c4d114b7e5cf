import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp

from masquerade.errors import BankError, OptionError, VaultError
from masquerade.identity.anchors import safe_window
from masquerade.identity.bank import EncoderInfo, centres, fit_distribution, open_bank, sample_bank
from masquerade.identity.keyring import SAFETY, Keyring, Policy, keyed_order
from masquerade.identity.vault import Key, Vault, make_key
from tests.identity.population import Population, unit
from tests.identity.test_bank import SHARED, real_embeddings

ENCODER = EncoderInfo(name="made-up", sha256="ab" * 32, far_1e3=0.66, far_1e4=0.58)
POPULATION = Population(1500, seed=1)
MODEL = fit_distribution(POPULATION.identities)


def a_bank(count, seed=0):
    return sample_bank(
        MODEL, count, training_centres=POPULATION.identities, encoder=ENCODER, min_between=0.66, seed=seed
    )


BANK = a_bank(600)
VISITORS = Population(400, seed=9)
RNG = np.random.default_rng(0)


def crowd(*numbers, noise=0.3):
    """These visitors, seen once more in some video."""
    seen = VISITORS.seen(RNG, noise)
    return {n: seen[n] for n in numbers}


def between(faces):
    return (1 - faces @ faces.T)[np.triu_indices(len(faces), 1)]


@pytest.fixture
def key(tmp_path):
    (tmp_path / "keys").mkdir()
    make_key(tmp_path / "keys/key")
    return Key.from_file(tmp_path / "keys/key")


@pytest.fixture
def vault(tmp_path, key):
    return Vault(tmp_path / "people.vault", key, create=True)


def test_the_order_is_the_documented_function_of_key_and_person():
    order = keyed_order(b"k" * 32, b"person", 300)
    assert sorted(order) == list(range(300))
    stream = hashlib.shake_256(hmac.new(b"k" * 32, b"masquerade anchor 1\0person", "sha256").digest()).digest(2400)
    ranks = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(300)]
    assert [ranks[m] for m in order] == sorted(ranks)
    # One rank a member whatever their number: a longer bank keeps the preferences among the old.
    longer = keyed_order(b"k" * 32, b"person", 500)
    assert longer[longer < 300].tolist() == order.tolist()


def test_without_the_key_every_first_choice_is_as_likely():
    first = [keyed_order(RNG.bytes(32), b"per-video 1", 20)[0] for _ in range(4000)]
    assert chisquare(np.bincount(first, minlength=20)).pvalue > 1e-3
    pairs = [keyed_order(b"k" * 32, f"per-video {i}".encode(), 20)[0] for i in range(4000)]
    assert chisquare(np.bincount(pairs, minlength=20)).pvalue > 1e-3


@pytest.mark.parametrize("distance", [None, 1.2])
@pytest.mark.parametrize("policy", [Policy.PER_VIDEO, Policy.PER_TRACK])
def test_every_face_in_a_crowd_is_safe_and_like_nobody_else_s(policy, distance):
    people = crowd(*range(60))
    faces = Keyring(BANK, policy, distance=distance).assign(people)
    low, high = safe_window(ENCODER.far_1e3, SAFETY)
    worn = np.stack([faces[n].face for n in people])
    seen = np.stack(list(people.values()))
    own = (1 - worn * seen @ np.ones(512)).astype(float)
    assert (own >= low - 1e-5).all()
    assert (own <= high + 1e-5).all()
    assert between(worn).min() > ENCODER.far_1e3
    assert (1 - worn @ seen.T).min() > ENCODER.far_1e3


def test_hundreds_of_videos_of_two_or_three_hold_the_guarantees():
    for turn in range(400):
        numbers = RNG.choice(400, 2 + turn % 2, replace=False)
        people = {int(n): VISITORS.identities[n] for n in numbers}
        worn = np.stack([anchor.face for anchor in Keyring(BANK).assign(people).values()])
        distances = 1 - worn @ np.stack(list(people.values())).T
        assert between(worn).min() > ENCODER.far_1e3
        assert distances.min() > ENCODER.far_1e3
        assert np.diag(distances).max() < 2 - ENCODER.far_1e3


def test_a_choice_sticks_under_the_noise_of_a_person_s_own_embeddings():
    keyring = Keyring(BANK)
    first = keyring.assign(crowd(*range(30)))
    window = safe_window(ENCODER.far_1e3)
    for _ in range(20):
        noisy = crowd(*range(30), noise=1.0)
        again = keyring.assign(noisy)
        assert all(again[n] is first[n] for n in noisy)
        own = [1 - float(noisy[n] @ first[n].face) for n in noisy]
        inside = np.mean([window[0] < d < window[1] for d in own])
        assert inside > 0.9


def test_whoever_comes_later_finds_other_faces_than_those_worn():
    keyring = Keyring(BANK)
    worn = [next(iter(keyring.assign(crowd(n)).values())).face for n in range(60)]
    assert between(np.stack(worn)).min() > ENCODER.far_1e3


def test_a_secret_repeats_the_choice_and_a_fresh_one_does_not():
    people = crowd(*range(12))
    a, b, c = (Keyring(BANK, secret=s).assign(people) for s in (b"s" * 32, b"s" * 32, None))
    assert all(a[n].member == b[n].member for n in people)
    assert sum(a[n].member == c[n].member for n in people) < 3


def test_another_is_another_and_as_safe():
    keyring = Keyring(BANK)
    people = crowd(1, 2, 3)
    tried = {keyring.assign(people)[2].member}
    for _ in range(10):
        anchor = keyring.another(2)
        assert anchor.member not in tried
        tried.add(anchor.member)
        assert keyring.assign(people)[2] is anchor
        assert 0.76 <= 1 - float(anchor.face @ people[2]) <= 1.24
    with pytest.raises(KeyError):
        keyring.another(99)


@pytest.mark.parametrize("policy", [Policy.PER_VIDEO, Policy.PER_TRACK])
def test_people_nobody_knows_look_like_nobody_either(policy):
    people, unknown = crowd(*range(20)), list(range(100, 130))
    keyring = Keyring(BANK, policy, secret=b"s" * 32, distance=1.2)
    known = keyring.assign(people)
    worn = keyring.assign_unknown(unknown)
    assert list(worn) == unknown
    faces = np.stack([anchor.face for anchor in [*known.values(), *worn.values()]])
    assert between(faces).min() > ENCODER.far_1e3
    assert (1 - faces @ np.stack(list(people.values())).T).min() > ENCODER.far_1e3
    assert all(np.array_equal(anchor.face, BANK.members[anchor.member]) for anchor in worn.values())
    other = keyring.another(100)
    assert other.member not in {anchor.member for anchor in [*known.values(), *worn.values()]}
    assert (1 - np.stack(list(people.values())) @ other.face).min() > ENCODER.far_1e3


def test_the_unknown_are_chosen_for_by_the_key_alone():
    a, b, c = (Keyring(BANK, secret=s).assign_unknown(list(range(12))) for s in (b"s" * 32, b"s" * 32, None))
    assert all(a[n].member == b[n].member for n in a)
    assert sum(a[n].member == c[n].member for n in a) < 3


def test_fixed_dresses_the_unknown_like_everyone():
    keyring = Keyring(BANK, Policy.FIXED)
    members = [anchor.member for anchor in keyring.assign(crowd(*range(20))).values()]
    assert {anchor.member for anchor in keyring.assign_unknown([50, 51]).values()} <= set(members)


def test_a_bank_that_runs_out_leaves_the_unknown_without():
    small = a_bank(8)
    keyring = Keyring(small)
    known = keyring.assign(crowd(0, 1))
    worn = keyring.assign_unknown(list(range(10, 30)))
    assert 0 < len(worn) <= 6
    assert not {a.member for a in known.values()} & {a.member for a in worn.values()}


def test_fixed_dresses_everyone_alike_wherever_that_is_safe():
    people = crowd(*range(100))
    worn = Keyring(BANK, Policy.FIXED).assign(people)
    members = [anchor.member for anchor in worn.values()]
    assert max(members.count(m) for m in set(members)) > 90
    low, high = safe_window(ENCODER.far_1e3, SAFETY)
    assert all(low <= 1 - float(worn[n].face @ people[n]) <= high for n in people)


def test_a_bank_too_small_says_so():
    keyring = Keyring(a_bank(5))
    with pytest.raises(BankError, match="larger bank"):
        keyring.assign(crowd(*range(8)))


def test_options_that_do_not_go_together_are_refused(vault):
    for wrong in (
        {"policy": Policy.CONSISTENT},
        {"policy": Policy.PER_VIDEO, "vault": vault},
        {"policy": Policy.CONSISTENT, "vault": vault, "secret": b"s" * 32},
        {"secret": b"short"},
        {"safety": 0.5},
    ):
        with pytest.raises(OptionError):
            Keyring(BANK, **wrong)


def test_penalties_reach_the_choice():
    penalty = np.ones(600, np.float32)
    penalty[:400] = 0
    people = crowd(*range(40))
    worn = Keyring(BANK).assign(people, dict.fromkeys(people, penalty))
    assert all(anchor.member < 400 for anchor in worn.values())


def test_consistent_gives_the_same_face_in_every_video(vault, tmp_path, key):
    first = Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(crowd(*range(40)))
    for turn in range(4):
        # Another process, other numbers, more and other people in another order.
        again = Vault(tmp_path / "people.vault", key)
        seen = crowd(*RNG.permutation(60).tolist())
        people = {1000 * turn + n: z for n, z in seen.items()}
        worn = Keyring(BANK, Policy.CONSISTENT, vault=again).assign(people)
        for n in range(40):
            np.testing.assert_array_equal(worn[1000 * turn + n].face, first[n].face)
        assert between(np.stack([a.face for a in worn.values()])).min() > ENCODER.far_1e3
    entries = vault.entries()
    assert len(entries) == 60
    assert {e.videos for e in entries} == {4, 5}
    # What it remembers comes closer to the person with every video.
    nearest = (1 - np.stack([e.embedding for e in entries]) @ VISITORS.identities.T).min(1)
    assert nearest.max() < 0.08


def test_only_who_comes_near_the_face_they_wear_has_to_change_it():
    """With the noise between two short videos (0.2 apart) a face at the edge may no longer be safe: it goes, rarely."""
    low, high = safe_window(ENCODER.far_1e3, SAFETY)
    then, now = (VISITORS.seen(RNG, 0.5) @ BANK.members.T for _ in range(2))
    chosen = (low <= 1 - then) & (1 - then <= high)
    unsafe = (1 - now <= ENCODER.far_1e3) | (1 - now >= 2 - ENCODER.far_1e3)
    assert 0 < (chosen & unsafe).sum() / chosen.sum() < 1e-3


def test_who_was_forgotten_or_has_expired_is_a_stranger(tmp_path, key):
    clock = [datetime(2030, 1, 1, tzinfo=UTC)]
    vault = Vault(tmp_path / "v", key, create=True, now=lambda: clock[0])
    first = Keyring(BANK, Policy.CONSISTENT, vault=vault, keep=timedelta(days=30)).assign(crowd(*range(10)))
    by_member = {e.member: e.id for e in vault.entries()}
    vault.forget(by_member[first[4].member])
    second = Keyring(BANK, Policy.CONSISTENT, vault=vault, keep=None).assign(crowd(*range(10)))
    assert [n for n in range(10) if second[n].member != first[n].member] == [4]
    clock[0] += timedelta(days=31)
    third = Keyring(BANK, Policy.CONSISTENT, vault=vault, keep=None).assign(crowd(*range(10)))
    assert third[4].member == second[4].member
    assert all(third[n].member != first[n].member for n in range(10) if n != 4)


def test_two_keys_give_two_faces(tmp_path):
    (tmp_path / "keys").mkdir()
    people, worn = crowd(*range(12)), []
    for name in "ab":
        make_key(tmp_path / "keys" / name)
        vault = Vault(tmp_path / f"{name}.vault", Key.from_file(tmp_path / "keys" / name), create=True)
        worn.append(Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(people))
    assert sum(worn[0][n].member == worn[1][n].member for n in people) < 3


def test_look_alikes_of_one_video_are_two_people(vault):
    twin = unit(VISITORS.identities[5] + 0.3 * VISITORS.identities[6])
    people = {1: VISITORS.identities[5], 2: twin}
    assert 1 - float(people[1] @ people[2]) < ENCODER.far_1e4
    first = Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(people)
    assert 1 - float(first[1].face @ first[2].face) > ENCODER.far_1e3
    swapped = {7: twin, 8: VISITORS.identities[5]}  # in another order
    second = Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(swapped)
    assert (second[8].member, second[7].member) == (first[1].member, first[2].member)


def test_the_vault_learns_of_another_face(vault):
    people = crowd(1, 2)
    keyring = Keyring(BANK, Policy.CONSISTENT, vault=vault)
    old = keyring.assign(people)[1].member
    new = keyring.another(1).member
    assert new != old
    assert Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(crowd(1, 2))[1].member == new


def test_a_vault_learns_nothing_of_the_unknown_and_lends_them_no_face(vault):
    Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(crowd(*range(30)))
    before, taken = vault.path.read_bytes(), np.stack([entry.face for entry in vault.entries()])
    keyring = Keyring(BANK, Policy.CONSISTENT, vault=vault)
    worn = [anchor.face for anchor in keyring.assign_unknown(list(range(100, 120))).values()]
    assert (1 - np.stack([*worn, keyring.another(100).face]) @ taken.T).min() > ENCODER.far_1e3
    assert vault.path.read_bytes() == before


def test_a_face_that_is_no_longer_safe_is_changed(vault):
    person = VISITORS.identities[3]
    anchor = Keyring(BANK, Policy.CONSISTENT, vault=vault).assign({1: person})[1]
    nearer = unit(person + 0.75 * anchor.face)  # still the person, but now also like the face they wore
    assert 1 - float(nearer @ person) < ENCODER.far_1e4
    assert 1 - float(nearer @ anchor.face) < ENCODER.far_1e3
    new = Keyring(BANK, Policy.CONSISTENT, vault=vault).assign({1: nearer})[1]
    assert new.member != anchor.member
    assert len(vault.entries()) == 1
    assert vault.entries()[0].member == new.member


def test_a_vault_of_another_bank_is_refused(vault):
    Keyring(BANK, Policy.CONSISTENT, vault=vault).assign(crowd(1))
    with pytest.raises(VaultError, match="another bank"):
        Keyring(a_bank(20, seed=1), Policy.CONSISTENT, vault=vault).assign(crowd(1))


def test_a_bank_that_runs_out_leaves_the_vault_as_it_was(vault):
    small = a_bank(6)
    Keyring(small, Policy.CONSISTENT, vault=vault).assign(crowd(0, 1))
    before = vault.path.read_bytes()
    keyring = Keyring(small, Policy.CONSISTENT, vault=vault)
    with pytest.raises(BankError):
        keyring.assign(crowd(*range(10)))
    assert vault.path.read_bytes() == before
    keyring.assign(crowd(0, 1))  # as if nothing had happened
    assert [entry.videos for entry in vault.entries()] == [2, 2]


def test_nothing_is_stored_without_a_vault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for policy in (Policy.PER_VIDEO, Policy.PER_TRACK, Policy.FIXED):
        Keyring(BANK, policy).assign(crowd(*range(3)))
    assert list(tmp_path.iterdir()) == []


def test_a_member_as_it_is_says_nothing_of_who_wears_it():
    """The faces of a person's videos are as far from each other, and from the person, as those of anyone else."""
    z = VISITORS.identities[:25]
    videos = [np.stack([a.face for a in Keyring(BANK).assign(dict(enumerate(z))).values()]) for _ in range(30)]
    same = [1 - float(a[i] @ b[i]) for a, b in zip(videos[::2], videos[1::2], strict=True) for i in range(25)]
    other = [
        1 - float(a[i] @ b[(i + 1) % 25]) for a, b in zip(videos[::2], videos[1::2], strict=True) for i in range(25)
    ]
    assert ks_2samp(same, other).pvalue > 1e-3


@pytest.mark.skipif(not (SHARED / "models/fr_feature_512d.onnx").is_file(), reason="needs ../shared")
def test_real_faces_keep_theirs_from_video_to_video(vault):
    embeddings, people = real_embeddings(150, 4)
    number = np.tile(np.arange(4), 150)
    first = centres(embeddings[number < 2], people[number < 2])  # "videos" of two pictures a person
    second = centres(embeddings[number >= 2], people[number >= 2])
    population = centres(embeddings, people)
    encoder = EncoderInfo(name="real", sha256="0" * 64, far_1e3=0.658, far_1e4=0.578)
    model = fit_distribution(population)
    bank = sample_bank(model, 256, training_centres=population, encoder=encoder, min_between=0.658, seed=0)
    worn = Keyring(bank, Policy.CONSISTENT, vault=vault).assign(dict(enumerate(first)))
    again = Keyring(bank, Policy.CONSISTENT, vault=vault).assign(dict(enumerate(second)))
    known = np.mean([again[n].member == worn[n].member for n in worn])
    assert known > 0.9
    faces = np.stack([a.face for a in worn.values()])
    assert (1 - faces @ embeddings.T).min() > 0.5  # nobody at all, in any picture
    own = 1 - (faces[people] * embeddings).sum(1)
    window = safe_window(0.658)
    assert np.mean((window[0] < own) & (own < window[1])) > 0.98


def test_the_packaged_bank_dresses_hundreds_of_videos_of_eight():
    """1,200 people, spread as the packaged driver spreads them: all faces safe, none like another's or anybody's."""
    bank = open_bank()
    t = bank.info.encoder.far_1e3
    low, high = safe_window(t, SAFETY)
    model, rng = fit_distribution(bank.members), np.random.default_rng(0)
    for video in range(150):
        people = dict(enumerate(model.sample(8, rng)))
        # Two strangers may look alike; nobody wears a face that is like either.
        penalties = {n: bank.misfit(z) for n, z in people.items()} if video % 2 else None
        worn = np.stack([anchor.face for anchor in Keyring(bank).assign(people, penalties).values()])
        distances = 1 - worn @ np.stack(list(people.values())).T
        assert low - 1e-5 <= np.diag(distances).min()
        assert np.diag(distances).max() <= high + 1e-5
        assert distances.min() > t
        assert between(worn).min() > t
