"""Writes small networks that spike, each with one formula in it, and what ONNX Runtime makes of them.

    python make.py            # onnx, onnxruntime (optimisations off), numpy

NAME.onnx is one timestep with states as inputs and outputs, or all timesteps. NAME.npz holds `x`, the
rows of the input, and `y`: the first output in each timestep, or as the graph gives it. Every potential
keeps a distance from its threshold that no order of a sum passes.
"""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

CASES = {}
APART = 3e-5


def case(steps=12, **settings):
    def keep(function):
        CASES[function.__name__] = (function, steps, settings)
        return function

    return keep


class Net:
    def __init__(self, seed, steps, unrolled):
        self.rng = np.random.default_rng(seed)
        self.steps, self.unrolled = steps, unrolled
        self.nodes, self.constants, self.inputs, self.outputs, self.compared = [], [], [], [], []

    def op(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}_{len(self.nodes)}"
        inputs = [self.const(i) if isinstance(i, (float, int, np.ndarray)) else i for i in inputs]
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def const(self, value, kind=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name):
        self.outputs.append(name)

    def weights(self, *shape, low=-1.0, high=1.0):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def gemm(self, x, inputs, outputs, bias=True, gain=1.0):
        w = self.weights(outputs, inputs) * np.float32(gain)
        b = [self.weights(outputs, low=0.1, high=0.6)] if bias else []
        return self.op("Gemm", x, w, *b, transB=1)

    def conv(self, x, inputs, outputs, kernel=3, bias=True, group=1, rank=2, **attributes):
        w = self.weights(outputs, inputs // group, *[kernel] * rank)
        b = [self.weights(outputs, low=0.1, high=0.6)] if bias else []
        return self.op("Conv", x, w, *b, group=group, **attributes)

    def bn(self, x, channels):
        r = self.weights
        return self.op("BatchNormalization", x, r(channels, low=0.5, high=1.5), r(channels), r(channels),
                       r(channels, low=0.3, high=2.0))

    def state(self, shape):
        return self.input(f"s{len(self.inputs)}", [1, *shape])

    def fires(self, h, threshold, strict=False):
        self.compared.append((h, threshold))
        z = self.op("Greater" if strict else "GreaterOrEqual", h, float(threshold))
        return self.op("Cast", z, to=TensorProto.FLOAT)

    def lif(self, x, shape, threshold=1.0, decay=1.0, hard=None, gain=1.0, strict=False):
        """One timestep of a neuron whose potential is a state."""
        v = self.state(shape)
        h = self.op("Add", self.op("Mul", v, decay) if decay != 1.0 else v, self.op("Mul", x, gain) if gain != 1.0 else x)
        z = self.fires(h, threshold, strict)
        if hard is None:
            n = self.op("Sub", h, self.op("Mul", z, threshold))
        else:
            n = self.op("Add", self.op("Mul", self.op("Sub", 1.0, z), h), self.op("Mul", z, hard))
        self.states.append(n)
        return z

    states: list


def model(net, outputs):
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(net.nodes, "g", net.inputs, infos, net.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    onnx.checker.check_model(made)
    return made


def session(made):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(net, x, extra):
    """The first output of every timestep (or run), and the least distance from a threshold."""
    run = session(model(net, net.outputs + extra))
    names, shapes = [i.name for i in run.get_inputs()], [i.shape for i in run.get_inputs()]
    rows = [x] if net.unrolled else x
    states = [np.zeros(s, np.float32) for s in shapes[1:]]
    seen, apart = [], np.inf
    for row in rows:
        out = run.run(None, dict(zip(names, [row.reshape(shapes[0]), *states])))
        seen.append(out[0])
        states = out[1 : 1 + len(states)]
        for value, (_, threshold) in zip(out[len(net.outputs) :], net.compared):
            apart = min(apart, np.abs(value - threshold).min() / max(1.0, abs(threshold), np.abs(value).max()))
    return (seen[0] if net.unrolled else np.stack(seen)[:, 0]), apart


def make(name, function, steps, settings):
    for seed in range(200):
        net = Net(seed, steps, settings.get("unrolled", False))
        net.states = []
        shape = settings.get("shape", [6])
        still = settings.get("still", False)
        if net.unrolled:
            x = net.input("x", [1 if still else steps, 1, *shape])
        else:
            x = net.input("x", [1, *shape])
        y = function(net, x)
        net.output(y)
        net.outputs += net.states
        low, high = settings.get("range", (0.0, 1.0))
        data = net.rng.uniform(low, high, (1 if still else steps, *shape)).astype(np.float32)
        try:
            out, apart = answers(net, data, [h for h, _ in net.compared])
        except ort.capi.onnxruntime_pybind11_state.Fail as e:
            raise SystemExit(f"{name}: {e}")
        spikes = set(np.unique(out)) <= {0.0, 1.0}
        busy = 0.05 < out.mean() < 0.95 if spikes else out.std() > 0.01
        if apart > APART and busy:
            onnx.save(model(net, net.outputs), f"{name}.onnx")
            np.savez_compressed(f"{name}.npz", x=data, y=out)
            print(f"{name}: seed {seed}, {out.shape}, mean {out.mean():.3f}, apart {apart:.1e}")
            return
    raise SystemExit(f"{name}: no seed keeps potentials apart")


# Factors and offsets around one layer.


@case()
def scale_before_gemm(n, x):
    return n.lif(n.gemm(n.op("Mul", x, 0.37), 6, 5), [5])


@case(shape=[2, 5, 5], range=(0.0, 765.0))
def divided_by_255_before_conv(n, x):
    return n.lif(n.conv(n.op("Div", x, 255.0), 2, 3), [3, 3, 3], threshold=2.0)


@case()
def scale_on_both_sides(n, x):
    return n.lif(n.op("Mul", n.gemm(n.op("Mul", x, 1.9), 6, 5), 0.6), [5])


@case()
def scaled_before_several_times(n, x):
    y = n.op("Div", n.op("Mul", n.op("Neg", x), -3.0), 4.0)
    return n.lif(n.op("Mul", n.op("Mul", n.gemm(y, 6, 5), 0.5), 1.5), [5], hard=0.0, decay=0.8)


@case()
def offset_before_gemm(n, x):
    return n.lif(n.gemm(n.op("Sub", x, 0.3), 6, 5), [5])


@case()
def one_minus_the_input(n, x):
    return n.lif(n.gemm(n.op("Mul", n.op("Sub", 1.0, x), 0.7), 6, 5), [5])


@case(shape=[3, 5, 5])
def normalised_before_a_padded_conv(n, x):
    mean = np.array([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1)
    std = np.array([0.2, 0.3, 0.5]).reshape(1, 3, 1, 1)
    y = n.op("Div", n.op("Sub", x, mean), std)
    return n.lif(n.conv(y, 3, 4, pads=[1, 1, 1, 1]), [4, 5, 5], threshold=3.0)


@case(shape=[2, 4, 4])
def factor_of_each_place_before_conv(n, x):
    return n.lif(n.conv(n.op("Mul", x, n.weights(1, 2, 4, 4, low=0.2, high=2.0)), 2, 3), [3, 2, 2])


@case(shape=[2, 4, 4])
def factor_of_each_place_behind_conv(n, x):
    y = n.op("Mul", n.conv(x, 2, 3), n.weights(3, 2, 2, low=0.2, high=2.0))
    return n.lif(n.op("Add", y, n.weights(3, 1, 1)), [3, 2, 2])


@case(shape=[4, 5, 5])
def factors_of_channels_around_a_grouped_conv(n, x):
    y = n.op("Mul", x, n.weights(1, 4, 1, 1, low=0.2, high=2.0))
    y = n.conv(y, 4, 6, group=2, strides=[2, 2], pads=[1, 1, 0, 0])
    return n.lif(n.op("Mul", y, n.weights(6, 1, 1, low=0.2, high=2.0)), [6, 2, 2])


@case()
def factors_of_neurons_around_gemm(n, x):
    y = n.gemm(n.op("Mul", x, n.weights(1, 6, low=0.2, high=2.0)), 6, 5)
    return n.lif(n.op("Mul", y, n.weights(5, low=-0.5, high=2.0)), [5])


@case()
def input_of_other_size_without_layer(n, x):
    return n.lif(n.op("Add", n.op("Mul", x, n.weights(6, low=0.2, high=2.0)), 0.1), [6])


# Spikes with weights of their own, and several layers.


@case(shape=[1, 6, 6])
def graded_spikes_between_layers(n, x):
    z = n.lif(n.op("Mul", n.conv(x, 1, 3, pads=[1, 1, 1, 1]), 0.73), [3, 6, 6])
    z = n.op("Mul", z, 1.37)
    z = n.lif(n.op("Mul", n.conv(z, 3, 4, strides=[2, 2]), 1.2), [4, 2, 2])
    y = n.gemm(n.op("Flatten", n.op("Mul", z, 0.83)), 16, 3)
    return n.lif(y, [3])


@case()
def two_layers_without_neurons(n, x):
    return n.lif(n.gemm(n.gemm(x, 6, 4), 4, 5), [5])


@case(shape=[2, 6, 6])
def three_layers_with_factors_between(n, x):
    y = n.op("Mul", n.conv(n.op("Mul", x, 0.5), 2, 3, pads=[1, 1, 1, 1]), 0.7)
    y = n.op("Add", n.conv(y, 3, 2), 0.2)
    y = n.op("Mul", n.gemm(n.op("Flatten", n.op("Sub", y, 0.1)), 32, 5), -0.4)
    return n.lif(y, [5])


@case()
def paths_with_factors_of_their_own(n, x):
    z = n.lif(n.gemm(x, 6, 5), [5])
    a = n.op("Mul", n.gemm(n.op("Mul", z, 1.5), 5, 4), 0.5)
    b = n.op("Mul", n.gemm(n.op("Add", x, 0.2), 6, 4), 2.0)
    return n.lif(n.op("Add", n.op("Sub", a, b), n.op("Mul", n.gemm(z, 5, 4), -0.3)), [4])


@case()
def recurrent_with_bias(n, x):
    before = n.input("r", [1, 5])
    a, b = n.op("Mul", n.gemm(x, 6, 5), 0.4), n.op("Mul", n.gemm(n.op("Mul", before, 0.8), 5, 5), 0.5)
    v = n.state([5])
    h = n.op("Add", n.op("Mul", v, 0.9), n.op("Add", a, b))
    z = n.fires(h, 0.7)
    n.states += [n.op("Identity", z), n.op("Sub", h, n.op("Mul", z, 0.7))]
    return z


@case(steps=6, unrolled=True)
def unrolled_recurrent_with_bias(n, x):
    w, b = n.weights(5, 6), n.weights(5, low=0.1, high=0.5)
    u, c = n.weights(5, 5), n.weights(5, low=0.1, high=0.5)
    z, v, rows = np.zeros((1, 5)), np.zeros((1, 5)), []
    for t in range(n.steps):
        row = n.op("Gather", x, n.const(t, np.int64), axis=0)
        a = n.op("Gemm", n.op("Mul", row, 0.6), w, b, transB=1)
        r = n.op("Mul", n.op("Gemm", z, u, c, transB=1), 0.7)
        h = n.op("Add", n.op("Add", v, a), r)
        z = n.fires(h, 1.0)
        v = n.op("Sub", h, z)
        rows.append(n.op("Unsqueeze", z, n.const([0], np.int64)))
    return n.op("Concat", *rows, axis=0)


# Pools.


@case(shape=[2, 6, 6])
def average_pool_before_a_bias(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6])
    y = n.op("AveragePool", n.op("Mul", z, 1.5), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.gemm(n.op("Flatten", y), 27, 4), [4])


@case(shape=[2, 6, 6])
def average_pool_behind_a_bias(n, x):
    y = n.op("AveragePool", n.conv(x, 2, 3, pads=[1, 1, 1, 1]), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.op("Mul", y, 1.3), [3, 3, 3])


@case(shape=[2, 6, 6])
def average_pool_that_leaves_out_padding(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6])
    y = n.op("AveragePool", z, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return n.lif(n.conv(y, 3, 2), [2, 1, 1])


@case(shape=[2, 5, 5])
def average_pool_with_one_window_more(n, x):
    y = n.op("AveragePool", n.conv(x, 2, 3, pads=[1, 1, 1, 1]), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    return n.lif(y, [3, 3, 3])


@case(shape=[2, 6, 6])
def average_pool_then_conv_then_gemm(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6], threshold=1.5)
    y = n.op("AveragePool", z, kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1)
    y = n.conv(y, 3, 4, strides=[2, 2], pads=[1, 1, 1, 1])
    return n.lif(n.gemm(n.op("Flatten", y), 16, 4), [4])


@case(shape=[3, 4, 4])
def global_average_pool(n, x):
    z = n.lif(n.conv(x, 3, 5, kernel=1), [5, 4, 4])
    return n.lif(n.gemm(n.op("Flatten", n.op("GlobalAveragePool", z)), 5, 4), [4])


@case(shape=[3, 4, 4])
def mean_over_a_map(n, x):
    z = n.lif(n.conv(x, 3, 5, kernel=1), [5, 4, 4])
    return n.lif(n.gemm(n.op("ReduceMean", z, axes=[2, 3], keepdims=0), 5, 4), [4])


@case(shape=[2, 6, 6])
def max_pool_of_a_biased_layer(n, x):
    y = n.op("MaxPool", n.conv(x, 2, 3, pads=[1, 1, 1, 1]), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.op("Mul", y, 0.4), [3, 3, 3])


@case(shape=[2, 6, 6])
def max_pool_of_negative_spikes(n, x):
    z = n.op("Mul", n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6], threshold=0.6), -0.8)
    y = n.op("MaxPool", z, kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.gemm(n.op("Flatten", y), 27, 4), [4])


