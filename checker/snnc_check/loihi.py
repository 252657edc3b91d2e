"""Reads Lava NetX files (`network.net`): geometry and weights; how the host encodes is in `manifest.yaml`.

The certificate claims no equality for NetX's neurons, so their arithmetic is not read. Layers have no names;
the certificate's order names them.
"""

import io
import re

import h5py
import numpy as np

from .common import MALFORMED, Refused


def inputs(manifest):
    """The rows of `inputs` in `manifest.yaml`, which snnc writes one key a line."""
    block = re.search(r"^inputs:\n((?:[- ].*\n)+)", manifest, re.M)
    rows, shape = [], []
    for line in block.group(1).splitlines() if block else []:
        if line.startswith("- "):
            rows.append({"shape": []})
        key, _, value = line[2:].partition(": ")
        if re.fullmatch(r"\s*- \d+", line[2:]):
            rows[-1]["shape"].append(int(line.split("- ")[1]))
        elif value and key in ("scale", "zero_point", "minimum", "maximum"):
            rows[-1][key] = float(value) if key == "scale" else int(value)
        elif value:
            rows[-1][key] = value.strip("'\"")
    if not rows:
        raise Refused("manifest.yaml says nothing of inputs")
    return rows


def read(content, manifest, names):
    """The network as `wire.read` gives it; `names` are those of its populations, in order."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            layers = [file["layer"][str(i)] for i in range(len(file["layer"]))]
            return network(layers, inputs(manifest), list(names), int(file["simulation/tSample"][()]))
    except MALFORMED as e:
        raise Refused(f"network.net: {type(e).__name__}: {e}") from e


def network(layers, rows, names, timesteps):
    encoder = rows[0]
    name = encoder.pop("name")
    nodes = [{"name": name, "op": "encoder", "parameters": {**encoder, "presentation": "once"}, "operands": [],
              "shape": encoder["shape"], "data": None}]
    names = [n for n in names if n != name]
    last, flat = 0, False
    for layer in layers:
        kind = layer["type"][()]
        kind = (kind if isinstance(kind, bytes) else np.ravel(kind)[0]).decode()
        if kind == "input":
            if list(layer["shape"][()]) != list(encoder["shape"]):
                raise Refused("network.net: the input is of another shape than manifest.yaml says")
            continue
        if kind == "flatten":
            flat = True
            continue
        shape, w = [int(d) for d in layer["shape"][()]], layer["weight"][()].astype(np.int64)
        source = nodes[last]["shape"]
        if kind == "dense":
            if (len(source) > 1) != flat:
                raise Refused("network.net: a dense layer behind a map without `flatten`, or the reverse")
            how = "dense"
        elif kind == "conv":
            pair = lambda key: [int(x) for x in np.broadcast_to(np.ravel(layer[key][()]), 2)]
            strides, padding, dilation = pair("stride"), pair("padding"), pair("dilation")
            span = [(i + 2 * p - (k - 1) * d - 1) // s + 1 for i, p, k, d, s in zip(source[1:], padding, w.shape[2:], dilation, strides)]
            if span != shape[1:]:
                raise Refused("network.net: a convolution whose shape is not that of its windows")
            window = {"kernel": list(w.shape[2:]), "strides": strides, "dilations": dilation, "before": padding, "after": padding}
            how = {"convolution": {"window": window, "groups": int(layer["groups"][()])}}
        else:
            raise Refused(f"network.net: a layer `{kind}`, which NetX does not load")
        if not names:
            raise Refused("network.net: more layers than the certificate speaks of")
        own, flat = names.pop(0), False
        parameters = {"connectivity": how, "accumulator": {"bits": 64, "overflow": "wrap"}}
        nodes.append({"name": f"{own}.synapses", "op": "projection", "parameters": parameters, "operands": [(last, 0)], "shape": shape, "data": w})
        nodes.append({"name": own, "op": "population", "operands": [(len(nodes) - 1, 0)], "shape": shape, "data": None,
                      "parameters": {"neuron": {"sigma-delta": {}}, "lossy": True, "minimum": 0, "maximum": 0}})
        last = len(nodes) - 1
    return {"name": "net", "timing": {"timesteps": timesteps, "schedule": "streaming"}, "nodes": nodes}
