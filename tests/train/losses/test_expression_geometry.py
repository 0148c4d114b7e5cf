import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.train import geometry  # noqa: E402
from masquerade.train.losses.expression_geometry import (  # noqa: E402
    MEASURES,
    contours,
    differences,
    expression_geometry,
    measures,
    upright,
)
from tests.train.test_geometry import a_mesh, turned  # noqa: E402


def face(move=(), by=(0, 0)):
    """A whole face, (1, 468, 3): points that are not measured are where chance puts them, the same each time."""
    points = a_mesh()
    points[list(move), :2] += by
    return torch.from_numpy(points)[None]


class Painted(torch.nn.Module):
    """Reads the mesh off the picture's first rows: what the loss does with a mesh needs no network."""

    def forward(self, crops):
        return crops.flatten(1)[:, : 468 * 3].reshape(-1, 468, 3)


def painted(*meshes):
    rows = torch.cat([mesh.flatten(1) for mesh in meshes])
    return torch.cat([rows, torch.zeros(len(rows), 3 * 128 * 128 - rows.shape[1])], 1).reshape(-1, 3, 128, 128)


def test_tensors_turn_upright_and_measure_as_arrays_do():
    points = np.stack([turned(a_mesh(seed), 0.3, -0.2, 0.5) for seed in range(4)]).astype(np.float32)
    found = upright(torch.from_numpy(points))
    np.testing.assert_allclose(found, geometry.upright(points), atol=1e-5)
    values, known = measures(torch.from_numpy(points)).numpy(), geometry.measured(points)
    for name, column in (("corners up", 3), ("inner brows up", 7), ("outer brows up", 8)):
        np.testing.assert_allclose(values[:, MEASURES.index(name)], known[:, column], atol=1e-5)
    np.testing.assert_allclose(values[:, 1:3].mean(1), known[:, 6], atol=1e-5)  # both eyes


@pytest.mark.parametrize(
    ("points", "move", "which", "change"),
    [
        ((14, 87, 317), (0, 12), "mouth open", 0.25),  # of a mouth of 48
        ((144, 145, 153), (0, 2.8), "left eye open", 0.1),  # of an eye of 28
        ((380, 374, 373), (0, 2.8), "right eye open", 0.1),
        ((61, 291), (0, -9), "corners up", 0.1),  # eyes are 90 apart
        ((55, 285, 107, 336), (0, -9), "inner brows up", 0.1),
        ((63, 293, 105, 334), (0, -9), "outer brows up", 0.1),
    ],
)
def test_what_a_face_does_is_measured_and_named(points, move, which, change):
    lips = ((82, 312), (87, 317))
    start = a_mesh()
    for pair, y in zip(lips, (57, 60), strict=True):
        start[list(pair)] = [(-9, y, 0), (9, y, 0)]
    end = start.copy()
    end[list(points), :2] += move
    before, after = measures(torch.from_numpy(np.stack([start, end])))
    if which != "corners up":  # it moves the width by which the mouth is measured
        others = [number for number, name in enumerate(MEASURES) if name not in (which, "corners up")]
        assert (after - before)[others].abs().max() < 1e-6
    assert float((after - before)[MEASURES.index(which)]) == pytest.approx(change, abs=3e-3)


def test_contours_do_not_see_where_and_how_large_lips_and_eyes_are():
    one, other = face(), face()
    middle = other[:, 13:14].clone()
    cos, sin = np.cos(0.3), np.sin(0.3)
    lips = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
    lips += [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
    spin = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    other[:, lips] = 1.3 * (other[:, lips] - middle) @ spin.T + middle + torch.tensor([2.0, 5.0, 0.0])
    assert float(contours(one, other)) == pytest.approx(0, abs=1e-6)
    other[:, 17, 1] += 9
    assert float(contours(one, other)) > 0.01


def test_the_same_expression_costs_nothing_and_pulls_nowhere():
    results = painted(face(), face()).requires_grad_()
    loss = expression_geometry(Painted(), painted(face(), face()), results)
    loss.backward()
    assert float(loss.detach()) == 0
    assert results.grad.abs().max() == 0


def test_gradients_reach_the_result_alone_and_lead_to_the_target():
    targets = painted(face((14, 87, 317, 17, 152), (0, 9))).requires_grad_()
    results = painted(face()).requires_grad_()
    optimizer = torch.optim.Adam([results], lr=0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = expression_geometry(Painted(), targets, results)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert targets.grad is None
    assert losses[-1] < losses[0] / 3


def test_a_face_far_off_counts_no_more_than_the_limit_but_still_pulls():
    far = face((14, 87, 317), (0, 200)).requires_grad_()
    near = face((145,), (0, 0.3)).requires_grad_()
    found = differences(face().expand(2, -1, -1), torch.cat([far, near]))
    assert float(found[0].detach()) == pytest.approx(2)
    assert 0 < float(found[1].detach()) < 0.2
    found.mean().backward()
    assert far.grad.isfinite().all() and far.grad.abs().max() > 0
