import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import OptionError  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.nets.veiled import Veiled, veil  # noqa: E402
from tests.nets.generators import check_export, check_identity_matters, check_learns, check_shapes  # noqa: E402

SIZES = {"side": 64, "dimensions": 16, "widths": (8, 12, 16, 24), "style": 16}


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Veiled(seen=8, **SIZES)


def test_it_is_a_generator(net):
    check_shapes(net)
    check_identity_matters(net)
    check_learns(net)
    check_export(net)


def test_what_the_veil_hides_changes_nothing(net):
    crops, identities, _ = net.eval().examples(batch=1)
    averages = torch.nn.functional.avg_pool2d(crops, 8)
    other = torch.rand_like(crops) * 2 - 1
    other += (averages - torch.nn.functional.avg_pool2d(other, 8)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert float((other - crops).abs().mean()) > 0.3
    with torch.no_grad():
        torch.testing.assert_close(net(other, identities).crops, net(crops, identities).crops, atol=1e-4, rtol=1e-3)


def test_it_takes_the_weights_of_a_compact_one(net):
    plain = Compact(**SIZES)
    net.load_state_dict(plain.state_dict())
    crops, identities, _ = net.examples()
    with torch.no_grad():
        expected = plain.eval()(veil(crops, 8), identities).crops
        torch.testing.assert_close(net.eval()(crops, identities).crops, expected)


def test_a_veil_that_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="64 pixels cannot be shown as 24"):
        Veiled(seen=24, **SIZES)
