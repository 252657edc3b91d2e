"""Rebuilds the three networks of the benchmark, each as a spiking network and as an ONNX ANN.

    python networks.py FOLDER

A: MLP 784-512-256-10, 32 timesteps, about 12 and 8 % of the neurons firing in a timestep.
B: LeNet-like, 3x3 convolutions of 16 and 32 channels with average pools, 16 timesteps, 12 and 8 %.
C: VGG-16 for 32x32 images, 4 timesteps, 14 % falling to 6 %.

Integrate and fire from potential 0, soft reset, at most one spike a timestep, the analog image injected
in each; the last layer accumulates only. Weights are He-normal; weights and bias of each layer are
scaled by bisection until its firing rate meets its target. The ANN has the same weights with ReLU.

FOLDER/X.npz holds images `x`, and for each layer i `kind_i` (0 dense, 1 convolution 3x3, 2 average
pool, 3 max pool), weights `w_i` and `b_i` in f32, and what bytes make of them: `q_i`, `qb_i` and the
integer threshold `t_i` (0 for what does not fire); and what the network does in f32: the sums of its
last layer `y` and the firing rates `rates` over all images. FOLDER/X.snn is the network of bytes,
FOLDER/X-f32.snn that of reals, FOLDER/X.f32 their samples, FOLDER/X.onnx the ANN, FOLDER/X-int8.onnx its static quantisation by ONNX Runtime.
"""

import json
import sys
from pathlib import Path

import numpy as np

CHANNELS = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]
RATES = [14.0, 13.5, 12.7, 12.0, 11.4, 10.7, 10.0, 9.4, 8.7, 8.1, 7.4, 6.8, 6.1]


def images(rng, name, count):
    """Strokes of 28x28 with about a fifth of the pixels lit, or 1/f noise of mean 0 and deviation 1."""
    if name == "C":
        f = np.fft.fftfreq(32)
        radius = np.hypot(f[:, None], f[None, :])
        radius[0, 0] = 1
        noise = np.fft.fft2(rng.standard_normal((count, 3, 32, 32)))
        x = np.fft.ifft2(noise / radius).real
        return ((x - x.mean()) / x.std()).astype(np.float32)
    x = np.zeros((count, 28, 28))
    yy, xx = np.mgrid[:28, :28]
    for image in x:
        for _ in range(3):
            (y0, x0), (y1, x1) = rng.uniform(4, 24, (2, 2))
            t = np.linspace(0, 1, 24)
            for y, c in zip(y0 + t * (y1 - y0), x0 + t * (x1 - x0)):
                image[:] = np.maximum(image, np.exp(-((yy - y) ** 2 + (xx - c) ** 2) / 1.6))
    x[x < 0.08] = 0
    return (np.round(x * 255) / 255).astype(np.float32)[:, None]


def layers(name):
    """(kind, outputs, target rate), 0 for what does not fire."""
    if name == "A":
        return [("dense", 512, 11.9), ("dense", 256, 7.9), ("dense", 10, 0)]
    if name == "B":
        return [("conv", 16, 11.8), ("average", 0, 0), ("conv", 32, 7.8), ("average", 0, 0), ("dense", 10, 0)]
    rates = iter(RATES)
    body = [("conv", c, next(rates)) if c else ("max", 0, 0) for c in CHANNELS]
    return body + [("dense", 10, 0)]


def patches(x):
    """(N, C, H, W) to (N, H, W, C * 9), padded by 1."""
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(p, (3, 3), axis=(2, 3))
    n, c, h, w = x.shape
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * 9)


def current(kind, x, w):
    if kind == "dense":
        return x.reshape(len(x), -1) @ w.T
    return (patches(x) @ w.reshape(len(w), -1).T).transpose(0, 3, 1, 2)


