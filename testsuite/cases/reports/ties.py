"""Where near ties of single precision may bring the outputs of a case.

A quantiser rounds x / scale to the nearest integer. Where x / scale lies so near to a tie that the rounding
errors of a float32 evaluation, in whatever order it sums, can bring it to either side, both codes are
right. This evaluates a model in double precision with intervals: every operator on reals widens them by
the bound of its float32 error (Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5:
n u / (1 - n u) times the sum of magnitudes, u = 2^-24), every quantiser rounds both ends.

    python ties.py CASE..      writes CASE/ties.npz: low0, high0, low1, .. as the outputs of expected.npz

The answer of ONNX Runtime must lie within, which is checked. It knows only the operators below.
"""
import sys

import numpy as np
import onnx
from onnx import numpy_helper

U = 2.0 ** -24


class Interval:
    def __init__(self, low, high=None):
        self.low = np.asarray(low, dtype=np.float64)
        self.high = self.low if high is None else np.asarray(high, dtype=np.float64)

    def map(self, f):
        return Interval(f(self.low), f(self.high))

    def widened(self, error):
        return Interval(self.low - error, self.high + error)

    def magnitude(self):
        return np.maximum(abs(self.low), abs(self.high))

    def exact(self):
        return np.array_equal(self.low, self.high)


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def along(values, axis, rank):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 1:
        return values
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def windows(x, kernel, strides, pads, dilations, fill):
    """Values under each tap: (taps.., N, C, out..)."""
    rank = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[i + rank]) for i in range(rank)], constant_values=fill)
    out = [(x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    taps = []
    for tap in np.ndindex(*kernel):
        index = tuple(slice(tap[i] * dilations[i], tap[i] * dilations[i] + strides[i] * (out[i] - 1) + 1, strides[i])
                      for i in range(rank))
        taps.append(x[(slice(None), slice(None)) + index])
    return np.stack(taps)


def geometry(a, rank):
    assert a.get("auto_pad", b"NOTSET") in (b"NOTSET", "NOTSET") and not a.get("ceil_mode", 0)
    return (a.get("strides", [1] * rank), a.get("pads", [0] * 2 * rank), a.get("dilations", [1] * rank))


def conv(x, w, groups, kernel, strides, pads, dilations):
    taps = windows(x, kernel, strides, pads, dilations, 0.0)
    t, n = taps.shape[0], taps.shape[1]
    out = taps.shape[3:]
    taps = taps.reshape((t, n, groups, -1) + out)
    w = w.reshape((groups, w.shape[0] // groups, w.shape[1], t))
    return np.einsum("tngc...,goct->ngo...", taps, w).reshape((n, -1) + out)


def linear(x, w, b, product, terms):
    """A product of an interval with exact weights."""
    positive, negative = np.maximum(w, 0), np.minimum(w, 0)
    low = product(x.low, positive) + product(x.high, negative)
    high = product(x.high, positive) + product(x.low, negative)
    error = product(x.magnitude(), abs(w))
    if b is not None:
        low, high, error = low + b, high + b, error + abs(b)
    n = (terms + 2) * U
    return Interval(low, high).widened(error * n / (1 - n))


def mean(x, a, node):
    if node == "GlobalAveragePool":
        axes = tuple(range(2, x.low.ndim))
        count = np.prod(x.low.shape[2:])
        result = x.map(lambda v: v.mean(axis=axes, keepdims=True))
        error = x.magnitude().mean(axis=axes, keepdims=True)
        return result.widened(error * (count + 2) * U)
    kernel = a["kernel_shape"]
    strides, pads, dilations = geometry(a, len(kernel))
    taps = lambda v: windows(v, kernel, strides, pads, dilations, 0.0).sum(axis=0)
    ones = windows(np.ones_like(x.low), kernel, strides, pads, dilations, float(bool(a.get("count_include_pad", 0))))
    count = ones.sum(axis=0)
    result = Interval(taps(x.low) / count, taps(x.high) / count)
    return result.widened(taps(x.magnitude()) / count * (np.prod(kernel) + 2) * U)


def hard_swish(x):
    f = lambda v: v * np.clip(v / 6 + 0.5, 0, 1)
    ends = np.stack([f(x.low), f(x.high)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    low = np.where((x.low < -1.5) & (x.high > -1.5), f(-1.5), low)
    return Interval(low, high).widened(x.magnitude() * 4 * U)


RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767), "int32": (-2**31, 2**31 - 1),
          "uint4": (0, 15), "int4": (-8, 7)}


def evaluate(path, inputs):
    model = onnx.load(path)
    values, types = {}, {}
    for t in model.graph.initializer:
        array = numpy_helper.to_array(t)
        values[t.name], types[t.name] = Interval(array.astype(np.float64)), str(array.dtype)
    for name, array in inputs.items():
        values[name] = Interval(array)
    for node in model.graph.node:
        a, op = attributes(node), node.op_type
        x = [values[i] if i else None for i in node.input]
        name = node.output[0]
        if op == "Constant":
            array = numpy_helper.to_array(a["value"])
            values[name], types[name] = Interval(array.astype(np.float64)), str(array.dtype)
            continue
        if op == "QuantizeLinear":
            kind = types.get(node.input[2], "uint8") if len(x) > 2 else "uint8"
            rank, axis = x[0].low.ndim, a.get("axis", 1)
            scale = along(x[1].low, axis, rank)
            zero = along(x[2].low, axis, rank) if len(x) > 2 else 0.0
            ratio = x[0].map(lambda v: v / scale)
            ratio = ratio.widened(ratio.magnitude() * 2 * U)
            result = ratio.map(lambda v: np.clip(np.rint(v) + zero, *RANGES[kind]))
            types[name] = kind
        elif op == "DequantizeLinear":
            rank, axis = x[0].low.ndim, a.get("axis", 1)
            zero = along(x[2].low, axis, rank) if len(x) > 2 else 0.0
            result = x[0].map(lambda v: (v - zero) * along(x[1].low, axis, rank))
        elif op == "Conv":
            w, b = x[1], x[2] if len(x) > 2 else None
            assert w.exact()
            kernel = list(w.low.shape[2:])
            strides, pads, dilations = geometry(a, len(kernel))
            product = lambda v, m: conv(v, m, a.get("group", 1), kernel, strides, pads, dilations)
            bias = None if b is None else along(b.low, 1, x[0].low.ndim)
            result = linear(x[0], w.low, bias, product, int(np.prod(w.low.shape[1:])))
        elif op == "Gemm":
            assert x[1].exact() and not a.get("transA", 0) and a.get("alpha", 1.0) == a.get("beta", 1.0) == 1.0
            w = x[1].low.T if a.get("transB", 0) else x[1].low
            result = linear(x[0], w, x[2].low if len(x) > 2 else None, lambda v, m: v @ m, w.shape[0])
        elif op in ("AveragePool", "GlobalAveragePool"):
            result = mean(x[0], a, op)
        elif op == "Add":
            result = Interval(x[0].low + x[1].low, x[0].high + x[1].high)
            result = result.widened((x[0].magnitude() + x[1].magnitude()) * 2 * U)
        elif op == "Relu":
            result = x[0].map(lambda v: np.maximum(v, 0))
        elif op == "HardSwish":
            result = hard_swish(x[0])
        elif op in ("Identity", "Cast"):
            result = x[0]
            if op == "Cast":
                kind = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32"}.get(a["to"])
                types[name] = kind or types.get(node.input[0], "float32")
            elif node.input[0] in types:
                types[name] = types[node.input[0]]
        elif op == "ConstantOfShape":
            fill = numpy_helper.to_array(a["value"]) if "value" in a else np.zeros(1, np.float32)
            result = Interval(np.full([int(d) for d in x[0].low], float(fill[0])))
            types[name] = str(fill.dtype)
        elif op in ("Flatten", "Reshape"):
            result = x[0].map(lambda v: v.reshape(v.shape[0], -1))
            if op == "Reshape":
                assert len(x[1].low) == 2, "a reshape to vectors is known"
        else:
            raise SystemExit(f"{path}: {op} is not known")
        values[name] = result
    return [values[o.name] for o in model.graph.output]


def main():
    for case in sys.argv[1:]:
        model = onnx.load(f"{case}/model.onnx")
        data, expected = np.load(f"{case}/data.npz"), np.load(f"{case}/expected.npz")
        inputs = {i.name: data[i.name].astype(np.float64) for i in model.graph.input}
        arrays, loose, outside = {}, 0, 0
        for i, found in enumerate(evaluate(f"{case}/model.onnx", inputs)):
            wanted = expected[f"o{i}"]
            low, high = found.low.reshape(wanted.shape), found.high.reshape(wanted.shape)
            allowed = 1e-5 * max(abs(wanted).max(), 1e-9)
            outside += np.count_nonzero((wanted < low - allowed) | (wanted > high + allowed))
            loose += np.count_nonzero(high - low > 2 * allowed)
            arrays[f"low{i}"], arrays[f"high{i}"] = low.astype(np.float32), high.astype(np.float32)
        total = sum(a.size for a in arrays.values()) // 2
        print(f"{case}: {loose} of {total} outputs behind near ties, {outside} of ONNX Runtime's outside")
        if outside:
            raise SystemExit("this evaluation is wrong")
        if loose:
            np.savez_compressed(f"{case}/ties.npz", **arrays)


main()
