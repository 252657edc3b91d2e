"""Writes events.onnx: a small convolution network for event frames of 2 x 34 x 34, with random weights.

Needs the package onnx. Activations have 4 bits in the QCDQ dialect (QuantizeLinear, Clip, DequantizeLinear)."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(7)
nodes, constants = [], []


def constant(name, value):
    constants.append(numpy_helper.from_array(value, name))
    return name


def quantised(x, name, scale):
    s, z = constant(name + ".scale", np.float32(scale)), constant(name + ".zero", np.uint8(0))
    low, high = constant(name + ".low", np.uint8(0)), constant(name + ".high", np.uint8(15))
    nodes.append(helper.make_node("QuantizeLinear", [x, s, z], [name + ".q"], name + ".quantise"))
    nodes.append(helper.make_node("Clip", [name + ".q", low, high], [name + ".c"], name + ".clip"))
    nodes.append(helper.make_node("DequantizeLinear", [name + ".c", s, z], [name], name + ".dequantise"))
    return name


def weights(name, shape, scale):
    w = constant(name + ".codes", rng.integers(-7, 8, shape).astype(np.int8))
    s, z = constant(name + ".scale", np.float32(scale)), constant(name + ".zero", np.int8(0))
    nodes.append(helper.make_node("DequantizeLinear", [w, s, z], [name], name + ".dequantise"))
    return name


x = quantised("events", "counts", 1.0)
nodes.append(helper.make_node("Conv", [x, weights("w1", (4, 2, 5, 5), 0.125)], ["a1"], "conv1", strides=[2, 2]))
nodes.append(helper.make_node("Relu", ["a1"], ["r1"], "relu1"))
x = quantised("r1", "h1", 0.5)
nodes.append(helper.make_node("Conv", [x, weights("w2", (8, 4, 3, 3), 0.125)], ["a2"], "conv2", strides=[2, 2]))
nodes.append(helper.make_node("Relu", ["a2"], ["r2"], "relu2"))
x = quantised("r2", "h2", 0.5)
nodes.append(helper.make_node("Flatten", [x], ["flat"], "flatten"))
nodes.append(helper.make_node("Gemm", ["flat", weights("w3", (10, 8 * 7 * 7), 0.125)], ["scores"], "fc", transB=1))
graph = helper.make_graph(
    nodes,
    "events",
    [helper.make_tensor_value_info("events", TensorProto.FLOAT, [1, 2, 34, 34])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
    constants,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "events.onnx")