@case(shape=[2, 6, 6])
def max_pool_of_graded_spikes(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6], threshold=2.5)
    z = n.op("Add", n.op("Mul", z, n.weights(1, 3, 1, 1, low=0.3, high=1.8)), -0.2)
    y = n.op("MaxPool", z, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return n.lif(n.conv(y, 3, 2), [2, 1, 1], threshold=0.5)


@case(shape=[2, 6, 6])
def max_pool_of_factors_of_both_signs(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6], threshold=2.5)
    z = n.op("Mul", z, np.array([0.7, -0.4, 1.0]).reshape(1, 3, 1, 1))
    y = n.op("MaxPool", z, kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.conv(y, 3, 2), [2, 1, 1], threshold=0.5)


# Batch normalisation.


@case(shape=[2, 6, 6])
def batch_norm_behind_conv(n, x):
    y = n.bn(n.conv(x, 2, 3), 3)
    z = n.lif(y, [3, 4, 4], decay=0.5, gain=0.5, hard=0.0, threshold=0.5)
    return n.lif(n.bn(n.conv(z, 3, 4, bias=False), 4), [4, 2, 2])


@case(shape=[2, 6, 6])
def batch_norm_before_a_padded_conv(n, x):
    z = n.lif(n.conv(n.bn(x, 2), 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6])
    return n.lif(n.conv(n.bn(z, 3), 3, 2, pads=[1, 1, 1, 1], strides=[3, 3]), [2, 2, 2], threshold=2.0)


