import pytest

torch = pytest.importorskip("torch")

from masquerade.train.views import View  # noqa: E402


def test_a_view_is_the_same_for_target_and_result_and_another_each_time():
    torch.manual_seed(0)
    faces = torch.rand(3, 3, 128, 128) * 2 - 1
    view, other = View(3), View(3)
    assert view(faces).shape == (3, 3, 112, 112)
    assert torch.equal(view(faces), view(faces))
    assert float((view(faces) - other(faces)).abs().mean()) > 0.02


def test_a_view_moves_lights_and_colours_only_a_little():
    torch.manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    ramp = torch.stack([x, y, 0 * x])[None].repeat(64, 1, 1, 1)
    view = View(64)
    view.gain, view.offset, view.grey = torch.ones(64, 3, 1, 1), torch.zeros(64, 1, 1, 1), torch.zeros(64, 1, 1, 1)
    centre = view(ramp)[:, :2, 55:57, 55:57].mean((2, 3))
    assert float(centre.std()) == pytest.approx(0.03, rel=0.3)
    assert float(centre.abs().max()) < 0.15


def test_a_gradient_reaches_the_face():
    torch.manual_seed(2)
    faces = torch.rand(2, 3, 128, 128, requires_grad=True)
    View(2)(faces).sum().backward()
    assert float((faces.grad != 0).float().mean()) > 0.7
