"""Reads a quantised ONNX model: its populations, their synapses in ids, and the rule of each."""

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from .common import Linear, NotCheckable, Refused, Space, windows
from .rule import F32, Quantiser, Rule, rounded

RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767),
          "uint4": (0, 15), "int4": (-8, 7), "uint2": (0, 3), "int2": (-2, 1), "int32": (-2 ** 31, 2 ** 31 - 1)}
WHOLE = 1e-2  # a bias this near to a whole number of units is that number


class Const:
    """A constant; `quantised` holds its codes (zero point subtracted), scales and axis."""

    def __init__(self, value, quantised=None):
        self.value, self.quantised = value, quantised


class Real:
    """A graph input before its quantiser: functions on f32, one after the other."""

    def __init__(self, name, at, steps=()):
        self.name, self.at, self.steps = name, at, tuple(steps)

    def moved(self, at):
        return Real(self.name, at, self.steps)

    def value(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Codes:
    """Payloads of neurons, by id; as codes, or as the reals `scale * payload` that they stand for."""

    def __init__(self, ids, q, real=False, scale=None):
        self.at, self.q, self.real = ids, q, real
        self.scale = q.scale if scale is None else F32(scale)

    def moved(self, at):
        return Codes(at, self.q, self.real, self.scale)


class Sum:
    """A sum of reals: operands (Linear, f32 scales, integer bias by channel), then constants; `codes`: what a code of
    each operand's sources is worth."""

    def __init__(self, at, operands, constants=(), affine=None, low=-np.inf, high=np.inf, nodes=(), codes=()):
        self.at, self.operands, self.constants, self.affine = at, operands, list(constants), affine
        self.low, self.high, self.nodes, self.codes = low, high, list(nodes), list(codes)

    def moved(self, at):
        return Sum(at, self.operands, self.constants, self.affine, self.low, self.high, self.nodes, self.codes)

    @property
    def filters(self):
        return self.operands[0][0].filters

    def channels(self, value):
        """A constant as one value for each channel."""
        channel = self.at // self.operands[0][0].places
        full = np.broadcast_to(np.asarray(value, np.float64), self.at.shape)
        out = np.zeros(self.filters)
        out[channel] = full
        if not np.array_equal(out[channel], full):
            raise NotCheckable("a constant that differs within a channel")
        return out

    def through(self, factor, shift):
        """Scaled and shifted by channel."""
        if np.isfinite(self.low) or np.isfinite(self.high):
            raise NotCheckable("a sum that is scaled after it was clipped")
        f, s = self.affine or (np.ones(self.filters), np.zeros(self.filters))
        return Sum(self.at, self.operands, self.constants, (f * factor, s * factor + shift), nodes=self.nodes, codes=self.codes)


class Population:
    """Neurons of the reference: who they are, what reaches them, and the rule."""

    def __init__(self, name, nodes, ids, operands, bias, rule, kind="neurons", steps=None, codes=(), shape=None):
        self.name, self.nodes, self.ids, self.operands, self.bias = name, nodes, ids, operands, bias
        self.rule, self.kind, self.steps = rule, kind, steps
        self.shape = shape  # (channels, ..) if the ids are in that order
        self.codes = codes  # for each operand the real value of one code of its sources

    @property
    def filters(self):
        return self.operands[0].filters


class Model:
    def __init__(self, path):
        try:
            self.proto = onnx.load(path)
        except Exception as e:
            raise Refused(f"{path} is no ONNX model: {e}") from e
        self.space, self.populations, self.inputs, self.outputs = Space(), [], {}, {}
        self.values, graph = {}, self.proto.graph
        for init in graph.initializer:
            self.values[init.name] = Const(np.asarray(numpy_helper.to_array(init)))
        for value in graph.input:
            if value.name not in self.values:
                self.input(value)
        self.uses = [name for node in graph.node for name in node.input]
        for node in graph.node:
            try:
                results = self.node(node)
            except NotCheckable as e:
                results = e
            for name in node.output:
                self.values[name] = results
        for value in graph.output:
            self.output(value.name)
        self.low, self.high = self.space.ranges()

    # Values

    def input(self, value):
        t = value.type.tensor_type
        shape = [d.dim_value or 1 for d in t.shape.dim]
        shape[0] = 1
        at = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        self.values[value.name] = Real(value.name, at)
        self.inputs[value.name] = str(helper.tensor_dtype_to_np_dtype(t.elem_type))

    def output(self, name):
        value = self.values.get(name)
        if isinstance(value, Sum):
            count = value.filters * value.operands[0][0].places
            ids = self.space.add(count, -2 ** 40, 2 ** 40)
            rule = Rule([s for _, s, _ in value.operands], value.constants, None, value.affine)
            linears, bias = [l for l, _, _ in value.operands], [b for _, _, b in value.operands]
            clipped = np.isfinite(value.low) or np.isfinite(value.high)
            kind = "clipped scores" if clipped else "scores"
            self.populations.append(Population(name, value.nodes, ids, linears, bias, rule, kind, codes=value.codes))
            self.outputs[name] = (ids[value.at].ravel(), None)
        elif isinstance(value, Codes):
            self.outputs[name] = (value.at.ravel(), value.scale if value.real else F32(1))
        else:
            reason = value if isinstance(value, NotCheckable) else "the output is no scores of neurons"
            self.outputs[name] = reason if isinstance(reason, NotCheckable) else NotCheckable(reason)

    def quantise(self, value, q, node, nodes=()):
        """The population that a quantiser makes; consumers clip codes further where a Clip follows alone."""
        q = self.clipped(node.output[0], q)
        nodes = [*nodes, node.name]
        if isinstance(value, Real):
            ids = self.space.add(value.at.size, *q.levels)
            base = Population(node.output[0], [*nodes, value.name], ids, [], [], Rule([], [], q), "input", value)
            self.populations.append(base)
            return Codes(ids[value.at], q)
        if isinstance(value, Codes):
            same = value.scale == q.scale and q.levels[0] <= value.q.levels[0] and q.levels[1] >= value.q.levels[1]
            if same:
                return Codes(value.at, q)
            ids = value.at.reshape(value.at.shape[1:])
            one = Linear.one_to_one(ids.reshape(len(ids), -1), np.ones(len(ids)))
            one.codes = True
            at = np.arange(ids.size).reshape(value.at.shape)
            value = Sum(at, [(one, np.full(one.filters, value.scale, F32), 0)], codes=[value.scale])
        if not isinstance(value, Sum):
            raise value if isinstance(value, NotCheckable) else NotCheckable("what it quantises is unknown")
        low, high = q.low, q.high
        if value.low > -np.inf:
            low = max(low, int(q.code(value.low)) + q.zero)
        if value.high < np.inf:
            high = min(high, int(q.code(value.high)) + q.zero)
        q = Quantiser(q.scale, q.zero, low, high, q.rounding, q.offset)
        linears, bias = [l for l, _, _ in value.operands], [np.broadcast_to(b, l.filters) for l, _, b in value.operands]
        rule = Rule([np.broadcast_to(s, value.filters) for _, s, _ in value.operands], value.constants, q, value.affine)
        # Where accumulators meet other operands, the sum is exact.
        accumulates = any(not getattr(l, "codes", False) for l in linears)
        rule.exact = len(linears) > 1 and accumulates and q.offset is None and value.affine is None
        low, high = self.levels(linears, bias, rule)
        ids = self.space.add(len(low) * linears[0].places, np.repeat(low, linears[0].places),
                             np.repeat(high, linears[0].places))
        shape = value.at.shape[1:] if np.array_equal(value.at.ravel(), np.arange(value.at.size)) else None
        self.populations.append(Population(node.output[0], value.nodes + nodes, ids, linears, bias, rule, codes=value.codes, shape=shape))
        return Codes(ids[value.at], q)

    def levels(self, linears, bias, rule):
        """Payloads that each channel can have at all: the rule at both ends of its accumulators."""
        ranges = self.space.ranges()
        ends = [l.bounds(*ranges) + b for l, b in zip(linears, bias)]
        at = lambda i: [np.asarray(e[i])[:, None] for e in ends]
        if rule.affine is not None:
            swap = rule.affine[0] < 0
            ends = [np.where(swap, e[::-1], e) for e in ends]
            return rule.tied(*at(0))[0][:, 0], rule.tied(*at(1))[1][:, 0]
        return rule.payload(*at(0))[:, 0], rule.payload(*at(1))[:, 0]

    def clipped(self, name, q):
        users = [n for n in self.proto.graph.node if name in n.input]
        if len(users) == 1 and users[0].op_type == "Clip" and name not in [o.name for o in self.proto.graph.output]:
            bounds = [self.values.get(i) if i else None for i in [*users[0].input[1:], "", ""][:2]]
            low = int(bounds[0].value.ravel()[0]) if bounds[0] else q.low
            high = int(bounds[1].value.ravel()[0]) if bounds[1] else q.high
            return Quantiser(q.scale, q.zero, max(q.low, low), min(q.high, high), q.rounding, q.offset)
        return q

    # Nodes

    def node(self, node):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        get = lambda i: self.values[node.input[i]] if len(node.input) > i and node.input[i] else None
        operands = [get(i) for i in range(len(node.input))]
        for value in operands:
            if isinstance(value, NotCheckable):
                raise value
        method = getattr(self, "op_" + node.op_type.lower(), None)
        if method is None or node.op_type != "Shape" and all(isinstance(v, Const) for v in operands if v) and not (
                node.op_type in ("DequantizeLinear", "Quant", "Transpose", "Reshape", "Identity")):
            return self.fold(node, operands)
        return method(node, attributes, operands)

    def fold(self, node, operands):
        """Constants are computed by onnx's own reference implementation."""
        if not all(isinstance(v, Const) for v in operands if v):
            raise NotCheckable(f"the operator {node.op_type} (node `{node.name}`) on activations")
        inputs = {n: v.value for n, v in zip(node.input, operands) if v}
        infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()]
        outputs = [helper.make_tensor_value_info(n, 0, None) for n in node.output]
        graph = helper.make_graph([node], "g", infos, outputs)
        model = helper.make_model(graph, opset_imports=self.proto.opset_import)
        return Const(np.asarray(ReferenceEvaluator(model).run(None, inputs)[0]))

    def parameters(self, operands, first):
        """Scale and zero point constants, and the range of the codes' type."""
        scale = np.asarray(operands[first].value, F32).ravel()
        zero = operands[first + 1] if len(operands) > first + 1 else None
        if zero is None:
            return scale, np.zeros(1, np.int64), RANGES["uint8"]
        return scale, np.asarray(zero.value).astype(np.int64).ravel(), RANGES[str(zero.value.dtype)]

    def op_quantizelinear(self, node, attributes, operands):
        scale, zero, (low, high) = self.parameters(operands, 1)
        if len(scale) > 1 or len(zero) > 1 and len(set(zero)) > 1:
            raise NotCheckable("an activation with a scale for each channel")
        return self.quantise(operands[0], Quantiser(scale[0], zero[0], low, high), node)

    def op_dequantizelinear(self, node, attributes, operands):
        scale, zero, (low, high) = self.parameters(operands, 1)
        value = operands[0]
        if isinstance(value, Const):
            codes, axis = np.asarray(value.value).astype(np.int64), attributes.get("axis", 1) % max(value.value.ndim, 1)
            along = lambda v: v.reshape([-1 if i == axis else 1 for i in range(codes.ndim)]) if len(v) > 1 else v.reshape(())
            centred = codes - along(zero)
            return Const((centred.astype(F32) * along(scale)).astype(F32), (centred, scale, axis))
        if isinstance(value, Real):  # the model takes codes
            low, high = RANGES[self.inputs[value.name]]
            q = Quantiser(scale[0], zero[0], low, high)
            ids = self.space.add(value.at.size, *q.levels)
            self.populations.append(Population(value.name, [node.name, value.name], ids, [], [], Rule([], [], q), "codes"))
            return Codes(ids[value.at], q, True)
        if value.q.zero != zero[0] or value.q.scale != scale[0]:
            raise NotCheckable("codes that are dequantised with another scale or zero point")
        return Codes(value.at, value.q, True)

    def op_quant(self, node, attributes, operands):
        scale, zero, bits = (np.asarray(v.value, F32) for v in operands[1:4])
        low, high = (-2 ** (int(bits) - 1), 2 ** (int(bits) - 1) - 1) if attributes.get("signed", 1) else (0, 2 ** int(bits) - 1)
        narrow = attributes.get("narrow", 0)
        low, high = (low + narrow, high) if low < 0 else (low, high - narrow)
        mode = attributes.get("rounding_mode", b"ROUND").decode().upper()
        mode = {"ROUND": "half-even", "HALF_EVEN": "half-even", "FLOOR": "floor", "CEIL": "ceil", "UP": "up",
                "DOWN": "down", "ROUND_TO_ZERO": "down", "HALF_UP": "half-away", "HALF_DOWN": "half-toward-zero"}[mode]
        if isinstance(operands[0], Const):
            codes = np.clip(rounded(mode, (operands[0].value / scale + zero).astype(F32)), low, high)
            centred = (codes - zero).astype(np.int64)
            axis = int(np.argmax(scale.shape)) if scale.size > 1 else 0
            return Const((centred * scale).astype(F32), (centred, scale.ravel(), axis))
        if scale.size > 1 or zero.size > 1 or float(zero) % 1:
            raise NotCheckable("a Quant with a scale for each channel or a fractional zero point")
        q = Quantiser(scale, zero, low, high, mode, float(zero) or None)
        codes = self.quantise(operands[0], q, node)
        return Codes(codes.at, codes.q, True)

    # Layers

    def layer(self, node, x, weights, bias, make, shape, q=None):
        if not isinstance(x, Codes):
            raise NotCheckable(f"layer `{node.name}`: its input is not quantised")
        codes, scale, axis = q or weights.quantised or (None, None, None)
        if codes is None:
            raise NotCheckable(f"layer `{node.name}`: its weights are not quantised")
        linear = make(x.at.reshape(x.at.shape[1:]), codes)
        if len(scale) > 1 and len(scale) != linear.filters:
            raise NotCheckable(f"layer `{node.name}`: its weights' scales are not those of its outputs")
        units = np.broadcast_to((x.scale * scale).astype(F32), linear.filters)
        at = np.arange(linear.filters * linear.places).reshape(shape(linear))
        value = Sum(at, [(linear, units, np.zeros(linear.filters, np.int64))], nodes=[node.name], codes=[x.scale])
        return self.biased(value, bias) if bias is not None else value

    def biased(self, value, bias):
        """A constant by channel: whole units of a lone accumulator, else an operand of its own."""
        (linear, units, have), = value.operands
        if bias.quantised is not None and bias.value.size == linear.filters:
            codes, scale, _ = bias.quantised
            codes, scale = codes.ravel(), np.broadcast_to(scale, linear.filters)
            same = (scale == units) | (codes == 0)
            real = codes * scale.astype(np.float64)
            constant = (codes.astype(F32) * scale).astype(F32)
        else:
            real = value.channels(bias.value) if bias.value.ndim != 1 or bias.value.size != linear.filters else np.asarray(bias.value, np.float64)
            codes, same, constant = np.zeros(linear.filters, np.int64), np.zeros(linear.filters, bool), real.astype(F32)
        whole = real / units.astype(np.float64)
        if (np.abs(whole - np.rint(whole))[~same] <= WHOLE).all():
            integers = np.where(same, codes, np.rint(whole).astype(np.int64))
            return Sum(value.at, [(linear, units, have + integers)], value.constants, nodes=value.nodes, codes=value.codes)
        return Sum(value.at, [(linear, units, have)], [*value.constants, (1, constant)], nodes=value.nodes, codes=value.codes)

    def geometry(self, attributes, kernel, spatial):
        """Strides, dilations, padding before, and the number of windows."""
        n = len(kernel)
        strides, dilations = attributes.get("strides", [1] * n), attributes.get("dilations", [1] * n)
        extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
        auto, pads = attributes.get("auto_pad", b"NOTSET").decode(), list(attributes.get("pads", [0] * 2 * n))
        if auto.startswith("SAME"):
            total = [max((-(-i // s) - 1) * s + e - i, 0) for i, s, e in zip(spatial, strides, extent)]
            less = [t // 2 for t in total]
            more = [t - l for t, l in zip(total, less)]
            pads = less + more if auto == "SAME_UPPER" else more + less
        span = [i + pads[d] + pads[n + d] - extent[d] for d, i in enumerate(spatial)]
        counts = [s // t + 1 for s, t in zip(span, strides)]
        if attributes.get("ceil_mode", 0):
            counts = [-(-s // t) + 1 for s, t in zip(span, strides)]
            counts = [c - 1 if (c - 1) * t >= i + b else c for c, t, i, b in zip(counts, strides, spatial, pads)]
        if min(counts) < 1:
            raise Refused("a window that does not fit into its map")
        return (list(kernel), list(strides), list(dilations), pads[:n]), counts, pads

    def op_conv(self, node, attributes, operands, q=None):
        x, w = operands[0], operands[1]
        window, counts, _ = self.geometry(attributes, (q[0] if q else w.value).shape[2:], x.at.shape[2:])
        make = lambda ids, codes: Linear.convolution(ids, codes, window, attributes.get("group", 1), counts)
        return self.layer(node, x, w, operands[2] if len(operands) > 2 else None, make, lambda l: (1, l.filters, *counts), q)

    def dense(self, node, x, w, bias, transposed, q=None):
        codes, scale, axis = q or w.quantised or (None, None, None)
        if isinstance(x, Codes) and x.at.ndim != 2:
            raise NotCheckable(f"layer `{node.name}`: a product over more than one vector")
        if codes is not None and not transposed:
            codes = codes.T
        q = (codes, scale, 0) if codes is not None else None
        return self.layer(node, x, w, bias, Linear.dense, lambda l: (1, l.filters), q)

    def op_gemm(self, node, attributes, operands):
        if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
            raise NotCheckable(f"Gemm `{node.name}` with factors")
        return self.dense(node, *operands[:2], operands[2] if len(operands) > 2 else None, attributes.get("transB", 0))

    def op_matmul(self, node, attributes, operands):
        return self.dense(node, operands[0], operands[1], None, False)

    def q_layer(self, node, attributes, operands, make):
        """QLinearConv and QGemm: x, its scale and zero point, the weights', the output's, the bias."""
        scale, zero, _ = self.parameters(operands, 1)
        codes = np.asarray(operands[3].value).astype(np.int64)
        s_w, z_w, _ = self.parameters(operands, 4)
        bias_at, out_at = (8, 6) if node.op_type != "QGemm" else (6, 7)
        along = z_w.reshape(-1, *[1] * (codes.ndim - 1)) if len(z_w) > 1 else z_w[0]
        x = Codes(operands[0].at, operands[0].q, True)
        bias = operands[bias_at] if len(operands) > bias_at else None
        if bias is not None:
            values = np.asarray(bias.value).astype(np.int64)
            bias = Const(values, (values, (x.scale * s_w).astype(F32), 0))
        value = make(x, (codes - along, s_w, 0), bias)
        s_y, z_y, (low, high) = self.parameters(operands, out_at)
        return self.quantise(value, Quantiser(s_y[0], z_y[0], low, high), node)

    def op_qlinearconv(self, node, attributes, operands):
        conv = lambda x, q, bias: self.op_conv(node, attributes, [x, None, bias] if bias else [x, None], q)
        return self.q_layer(node, attributes, operands, conv)

    def op_qgemm(self, node, attributes, operands):
        dense = lambda x, q, bias: self.dense(node, x, None, bias, attributes.get("transB", 0), q)
        return self.q_layer(node, attributes, operands, dense)

    def op_averagepool(self, node, attributes, operands, kernel=None):
        x = operands[0]
        kernel = kernel or attributes["kernel_shape"]
        window, counts, pads = self.geometry(attributes, kernel, x.at.shape[2:])
        if not isinstance(x, Codes) or any(pads) and not attributes.get("count_include_pad", 0) or attributes.get("ceil_mode", 0):
            raise NotCheckable(f"the mean `{node.name}` over windows of different numbers of cells")
        cells, c = int(np.prod(kernel)), x.at.shape[1]
        linear = Linear.convolution(x.at[0], np.ones((c, 1, *kernel), np.int64), window, c, counts)
        scale = np.full(c, x.scale / F32(cells), F32)
        at = np.arange(c * linear.places).reshape(1, c, *counts)
        return Sum(at, [(linear, scale, np.zeros(c, np.int64))], nodes=[node.name], codes=[x.scale])

    def op_globalaveragepool(self, node, attributes, operands):
        return self.op_averagepool(node, {}, operands, list(operands[0].at.shape[2:]))

    def op_reducemean(self, node, attributes, operands):
        axes = attributes.get("axes") or [int(a) for a in operands[1].value]
        if [a % operands[0].at.ndim for a in axes] != list(range(2, operands[0].at.ndim)):
            raise NotCheckable("a mean over other axes than a map's")
        value = self.op_globalaveragepool(node, {}, operands)
        return value if attributes.get("keepdims", 1) else value.moved(value.at.reshape(value.at.shape[:2]))

    def op_maxpool(self, node, attributes, operands):
        x = operands[0]
        if not isinstance(x, Codes):
            raise NotCheckable(f"MaxPool `{node.name}` before a quantiser")
        window, counts, _ = self.geometry(attributes, attributes["kernel_shape"], x.at.shape[2:])
        seen = windows(x.at[0], *window, counts)  # (P, C, K)
        ids = self.space.pool(seen.transpose(1, 0, 2).reshape(-1, seen.shape[2]))
        return x.moved(ids.reshape(1, x.at.shape[1], *counts))

    # Elements

    def op_relu(self, node, attributes, operands):
        return self.bounded(operands[0], 0.0, np.inf, node)

    def op_clip(self, node, attributes, operands):
        bound = lambda i, name, other: float(operands[i].value.ravel()[0]) if len(operands) > i and operands[i] else attributes.get(name, other)
        if isinstance(operands[0], Codes) and not operands[0].real:
            return operands[0]  # its quantiser knows
        return self.bounded(operands[0], bound(1, "min", -np.inf), bound(2, "max", np.inf), node)

    def bounded(self, x, low, high, node):
        if isinstance(x, Real):
            return Real(x.name, x.at, [*x.steps, lambda v: np.clip(v, F32(low), F32(high))])
        if not isinstance(x, Sum):
            raise NotCheckable(f"`{node.name}` ({node.op_type}) on codes")
        low, high = max(x.low, low), min(x.high, high)
        return Sum(x.at, x.operands, x.constants, x.affine, low, high, [*x.nodes, node.name], x.codes)

    def op_batchnormalization(self, node, attributes, operands):
        scale, bias, mean, variance = (np.asarray(v.value, np.float64) for v in operands[1:5])
        factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        x = operands[0]
        if not isinstance(x, Sum) or x.at.shape[1] != x.filters:
            raise NotCheckable(f"BatchNormalization `{node.name}` elsewhere than behind a layer")
        value = x.through(factor, bias - mean * factor)
        value.nodes.append(node.name)
        return value

    def elementwise(self, node, operands, function, affine):
        a, b = operands
        left = isinstance(b, Const)
        x, c = (a, b) if left else (b, a)
        if isinstance(x, Real):
            constant = np.asarray(c.value, F32)
            if constant.size > 1:
                raise NotCheckable("an input that is scaled for each channel")
            step = (lambda v: function(v, constant.ravel()[0])) if left else (lambda v: function(constant.ravel()[0], v))
            return Real(x.name, x.at, [*x.steps, step])
        if isinstance(x, Sum):
            factor, shift = affine(x.channels(c.value), left)
            value = x.through(factor, shift)
            value.nodes.append(node.name)
            return value
        raise NotCheckable(f"`{node.name}` ({node.op_type}) on codes")

    def op_mul(self, node, attributes, operands):
        return self.elementwise(node, operands, np.multiply, lambda c, _: (c, 0))

    def op_div(self, node, attributes, operands):
        return self.elementwise(node, operands, np.divide, lambda c, left: (1 / c, 0) if left else self.refuse_division())

    def refuse_division(self):
        raise NotCheckable("a constant divided by activations")

    def op_sub(self, node, attributes, operands):
        return self.elementwise(node, operands, np.subtract, lambda c, left: (1, -c) if left else (-1, c))

    def op_add(self, node, attributes, operands):
        a, b = operands
        if isinstance(a, Const) or isinstance(b, Const):
            x, c = (b, a) if isinstance(a, Const) else (a, b)
            if isinstance(x, Sum) and x.affine is None and len(x.operands) == 1 and not x.constants and x.low == -np.inf:
                per = Const(x.channels(c.value)) if c.quantised is None else c
                value = self.biased(x, per)
                value.nodes.append(node.name)
                return value
            return self.elementwise(node, operands, np.add, lambda v, _: (1, v))
        sums = [self.as_sum(v) for v in (a, b)]
        if sums[0].at.shape != sums[1].at.shape or any(s.affine or s.low > -np.inf or s.high < np.inf for s in sums):
            raise NotCheckable(f"Add `{node.name}` of sums that were clipped or scaled")
        if not np.array_equal(sums[0].at, sums[1].at):
            raise NotCheckable(f"Add `{node.name}` of maps in different orders")
        first, second = sums
        constants = first.constants + [(len(first.operands) + len(first.constants) + i, c) for i, c in second.constants]
        return Sum(first.at, first.operands + second.operands, constants, nodes=first.nodes + second.nodes + [node.name],
                   codes=first.codes + second.codes)

    def as_sum(self, value):
        if isinstance(value, Sum):
            return value
        if not isinstance(value, Codes) or not value.real:
            raise NotCheckable("an addition of codes as such")
        ids = value.at[0].reshape(value.at.shape[1], -1)
        one = Linear.one_to_one(ids, np.ones(len(ids)))
        one.codes = True
        at = np.arange(ids.size).reshape(value.at.shape)
        return Sum(at, [(one, np.full(one.filters, value.scale, F32), np.zeros(one.filters, np.int64))], codes=[value.scale])

    # Shapes

    def op_shape(self, node, attributes, operands):
        x = operands[0]
        return Const(np.asarray(x.value.shape if isinstance(x, Const) else x.at.shape, np.int64))

    def move(self, x, function):
        if isinstance(x, Const):
            q = x.quantised and (function(x.quantised[0]), *x.quantised[1:])
            if x.quantised and len(x.quantised[1]) > 1:
                raise NotCheckable("weights with a scale for each output that are moved")
            return Const(function(x.value), q)
        return x.moved(function(x.at))

    def op_identity(self, node, attributes, operands):
        return operands[0]

    op_dropout = op_identity

    def op_flatten(self, node, attributes, operands):
        axis = attributes.get("axis", 1)
        return self.move(operands[0], lambda v: v.reshape(int(np.prod(v.shape[:axis])), -1))

    def op_reshape(self, node, attributes, operands):
        shape = [int(d) for d in (operands[1].value if len(operands) > 1 else attributes["shape"])]
        return self.move(operands[0], lambda v: v.reshape([v.shape[i] if d == 0 else d for i, d in enumerate(shape)]))

    def op_transpose(self, node, attributes, operands):
        x = operands[0]
        if isinstance(x, Const) and x.quantised and len(x.quantised[1]) > 1:
            codes, scale, axis = x.quantised
            perm = attributes.get("perm") or list(range(codes.ndim))[::-1]
            return Const(x.value.transpose(perm), (codes.transpose(perm), scale, perm.index(axis)))
        return self.move(x, lambda v: v.transpose(attributes.get("perm")))

    def op_squeeze(self, node, attributes, operands):
        axes = attributes.get("axes") or ([int(a) for a in operands[1].value] if len(operands) > 1 else None)
        return self.move(operands[0], lambda v: np.squeeze(v, tuple(axes) if axes else None))

    def op_unsqueeze(self, node, attributes, operands):
        axes = attributes.get("axes") or [int(a) for a in operands[1].value]
        return self.move(operands[0], lambda v: np.expand_dims(v, tuple(axes)))

    def op_concat(self, node, attributes, operands):
        if not all(isinstance(v, Codes) for v in operands) or len({(v.scale, v.real, v.q.zero) for v in operands}) > 1:
            raise NotCheckable(f"Concat `{node.name}` of maps that count in different units")
        return operands[0].moved(np.concatenate([v.at for v in operands], attributes["axis"]))

    # Execution

    def run(self, inputs):
        """Payloads (N, ids + 1) for payloads of the input neurons, by name of their population."""
        n = len(next(iter(inputs.values())))
        values, self.known = np.zeros((n, self.space.size + 1), np.int64), np.zeros(self.space.size + 1, bool)

        def pool(at, members):
            values[:, at], self.known[at] = values[:, members].max(1), self.known[members].all()

        pooled = sorted(self.space.members.items())
        for p in self.populations:
            while pooled and pooled[0][0] < p.ids[0]:
                pool(*pooled.pop(0))
            self.known[p.ids] = True
            if p.kind in ("input", "codes"):
                values[:, p.ids] = inputs[p.name].reshape(n, -1)
                continue
            sums = [(l.run(values) + np.reshape(b, (1, -1, 1))) for l, b in zip(p.operands, p.bias)]
            if p.rule.out is None:
                values[:, p.ids] = sums[0].reshape(n, -1)
                continue
            flat = [s.transpose(1, 0, 2).reshape(p.filters, -1) for s in sums]
            out = p.rule.payload(*flat).reshape(p.filters, n, -1).transpose(1, 0, 2)
            values[:, p.ids] = out.reshape(n, -1)
        for at, members in pooled:
            pool(at, members)
        return values