@case(shape=[2, 6, 6])
def batch_norms_in_a_row_with_a_pool_between(n, x):
    y = n.op("AveragePool", n.bn(n.bn(n.conv(x, 2, 3), 3), 3), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.bn(y, 3), [3, 2, 2])


@case(shape=[2, 6, 6])
def batch_norm_around_a_max_pool(n, x):
    z = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6], threshold=1.5)
    y = n.op("MaxPool", n.bn(z, 3), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.gemm(n.op("Flatten", n.bn(y, 3)), 27, 4), [4])


@case()
def batch_norm_of_a_row(n, x):
    return n.lif(n.bn(n.gemm(n.bn(x, 6), 6, 5), 5), [5], decay=0.9)


# Shapes of networks.


@case(shape=[3, 9])
def convolution_in_one_dimension(n, x):
    z = n.lif(n.conv(n.op("Mul", x, 1.2), 3, 4, rank=1, pads=[1, 1]), [4, 9])
    y = n.op("AveragePool", z, kernel_shape=[3], strides=[3])
    return n.lif(n.conv(y, 4, 2, kernel=2, rank=1, dilations=[2]), [2, 1], threshold=0.7)


@case(shape=[3, 5, 5])
def depthwise_then_pointwise(n, x):
    z = n.lif(n.conv(x, 3, 3, group=3, pads=[1, 1, 1, 1]), [3, 5, 5])
    return n.lif(n.conv(n.conv(z, 3, 6, group=3), 6, 2, kernel=1), [2, 3, 3])


