from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from masquerade.train.teachers import (  # noqa: E402
    dlib,
    dlib_in_torch,
    fr_feature,
    fr_feature_in_torch,
)

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


@pytest.mark.skipif(not MODELS.is_dir(), reason="the teachers are not here")
@pytest.mark.parametrize("ways", [(fr_feature, fr_feature_in_torch), (dlib, dlib_in_torch)])
def test_a_teacher_says_the_same_in_torch_as_in_openvino(ways):
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.uniform(0, 255, (5, 3, 9, 9)))
    faces = torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic").clamp(0, 255)
    faces = faces.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    by_openvino, in_torch = ways
    one, other = by_openvino(MODELS)(faces), in_torch(MODELS, torch.device("cpu"))(torch.from_numpy(faces)).numpy()
    assert (one * other).sum(1) == pytest.approx(1, abs=1e-3)
