"""Swappers of any make, from small networks that the tests write."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from masquerade.errors import EngineError, FaceError, OptionError, WeightsError
from masquerade.faces.align import template
from masquerade.models.cards import InputSpec, SwapSpec
from masquerade.models.runtime import open_session
from masquerade.swap.neural import OnnxSwapper, open_swapper, swap_template

SIDE, LENGTH = 8, 4


def write_network(
    path: Path, *, layout: str = "NCHW", length: int = LENGTH, batch: int | str = "n", projection: bool = False
) -> Path:
    """A network whose crop is the target plus the identity's first number, and whose mask is the second's sigmoid."""
    shape = [batch, 3, SIDE, SIDE] if layout == "NCHW" else [batch, SIDE, SIDE, 3]
    numbers = {name: np.array([[i]], np.int64).reshape(1) for i, name in enumerate(("zero", "one", "two"))}
    constants = [numpy_helper.from_array(value, name) for name, value in numbers.items()]
    constants.append(numpy_helper.from_array(np.array([-1, 1, 1, 1], np.int64), "shape"))
    constants.append(numpy_helper.from_array(np.ones((1, 1, SIDE, SIDE), np.float32), "ones"))
    if projection:
        constants.append(numpy_helper.from_array(PROJECTION, "emap"))  # no node uses it
    nodes = [
        helper.make_node("Slice", ["who", "zero", "one", "one"], ["first"]),
        helper.make_node("Reshape", ["first", "shape"], ["shift"]),
        helper.make_node("Add", ["face", "shift"], ["new"]),
        helper.make_node("Slice", ["who", "one", "two", "one"], ["second"]),
        helper.make_node("Reshape", ["second", "shape"], ["level"]),
        helper.make_node("Sigmoid", ["level"], ["soft"]),
        helper.make_node("Mul", ["soft", "ones"], ["where"]),
    ]
    inputs = [
        helper.make_tensor_value_info("face", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("who", TensorProto.FLOAT, [batch, length]),
    ]
    outputs = [
        helper.make_tensor_value_info("new", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("where", TensorProto.FLOAT, [batch, 1, SIDE, SIDE]),
    ]
    graph = helper.make_graph(nodes, "swapper", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


PROJECTION = np.random.default_rng(3).normal(size=(6, LENGTH)).astype(np.float32)


def write_card(path: Path, *, layout: str = "NCHW", colour: str = "RGB", rest: str = "") -> Path:
    path.write_text(
        f'''file = "network.onnx"
name = "mine"

[input]
name = "face"
layout = "{layout}"
height = {SIDE}
width = {SIDE}
colour = "{colour}"
range = [0.0, 1.0]
mean = [0.5, 0.25, 0.0]
std = [1.0, 2.0, 4.0]

[swap]
identity = "who"
crop = "new"
range = [-2.0, 2.0]
encoder = "driver"
{rest}
'''
    )
    return path


def inputs(n: int, length: int = LENGTH) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, length))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rng.uniform(-1, 1, (n, 3, SIDE, SIDE)).astype(np.float32), vectors.astype(np.float32)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("batch", ["n", 1])
def test_a_swapper_is_fed_as_its_card_says(tmp_path: Path, layout: str, colour: str, batch: int | str) -> None:
    write_network(tmp_path / "network.onnx", layout=layout, batch=batch)
    swapper = open_swapper(write_card(tmp_path / "card.toml", layout=layout, colour=colour, rest='mask = "where"'))
    crops, identities = inputs(3)
    made = swapper.swap(crops, identities)
    for crop, identity, new, mask in zip(crops, identities, made.crops, made.masks, strict=True):  # type: ignore[arg-type]
        for channel in range(3):
            stored = channel if colour == "RGB" else 2 - channel
            fed = ((crop[channel] + 1) / 2 - (0.5, 0.25, 0.0)[stored]) / (1, 2, 4)[stored]
            np.testing.assert_allclose(new[channel], np.clip((fed + identity[0]) / 2, -1, 1), atol=1e-5)
        np.testing.assert_allclose(mask, np.full((1, SIDE, SIDE), 1 / (1 + np.exp(-identity[1]))), atol=1e-5)
    assert (swapper.side, swapper.dimensions, swapper.encoder, swapper.answers) == (SIDE, LENGTH, "driver", "swap")
    np.testing.assert_array_equal(swapper.template, template(SIDE))


def test_identities_go_through_the_projection_in_the_file(tmp_path: Path) -> None:
    write_network(tmp_path / "network.onnx", projection=True)
    swapper = open_swapper(write_card(tmp_path / "card.toml", rest='projection = "emap"'))
    assert swapper.dimensions == 6
    crops, identities = inputs(2, 6)
    projected = identities @ PROJECTION
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    made = swapper.swap(crops, identities)
    expected = (crops[:, 2] + 1) / 2 / 4 + projected[:, :1, None]
    np.testing.assert_allclose(made.crops[:, 2], np.clip(expected / 2, -1, 1), atol=1e-5)
    assert made.masks is None


def test_no_faces_are_no_work(tmp_path: Path) -> None:
    write_network(tmp_path / "network.onnx")
    made = open_swapper(write_card(tmp_path / "card.toml")).swap(*inputs(0))
    assert made.crops.shape == (0, 3, SIDE, SIDE)


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    write_network(tmp_path / "network.onnx")
    swapper = open_swapper(write_card(tmp_path / "card.toml"))
    crops, identities = inputs(2)
    with pytest.raises(FaceError, match=r"\(n, 4\)"):
        swapper.swap(crops, identities[:, :3])


def test_what_is_not_finite_is_no_picture(tmp_path: Path) -> None:
    write_network(tmp_path / "network.onnx")
    swapper = open_swapper(write_card(tmp_path / "card.toml"))
    crops, identities = inputs(1)
    with pytest.raises(EngineError, match="not finite"):
        swapper.swap(crops * np.float32(np.nan), identities)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('mask = "nothing"', "no nothing"),
        ('projection = "nothing"', "no constant 'nothing'"),
        ('alignment = "mine"', "swap.alignment"),
        ("[", "not a card"),
    ],
)
def test_cards_that_do_not_fit_are_refused(tmp_path: Path, rest: str, message: str) -> None:
    write_network(tmp_path / "network.onnx")
    card = write_card(tmp_path / "card.toml", rest=rest)
    with pytest.raises((OptionError, WeightsError), match=message):
        open_swapper(card)


def test_a_missing_card_a_missing_network_and_an_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no swapper"):
        open_swapper(tmp_path / "nowhere.toml")
    with pytest.raises(WeightsError, match="no such file"):
        open_swapper(write_card(tmp_path / "card.toml"))
    with pytest.raises(OptionError, match="driver is no swapper"):
        open_swapper("driver")


def test_a_network_of_other_inputs_is_refused(tmp_path: Path) -> None:
    session = open_session(write_network(tmp_path / "network.onnx"))
    target = InputSpec(
        name="picture", layout="NCHW", height=SIDE, width=SIDE, colour="RGB", range=(0, 1), mean=(0,) * 3, std=(1,) * 3
    )
    with pytest.raises(WeightsError, match="its card speaks of picture"):
        OnnxSwapper(
            session, name="x", target=target, spec=SwapSpec(identity="who", crop="new", range=(0, 1), encoder="driver")
        )


def test_templates_are_those_of_the_field() -> None:
    # In a crop of 128 pixels the 112 px template keeps its size and moves 8 pixels to the right.
    np.testing.assert_allclose(swap_template("arcface-128", 128), template(112) + np.array([8, 0]))
    np.testing.assert_allclose(swap_template("arcface-128", 256), 2 * (template(112) + np.array([8, 0])))
    np.testing.assert_allclose(swap_template("arcface", 224), template(224))
    # The portrait crop is wider: eyes are a quarter of it apart, and its middle is near the nose.
    ffhq = swap_template("ffhq", 512)
    assert abs((ffhq[1] - ffhq[0])[0] / 512 - 0.246) < 0.001
    assert np.abs(ffhq.mean(0) / 512 - [0.5, 0.6]).max() < 0.02
