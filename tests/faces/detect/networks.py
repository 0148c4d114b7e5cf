"""Tiny ONNX networks whose outputs are known, for tests of decoding."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from masquerade.faces.detect import open_any_size


def constant(outputs, *, input_name="input"):
    """A session that answers every picture with the same arrays, given by name."""
    nodes, initializers, ports = [], [], []
    picture = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [1, 3, "height", "width"])
    # The input has to matter, or engines drop it: its sum times zero is added.
    initializers.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    nodes.append(helper.make_node("ReduceSum", [input_name], ["sum"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["sum", "zero"], ["nothing"]))
    for name, values in outputs.items():
        initializers.append(numpy_helper.from_array(np.asarray(values, np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        ports.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, np.shape(values)))
    return session(nodes, [picture], ports, initializers)


def session(nodes, inputs, outputs, initializers):
    return open_any_size(to_bytes(nodes, inputs, outputs, initializers), threads=1)


def to_bytes(nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def blob_finder(*, fixed=None):
    """CenterFace in the smallest: a cell of 4 x 4 pixels is a face with its mean red / 255 as the score.

    Sizes are e^2 cells, the centre lies 0.25 cells from the usual place, and landmark k at (0.1 k, 0.2 k) of the box.
    """
    shape = fixed or [1, 3, "height", "width"]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)
    red = np.zeros((1, 3, 1, 1), np.float32)
    red[0, 0] = 1 / 255
    two, ten = np.zeros((2, 3, 1, 1), np.float32), np.zeros((10, 3, 1, 1), np.float32)
    marks = np.array([[0.2 * k, 0.1 * k] for k in range(5)], np.float32).ravel()
    weights = {
        "red": red,
        "two": two,
        "ten": ten,
        "sizes": np.full(2, 2, np.float32),
        "offsets": np.full(2, 0.25, np.float32),
        "marks": marks,
    }
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["cells", "red"], ["heat"]),
        helper.make_node("Conv", ["cells", "two", "sizes"], ["size"]),
        helper.make_node("Conv", ["cells", "two", "offsets"], ["offset"]),
        helper.make_node("Conv", ["cells", "ten", "marks"], ["landmarks"]),
    ]
    channels = {"heat": 1, "size": 2, "offset": 2, "landmarks": 10}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, "rows", "columns"])
        for name, count in channels.items()
    ]
    return to_bytes(nodes, [picture], outputs, [numpy_helper.from_array(w, n) for n, w in weights.items()])