@case(shape=[2, 5, 5])
def residual_sum_of_spikes(n, x):
    a = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 5, 5])
    b = n.lif(n.conv(a, 3, 3, pads=[1, 1, 1, 1]), [3, 5, 5])
    s = n.op("Add", a, b)
    c = n.lif(n.conv(n.op("Mul", s, 0.5), 3, 3, pads=[1, 1, 1, 1]), [3, 5, 5])
    s = n.op("Add", s, c)
    return n.lif(n.gemm(n.op("Flatten", s), 75, 4, gain=0.2), [4])


@case(shape=[2, 6, 6])
def residual_sum_into_neurons(n, x):
    a = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 6, 6])
    y = n.op("Add", n.bn(n.conv(a, 3, 3, pads=[1, 1, 1, 1], bias=False), 3), a)
    b = n.lif(y, [3, 6, 6], threshold=2.0)
    y = n.op("MaxPool", n.op("Add", a, b), kernel_shape=[2, 2], strides=[2, 2])
    return n.lif(n.gemm(n.op("Flatten", y), 27, 4, gain=0.4), [4])


@case(shape=[2, 5, 5])
def maps_side_by_side(n, x):
    a = n.lif(n.conv(x, 2, 3, pads=[1, 1, 1, 1]), [3, 5, 5])
    b = n.lif(n.conv(a, 3, 2, pads=[1, 1, 1, 1]), [2, 5, 5])
    return n.lif(n.conv(n.op("Concat", a, n.op("Mul", b, 0.7), axis=1), 5, 3), [3, 3, 3])


