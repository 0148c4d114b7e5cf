import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.swap.redact import Redaction, redact  # noqa: E402
from masquerade.train.anonymizer import (  # noqa: E402
    Anonymizer,
    fgsm,
    jpeg,
    low_resolution,
    oval,
    published,
    quantised,
    uniform_noise,
)
from masquerade.train.grids import pixels  # noqa: E402
from masquerade.train.recipe import Defence  # noqa: E402
from masquerade.types import Box  # noqa: E402
from tests.train.archives import smooth, unit  # noqa: E402


@pytest.fixture(scope="module")
def crops():
    return torch.from_numpy(smooth(np.random.default_rng(0), 3)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def identities():
    return torch.from_numpy(unit(np.random.default_rng(1), 3))


@pytest.fixture(scope="module")
def swapper():
    torch.manual_seed(0)
    return Compact(widths=(4, 8, 8, 8), style=4).eval()


def shown(swapper, crops, identities, *defences, reconstruct=None):
    torch.manual_seed(5)
    named = [Defence(kind=kind, strength=strength) for kind, strength in defences]
    return Anonymizer("swapper", swapper, named, reconstruct)(crops, identities)


def test_what_is_shown_is_an_8_bit_picture_with_what_the_swapper_makes_where_the_face_is(swapper, crops, identities):
    made = shown(swapper, crops, identities)
    levels = made * 127.5 + 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    face, around = oval(128)[0] == 1, oval(128)[0] == 0
    assert face.float().mean() > 0.4 and around.float().mean() > 0.1
    with torch.no_grad():
        expected = swapper(crops, identities).crops.clamp(-1, 1)
    torch.testing.assert_close(made[..., face], expected[..., face], atol=1 / 255 + 1e-5, rtol=0)
    torch.testing.assert_close(made[..., around], crops[..., around])
    hole = Anonymizer("hole")(crops, identities)
    assert len(hole[..., face].unique()) == 1
    torch.testing.assert_close(hole[..., around], crops[..., around])
    assert not any(weight.requires_grad for weight in swapper.parameters())


# The box that a detector gives of an aligned face.
BOX = Box(15, 17, 108, 17 + 0.81 * 128)


def test_blur_leaves_about_what_that_of_the_package_leaves(crops):
    ours = pixels(Anonymizer("blur")(crops, torch.zeros(3, 512))).astype(float)
    theirs = np.stack([redact(face, BOX, Redaction("blur", shape="box")) for face in pixels(crops)])
    middle = np.s_[:, 24:104, 24:104]
    lost = np.abs(pixels(crops)[middle] - theirs[middle].astype(float)).mean()
    assert np.abs(ours[middle] - theirs[middle]).mean() < 0.35 * lost


def test_a_mosaic_has_about_as_many_cells_as_that_of_the_package(crops):
    ours = pixels(Anonymizer("pixelate")(crops, torch.zeros(3, 512)))
    theirs = np.stack([redact(face, BOX, Redaction("pixelate", shape="box")) for face in pixels(crops)])
    for axis in (1, 2):
        edges = [(np.diff(face.astype(int), axis=axis) != 0).any((0, 3 - axis, 3)).sum() for face in (ours, theirs)]
        assert edges[0] == 6 and abs(edges[1] - 6) <= 1
    # A cell is the average of its pixels; the seven share a column here and there.
    np.testing.assert_allclose(ours[:, 9, 9], pixels(crops)[:, :19, :19].mean((1, 2)), atol=1)


def test_solid_leaves_nothing(crops):
    assert len(Anonymizer("solid")(crops, torch.zeros(3, 512)).unique()) == 1


def test_low_resolution_leaves_as_many_averages_as_it_says(crops):
    small = low_resolution(crops, 16)
    assert small.shape == crops.shape
    frequencies = np.abs(np.fft.fft2(small.numpy(), axes=(2, 3)))[:, :, 24:104, 24:104]
    assert frequencies.max() < 0.02 * np.abs(np.fft.fft2(small.numpy(), axes=(2, 3))).max()
    torch.testing.assert_close(low_resolution(torch.full((1, 3, 128, 128), 0.3), 16).mean(), torch.tensor(0.3))


def test_quantised_has_as_many_levels_as_it_says():
    ramp = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    found = quantised(ramp, 5).unique()
    torch.testing.assert_close(found, torch.tensor([-1, -0.5, 0, 0.5, 1.0]))


def test_noise_is_uniform_of_its_size(crops):
    torch.manual_seed(0)
    inside = crops * 0.5
    noise = uniform_noise(inside, 0.15) - inside
    assert float(noise.abs().max()) <= 0.15 + 1e-6
    assert float(noise.std()) == pytest.approx(0.15 / np.sqrt(3), rel=0.02)


def test_fgsm_moves_every_pixel_by_its_size_towards_a_larger_loss(crops):
    inside = crops * 0.5

    def reconstruct(x):
        return torch.nn.functional.avg_pool2d(x, 8) * 2

    moved = fgsm(inside, 0.1, reconstruct)
    assert float((moved - inside).abs().median()) == pytest.approx(0.1)
    assert reconstruct(moved).abs().mean() > reconstruct(inside).abs().mean() + 0.15
    assert not moved.requires_grad


def test_jpeg_is_that_of_opencv(crops):
    face = pixels(crops)[1]
    coded = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    expected = cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(pixels(jpeg(crops, 30))[1], expected)


def test_parameter_noise_is_drawn_anew_and_leaves_the_swapper_as_it_was(swapper, crops, identities):
    before = [weight.clone() for weight in swapper.parameters()]
    plain = shown(swapper, crops, identities)
    first = shown(swapper, crops, identities, ("parameters", 0.1))
    anonymizer = Anonymizer("swapper", swapper, [Defence(kind="parameters", strength=0.1)])
    torch.manual_seed(5)
    again, other = anonymizer(crops, identities), anonymizer(crops, identities)
    torch.testing.assert_close(first, again)
    assert (first - other).abs().mean() > 0.002 and (first - plain).abs().mean() > 0.002
    assert all(map(torch.equal, before, swapper.parameters()))


def test_defences_meet_the_picture_where_they_say(swapper, crops, identities):
    def around(face, old=crops):
        """As it is published: the oval of the face, and the old surroundings."""
        return published(torch.lerp(old, face, oval(128)))

    with torch.no_grad():
        plain = around(swapper(crops, identities).crops.clamp(-1, 1))
        seen_small = around(swapper(low_resolution(crops, 16), identities).crops.clamp(-1, 1))
        again = around(swapper(plain, identities).crops.clamp(-1, 1), plain)
    small, coded = ("low_resolution", 16.0), ("jpeg", 50.0)
    torch.testing.assert_close(shown(swapper, crops, identities, small), seen_small)
    torch.testing.assert_close(shown(swapper, crops, identities, ("again", 1.0)), again)
    torch.testing.assert_close(shown(swapper, crops, identities, coded), around(jpeg(plain, 50), plain))
    torch.testing.assert_close(
        shown(swapper, crops, identities, small, coded), around(jpeg(seen_small, 50), seen_small)
    )
    guarded = shown(swapper, crops, identities, ("fgsm", 0.1), reconstruct=lambda x: x)
    torch.testing.assert_close(guarded, around((plain + 0.1 * plain.sign()).clamp(-1, 1), plain))
