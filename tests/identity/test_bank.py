import json
import zipfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import ks_2samp

from masquerade.errors import BankError, InputError, OptionError
from masquerade.faces.embed import open_encoder
from masquerade.identity.bank import (
    Bank,
    EncoderInfo,
    centres,
    embed_archive,
    fit_distribution,
    make_bank,
    open_bank,
    sample_bank,
    threshold_at,
)
from masquerade.media.files import sha256
from masquerade.models.cards import PACKAGED, card
from masquerade.models.runtime import open_session
from tests.identity.population import Population, unit

SHARED = Path(__file__).resolve().parents[3] / "shared"
PEOPLE = Population(3000, seed=1).identities
STRANGERS = Population(1000, seed=2).identities
ENCODER = EncoderInfo(name="made-up", sha256="ab" * 32, far_1e3=0.68, far_1e4=0.6)


MODEL = fit_distribution(PEOPLE)


def a_bank(count=500, seed=0, min_between=0.68, **rest):
    return sample_bank(
        MODEL, count, training_centres=PEOPLE, encoder=ENCODER, min_between=min_between, seed=seed, **rest
    )


def pairwise(vectors):
    return (1 - vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def test_members_are_nobody_and_nobody_twice():
    bank = a_bank(700)
    assert bank.members.shape == (700, 512)
    np.testing.assert_allclose(np.linalg.norm(bank.members, axis=1), 1, atol=1e-6)
    assert (1 - bank.members @ PEOPLE.T).min() > 0.6
    assert pairwise(bank.members).min() > 0.68


def test_members_are_spread_like_people_the_model_never_saw():
    drawn = MODEL.sample(1000, np.random.default_rng(0))
    assert len(MODEL.axes) <= 128
    assert ks_2samp(pairwise(drawn), pairwise(STRANGERS)).statistic < 0.01
    # To strangers they are as far as strangers are to each other: no copies of anyone.
    assert ks_2samp((1 - drawn @ PEOPLE.T).max(1), (1 - STRANGERS @ PEOPLE.T).max(1)).pvalue > 1e-4


def test_the_model_s_covariance_is_that_of_the_people():
    np.testing.assert_allclose(MODEL.mean, PEOPLE.mean(0), atol=1e-7)
    np.testing.assert_allclose(MODEL.axes.T @ MODEL.axes, np.cov(PEOPLE.T), atol=3e-5)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        a_bank(50, seed).save(tmp_path / f"{name}.npz")
    a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
    assert a == b != c


def test_what_is_saved_is_what_is_loaded_and_small(tmp_path):
    bank = a_bank(500, made="in a test")
    bank.save(tmp_path / "bank.npz")
    again = Bank.load(tmp_path / "bank.npz")
    assert again.info == bank.info
    np.testing.assert_array_equal(again.members, bank.members)
    # The made-up encoder fills 128 of its 512 dimensions: only those are stored, and the mean.
    assert bank.codes.shape == (500, len(bank.axes))
    assert len(bank.axes) <= 129
    assert (tmp_path / "bank.npz").stat().st_size < 500 * 129 + 2 * 129 * 512 + 3000
    assert again.info.encoder == ENCODER
    again.check_encoder("ab" * 32)
    with pytest.raises(BankError, match="made-up"):
        again.check_encoder("cd" * 32)


def rewritten(path, header=None, codes=None, **rest):
    with np.load(path) as file:
        parts = {name: file[name] for name in file}
    if header:
        changed = {**json.loads(bytes(parts["header"])), **header}
        parts["header"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
    if codes:
        parts["codes"] = codes(parts["codes"].copy())
    for name, change in rest.items():
        parts[name] = change(parts[name].copy())
    with path.open("wb") as file:
        np.savez(file, **parts)


@pytest.fixture(scope="module")
def whole_bank(tmp_path_factory):
    path = tmp_path_factory.mktemp("bank") / "bank.npz"
    a_bank(50).save(path)
    return path.read_bytes()


FIGURES = {"pictures": 9, "age_error": 1.0, "age_chance": 2.0, "sex_right": 0.9, "sex_chance": 0.5}


def swapped_sign(axes):
    axes[0, 0] *= -1
    return axes


def swapped(codes):
    codes[3, 5] ^= 1
    return codes


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b"not a bank at all"),
        lambda path: np.savez(path, other=np.zeros(3)),
        lambda path: rewritten(path, header={"version": 2}),
        lambda path: rewritten(path, header={"extra": 1}),
        lambda path: rewritten(path, header={"count": 49}),
        lambda path: rewritten(path, codes=swapped),
        lambda path: rewritten(path, codes=lambda c: c[:49]),
        lambda path: rewritten(path, codes=lambda c: c.astype(np.float32)),
        lambda path: rewritten(path, codes=lambda c: c[0, 0]),
        lambda path: rewritten(path, axes=swapped_sign),
        lambda path: rewritten(path, axes=lambda a: a[:-1]),
        lambda path: rewritten(path, axes=lambda a: a.astype(np.float32)),
        lambda path: rewritten(path, header={"probe": FIGURES}),
    ],
)
def test_a_spoilt_bank_is_refused_by_name(tmp_path, whole_bank, spoil):
    path = tmp_path / "bank.npz"
    path.write_bytes(whole_bank)
    spoil(path)
    with pytest.raises(BankError, match=r"bank\.npz"):
        Bank.load(path)


