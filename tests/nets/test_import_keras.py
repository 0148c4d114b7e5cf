import numpy as np
import pytest

torch = pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.nets.blocks import AFFA, AdaIN  # noqa: E402
from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer  # noqa: E402
from masquerade.nets.import_keras import import_facedancer  # noqa: E402

SIZES = {8: "16x16", 16: "32x32", 32: "64x64", 64: "128x128", 128: "256x256", 256: "final"}


def write_as_keras(net, path, *, offset=40):
    """The file that Keras would write for this network: names by kind and number, groups in no helpful order."""
    layers, counts = [], {}

    def add(kind, arrays, name=None):
        number = counts.get(kind, offset)
        counts[kind] = number + 1
        layers.append((name or (f"{kind}_{number}" if number else kind), arrays))

    def of(module):
        weight = module.weight.detach().numpy()
        order = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[weight.ndim]
        return [weight.transpose(order), module.bias.detach().numpy()]

    skips = iter(SIZES.values())
    done = set()
    for path_in_net, module in net.named_modules():
        if path_in_net.startswith("decoder.") and path_in_net.count(".") == 1:
            size = next(skips)
        if isinstance(module, AdaIN):
            add("ada_in", of(module.scale) + of(module.shift))
            done |= {module.scale, module.shift}
        elif isinstance(module, AFFA):
            layers.append((size, of(module.decide)))
            done.add(module.decide)
        elif module in done:
            continue
        elif isinstance(module, torch.nn.Conv2d):
            add("conv2d", of(module))
        elif isinstance(module, torch.nn.Linear):
            add("dense", of(module))
        elif isinstance(module, torch.nn.InstanceNorm2d):
            add("instance_normalization", of(module))
    layers.append(("leaky_re_lu", []))
    np.random.default_rng(0).shuffle(layers)
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, arrays in layers:
            keys = [f"{name}/array_{index}:0" for index in range(len(arrays))]
            group.create_group(name).attrs["weight_names"] = [key.encode() for key in keys]
            for key, array in zip(keys, arrays, strict=True):
                group[name][key] = array


def random_net(name):
    torch.manual_seed(2)
    net = FaceDancer(CONFIGURATIONS[name], side=64, width=4, dimensions=16)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net.eval()


@pytest.mark.parametrize("offset", [0, 8, 97])
@pytest.mark.parametrize("name", ["baseline-1", "baseline-2", "b", "c", "d", "e"])
def test_a_file_gives_back_its_network_whatever_number_its_layers_start_at(tmp_path, name, offset):
    net = random_net(name)
    write_as_keras(net, tmp_path / "weights.h5", offset=offset)
    found, imported = import_facedancer(tmp_path / "weights.h5")
    assert found == name
    crops, z = torch.rand(1, 3, 64, 64), torch.randn(1, 16)
    with torch.no_grad():
        assert torch.equal(imported.eval()(crops, z).crops, net(crops, z).crops)


def test_every_mismatch_is_named(tmp_path):
    net = random_net("c")
    net.encoder[2].convolution = torch.nn.Conv2d(16, 48, 3)
    write_as_keras(net, tmp_path / "weights.h5")
    with pytest.raises(WeightsError) as caught:
        import_facedancer(tmp_path / "weights.h5")
    message = str(caught.value)
    assert "weights.h5" in message and "configuration C, with 2 mismatches" in message
    assert "(48, 16, 3, 3) is not encoder.2.convolution.weight (32, 16, 3, 3)" in message


def test_layers_left_over_and_layers_missing_are_named(tmp_path):
    net = random_net("e")
    net.mapping = torch.nn.Sequential(torch.nn.Linear(16, 16))
    write_as_keras(net, tmp_path / "weights.h5")
    with pytest.raises(WeightsError, match=r"configuration E, with 1 mismatches: dense_40 of the file has no place"):
        import_facedancer(tmp_path / "weights.h5")


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all" * 100])
def test_what_is_no_keras_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "weights.h5").write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.h5: this is no HDF5 file of Keras"):
        import_facedancer(tmp_path / "weights.h5")


def test_a_keras_file_of_another_network_is_an_error(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("model_weights").attrs["layer_names"] = np.array([], dtype="S1")
    with pytest.raises(WeightsError, match="holds no FaceDancer"):
        import_facedancer(tmp_path / "other.h5")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="absent"):
        import_facedancer(tmp_path / "absent.h5")
