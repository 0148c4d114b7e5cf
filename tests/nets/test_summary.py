import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.generators import GENERATORS  # noqa: E402
from masquerade.nets.simswap import SimSwap  # noqa: E402
from masquerade.nets.summary import build, main, multiply_adds, parameters, stages  # noqa: E402


@pytest.mark.parametrize("name", ["facedancer-d", "fiva", "simswap", "faceshifter", "deepprivacy"])
def test_the_stages_hold_all_that_the_network_learns(name):
    net = build(name)
    found = stages(net)
    assert sum(stage.parameters for stage in found) == parameters(net) > 0
    assert any(stage.shape[-2:] == (net.side, net.side) for stage in found)
    assert all(weight.is_meta for weight in net.parameters())


def test_multiply_adds_of_a_network_counted_by_hand():
    side, width, blocks = 32, 4, 3
    with torch.device("meta"):
        net = SimSwap(side=side, width=width, blocks=blocks, dimensions=8).eval()
    pixels = side * side
    by_hand = pixels * 3 * width * 49  # first
    by_hand += sum(pixels // 4**k * 9 * (width << (k - 1)) * (width << k) for k in (1, 2, 3))  # down
    by_hand += blocks * 2 * (pixels // 64 * 9 * (8 * width) ** 2 + 8 * 2 * 8 * width)  # bottleneck and its styles
    by_hand += sum(pixels // 4 ** (k - 1) * 9 * (width << k) * (width << (k - 1)) for k in (1, 2, 3))  # up
    by_hand += pixels * width * 3 * 49  # last
    assert multiply_adds(net) == by_hand


def test_the_table_has_a_row_for_every_network_and_for_every_stage_asked_for(capsys):
    main(["fiva"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in GENERATORS)
    assert "| paint.2 | 4×256×256 |" in printed
