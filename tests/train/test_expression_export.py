import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.faces.expression import open_expression  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.models.runtime import open_session  # noqa: E402
from masquerade.nets.expression import ExpressionEmbedder  # noqa: E402
from masquerade.train.expression_export import (  # noqa: E402
    OUTPUTS,
    averaged_expression,
    begun,
    export_expression,
    read_expression,
)


@pytest.fixture(scope="module")
def network():
    """As after training: no two layers alike, and normalisation that does something."""
    torch.manual_seed(0)
    network = ExpressionEmbedder(7, 10)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.PReLU):
                module.weight.uniform_(0.05, 0.5)
            elif isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                for values in (module.weight, module.bias, module.running_mean, module.running_var):
                    values.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_what_ships_says_what_was_trained(network, tmp_path, engine):
    export_expression(network, tmp_path / "expression.onnx")
    assert (tmp_path / "expression.onnx").stat().st_size < 8e6
    faces = torch.rand(3, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        said = network(faces)
        again = read_expression(tmp_path / "expression.onnx")(faces)
    expected = (said.embedding, said.classes.softmax(1), said.affect, said.geometry)
    session = open_session(tmp_path / "expression.onnx", engine=engine, threads=1)
    found = session.run({"face": faces.numpy()})
    assert tuple(found) == OUTPUTS
    for name, wanted in zip(OUTPUTS, expected, strict=True):
        assert found[name] == pytest.approx(wanted.numpy(), abs=5e-3), name
    assert found["embedding"] == pytest.approx(again.embedding.numpy(), abs=1e-4)
    assert len(session.run({"face": np.zeros((1, 3, 112, 112), np.float32)})["embedding"]) == 1


def test_the_averaged_weights_of_a_checkpoint_are_exported(network, tmp_path):
    state = {"averages": {"network": network.state_dict()}}
    torch.save(state, tmp_path / "checkpoint.pt")
    found = averaged_expression(tmp_path / "checkpoint.pt")
    assert all(
        torch.equal(a, b) for a, b in zip(found.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_training_goes_on_from_a_file_as_from_what_it_was_made_of(network, tmp_path):
    export_expression(network, tmp_path / "expression.onnx")
    seen, faces = torch.rand(32, 3, 112, 112) * 2 - 1, torch.rand(3, 3, 112, 112) * 2 - 1
    found = begun(tmp_path / "expression.onnx", seen)
    assert found.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        plain, expected = found(faces), read_expression(tmp_path / "expression.onnx")(faces)
        for said, wanted in zip(plain, expected, strict=True):
            torch.testing.assert_close(said, wanted, rtol=1e-3, atol=1e-4)
        # What the layers have seen is what these faces are: in training they say much the same of them.
        there, here = found(seen).embedding, found.train()(seen).embedding
    assert (there * here).sum(1).min() > 0.98
    torch.save({"averages": {"network": network.state_dict()}}, tmp_path / "checkpoint.pt")
    same = begun(tmp_path / "checkpoint.pt", seen).state_dict()
    assert all(torch.equal(same[name], value) for name, value in network.state_dict().items())


def test_another_network_s_file_is_refused(tmp_path):
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match="not the weights"):
        read_expression(tmp_path / "other.onnx")


def test_the_packaged_embedder_says_in_torch_what_it_says_as_it_ships():
    path = PACKAGED / "expression.onnx"
    assert path.stat().st_size < 6e6
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    said = open_expression(threads=1).read_crops(crops)
    with torch.no_grad():
        expected = read_expression(path)(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert said.embedding == pytest.approx(expected.embedding.numpy(), abs=5e-3)
    assert said.classes == pytest.approx(expected.classes.softmax(1).numpy(), abs=5e-3)
    assert said.affect == pytest.approx(expected.affect.numpy(), abs=5e-3)
    assert said.geometry == pytest.approx(expected.geometry.numpy(), abs=2e-2)
