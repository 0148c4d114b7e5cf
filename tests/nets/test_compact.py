import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.compact import AdaIN, Compact  # noqa: E402
from masquerade.nets.discriminator import CompactDiscriminator, FeatureDiscriminator  # noqa: E402
from masquerade.nets.summary import build, multiply_adds, parameters  # noqa: E402
from tests.nets.generators import (  # noqa: E402
    check_export,
    check_half_precision,
    check_identity_matters,
    check_learns,
    check_shapes,
)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Compact(side=64, dimensions=16, widths=(8, 12, 16, 24), style=16)


def test_it_makes_a_crop_of_the_identity(net):
    check_shapes(net)
    check_identity_matters(net)


def test_it_learns(net):
    check_learns(net)


def test_it_exports(net):
    check_export(net)


def test_it_runs_in_half_precision(net):
    check_half_precision(net)


def test_a_new_network_draws_no_chequers(net):
    with torch.no_grad():
        unfolded = net.paint[0](net.polish(torch.randn(2, 8, 6, 6)))
    corner = unfolded[..., ::2, ::2]
    assert all(torch.allclose(unfolded[..., y::2, x::2], corner) for y in (0, 1) for x in (0, 1))
    assert float(corner.std()) > 0.01


def test_what_ships_stays_small():
    net = build("compact")
    assert net.side == 128 and net.dimensions == 512
    assert parameters(net) <= 6e6
    assert multiply_adds(net) <= 1.25e9


def test_adain_is_a_norm_followed_by_the_identitys_gain_and_offset():
    torch.manual_seed(2)
    adain, x, style = AdaIN(4, 6), 3 + 5 * torch.randn(2, 4, 9, 9), torch.randn(2, 6)
    gain, offset = adain.affine(style)[:, :, None, None].split(4, dim=1)
    normed = torch.nn.functional.instance_norm(x, eps=1e-3)
    assert torch.allclose(adain(x, style), (1 + gain) * normed + offset, atol=1e-4)


def test_the_discriminator_learns_to_tell_two_kinds_of_pictures_apart():
    torch.manual_seed(3)
    judge = CompactDiscriminator(widths=(8, 8, 16, 16))
    assert [tuple(m.shape[1:]) for m in judge(torch.zeros(1, 3, 64, 64))] == [
        (8, 32, 32), (8, 16, 16), (16, 8, 8), (16, 4, 4), (16, 4, 4), (1, 4, 4)
    ]  # fmt: skip
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3)
    smooth = torch.rand(8, 3, 1, 1) * torch.ones(8, 3, 64, 64)
    rough = smooth + 0.3 * torch.randn(8, 3, 64, 64)
    for _ in range(15):
        optimizer.zero_grad()
        torch.nn.functional.softplus(torch.cat([judge(smooth)[-1], -judge(rough)[-1]])).mean().backward()
        optimizer.step()
    assert float(judge(rough)[-1].min()) > float(judge(smooth)[-1].max())


def test_eyes_and_mouth_are_judged_on_their_own():
    torch.manual_seed(4)
    judge = FeatureDiscriminator(widths=(8, 8, 16, 16), side=128).eval()
    crops = torch.rand(2, 3, 128, 128)
    face, eyes, mouth = judge(crops)
    assert len(face) == 6
    assert len(eyes) == len(mouth) == 1
    assert eyes[0].shape[:2] == (2, 2)

    def changed(rows, columns):
        other = crops.clone()
        other[1, :, rows, columns] = 0
        _, new_eyes, new_mouth = judge(other)
        assert torch.equal(new_eyes[0][0], eyes[0][0])
        assert torch.equal(new_mouth[0][0], mouth[0][0])
        return [
            not torch.equal(a, b)
            for a, b in (
                (new_eyes[0][1, 0], eyes[0][1, 0]),
                (new_eyes[0][1, 1], eyes[0][1, 1]),
                (new_mouth[0][1], mouth[0][1]),
            )
        ]

    assert changed(slice(55, 62), slice(40, 48)) == [True, False, False]
    assert changed(slice(55, 62), slice(80, 88)) == [False, True, False]
    assert changed(slice(102, 108), slice(60, 68)) == [False, False, True]
    assert changed(slice(0, 20), slice(0, 20)) == [False, False, False]
    # One judge has both eyes: a mirrored face is judged the other way round.
    mirrored = judge(crops.flip(3))[1][0]
    torch.testing.assert_close(mirrored.flip(1), eyes[0], atol=0.2, rtol=0)
