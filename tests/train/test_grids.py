import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.train.grids import pixels, write_grid  # noqa: E402


def test_pixels_are_the_crops_clipped_and_rounded():
    crops = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0])[None, None, None].repeat(1, 3, 1, 1)
    crops[:, 2] = -1
    assert pixels(crops)[0, 0].tolist() == [[0, 0, 0], [0, 0, 0], [128, 128, 0], [255, 255, 0], [255, 255, 0]]


def test_a_grid_holds_every_crop_in_its_place(tmp_path):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 256, (3, 8, 8, 3), np.uint8) for _ in range(2)]
    write_grid(rows, tmp_path / "made" / "grid.png")
    read = cv2.imread(str(tmp_path / "made" / "grid.png"), cv2.IMREAD_COLOR_RGB)
    assert read.shape == (16, 24, 3)
    assert all(np.array_equal(read[8 * r : 8 * r + 8, 8 * c : 8 * c + 8], rows[r][c]) for r in (0, 1) for c in range(3))