def fire(z, steps):
    """Spikes in time of currents `z` (steps, N, ..)."""
    v, sent = np.zeros_like(z[0]), []
    for t in range(steps):
        v += z[t]
        s = (v >= 1).astype(np.float32)
        v -= s
        sent.append(s)
    return np.stack(sent)


def pool(kind, x):
    *lead, h, w = x.shape
    cells = x.reshape(*lead, h // 2, 2, w // 2, 2)
    return cells.max((-3, -1)) if kind == "max" else cells.mean((-3, -1))


def build(name, steps, seed):
    rng = np.random.default_rng(seed)
    x = images(rng, name, 64)
    few = 2 if name == "C" else 16
    signals = np.stack([x[:few]] * steps)
    arrays = {"x": x, "steps": np.array([steps])}
    # Real value of one unit of payload.
    low, high = (-128, 127) if name == "C" else (0, 255)
    unit = 4 / 127 if name == "C" else 1 / 255
    arrays["x_scale"] = np.array([unit], np.float32)
    arrays["x_range"] = np.array([low, high])
    ann, rates = [], []
    for i, (kind, outputs, target) in enumerate(layers(name)):
        arrays[f"kind_{i}"] = np.array([["dense", "conv", "average", "max"].index(kind)])
        if kind in ("average", "max"):
            signals = np.stack([pool(kind, s) for s in signals])
            unit = unit / 4 if kind == "average" else unit
            ann.append((kind, None, None))
            continue
        shape = (outputs, signals[0][0].size) if kind == "dense" else (outputs, signals.shape[2], 3, 3)
        fan_in = int(np.prod(shape[1:]))
        w = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        b = rng.normal(0, 0.02, outputs).astype(np.float32)
        constant = i == 0
        z = [current(kind, s, w) for s in (signals[:1] if constant else signals)]
        bias = b if kind == "dense" else b[:, None, None]
        z = np.stack([q + bias for q in z] * (steps if constant else 1))
        if target:
            smallest, largest = 1e-3, 1e3
            for _ in range(40):
                scale = np.sqrt(smallest * largest)
                spikes = fire(z * np.float32(scale), steps)
                if spikes.mean() * 100 < target:
                    smallest = scale
                else:
                    largest = scale
            w, b, signals = w * np.float32(scale), b * np.float32(scale), spikes
            rates.append(round(100 * float(spikes.mean()), 1))
        per = np.abs(w).max() / 127
        arrays[f"w_{i}"], arrays[f"b_{i}"] = w, b
        arrays[f"q_{i}"] = np.round(w / per).astype(np.int8)
        arrays[f"qb_{i}"] = np.round(b / (per * unit)).astype(np.int64)
        arrays[f"t_{i}"] = np.array([round(1 / (per * unit)) if target else 0])
        ann.append((kind, w, b))
        unit = 1.0
    print(f"{name}: {steps} timesteps, firing rates {rates} %", flush=True)
    return arrays, ann


def reference(arrays, steps):
    """Sums of the last layer and firing rates in f32, some images at a time."""
    sums, spikes = [], []
    for first in range(0, len(arrays["x"]), 8):
        signals, fired, i = arrays["x"][None, first : first + 8], [], 0
        while f"kind_{i}" in arrays:
            kind = ["dense", "conv", "average", "max"][int(arrays[f"kind_{i}"][0])]
            if kind in ("average", "max"):
                signals = np.stack([pool(kind, s) for s in signals])
            else:
                b = arrays[f"b_{i}"]
                b = b if kind == "dense" else b[:, None, None]
                signals = np.stack([current(kind, s, arrays[f"w_{i}"]) + b for s in signals])
                if arrays[f"t_{i}"][0]:
                    # The image is the same in each timestep, and so is what the first layer makes of it.
                    signals = np.repeat(signals, steps // len(signals), 0)
                    signals = fire(signals, steps)
                    fired.append(signals.mean())
            i += 1
        sums.append(signals.sum(0))
        spikes.append(fired)
    return np.concatenate(sums).astype(np.float32), np.mean(spikes, 0)


def export(path, ann, x):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, at = [], [], "x"
    fired = sum(w is not None for _, w, _ in ann)
    for i, (kind, w, b) in enumerate(ann):
        if w is None:
            op = "AveragePool" if kind == "average" else "MaxPool"
            nodes.append(helper.make_node(op, [at], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
            at = f"p{i}"
            continue
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        if kind == "dense":
            nodes.append(helper.make_node("Flatten", [at], [f"f{i}"]))
            nodes.append(helper.make_node("Gemm", [f"f{i}", f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        else:
            nodes.append(helper.make_node("Conv", [at, f"w{i}", f"b{i}"], [f"z{i}"], pads=[1, 1, 1, 1]))
        fired -= 1
        at = f"z{i}"
        if fired:
            nodes.append(helper.make_node("Relu", [at], [f"r{i}"]))
            at = f"r{i}"
    batched = ["N", *x.shape[1:]]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, batched)],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def quantise(path, x):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": x[i : i + 1]} for i in range(16)]

        def get_next(self):
            return self.left.pop() if self.left else None

    quantize_static(
        path,
        path.with_name(f"{path.stem}-int8.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(tag, value):
    """A field of a protobuf message: a number, or bytes."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def tensor(dtype, shape, data=b""):
    return field(1, dtype) + field(2, b"".join(map(varint, shape))) + (field(3, data) if data else b"")


class Wire:
    """The wire form of a spiking network (`ir/src/wire.rs`)."""

    KINDS = {"i8": "i1", "f32": "<f4"}

    def __init__(self, steps):
        timing = json.dumps({"timesteps": steps, "schedule": "streaming"})
        self.head = b"snnc.ir\x01" + field(1, "bench") + field(2, "spiking") + field(3, timing)
        self.nodes = []

    def add(self, op, parameters, sources, shape, weights=None, dtype="i64", kind="i8"):
        node = field(1, f"{op}{len(self.nodes)}") + field(2, op) + field(3, json.dumps(parameters))
        for source in sources:
            node += field(4, field(1, source))
        node += field(5, tensor(dtype, shape))
        if weights is not None:
            node += field(7, tensor(kind, weights.shape, weights.astype(np.dtype(self.KINDS[kind])).tobytes()))
        self.nodes.append(field(4, node))
        return len(self.nodes) - 1

    def layer(self, at, connectivity, weights, shape, neuron, bias, largest, kind="i8"):
        parameters = {"connectivity": connectivity, "accumulator": {"bits": 64, "overflow": "error"}}
        at = self.add("projection", parameters, [at], shape, weights, kind=kind)
        parameters = {"coding": "rate", "bias": bias, "neuron": neuron, "minimum": 0, "maximum": largest}
        return self.add("population", parameters, [at], shape)


def convolution(kernel, stride, pad, groups):
    two = lambda n: [n, n]
    window = {"kernel": two(kernel), "strides": two(stride), "dilations": two(1), "before": two(pad), "after": two(pad)}
    return {"convolution": {"window": window, "groups": groups}}


def network(arrays, steps):
    """The spiking network of bytes. An average of four spikes is their sum, a payload of 0 to 4."""
    wire = Wire(steps)
    low, high = (int(v) for v in arrays["x_range"])
    shape = list(arrays["x"].shape[1:])
    encoder = {"scale": float(arrays["x_scale"][0]), "zero_point": 0, "minimum": low, "maximum": high}
    at = wire.add("encoder", {**encoder, "presentation": "every-timestep"}, [], shape)
    identity = {"multiplier": [1], "offset": [0], "divisor": [1], "minimum": 0, "maximum": 4}
    i = 0
    while f"kind_{i}" in arrays:
        kind = int(arrays[f"kind_{i}"][0])
        if kind >= 2:
            shape = [shape[0], shape[1] // 2, shape[2] // 2]
        if kind == 2:
            ones = np.ones((shape[0], 1, 2, 2))
            at = wire.layer(at, convolution(2, 2, 0, shape[0]), ones, shape, {"graded": identity}, [], 4)
        elif kind == 3:
            window = convolution(2, 2, 0, 1)["convolution"]["window"]
            at = wire.add("max-pool", {"window": window}, [at], shape)
        else:
            weights = arrays[f"q_{i}"]
            shape = [len(weights)] + (shape[1:] if kind else [])
            threshold = int(arrays[f"t_{i}"][0])
            fires = {"threshold": [[threshold]], "reset": "soft", "initial": [0], "maximum": 1}
            neuron = {"integrate-and-fire": fires} if threshold else "accumulate"
            bias = [int(b) for b in arrays[f"qb_{i}"]]
            connectivity = convolution(3, 1, 1, 1) if kind else "dense"
            at = wire.layer(at, connectivity, weights, shape, neuron, bias, 1 if threshold else 2**31 - 1)
        i += 1
    wire.add("decoder", {"readout": "last", "scale": [1.0]}, [at], shape, dtype="f32")
    return wire.head + b"".join(wire.nodes)


def network_of_reals(arrays, steps):
    """The same network in f32; the bias is in the neurons, an average is a layer that does not fire."""
    wire, i = Wire(steps), 0
    shape = list(arrays["x"].shape[1:])
    encoder = {"scale": 1.0, "zero_point": 0, "minimum": 0, "maximum": 255}
    at = wire.add("encoder", {**encoder, "presentation": "every-timestep"}, [], shape)
    while f"kind_{i}" in arrays:
        kind = int(arrays[f"kind_{i}"][0])
        if kind >= 2:
            shape = [shape[0], shape[1] // 2, shape[2] // 2]
        if kind == 2:
            quarter = np.full((shape[0], 1, 2, 2), 0.25)
            neuron = {"float": {"decay": [0.0]}}
            at = wire.layer(at, convolution(2, 2, 0, shape[0]), quarter, shape, neuron, [], 1, "f32")
        elif kind == 3:
            at = wire.add("max-pool", {"window": convolution(2, 2, 0, 1)["convolution"]["window"]}, [at], shape)
        else:
            weights = arrays[f"w_{i}"]
            shape = [len(weights)] + (shape[1:] if kind else [])
            bias = np.repeat(arrays[f"b_{i}"], int(np.prod(shape[1:]))).astype(float).tolist()
            neuron = {"decay": [0.0], "input_bias": bias}
            if arrays[f"t_{i}"][0]:
                neuron["decay"] = [1.0]
                neuron["firing"] = {"threshold": [1.0], "reset": {"soft": [1.0]}}
            connectivity = convolution(3, 1, 1, 1) if kind else "dense"
            at = wire.layer(at, connectivity, weights, shape, {"float": neuron}, [], 1, "f32")
        i += 1
    wire.add("decoder", {"readout": "sum", "scale": [1.0]}, [at], shape, dtype="f32")
    return wire.head + b"".join(wire.nodes)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, steps, seed in [("A", 32, 1), ("B", 16, 2), ("C", 4, 3)]:
        # Written last.
        if (folder / f"{name}-f32.snn").exists():
            continue
        arrays, ann = build(name, steps, seed)
        arrays["y"], arrays["rates"] = reference(arrays, steps)
        np.savez(folder / f"{name}.npz", **arrays)
        (folder / f"{name}.snn").write_bytes(network(arrays, steps))
        export(folder / f"{name}.onnx", ann, arrays["x"])
        quantise(folder / f"{name}.onnx", arrays["x"])
        arrays["x"].tofile(folder / f"{name}.f32")
        (folder / f"{name}-f32.snn").write_bytes(network_of_reals(arrays, steps))


if __name__ == "__main__":
    main()
