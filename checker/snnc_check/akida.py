"""Reads Akida models: `model.spec.json` and `model.npz` (layers as in BrainChip's Python API reference 2.19).

Maps are (X, Y, C), X the rows; kernels (kx, ky, C, F), those of inner convolutions flipped along both axes.
"""

import json

import numpy as np

from .common import MALFORMED, Refused

UNBOUNDED = 2 ** 31 - 1


def padded(mode, n, kernel, stride):
    """Cells before, and the number of windows: 0 valid, 1 same, 2 same with the larger half before."""
    if mode == 0:
        if kernel > n:
            raise Refused("a kernel that does not fit into its map")
        return 0, (n - kernel) // stride + 1
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    if mode not in (1, 2):
        raise Refused(f"padding mode {mode}")
    return total // 2 if mode == 1 else total - total // 2, -(-n // stride)


class Reader:
    def __init__(self, folder):
        self.spec = json.loads(folder.text("model.spec.json"))
        if self.spec.get("schema") != "snnc-akida" or self.spec.get("schema_version") != 1 or self.spec.get("learning"):
            raise Refused("model.spec.json is of no form that this checker knows")
        self.arrays, self.version = folder.arrays(self.spec["data"]), self.spec["IP version"]
        self.nodes, self.index = [], {}
        for i, layer in enumerate(self.spec["layers"]):
            self.layer, self.p, self.at = layer, layer["parameters"], f"layer `{layer['name']}`"
            self.index[layer["name"]] = self.read(layer["parameters"]["layer_type"], i)
        d = self.spec["decoding"]
        parameters = {k: d[k] for k in ("readout", "scale", "zero") if k in d}
        self.add(d["name"], "decoder", parameters, [self.index[self.spec["layers"][-1]["name"]]], d["shape"])

    def add(self, name, op, parameters, sources, shape, data=None):
        self.nodes.append({"name": name, "op": op, "parameters": parameters, "operands": [(s, 0) for s in sources],
                           "shape": list(shape), "data": data, "origins": []})
        return len(self.nodes) - 1

    def array(self, name, shape, default=None):
        """A variable, of the shape that the parameters say."""
        v = self.layer["variables"].get(name)
        if v is None:
            if default is None:
                raise Refused(f"{self.at}: no `{name}`")
            return np.full(shape, default, np.int64)
        found = self.arrays.get(v["blob"])
        if found is None or str(found.dtype) != v["dtype"] or list(found.shape) != v["shape"] or list(found.shape) != list(shape):
            raise Refused(f"{self.at}: `{name}` is not there, or of another shape or type")
        return found if found.dtype.kind == "f" else found.astype(np.int64)

    def encoder(self, shape, low, high):
        e = self.spec["encoding"]
        zero = e["zero_point"]
        if int(np.prod(e["shape"])) != int(np.prod(shape)) or e["minimum"] - zero < low or e["maximum"] - zero > high:
            raise Refused(f"{self.at}: `encoding` does not fit the input layer")
        parameters = {k: v for k, v in e.items() if k not in ("name", "shape")}
        return self.add(e["name"], "encoder", parameters, [], e["shape"]), e

    def map(self, node):
        shape = self.nodes[node]["shape"]
        return [*shape, 1, 1] if len(shape) == 1 else shape

    def window(self, node, kernel, strides):
        _, x, y = self.map(node)
        (bx, nx), (by, ny) = (padded(self.p["padding"], n, k, s) for n, k, s in zip((x, y), kernel, strides))
        after = [max((n - 1) * s + k - b - i, 0) for n, s, k, b, i in zip((nx, ny), strides, kernel, (bx, by), (x, y))]
        return {"kernel": list(kernel), "strides": list(strides), "dilations": [1, 1], "before": [bx, by], "after": after}, [nx, ny]

    def project(self, source, how, weights, shape, bits=64, overflow="error", shift=None, name="synapses"):
        parameters = {"connectivity": how, "accumulator": {"bits": bits, "overflow": overflow}}
        if shift is not None and shift.any():
            parameters["input_shift"] = shift.tolist()
        return self.add(f"{self.layer['name']}.{name}", "projection", parameters, [source], shape, weights)

    def inbound(self, port=0):
        name = self.layer["inbounds"][port]
        if name not in self.index:
            raise Refused(f"{self.at}: no earlier layer is named `{name}`")
        return self.index[name]

    def read(self, kind, i):
        if (kind in ("InputData", "InputConvolutional", "InputConv2D")) != (i == 0):
            raise Refused(f"{self.at}: an input layer elsewhere than at the start, or none there")
        if kind == "InputData":
            bits, shape = self.p["input_bits"], [self.p[k] for k in ("input_channels", "input_width", "input_height")]
            low, high = (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if self.p["input_signed"] else (0, 2 ** bits - 1)
            return self.encoder(shape, low, high)[0]
        if kind == "Dequantizer":
            return self.inbound()
        method = {"InputConvolutional": self.convolution, "Convolutional": self.convolution, "FullyConnected": self.dense,
                  "InputConv2D": self.convolution, "Conv2D": self.convolution, "DepthwiseConv2D": self.convolution,
                  "Dense1D": self.dense, "Add": self.addition, "Concatenate": self.join}.get(kind)
        if method is None:
            return self.add(self.layer["name"], "unread", {"reason": f"layer type {kind}"}, [self.inbound()], [])
        return method(kind)

    def convolution(self, kind):
        p, first = self.p, kind.startswith("Input")
        if self.version == "v1":
            kernel, strides = (p["kernel_width"], p["kernel_height"]), (p["stride_x"], p["stride_y"])
            size = [p.get(k) for k in ("input_channels", "input_width", "input_height")]
        else:
            kernel, strides = (p["kernel_size"],) * 2, (p["kernel_stride"],) * 2
            size = [p.get(k) for k in ("input_channels", "input_x", "input_y")]
        zero = 0
        if first:
            source, e = self.encoder(size, -255, 255)
            zero = p["padding_value"] if self.version == "v1" else int(self.array("padding_value", [size[0]], 0)[0])
            if e["zero_point"] - e["minimum"] != zero:
                raise Refused(f"{self.at}: the padding is not the pixel that stands for 0")
        else:
            source = self.inbound()
        c = self.map(source)[0]
        depthwise = kind == "DepthwiseConv2D"
        filters = c if depthwise else p["filters"]
        w = self.array("weights", [*kernel, c, 1 if depthwise else filters])
        self.narrow(w)
        if not first:
            w = w[::-1, ::-1]
        w = w.transpose(2, 3, 0, 1) if depthwise else w.transpose(3, 2, 0, 1)
        window, counts = self.window(source, kernel, strides)
        how = {"convolution": {"window": window, "groups": c if depthwise else 1}}
        if self.version == "v1" or first:
            sums = self.project(source, how, w, [filters, *counts])
        else:
            shift = self.array("input_shift", [c], 0)
            sums = self.project(source, how, w, [filters, *counts], p["buffer_bits"], "saturate", shift)
        return self.neurons(sums, filters, w.reshape(filters, -1).sum(1) * zero, kernel)

    def narrow(self, w):
        bits = self.p.get("weights_bits", 8)
        high = 1 if bits == 1 else 2 ** (bits - 1) - 1
        low = 0 if bits == 1 else -high if self.version == "v1" and bits < 8 else -high - 1
        if w.min() < low or w.max() > high:
            raise Refused(f"{self.at}: weights beyond {bits} bits")

    def dense(self, kind):
        source, units = self.inbound(), self.p["units"]
        c, x, y = self.map(source)
        if self.version == "v1":
            w = self.array("weights", [1, 1, c * x * y, units]).reshape(c, y, x, units).transpose(3, 0, 2, 1)
            shift, bits = None, 20
        else:
            w = self.array("weights", [x * y * c, units]).reshape(x, y, c, units).transpose(3, 2, 0, 1)
            shift, bits = self.array("input_shift", [x * y * c], 0).reshape(x, y, c).transpose(2, 0, 1).ravel(), self.p["buffer_bits"]
        self.narrow(w)
        sums = self.project(source, "dense", w.reshape(units, -1), [units], bits, "saturate", shift)
        return self.neurons(sums, units, np.zeros(units, np.int64), None)

    def neurons(self, sums, channels, bias, kernel):
        p = self.p
        if p.get("pool_type", 0) == 2:
            return self.add(self.layer["name"], "unread", {"reason": "a global sum"}, [sums], [channels, 1, 1])
        if p.get("pool_type", 0) == 1:
            if self.version == "v1":
                size = (p["pooling_width"], p["pooling_height"])
                stride = [s if s != -1 else k for s, k in zip((p["pooling_stride_x"], p["pooling_stride_y"]), size)]
            else:
                size = (p["pool_size"],) * 2
                stride = [p["pool_stride"] if p["pool_stride"] != -1 else p["pool_size"]] * 2
            window, counts = self.window(sums, size, stride)
            sums = self.add(f"{self.layer['name']}.pool", "max-pool", {"window": window}, [sums], [channels, *counts])
        neuron, bias, low, high = (self.first if self.version == "v1" else self.second)(channels, bias)
        parameters = {"coding": "graded", "bias": bias.tolist(), "bias_placement": "every-timestep", "neuron": neuron,
                      "minimum": low, "maximum": high, "scale": []}
        return self.add(self.layer["name"], "population", parameters, [sums], self.nodes[sums]["shape"])

    def first(self, channels, bias):
        """Akida 1.0: clamp(ceil(16 (p - threshold) / (floor(16 act_step) 2^(4 - bits))), 0, 2^bits - 1)."""
        threshold = self.array("threshold", [channels], 0)
        if not self.p["activation"]:
            return "accumulate", bias - threshold, -2 ** 31, 2 ** 31 - 1
        step, bits = self.array("act_step", [channels]), self.p["act_bits"]
        divisor = np.floor(step.astype(np.float64) * 16).astype(np.int64) << (4 - bits)
        if (divisor < 1).any():
            raise Refused(f"{self.at}: an `act_step` below 1/16")
        graded = {"multiplier": [16] * channels, "offset": (divisor - 1 - 16 * threshold).tolist(), "divisor": divisor.tolist(),
                  "minimum": 0, "maximum": 2 ** bits - 1}
        return {"graded": graded}, bias, 0, 2 ** bits - 1

    def second(self, channels, bias):
        """Akida 2.0: bias, rectifier with ceiling, 8-bit scale and shift, each step saturating."""
        p = self.p
        get = lambda name, default: self.array(name, [channels], default)
        if p["activation"] == 2:
            raise Refused(f"{self.at}: a look-up table, which this checker does not read")
        n = {"bias": get("bias", 0), "bias_shift": get("bias_shift", 0), "scale": get("output_scales", 1),
             "shift": get("output_shift", 0), "post_bits": p.get("post_op_buffer_bits", 32), "output_bits": p["output_bits"],
             "fused_bits": p["buffer_bits"] if p["layer_type"] == "InputConv2D" else None, "ceiling": None}
        if p["activation"] == 1:
            n["ceiling"] = np.minimum(get("max_value", 127) << get("max_value_shift", 31), UNBOUNDED)
        plain = n["ceiling"] is None and n["fused_bits"] is None and n["post_bits"] == n["output_bits"] == 32
        if plain and (n["scale"] == 1).all() and (n["shift"] == 0).all():
            return "accumulate", bias + (n["bias"] << n["bias_shift"]), -2 ** 31, 2 ** 31 - 1
        b = n["output_bits"]
        low, high = (0, 2 ** b - 1) if b <= 4 else (0 if p["activation"] == 1 else -2 ** (b - 1), 2 ** (b - 1) - 1)
        return {"akida-two": n}, bias, low, high

    def addition(self, kind):
        a, b = self.inbound(0), self.inbound(1)
        c, shape = self.map(a)[0], self.nodes[a]["shape"]
        if self.nodes[b]["shape"] != shape:
            raise Refused(f"{self.at}: its two inputs differ in shape")
        bits = self.p["buffer_bits"]
        ports = [self.project(s, "one-to-one", np.ones(c, np.int64), shape, bits, "saturate", self.array(k, [c], 0), k[0])
                 for s, k in ((a, "a_shift"), (b, "b_shift"))]
        zero, o = np.zeros(c, np.int64), self.p["output_bits"]
        n = {"bias": zero, "bias_shift": zero, "scale": zero + 1, "shift": self.array("output_shift", [c], 0), "post_bits": bits,
             "output_bits": o, "fused_bits": None, "ceiling": None}
        low, high = (0, 2 ** o - 1) if o <= 4 else (-2 ** (o - 1), 2 ** (o - 1) - 1)
        parameters = {"coding": "graded", "bias": [], "neuron": {"akida-two": n}, "minimum": low, "maximum": high, "scale": []}
        return self.add(self.layer["name"], "population", parameters, ports, shape)

    def join(self, kind):
        sources = [self.inbound(i) for i in range(len(self.layer["inbounds"]))]
        shapes = [self.nodes[s]["shape"] for s in sources]
        shape = [sum(s[0] for s in shapes), *shapes[0][1:]]
        return self.add(self.layer["name"], "concatenate", {"axis": 0}, sources, shape)


def read(folder):
    """The network as `wire.read` gives it."""
    try:
        reader = Reader(folder)
    except MALFORMED as e:
        raise Refused(f"model.spec.json: {type(e).__name__} {e}") from e
    return {"name": reader.spec["network"], "timing": {"timesteps": 1, "schedule": "streaming"}, "nodes": reader.nodes}
