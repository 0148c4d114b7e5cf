"""Pose and landmark networks that say the same of every face, and a gaze network that says what it was shown."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _constant(path, shape, outputs):
    """A network that takes pictures of a shape and gives the outputs, by name, whatever it sees."""
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    nodes = [
        helper.make_node("ReduceSum", ["picture"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    ports = []
    for name, values in outputs.items():
        initializers.append(numpy_helper.from_array(np.asarray(values, np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        ports.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, np.shape(values)))
    graph = helper.make_graph(nodes, "constant", [picture], ports, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_pose_network(path, degrees):
    """Hopenet's kind: 66 bins of 3 degrees for each angle, two of which share it so that it is met exactly."""
    outputs = {}
    for name, angle in zip(("yaw", "pitch", "roll"), degrees, strict=True):
        place = (angle + 99) / 3
        shares = np.full(66, 1e-9)
        shares[int(place)], shares[int(place) + 1] = 1 - place % 1 + 1e-9, place % 1 + 1e-9
        outputs[name] = np.log(shares)[None]
    _constant(path, [1, 3, 224, 224], outputs)


def write_landmark_network(path):
    """68 points on a spiral; returns them, shares of the square, (68, 2)."""
    turn = np.linspace(0, 6, 68)
    points = 0.5 + 0.05 * turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    _constant(path, [1, 1, 64, 64], {"marks": points.reshape(1, 136)})
    return points


def write_gaze_network(path):
    """Says the mean blue of the left eye's picture, the mean red of the right one's, and the head's pitch."""
    eye, pose = [1, 3, 60, 60], [1, 3]
    inputs = {"left_eye_image": eye, "right_eye_image": eye, "head_pose_angles": pose}
    places = {"first": [0], "second": [1], "third": [2], "fourth": [3], "channels": [1]}
    stored = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in places.items()]
    nodes = [
        helper.make_node("Slice", ["left_eye_image", "first", "second", "channels"], ["blue"]),
        helper.make_node("Slice", ["right_eye_image", "third", "fourth", "channels"], ["red"]),
        helper.make_node("Slice", ["head_pose_angles", "second", "third", "channels"], ["pitch"]),
        helper.make_node("ReduceMean", ["blue"], ["x"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["red"], ["y"], axes=[2, 3], keepdims=0),
        helper.make_node("Concat", ["x", "y", "pitch"], ["gaze_vector"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "gaze",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("gaze_vector", TensorProto.FLOAT, pose)],
        stored,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