def test_a_missing_bank_is_an_input_error(tmp_path):
    with pytest.raises(InputError):
        Bank.load(tmp_path / "none.npz")


def test_a_sphere_that_is_full_says_so():
    with pytest.raises(BankError, match="only"):
        a_bank(500, min_between=1.0)
    with pytest.raises(OptionError):
        a_bank(0)


def test_centres_and_thresholds_by_hand():
    rng = np.random.default_rng(0)
    people = rng.integers(0, 40, 400)
    faces = unit(rng.standard_normal((400, 16)))
    for person, centre in zip(np.unique(people), centres(faces, people), strict=True):
        np.testing.assert_allclose(centre, unit(faces[people == person].sum(0)), atol=1e-6)
    impostors = sorted(1 - float(faces[i] @ faces[j]) for i in range(400) for j in range(i) if people[i] != people[j])
    t = threshold_at(faces, people, 1e-2)
    assert sum(d <= t + 1e-6 for d in impostors) / len(impostors) == pytest.approx(1e-2, abs=1e-4)
    with pytest.raises(OptionError, match="cannot show"):
        threshold_at(faces[:20], people[:20], 1e-3)


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory):
    """A real network: 8×8 pooled pixels through a fixed random matrix."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal((3 * 49, 32)).astype(np.float32), "w")
    nodes = [
        helper.make_node("AveragePool", ["face"], ["p"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["embedding"]),
    ]
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, ["n", 3, 112, 112])
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 32])
    graph = helper.make_graph(nodes, "tiny", [face], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("encoder") / "tiny.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """150 'people': patterns of 4×4 colours, three pictures each, at 128 px."""
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("faces") / "faces.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for person in range(150):
            pattern = rng.integers(30, 225, (4, 4, 3))
            for picture in range(3):
                noisy = np.clip(pattern + rng.integers(-8, 8, pattern.shape), 0, 255).astype(np.uint8)
                large = cv2.resize(noisy, (128, 128), interpolation=cv2.INTER_CUBIC)
                zipped.writestr(f"p{person}/{picture}.png", cv2.imencode(".png", large)[1].tobytes())
    return path


def opened(path):
    return open_encoder(path, kind="arcface", threads=1)


def test_an_archive_is_embedded_as_the_encoder_wants_it(tiny_encoder, faces):
    seen = []
    embeddings, people = embed_archive(opened(tiny_encoder), faces, lambda *a: seen.append(a))
    assert embeddings.shape == (450, 32)
    assert seen[-1] == (450, 450)
    assert np.bincount(people).tolist() == [3] * 150
    with zipfile.ZipFile(faces) as zipped:
        name = sorted(zipped.namelist())[100]
        bgr = cv2.imdecode(np.frombuffer(zipped.read(name), np.uint8), cv2.IMREAD_COLOR)
    crop = cv2.resize(bgr, (112, 112), interpolation=cv2.INTER_AREA)[:, :, ::-1].astype(float) / 127.5 - 1
    pooled = crop.reshape(7, 16, 7, 16, 3).mean((1, 3)).transpose(2, 0, 1).ravel()
    weight = numpy_helper.to_array(onnx.load(tiny_encoder).graph.initializer[0])
    np.testing.assert_allclose(embeddings[100], unit(pooled @ weight), atol=1e-4)


def test_a_bank_is_made_end_to_end(tiny_encoder, faces, tmp_path):
    bank = make_bank(opened(tiny_encoder), faces, 20, seed=3, min_between=0.1)
    assert bank.info.encoder.sha256 == sha256(tiny_encoder)
    assert bank.info.people == 150
    assert bank.info.encoder.far_1e4 <= bank.info.encoder.far_1e3
    assert "450 pictures of 150 people (faces.zip)" in bank.info.made
    embeddings, people = embed_archive(opened(tiny_encoder), faces)
    assert (1 - bank.members @ centres(embeddings, people).T).min() > bank.info.encoder.far_1e4
    given = make_bank(opened(tiny_encoder), faces, 5, far_1e3=0.02, far_1e4=0.01)
    assert (given.info.encoder.far_1e3, given.info.min_between) == (0.02, 0.02)


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """200 pictures whose names say an age and a sex: brighter the older, redder for 1; and three that say nothing."""
    rng = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("looks") / "looks.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for i in range(200):
            age, sex = int(rng.integers(1, 100)), i % 2
            picture = rng.integers(0, 40, (32, 32, 3)) + 2 * age
            picture[..., 2] += 15 * sex  # BGR
            name = f"{age}_{sex}_0_{i}.png" if i > 2 else f"nothing{i}.png"
            zipped.writestr(name, cv2.imencode(".png", picture.astype(np.uint8))[1].tobytes())
    return path


def test_a_bank_learns_to_tell_age_and_sex_and_keeps_it(tiny_encoder, faces, looks, tmp_path):
    encoder = open_encoder(tiny_encoder, kind="arcface", threads=1)
    bank = make_bank(encoder, faces, 20, min_between=0.1, attributes=looks)
    assert bank.info.probe.pictures == 197
    assert bank.info.probe.sex_right > bank.info.probe.sex_chance
    bank.save(tmp_path / "bank.npz")
    again = Bank.load(tmp_path / "bank.npz")
    np.testing.assert_array_equal(again.probe.weights, bank.probe.weights)
    z = bank.members[3]
    scores = bank.probe.scores(bank.members).astype(float)
    by_hand = [2 * abs(a - scores[3, 0]) + abs(s - scores[3, 1]) for a, s in scores]
    np.testing.assert_allclose(again.misfit(z), by_hand, atol=1e-5)
    assert again.misfit(z).argmin() == 3
    with pytest.raises(BankError, match="age and sex"):
        a_bank(20).misfit(z)
    rewritten(tmp_path / "bank.npz", probe=lambda weights: weights[:, 1:])
    with pytest.raises(BankError, match="probe"):
        Bank.load(tmp_path / "bank.npz")


def test_the_packaged_bank_is_that_of_the_packaged_driver():
    """Whoever replaces the driver makes the bank anew: see models/packaged/README.md."""
    bank = open_bank()
    driver = card("driver")
    assert bank.info.encoder.sha256 == driver.sha256
    calibrated = {entry.far: entry.threshold for entry in driver.calibration}
    assert bank.info.encoder.far_1e3 == calibrated.get(1e-3, bank.info.encoder.far_1e3)
    assert bank.info.encoder.far_1e4 == calibrated.get(1e-4, bank.info.encoder.far_1e4)
    assert len(bank.members) >= 2048
    assert pairwise(bank.members).min() > bank.info.encoder.far_1e3
    assert bank.info.probe.age_error < bank.info.probe.age_chance
    assert (PACKAGED / "bank.npz").stat().st_size < 2_200_000


def test_a_bank_of_another_encoder_is_not_opened(tiny_encoder, whole_bank, tmp_path):
    (tmp_path / "bank.npz").write_bytes(whole_bank)
    with pytest.raises(BankError, match="not for"):
        open_bank(tmp_path / "bank.npz")
    with pytest.raises(BankError, match="not for"):
        open_bank(encoder=open_encoder(tiny_encoder, kind="arcface", threads=1))


def test_what_is_no_archive_of_faces_is_refused_by_name(tiny_encoder, tmp_path):
    encoder = opened(tiny_encoder)
    with pytest.raises(InputError, match="no such archive"):
        embed_archive(encoder, tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(InputError, match=r"text\.zip"):
        embed_archive(encoder, tmp_path / "text.zip")
    for name, data in (("p/a.png", b"no picture"), ("p/a.png", b""), ("a.png", png(8, 8)), ("p/a.png", png(8, 9))):
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
            zipped.writestr(name, data)
        with pytest.raises(InputError, match=r"a\.png"):
            embed_archive(encoder, tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(InputError, match="empty"):
        embed_archive(encoder, tmp_path / "empty.zip")


def png(height, width):
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


@pytest.mark.skipif(not (SHARED / "models/fr_feature_512d.onnx").is_file(), reason="needs ../shared")
def test_a_bank_of_a_real_encoder_is_lifelike_and_nobody():
    embeddings, people = real_embeddings(150, 4)
    population = centres(embeddings, people)
    encoder = EncoderInfo(name="real", sha256="0" * 64, far_1e3=0.658, far_1e4=0.578)
    model = fit_distribution(population)
    bank = sample_bank(model, 256, training_centres=population, encoder=encoder, min_between=0.658, seed=0)
    assert (1 - bank.members @ population.T).min() > 0.578
    real, made = pairwise(population), pairwise(bank.members)
    assert made.mean() == pytest.approx(real.mean(), abs=0.02)
    assert made.std() == pytest.approx(real.std(), abs=0.03)


@cache
def real_embeddings(people, each):
    """Of a public recogniser on held-out people: unit vectors (people·each, 512) and whose they are."""
    session = open_session(SHARED / "models/fr_feature_512d.onnx", threads=2)
    crops, whose = [], []
    with zipfile.ZipFile(SHARED / "data/celeba-val-128.zip") as zipped:
        names: dict[str, list[str]] = {}
        for name in sorted(zipped.namelist()):
            if name.endswith(".webp"):
                names.setdefault(name.split("/")[-2], []).append(name)
        for person, pictures in [item for item in names.items() if len(item[1]) >= each][:people]:
            for name in pictures[:each]:
                bgr = cv2.imdecode(np.frombuffer(zipped.read(name), np.uint8), cv2.IMREAD_COLOR)
                crops.append(cv2.resize(bgr, (112, 112), interpolation=cv2.INTER_AREA).transpose(2, 0, 1))
                whose.append(person)
    faces = (np.stack(crops).astype(np.float32) - 127) / 128
    port = session.inputs[0].name
    out = [next(iter(session.run({port: faces[i : i + 30]}).values())) for i in range(0, len(faces), 30)]
    return unit(np.concatenate(out)), np.unique(whose, return_inverse=True)[1]
