"""Writes the small networks beside it. Needs numpy, onnx and nir."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

HERE = Path(__file__).parent


def constant(name, value, dtype):
    return numpy_helper.from_array(np.array(value, dtype), name)


def integer_input():
    """An input of int8 codes, 9 values, one hidden layer of 5 neurons, 3 scores."""
    draw = np.random.default_rng(1)
    first, second = draw.integers(-127, 128, (5, 9)), draw.integers(-127, 128, (3, 5))
    constants = [
        constant("s", 0.05, "f4"), constant("z", 0, "i1"), constant("zu", 0, "u1"),
        constant("sw", 0.01, "f4"), constant("w1", first, "i1"), constant("w2", second, "i1"),
        constant("sa", 0.02, "f4"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["x_real"]),
        helper.make_node("DequantizeLinear", ["w1", "sw", "z"], ["w1_real"]),
        helper.make_node("Gemm", ["x_real", "w1_real"], ["a"], transB=1),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("QuantizeLinear", ["b", "sa", "zu"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "sa", "zu"], ["d"]),
        helper.make_node("DequantizeLinear", ["w2", "sw", "z"], ["w2_real"]),
        helper.make_node("Gemm", ["d", "w2_real"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "integer-input",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])], constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def nan_of_zero():
    """Three scores x / x: 1 for every number but 0, of which they are NaN."""
    graph = helper.make_graph(
        [helper.make_node("Div", ["x", "x"], ["y"])], "nan-of-zero",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def open_dimensions():
    """A rectifier on a map whose height and width are not said."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "open-dimensions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1, "H", "W"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def product_float():
    """A convolution on reals whose maps are multiplied with each other, which no population does."""
    draw = np.random.default_rng(2)
    constants = [
        constant("w1", draw.normal(size=(2, 1, 3, 3)), "f4"),
        constant("w2", draw.normal(size=(2, 1, 3, 3)), "f4"),
        constant("w3", draw.normal(size=(3, 72)), "f4"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["x", "w2"], ["c"]), helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Mul", ["b", "d"], ["e"]), helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "product-float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])], constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def two_layers(name, between, behind=()):
    """Two values, three neurons and two scores, with nodes from `a` to `b` between and from `y` behind."""
    draw = np.random.default_rng(3)
    constants = [
        constant("w1", draw.normal(size=(3, 2)), "f4"), constant("b1", draw.normal(size=3), "f4"),
        constant("w2", draw.normal(size=(2, 3)), "f4"), constant("zero", 0, "f4"),
        constant("tenth", 0.1, "f4"),
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], transB=1), *between,
        helper.make_node("Gemm", ["b", "w2"], ["y"], transB=1), *behind,
    ]
    output = behind[-1].output[0] if behind else "y"
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 2])], constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def chosen_leaky():
    """A leaky rectifier written as a choice."""
    return two_layers("chosen-leaky", [
        helper.make_node("Greater", ["a", "zero"], ["c"]),
        helper.make_node("Mul", ["a", "tenth"], ["d"]),
        helper.make_node("Where", ["c", "a", "d"], ["b"]),
    ])


def leaky_float():
    """The leaky rectifier of `chosen_leaky` as ONNX names it."""
    return two_layers(
        "leaky-float", [helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1)],
    )


def compared_scores():
    """Scores that are compared with 0 behind the last layer."""
    return two_layers("compared-scores", [helper.make_node("Relu", ["a"], ["b"])], [
        helper.make_node("Greater", ["y", "zero"], ["p"]),
        helper.make_node("Cast", ["p"], ["z"], to=TensorProto.FLOAT),
    ])


def compared_between():
    """A layer of thresholds without a state."""
    return two_layers("compared-between", [
        helper.make_node("Greater", ["a", "zero"], ["c"]),
        helper.make_node("Cast", ["c"], ["b"], to=TensorProto.FLOAT),
    ])


def leaky():
    """Three leaky neurons in continuous time, as NIR has them."""
    import nir

    weights = np.arange(6, dtype="f4").reshape(3, 2)
    neurons = nir.LIF(
        tau=np.full(3, 0.02, "f4"), r=np.ones(3, "f4"), v_leak=np.zeros(3, "f4"),
        v_threshold=np.ones(3, "f4"),
    )
    nir.write(HERE / "leaky.nir", nir.NIRGraph.from_list(
        nir.Input(np.array([2])), nir.Linear(weights), neurons, nir.Output(np.array([3])),
    ))


leaky()
save(open_dimensions(), HERE / "open-dimensions.onnx")
save(product_float(), HERE / "product-float.onnx")
save(nan_of_zero(), HERE / "nan-of-zero.onnx")
save(integer_input(), HERE / "integer-input.onnx")
save(chosen_leaky(), HERE / "chosen-leaky.onnx")
save(leaky_float(), HERE / "leaky-float.onnx")
save(compared_scores(), HERE / "compared-scores.onnx")
save(compared_between(), HERE / "compared-between.onnx")
