"""What lips, lids and brows do is the target's, not the source's: it is measured on both meshes and compared."""

import torch
from torch import Tensor
from torch.nn import functional

from masquerade.train.geometry import (
    _BRIDGE,
    _INNER_BOTTOM,
    _INNER_BROWS,
    _INNER_CORNERS,
    _INNER_TOP,
    _LIDS,
    _MOUTH,
    _NOSE_ROOT,
    _OUTER_BROWS,
    _OUTER_CORNERS,
)
from masquerade.train.mesh import FaceMesh

MEASURES = ("mouth open", "left eye open", "right eye open", "corners up", "inner brows up", "outer brows up")
"""What `measures` gives, in its order."""

_DEVIATIONS = (0.074, 0.034, 0.034, 0.029, 0.025, 0.023)
"""Standard deviations over 300 evenly picked faces of `celeba-val-128.zip`, by this mesh."""
_WEIGHTS = (1.0, 0.5, 0.5, 0.3, 0.15, 0.15)
"""How far lips and lids are apart is hardly anybody's own; where corners and brows rest is."""

_CONTOUR_DISTANCE = 0.099
"""Mean of `contours` between each of those faces and the one 150 further on."""
_CONTOUR_WEIGHT = 0.5
_LIMIT = 2.0
"""As far as a face counts: a target that is hidden or blurred is read anyhow, and must not drown the others."""

_LIP_GAPS = ((82, 87), (_INNER_TOP, _INNER_BOTTOM), (312, 317))
_LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)


def expression_geometry(mesh: FaceMesh, targets: Tensor, results: Tensor) -> Tensor:
    """How differently two faces hold mouth, lids and brows: 0 for the same picture, about 1 for unrelated faces.

    The weighted mean of the differences of `measures` in standard deviations and of `contours` by their usual distance,
    each face at most `_LIMIT`, where its gradient is scaled down and does not vanish. No gradient reaches the targets.

    Args:
        targets, results: aligned crops (n, 3, side, side), RGB, [−1, 1].
    """
    with torch.no_grad():
        wanted = mesh(targets)
    return differences(wanted, mesh(results)).mean()


def differences(wanted: Tensor, found: Tensor) -> Tensor:
    """`expression_geometry` of meshes (n, 468, 3) each, face by face; (n,)."""
    weights = found.new_tensor(_WEIGHTS)
    apart = (measures(found) - measures(wanted)).abs() / found.new_tensor(_DEVIATIONS)
    total = (apart * weights).sum(1) + _CONTOUR_WEIGHT * contours(wanted, found) / _CONTOUR_DISTANCE
    total = total / (sum(_WEIGHTS) + _CONTOUR_WEIGHT)
    limited: Tensor = total * (_LIMIT / total.detach().clamp(min=_LIMIT))
    return limited


def measures(points: Tensor) -> Tensor:
    """What `MEASURES` names, of meshes (n, 468, 3); (n, 6). Openness is height by width, the rest is in eye distances.

    As `geometry.measured`, but for each eye alone, and the mouth by its own width: its size is the person's.
    """
    p = upright(points)

    def apart(one: int, other: int) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(p[:, one] - p[:, other], dim=1)
        return length

    def gap(pairs: tuple[tuple[int, int], ...], width: Tensor) -> Tensor:
        return torch.stack([apart(*pair) for pair in pairs]).mean(0) / width

    def height(*which: int) -> Tensor:
        return -p[:, list(which), 1].mean(1)

    values = [
        gap(_LIP_GAPS, apart(*_MOUTH)),
        *(
            gap(lids, apart(outer, inner))
            for lids, outer, inner in zip(_LIDS, _OUTER_CORNERS, _INNER_CORNERS, strict=True)
        ),
        height(*_MOUTH) - height(_INNER_TOP, _INNER_BOTTOM),
        height(*_INNER_BROWS[0], *_INNER_BROWS[1]) - height(*_INNER_CORNERS),
        height(*_OUTER_BROWS[0], *_OUTER_BROWS[1]) - height(*_OUTER_CORNERS),
    ]
    return torch.stack(values, 1)


def contours(wanted: Tensor, found: Tensor) -> Tensor:
    """How differently lips and eyes are shaped, wherever they lie and however large they are; (n,).

    Each contour of one mesh is laid on the other's by the best similarity (Procrustes); what remains of it, by the
    contour's own size, is averaged over lips and eyes, lips as much as both eyes.

    Args:
        wanted, found: meshes (n, 468, 3).
    """
    one, other = upright(wanted)[..., :2], upright(found)[..., :2]
    left, right = (_remainder(one[:, list(eye)], other[:, list(eye)]) for eye in _EYES)
    return (_remainder(one[:, list(_LIPS)], other[:, list(_LIPS)]) + (left + right) / 2) / 2


def _remainder(wanted: Tensor, found: Tensor) -> Tensor:
    wanted, found = (shape - shape.mean(1, keepdim=True) for shape in (wanted, found))
    turned = torch.stack([-found[..., 1], found[..., 0]], 2)  # by a right angle
    size = found.square().sum((1, 2))
    along, across = ((wanted * shape).sum((1, 2)) / size for shape in (found, turned))
    rest = wanted - along[:, None, None] * found - across[:, None, None] * turned
    share: Tensor = torch.linalg.vector_norm(rest, dim=(1, 2)) / torch.linalg.vector_norm(wanted, dim=(1, 2))
    return share


def upright(points: Tensor) -> Tensor:
    """`geometry.upright` for tensors: seen from the front, the nose's bridge at 0, the eyes' outer corners 1 apart.

    Args:
        points: meshes (n, 468, 3).
    """
    centred = points - points[:, [_BRIDGE]]
    eyes = centred[:, _OUTER_CORNERS[1]] - centred[:, _OUTER_CORNERS[0]]
    across = functional.normalize(eyes, dim=1)
    nose = centred[:, _NOSE_ROOT]
    down = functional.normalize(nose - (nose * across).sum(1, keepdim=True) * across, dim=1)
    axes = torch.stack([across, down, torch.linalg.cross(across, down)], 2)
    turned: Tensor = centred @ axes / torch.linalg.vector_norm(eyes, dim=1)[:, None, None]
    return turned
