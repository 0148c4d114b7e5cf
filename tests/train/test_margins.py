import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from masquerade.errors import InputError  # noqa: E402
from masquerade.train.losses.ifsr import ifsr  # noqa: E402
from masquerade.train.margins import BlockDistances, draw, measure, table  # noqa: E402


class Encoder(torch.nn.Module):
    """The first block sees the left half of a picture, the second its right half."""

    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, x):
        return self.left(x[..., :4]), self.right(x[..., 4:])


def swaps(count=3, batch=8):
    """A swapper that keeps the target's left half and takes the source's right half, nearly."""
    generator = torch.Generator().manual_seed(0)

    def noise():
        return torch.randn(batch, 1, 4, 8, generator=generator)

    for _ in range(count):
        target, source = noise(), noise()
        changed = torch.cat([target[..., :4], source[..., 4:]], dim=3) + 0.1 * noise()
        yield target, source, changed


def test_blocks_show_what_the_swap_kept_and_what_it_changed():
    left, right = measure(Encoder(), ["left", "right"], swaps())
    assert left.c2t.shape == left.c2s.shape == left.negative.shape == (24,)
    assert left.margin < 0.02 and left.c2s.mean() > 0.8
    assert right.margin > 0.8 and right.c2s.mean() < 0.02
    assert left.equal_error_rate == 0
    assert right.equal_error_rate == 1
    assert left.negative.mean() == pytest.approx(1, abs=0.2)


def test_the_margins_are_those_with_which_ifsr_lets_the_same_swaps_pass():
    blocks = measure(Encoder(), ["left", "right"], swaps(count=1))
    target, _, changed = next(swaps(count=1))
    encoder = Encoder()
    margins = [block.margin for block in blocks]
    assert float(ifsr(encoder(target), encoder(changed), margins, scale=1.0)) == pytest.approx(0, abs=1e-6)
    assert float(ifsr(encoder(target), encoder(changed), margins, scale=0.5)) == pytest.approx(
        sum(margins) / 2, rel=1e-4
    )


def test_equal_error_rate_of_mixed_distances_is_a_half():
    values = np.linspace(0.2, 0.9, 400)
    block = BlockDistances("b", values, values + 1e-9, values)
    assert block.equal_error_rate == pytest.approx(0.5, abs=0.01)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(InputError, match="no triplets"):
        measure(Encoder(), ["left"], [])


def test_the_table_has_a_row_for_each_block():
    blocks = measure(Encoder(), ["left", "right"], swaps())
    rows = table(blocks).splitlines()
    assert len(rows) == 4 and rows[2].startswith(f"| left | {blocks[0].margin:.6f} |")


def test_the_figure_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    draw(measure(Encoder(), ["left", "right"], swaps()), tmp_path / "margins.png")
    with Image.open(tmp_path / "margins.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (400, 1500, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    assert [entry.name for entry in tmp_path.iterdir()] == ["margins.png"]
