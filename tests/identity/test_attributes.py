import numpy as np
import pytest
from sklearn.linear_model import Ridge

from masquerade.errors import OptionError, WeightsError
from masquerade.identity.attributes import READER, Probe, coarse, fit_probe, read_label
from masquerade.models.cards import cards
from tests.identity.population import Population

RNG = np.random.default_rng(0)


def labelled(count):
    """Identities whose first axes tell age and sex, not without doubt."""
    faces = Population(count, seed=4)
    along = faces.identities @ faces.axes[:2].T
    along /= along.std(axis=0)
    age = np.clip(0.4 + 0.15 * along[:, 0] + 0.05 * RNG.standard_normal(count), 0, 1)
    sex = (along[:, 1] + 0.4 * RNG.standard_normal(count) > 0).astype(float)
    return faces.identities, np.column_stack([age, sex])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("26_1_2_20170116172833945.webp", (0.26, 1.0)),
        ("utk/part1/100_0_0_20170112213303693.jpg.chip.jpg", (1.0, 0.0)),
        ("116_1_0_x.png", (1.0, 1.0)),
        ("61_1_20170109150557335.webp", (0.61, 1.0)),  # a few names lack the third
        ("39_20170116174525125.webp", None),
        ("woman/30.webp", None),
        ("a_1_2_b.webp", None),
        ("", None),
    ],
)
def test_labels_are_read_off_names(name, label):
    assert read_label(name) == label


def test_the_probe_is_ridge_regression_and_says_how_good_it_is():
    faces, labels = labelled(3000)
    probe = fit_probe(faces, labels)
    reference = Ridge(alpha=0.1).fit(faces, labels)
    np.testing.assert_allclose(probe.scores(faces), reference.predict(faces).clip(0, 1), atol=2e-3)
    info = probe.info
    assert info.pictures == 3000
    assert info.age_error < 6
    assert info.age_chance > 9
    assert info.sex_right > 0.8
    assert info.sex_chance < 0.6
    # The figures are those of pictures held out: on noise they are no better than chance.
    noise = fit_probe(faces[:600], np.column_stack([RNG.random(600), RNG.integers(0, 2, 600)]))
    assert noise.info.sex_right < 0.65
    assert noise.info.age_error > 0.85 * noise.info.age_chance


def test_a_handful_of_pictures_is_refused():
    with pytest.raises(OptionError, match="too few"):
        fit_probe(*labelled(99))


def test_a_probe_is_read_back_for_its_encoder_alone(tmp_path):
    probe = fit_probe(*labelled(300))
    probe.save(tmp_path / "probe.npz", "one")
    back = Probe.load(tmp_path / "probe.npz", "one")
    assert back.info == probe.info
    np.testing.assert_array_equal(back.weights, probe.weights)
    with pytest.raises(WeightsError, match="another encoder"):
        Probe.load(tmp_path / "probe.npz", "other")


def test_wearers_are_told_in_steps():
    told = coarse(np.array([[0.34, 0.4], [0.36, 0.1], [1.0, 1.0]], np.float32))
    np.testing.assert_allclose(told, [[0.3, 0.5], [0.4, 0.0], [1.0, 1.0]], atol=1e-6)


def test_the_packaged_one_is_of_the_packaged_guard():
    info = Probe.load(READER, cards()["guard"].sha256).info
    assert info.age_error < info.age_chance / 2
    assert info.sex_right > 0.9
