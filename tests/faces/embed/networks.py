"""Small encoders whose vectors can be computed by hand: every picture through one matrix."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_linear(path, *, side=112, dimensions=8, batch="n", layout="NCHW", shape=None, pool=1, extra=(), zero=False):
    """Writes picture -> mean of blocks of `pool` pixels -> matrix; returns the matrix, (numbers of a picture, d).

    `extra` adds outputs: "norm", one number a face, or "second", another vector. `shape` overrides the input's.
    """
    size = shape or ((batch, 3, side, side) if layout == "NCHW" else (batch, side, side, 3))
    numbers = math.prod(n if isinstance(n, int) else side for n in size[1:]) // pool**2
    matrix = np.random.default_rng(0).normal(size=(numbers, dimensions)).astype(np.float32)
    matrix = np.zeros_like(matrix) if zero else matrix
    nodes = [helper.make_node("Transpose", ["face"], ["planes"], perm=[0, 3, 1, 2])] if layout == "NHWC" else []
    planes = "planes" if layout == "NHWC" else "face"
    nodes += [
        helper.make_node("AveragePool", [planes], ["small"], kernel_shape=[pool, pool], strides=[pool, pool]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["vector"]),
    ]
    outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [batch, dimensions])]
    if "norm" in extra:
        nodes.append(helper.make_node("ReduceL2", ["vector"], ["norm"], axes=[1]))
        outputs.append(helper.make_tensor_value_info("norm", TensorProto.FLOAT, [batch, 1]))
    if "second" in extra:
        nodes.append(helper.make_node("Neg", ["vector"], ["second"]))
        outputs.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [batch, dimensions]))
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, size)
    graph = helper.make_graph(nodes, "linear", [face], outputs, [numpy_helper.from_array(matrix, "matrix")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return matrix


def by_hand(pixels, matrix, pool=1):
    """What `write_linear`'s network gives for one prepared picture (3, side, side), at length 1."""
    small = pixels.shape[1] // pool
    blocks = pixels.astype(np.float64).reshape(3, small, pool, small, pool).mean((2, 4))
    vector = blocks.ravel() @ matrix
    return vector / np.linalg.norm(vector)
