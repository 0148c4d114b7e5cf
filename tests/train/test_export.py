import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")
onnxruntime = pytest.importorskip("onnxruntime")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.models.cards import PACKAGED, cards  # noqa: E402
from masquerade.models.runtime import open_session  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.nets.encoder import ENCODERS  # noqa: E402
from masquerade.train.export import (  # noqa: E402
    averaged_encoder,
    export_encoder,
    export_generator,
    read_encoder,
    read_generator,
    settle,
)


@pytest.fixture(params=list(ENCODERS))
def exported(request, tmp_path):
    torch.manual_seed(1)
    encoder = ENCODERS[request.param]()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
        if isinstance(module, torch.nn.PReLU):
            module.weight.data.uniform_(0, 0.5)
    export_encoder(encoder.eval(), tmp_path / "encoder.onnx")
    return encoder, tmp_path / "encoder.onnx"


def test_both_engines_say_what_torch_says_for_any_batch(exported):
    encoder, path = exported
    ours = onnxruntime.InferenceSession(path)
    theirs = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [port.name for port in ours.get_inputs()] == ["face"]
    assert [port.name for port in ours.get_outputs()] == ["embedding"]
    for n in (1, 4):
        faces = torch.rand(n, 3, 112, 112) * 2 - 1
        with torch.no_grad():
            expected = encoder(faces).numpy()
        for found in (ours.run(None, {"face": faces.numpy()})[0], theirs([faces.numpy()])[0]):
            assert found.shape == expected.shape
            np.testing.assert_allclose((found * expected).sum(1), 1, atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_file_is_small(exported):
    assert exported[1].stat().st_size < 4_000_000


def test_training_can_go_on_from_the_file(exported):
    encoder, path = exported
    faces = torch.rand(48, 3, 112, 112) * 2 - 1
    again = read_encoder(path, {type(e()): name for name, e in ENCODERS.items()}[type(encoder)])
    with torch.no_grad():
        expected = encoder(faces)
        assert float((again(faces) * expected).sum(1).min()) > 0.9999
        settle(again, faces)
        assert float((again(faces) * expected).sum(1).min()) > 0.9999
        # What it says of a batch by the batch's own statistics, as in training, hardly differs.
        assert float((again.train()(faces) * expected).sum(1).min()) > 0.99


def test_a_checkpoint_gives_its_averaged_weights(tmp_path):
    encoder = ENCODERS["guard"]()
    torch.save({"averages": {"encoder": encoder.state_dict()}}, tmp_path / "checkpoint.pt")
    found = averaged_encoder(tmp_path / "checkpoint.pt", "guard")
    assert not found.training
    assert all(
        torch.equal(a, b) for a, b in zip(found.state_dict().values(), encoder.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_the_packaged_encoder_is_what_its_card_says_and_can_be_trained_further(name):
    card = cards()[name]
    path = PACKAGED / f"{name}.onnx"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    encoder = read_encoder(path, name)
    faces = torch.rand(2, *card.input.shape[1:]) * 2 - 1
    session = onnxruntime.InferenceSession(path)
    with torch.no_grad():
        expected = encoder(faces).numpy()
    found = session.run(None, {card.input.name: faces.numpy()})[0]
    np.testing.assert_allclose((found * expected).sum(1), 1, atol=1e-4)


def test_a_generators_file_is_small_says_what_it_said_and_can_be_read_again(tmp_path):
    torch.manual_seed(2)
    net, path = Compact().eval(), tmp_path / "swapper.onnx"
    export_generator(net, path)
    assert path.stat().st_size < 12_000_000
    again = read_generator(path)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight.half().float(), again.state_dict()[name]), name
    crops, identities, _ = net.examples(3)
    with torch.no_grad():
        expected, halved = net(crops, identities).crops.numpy(), again(crops, identities).crops.numpy()
    assert np.abs(expected - halved).max() < 0.01 * np.abs(expected).max()
    feeds = {"target": crops.numpy(), "identity": identities.numpy()}
    session = onnxruntime.InferenceSession(path)
    assert [port.name for port in session.get_outputs()] == ["crop"]
    theirs = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for found in (session.run(None, feeds)[0], theirs(feeds)["crop"]):
        np.testing.assert_allclose(found, halved, atol=2e-5)


@pytest.mark.parametrize(("weights", "size", "error"), [("float32", 24e6, 2e-5), ("int8", 6.5e6, 0.05)])
def test_a_generator_in_single_precision_or_in_bytes(tmp_path, weights, size, error):
    torch.manual_seed(2)
    net, path = Compact().eval(), tmp_path / "swapper.onnx"
    export_generator(net, path, weights)
    assert path.stat().st_size < size
    crops, identities, _ = net.examples(3)
    with torch.no_grad():
        expected, again = net(crops, identities).crops.numpy(), read_generator(path)(crops, identities).crops.numpy()
    feeds = {"target": crops.numpy(), "identity": identities.numpy()}
    # As the product opens it: left to itself, OpenVINO rounds sums of stored bytes where the processor has VNNI.
    theirs = open_session(path, engine="openvino", threads=1).run(feeds)["crop"]
    for found in (onnxruntime.InferenceSession(path).run(None, feeds)[0], theirs):
        np.testing.assert_allclose(found, again, atol=2e-5)
        assert np.abs(found - expected).max() <= error * np.abs(expected).max()


def test_another_networks_file_is_refused():
    with pytest.raises(WeightsError, match="compact"):
        read_generator(PACKAGED / "guard.onnx")