@case()
def rows_side_by_side(n, x):
    a, b = n.lif(n.gemm(x, 6, 5), [5]), n.lif(n.gemm(x, 6, 3), [3])
    return n.lif(n.gemm(n.op("Concat", a, b, x, axis=1), 14, 4), [4])


# Neurons.


@case()
def leaky_with_a_reset_value(n, x):
    v = n.state([5])
    y = n.op("Mul", n.gemm(n.op("Mul", x, 1.4), 6, 5), 0.9)
    h = n.op("Add", v, n.op("Div", n.op("Sub", y, n.op("Sub", v, 0.1)), 2.0))
    z = n.fires(h, 0.5)
    n.states.append(n.op("Add", n.op("Mul", 0.1, z), n.op("Mul", n.op("Sub", 1.0, z), h)))
    return z


def current(n, x, width):
    """A synaptic current that jumps, then decays, as Norse computes it."""
    v, i = n.state([width]), n.state([width])
    jump = n.op("Add", i, x)
    h = n.op("Add", v, n.op("Mul", 0.3, n.op("Add", n.op("Sub", 0.0, v), jump)))
    return h, n.op("Add", jump, n.op("Mul", -0.2, jump))


@case(steps=20, range=(0.0, 2.0))
def current_that_jumps(n, x):
    h, i = current(n, n.gemm(n.op("Mul", x, 0.7), 6, 5), 5)
    z = n.fires(h, 0.5, strict=True)
    n.states += [n.op("Mul", n.op("Sub", 1.0, z), h), i]
    return z


@case(steps=20, range=(0.0, 2.0))
def current_with_a_bias_of_its_own(n, x):
    y = n.op("Add", n.op("Mul", n.gemm(x, 6, 5), 0.8), 0.3)
    h, i = current(n, y, 5)
    z = n.fires(h, 0.7, strict=True)
    n.states += [n.op("Mul", n.op("Sub", 1.0, z), h), i]
    return z


# Read-outs.


@case()
def readout_of_a_layer(n, x):
    z = n.lif(n.gemm(x, 6, 5), [5])
    return n.op("Mul", n.gemm(n.op("Mul", z, 1.3), 5, 4), 0.8)


@case()
def readout_of_two_layers(n, x):
    z = n.lif(n.gemm(x, 6, 5), [5])
    return n.gemm(n.op("Add", n.gemm(z, 5, 4), 0.1), 4, 3)


@case()
def readout_that_accumulates(n, x):
    z = n.lif(n.gemm(n.op("Mul", x, 1.2), 6, 5), [5])
    y = n.op("Add", n.state([4]), n.gemm(n.op("Mul", z, 0.83), 5, 4))
    n.states.append(n.op("Identity", y))
    return y


@case()
def readout_that_leaks(n, x):
    z = n.lif(n.gemm(x, 6, 5), [5])
    y = n.op("Add", n.op("Mul", n.state([4]), 0.9), n.op("Mul", n.gemm(z, 5, 4), 0.5))
    n.states.append(n.op("Identity", y))
    return y


