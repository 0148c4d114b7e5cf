import pytest

torch = pytest.importorskip("torch")

from masquerade.faces.align import template  # noqa: E402
from masquerade.nets.ciagan import CIAGAN  # noqa: E402
from masquerade.nets.deepprivacy import DeepPrivacy, draw  # noqa: E402
from masquerade.nets.simswap import SimSwap  # noqa: E402
from masquerade.train.conditions import conditions, hole, keypoints, landmarks  # noqa: E402

SIDE = 64


@pytest.mark.parametrize("net", [CIAGAN(side=32, width=4, people=4), DeepPrivacy(side=32, width=8, dimensions=32)])
def test_a_network_gets_what_it_asks_for(net):
    told = conditions(net, 3, torch.device("cpu"))
    assert {name: value.shape for name, value in told.items()} == {n: (3, *s) for n, s in net.conditions.items()}
    crops, identities, _ = net.examples(3)
    made = net(crops, identities, **told)
    outside = told["hole"].expand_as(crops) == 0
    assert torch.equal(made.crops[outside], crops[outside]) and not torch.equal(made.crops, crops)


def test_most_networks_are_told_nothing():
    assert conditions(SimSwap(side=16, width=2, blocks=1), 2, torch.device("cpu")) == {}


@pytest.mark.parametrize("side", [64, 128])
def test_all_landmarks_lie_in_the_hole_and_the_corners_do_not(side):
    where = hole(side)[0]
    assert set(where.unique().tolist()) == {0.0, 1.0}
    for x, y in template(side).round().astype(int):
        assert where[y, x] == 1
    assert where[[0, 0, -1, -1], [0, -1, 0, -1]].sum() == 0
    assert 0.3 < float(where.mean()) < 0.7


def test_keypoints_fall_into_the_pixels_of_the_template_and_four_are_unknown():
    drawn = draw(keypoints(SIDE)[None], SIDE)[0]
    left, right, nose = template(SIDE)[:3].round().astype(int)
    for channel, (x, y) in enumerate((nose, right, left)):
        assert drawn[channel].sum() == 1 and drawn[channel, y, x] == 1
    assert drawn[3:].sum() == 0


def test_the_drawing_shows_mouth_nose_and_jaw():
    drawn = landmarks(SIDE)
    assert drawn.shape == (3, SIDE, SIDE) and set(drawn.unique().tolist()) == {0.0, 1.0}
    left, right, nose, *mouth = template(SIDE)
    for point in (nose, *mouth, (left + right) / 2, (mouth[0] + mouth[1]) / 2):
        x, y = point.round().astype(int)
        assert drawn[0, y - 1 : y + 2, x - 1 : x + 2].any()
    jaw = hole(SIDE)[0, :, SIDE // 2].nonzero().max()
    assert drawn[0, jaw, SIDE // 2] == 1
    assert 0.01 < float(drawn.mean()) < 0.1
