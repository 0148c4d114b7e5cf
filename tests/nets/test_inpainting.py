"""CIAGAN and DeepPrivacy: both paint into a hole, so both are held to the same promises."""

import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.ciagan import CIAGAN  # noqa: E402
from masquerade.nets.deepprivacy import DeepPrivacy, draw  # noqa: E402
from tests.nets.generators import (  # noqa: E402
    check_export,
    check_half_precision,
    check_identity_matters,
    check_learns,
    check_shapes,
)

SMALL = {
    "ciagan": lambda: CIAGAN(side=32, width=4, people=10),
    "deepprivacy": lambda: DeepPrivacy(side=32, width=8, dimensions=32),
}


@pytest.fixture(params=SMALL)
def net(request):
    torch.manual_seed(1)
    return SMALL[request.param]()


def test_it_makes_a_crop_of_the_identity_and_hands_its_hole_on_as_mask(net):
    check_shapes(net, masked=True)
    check_identity_matters(net)


def test_it_learns(net):
    check_learns(net)


def test_it_exports(net):
    check_export(net)


def test_it_runs_in_half_precision(net):
    check_half_precision(net)


def with_hole(net):
    crops, identities, conditions = net.eval().examples()
    hole = torch.zeros(1, 1, 32, 32)
    hole[..., 8:24, 8:24] = 1
    return crops, identities, {**conditions, "hole": hole}


def test_nothing_of_the_face_in_the_hole_is_seen(net):
    crops, identities, conditions = with_hole(net)
    other = torch.where(conditions["hole"] > 0, torch.rand_like(crops), crops)
    with torch.no_grad():
        assert torch.equal(net(crops, identities, **conditions).crops, net(other, identities, **conditions).crops)


def test_nothing_outside_the_hole_changes(net):
    crops, identities, conditions = with_hole(net)
    with torch.no_grad():
        made = net(crops, identities, **conditions)
    outside = conditions["hole"].expand_as(crops) == 0
    assert torch.equal(made.crops[outside], crops[outside])
    assert float((made.crops - crops)[~outside].abs().mean()) > 0.05
    assert torch.equal(made.masks, conditions["hole"])


def test_where_the_landmarks_are_matters(net):
    crops, identities, conditions = with_hole(net)
    name = next(name for name in conditions if name != "hole")
    moved = {**conditions, name: 1 - conditions[name]}
    with torch.no_grad():
        difference = net(crops, identities, **conditions).crops - net(crops, identities, **moved).crops
    assert float(difference.abs().max()) > 1e-4


def test_keypoints_are_drawn_in_their_pixel_and_nowhere_if_outside():
    points = torch.tensor([[[0.5, 0.25], [0.99, 0.0], [1.0, 0.5], [-0.01, 0.5]]])
    expected = torch.zeros(1, 4, 8, 8)
    expected[0, 0, 2, 4] = 1
    expected[0, 1, 0, 7] = 1
    assert torch.equal(draw(points, 8), expected)


def test_published_sizes():
    with torch.device("meta"):
        deepprivacy = DeepPrivacy()
    ciagan = CIAGAN()  # its spectral norms are slow to imagine and quick to compute
    assert (ciagan.side, ciagan.dimensions) == (128, 1200)
    assert ciagan.encoder(torch.zeros(1, 6, 128, 128)).shape == (1, 256, 4, 4)
    assert [join[0].weight.shape[1] for join in deepprivacy.join] == [551, 1031, 1031, 1031, 1031, 519]