@case(range=(0.0, 2.0))
def readout_with_a_current(n, x):
    h, i = current(n, n.gemm(x, 6, 5), 5)
    z = n.fires(h, 0.5)
    n.states += [n.op("Mul", n.op("Sub", 1.0, z), h), i]
    y, j = current(n, n.gemm(z, 5, 4, bias=False), 4)
    n.states += [n.op("Identity", y), j]
    return y


def unrolled(n, x, wide, layer, reset=True, decay=1.0, threshold=1.0):
    """All timesteps of one layer of neurons on what `layer` makes of all rows."""
    rows, v = [], np.zeros((1, wide))
    y = layer(x)
    for t in range(n.steps):
        row = n.op("Gather", y, n.const(t, np.int64), axis=0)
        h = n.op("Add", n.op("Mul", v, decay) if decay != 1.0 else v, row)
        z = n.fires(h, threshold)
        v = n.op("Sub", h, z)
        rows.append(n.op("Unsqueeze", z, n.const([0], np.int64)))
    return n.op("Concat", *rows, axis=0)


def linear(n, inputs, outputs, bias=True):
    w, b = n.weights(inputs, outputs), n.weights(outputs, low=0.1, high=0.5)
    return lambda x: n.op("Add", n.op("MatMul", x, w), b) if bias else n.op("MatMul", x, w)


@case(steps=8, unrolled=True)
def mean_over_timesteps(n, x):
    return n.op("ReduceMean", unrolled(n, n.op("Mul", x, 0.8), 5, linear(n, 6, 5)), axes=[0], keepdims=0)


@case(steps=8, unrolled=True)
def sum_over_timesteps_of_a_layer(n, x):
    z = unrolled(n, x, 5, linear(n, 6, 5), decay=0.9)
    return n.op("ReduceSum", linear(n, 5, 4)(z), n.const([0], np.int64), keepdims=0)


@case(steps=8, unrolled=True)
def layer_on_the_mean_over_timesteps(n, x):
    z = unrolled(n, x, 5, linear(n, 6, 5))
    return linear(n, 5, 4)(n.op("ReduceMean", z, axes=[0], keepdims=0))


@case(steps=8, unrolled=True)
def layer_behind_in_every_timestep(n, x):
    return linear(n, 5, 4)(unrolled(n, x, 5, linear(n, 6, 5)))


@case(steps=8, unrolled=True, still=True)
def still_input_repeated(n, x):
    y = n.op("Expand", x, n.const([8, 1, 6], np.int64))
    return n.op("ReduceMean", unrolled(n, n.op("Mul", y, 1.3), 5, linear(n, 6, 5)), axes=[0], keepdims=0)


@case(steps=8, unrolled=True, still=True)
def still_input_tiled(n, x):
    y = n.op("Tile", x, n.const([8, 1, 1], np.int64))
    return unrolled(n, y, 5, linear(n, 6, 5))


@case(steps=8, unrolled=True)
def last_timestep_alone(n, x):
    z = unrolled(n, x, 5, linear(n, 6, 5))
    return n.op("Gather", z, n.const(7, np.int64), axis=0)


@case(steps=8, unrolled=True)
def leaky_potential_at_the_end(n, x):
    z = unrolled(n, x, 5, linear(n, 6, 5))
    y, v = linear(n, 5, 4)(z), np.zeros((1, 4))
    for t in range(n.steps):
        v = n.op("Add", n.op("Mul", v, 0.8), n.op("Gather", y, n.const(t, np.int64), axis=0))
    return v


@case(steps=8, unrolled=True)
def leaky_potential_in_every_timestep(n, x):
    z = unrolled(n, x, 5, linear(n, 6, 5))
    y, v, rows = linear(n, 5, 4)(z), np.zeros((1, 4)), []
    for t in range(n.steps):
        v = n.op("Add", n.op("Mul", v, 0.8), n.op("Gather", y, n.const(t, np.int64), axis=0))
        rows.append(n.op("Unsqueeze", v, n.const([0], np.int64)))
    return n.op("Concat", *rows, axis=0)


if __name__ == "__main__":
    for name, (function, steps, settings) in CASES.items():
        make(name, function, steps, settings)
