"""Reads `.nir` files of snnc: the integer network in the metadata, which must be what NIR's own nodes say."""

import io

import h5py
import numpy as np

from . import wire
from .common import MALFORMED, Refused

DT = np.float32(1e-4)
TYPES = {"encoder": "Input", "decoder": "Output"}


def same(name, what, found, wanted):
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if found.shape != wanted.shape or not np.array_equal(found, wanted):
        raise Refused(f"network.nir: {what} of node `{name}` is not that of the integer network in the metadata")


def dense_kernel(weights, groups, size):
    """Weights without groups, the kernel of that size by zeros behind."""
    f, per, *kernel = weights.shape
    out = np.zeros((f, per * groups, *size), np.int64)
    for i in range(f):
        g = i // (f // groups)
        out[(i, slice(g * per, (g + 1) * per), *(slice(0, k) for k in kernel))] = weights[i]
    return out


def first_threshold(neuron, channels):
    """The smallest potential at which a neuron of each channel fires."""
    (kind, n), = neuron.items()
    spread = lambda v: np.broadcast_to(np.asarray(v, object), channels)
    if kind == "graded":
        m, o, d = (spread(n[k]) for k in ("multiplier", "offset", "divisor"))
        return np.array([-((b - max(n["minimum"], 0) * c - c) // a) for a, b, c in zip(m, o, d)], np.float64)
    if kind == "thresholds":
        return spread([row[0] for row in n["thresholds"]])
    return spread([row[0] for row in n["threshold"]])


def read(content):
    """The network as `wire.read` gives it."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            root = file["node"]
            network = wire.read(root["metadata/snnc_network"][()].tobytes())
            check(root, network)
            return network
    except MALFORMED as e:
        raise Refused(f"network.nir: {e}") from e


def check(root, network):
    text = lambda v: v.decode() if isinstance(v, bytes) else str(v)
    by_name, edges = {}, set()
    nodes, found = network["nodes"], root["nodes"]
    if int(root["metadata/timesteps"][()]) != network["timing"]["timesteps"]:
        raise Refused("network.nir: another number of timesteps than the integer network's")
    for i, n in enumerate(nodes):
        own = n["name"].replace("/", ".")
        if own not in found:
            raise Refused(f"network.nir: there is no node `{own}`")
        by_name[i] = (own, own)
        group = found[own]
        kind = text(group["type"][()])
        if n["op"] in TYPES:
            if kind != TYPES[n["op"]] or list(group["shape"][()]) != list(n["shape"]):
                raise Refused(f"network.nir: node `{own}` is another {kind}")
        elif n["op"] == "projection":
            by_name[i] = (synapses(own, kind, group, n, nodes, found, network["timing"]["timesteps"]), own)
        elif n["op"] == "population":
            neurons(own, kind, group, n)
        else:
            raise Refused(f"network.nir: `{own}` has no form in NIR")
        for source, _ in n["operands"]:
            edges.add((by_name[source][1], by_name[i][0]))
        if by_name[i][0] != by_name[i][1]:
            edges.add(by_name[i])
    stated = {tuple(map(text, pair)) for pair in root["edges"][()]}
    if stated != edges or len(found) != len({x for pair in by_name.values() for x in pair}):
        raise Refused("network.nir: its nodes or edges are not those of the integer network")


def synapses(own, kind, group, n, nodes, found, timesteps):
    p, w = n["parameters"], n["data"].astype(np.int64)
    gain = np.asarray(p.get("gain") or [1], np.int64).reshape(-1, *[1] * (w.ndim - 1))
    w = w * gain
    user = next(m for m in nodes if any(nodes[s] is n for s, _ in m["operands"]))
    first = nodes[user["operands"][0][0]] is n
    late = timesteps > 1 and user["parameters"].get("bias_placement", "every-timestep") != "every-timestep"
    bias = user["parameters"].get("bias") or [0]
    bias = np.broadcast_to(bias if first and not late else [0], len(w))
    entry = own
    how = p["connectivity"]
    if how == "dense":
        source = nodes[n["operands"][0][0]]["shape"]
        if kind != "Affine":
            raise Refused(f"network.nir: node `{own}` is a {kind}")
        same(own, "the weight", group["weight"][()], w)
        if len(source) > 1:
            entry = f"{own}.flatten"
            same(entry, "the input", found[entry]["input_type"][()], source)
            same(entry, "the axis", [found[entry][k][()] for k in ("start_dim", "end_dim")], [0, len(source) - 1])
    elif how == "one-to-one":
        plane = int(np.prod(n["shape"][1:]))
        same(own, "the scale", group["scale"][()].ravel(), np.repeat(np.broadcast_to(w.ravel(), n["shape"][0]), plane))
        return entry
    else:
        window = how["convolution"]["window"]
        # The same taps within a kernel widened by zeros, which padding tells the place of; dilated ones are not.
        size, padding = group["weight"].shape[2:], np.ravel(group["padding"][()]).astype(int)
        wide, w = w, dense_kernel(w, how["convolution"]["groups"], size)
        shift = [int(p) - b for p, b in zip(padding, window["before"])]
        if any(s < 0 or s + k > n or s and d > 1 for s, k, n, d in zip(shift, wide.shape[2:], size, window["dilations"])):
            raise Refused(f"network.nir: the padding of node `{own}` is not that of the integer network in the metadata")
        w = np.roll(w, shift, axis=tuple(range(2, w.ndim)))
        span = [m + 2 * p - (k - 1) * d - 1 for m, p, k, d in zip(nodes[n["operands"][0][0]]["shape"][1:], padding, size, window["dilations"])]
        same(own, "the number of windows", [a // t + 1 for a, t in zip(span, window["strides"])], n["shape"][1:])
        same(own, "the weight", group["weight"][()], w)
        same(own, "the stride", np.ravel(group["stride"][()]), window["strides"])
        same(own, "the dilation", np.ravel(group["dilation"][()]), window["dilations"])
        same(own, "the groups", group["groups"][()], 1)
        same(own, "the map", np.ravel(group["input_shape"][()]), nodes[n["operands"][0][0]]["shape"][1:])
    same(own, "the bias", group["bias"][()], bias)
    return entry


def neurons(own, kind, group, n):
    neuron, shape = n["parameters"]["neuron"], n["shape"]
    plane = int(np.prod(shape[1:]))
    if kind not in ("I", "IF"):
        raise Refused(f"network.nir: node `{own}` is a {kind}, which this checker does not read")
    if (neuron == "accumulate") != (kind == "I"):
        raise Refused(f"network.nir: node `{own}` is a {kind}, the integer network's is `{neuron}`")
    same(own, "r", group["r"][()].ravel(), np.full(plane * shape[0], np.float32(1.0) / DT, np.float32))
    if kind == "IF":
        first = np.repeat(first_threshold(neuron, shape[0]).astype(np.float64), plane) - 0.5
        same(own, "the threshold", group["v_threshold"][()].ravel(), first.astype(np.float32))
        same(own, "the reset", group["v_reset"][()].ravel(), np.zeros(plane * shape[0]))
    for key, wanted in (("payload_minimum", "minimum"), ("payload_maximum", "maximum")):
        if key in group["metadata"]:
            same(own, key, group["metadata"][key][()], n["parameters"][wanted])
