import cv2
import numpy as np
import pytest

from masquerade.errors import OptionError
from masquerade.swap.base import Swapped
from masquerade.swap.defences import Defence, Defended, jpeg, low_resolution, quantised, read_defences, uniform_noise


class Dimmer:
    """A swapper that halves every value and adds the identity's first number."""

    side, dimensions = 32, 4

    def swap(self, crops, identities):
        return Swapped(crops / 2 + identities[:, :1, None, None], np.ones((len(crops), 1, 32, 32), np.float32))


@pytest.fixture
def faces():
    coarse = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_CUBIC) for one in coarse])


def as_crops(faces):
    return (faces.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)


def test_they_are_those_that_training_attacks(faces):
    torch = pytest.importorskip("torch")
    from masquerade.train import anonymizer  # noqa: PLC0415 - needs torch

    crops = torch.from_numpy(as_crops(faces))
    for ours, theirs, strength in (
        (low_resolution, anonymizer.low_resolution, 8),
        (low_resolution, anonymizer.low_resolution, 16),
        (quantised, anonymizer.quantised, 5),
        (jpeg, anonymizer.jpeg, 40),
    ):
        trained = ((theirs(crops, strength) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours(faces, strength), trained, atol=1.01)


def test_noise_is_uniform_and_clipped(faces):
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    noise = uniform_noise(grey, 0.15, np.random.default_rng(0)).astype(int) - 128
    assert np.abs(noise).max() <= 20 and noise.std() == pytest.approx(0.15 * 127.5 / np.sqrt(3), rel=0.02)
    loud = uniform_noise(faces, 2, np.random.default_rng(0))
    assert loud.min() == 0 and loud.max() == 255


def test_a_defended_swapper_is_a_swapper(faces):
    crops, who = as_crops(faces), np.full((3, 4), 0.25, np.float32)
    plain = Dimmer().swap(crops, who).crops
    defended = Defended(Dimmer(), [Defence("jpeg", 30), Defence("low_resolution", 8)])
    assert (defended.side, defended.dimensions) == (32, 4)
    made = defended.swap(crops, who)
    # The target first, whatever the order says; then the result.
    small = Dimmer().swap(as_crops(low_resolution(faces, 8)), who).crops
    coded = jpeg(np.rint((small.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8), 30)
    np.testing.assert_allclose(made.crops, as_crops(coded), atol=1e-5)
    assert made.masks is not None and made.crops.dtype == np.float32

    again = Defended(Dimmer(), [Defence("again", 2)]).swap(crops, who).crops
    np.testing.assert_allclose(again, plain / 4 + 0.375, atol=1e-6)
    seeded = [Defended(Dimmer(), [Defence("noise", 0.1)], seed=seed).swap(crops, who).crops for seed in (1, 1, 2)]
    np.testing.assert_array_equal(seeded[0], seeded[1])
    assert (seeded[0] != seeded[2]).any()
    assert np.abs(seeded[0] - plain).max() <= 0.1 + 2 / 255
    unknown = [Defended(Dimmer(), [Defence("noise", 0.1)]).swap(crops, who).crops for _ in range(2)]
    assert (unknown[0] != unknown[1]).any()
    np.testing.assert_array_equal(Defended(Dimmer(), []).swap(crops, who).crops, plain)


def test_nonsense_is_refused():
    for kind, strength in (("quantised", 1), ("jpeg", 0), ("jpeg", 101), ("noise", -0.1), ("again", 0)):
        with pytest.raises(OptionError, match=kind):
            Defence(kind, strength)


def test_they_are_read_by_name():
    both = (Defence("low_resolution", 16), Defence("noise", 0.15))
    assert read_defences("low-resolution-16+noise-0.15") == read_defences("low_resolution-16+noise-.15") == both
    assert "+".join(map(str, both)) == "low-resolution-16+noise-0.15"
    for nonsense in ("", "low-resolution", "jpeg-nan", "jpeg-x", "fgsm-0.15", "jpeg-30+"):
        with pytest.raises(OptionError):
            read_defences(nonsense)
