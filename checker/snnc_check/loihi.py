"""Reads Lava NetX files (`network.net`); how the host encodes and decodes, and in which units neurons count, is in `manifest.yaml`.

Layers have no names; the certificate's order names them. Units are hints: weights must be the model's in them.
"""

import io
import re

import h5py
import numpy as np

from .common import MALFORMED, Refused

PAYLOAD, STATE = 6, 6  # fractional bits of what sigma-delta neurons send, and further ones of their state (lava-nc 0.10.0)


def scalar(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text[1:-1] if text[:1] in "'\"" else text


def parsed(lines, i, indent):
    """The value whose first line is `i`, and the line behind it, of the YAML that snnc writes: one key or item a line."""
    item = lambda i: i < len(lines) and lines[i][1].startswith("- ")
    here = lambda i: i < len(lines) and lines[i][0] == indent
    if item(i):
        out = []
        while here(i) and item(i):
            text = lines[i][1][2:]
            if re.match(r"[\w.]+:( |$)", text):
                lines[i] = indent + 2, text
                value, i = parsed(lines, i, indent + 2)
            else:
                value, i = scalar(text), i + 1
            out.append(value)
        return out, i
    out = {}
    while here(i) and not item(i):
        key, _, text = lines[i][1].partition(":")
        i += 1
        if text.strip():
            out[key] = scalar(text.strip())
        elif i < len(lines) and (lines[i][0] > indent or here(i) and item(i)):
            out[key], i = parsed(lines, i, lines[i][0])
    return out, i


def section(manifest, name):
    """The rows of one list of `manifest.yaml`."""
    block = re.search(rf"^{name}:\n((?:[- ].*\n)+)", manifest, re.M)
    lines = [(len(l) - len(l.lstrip()), l.strip()) for l in block.group(1).splitlines()] if block else []
    rows, end = parsed(lines, 0, lines[0][0]) if lines else ([], 0)
    if not rows or end != len(lines):
        raise Refused(f"manifest.yaml says nothing of {name}")
    return rows


def read(content, manifest, names):
    """The network as `wire.read` gives it; `names` are those of its populations, in order."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            layers = [file["layer"][str(i)] for i in range(len(file["layer"]))]
            return network(layers, manifest, list(names), int(file["simulation/tSample"][()]))
    except MALFORMED as e:
        raise Refused(f"network.net: {type(e).__name__}: {e}") from e


def word(value):
    return (value if isinstance(value, bytes) else np.ravel(value)[0]).decode()


def neuron(layer, role):
    """A neuron of the coding sigma-delta that sends every change; `role` is sigma for the output alone."""
    n = layer["neuron"]
    if word(n["type"][()]) != "SDNN" or int(n["vThMant"][()]) != 0:
        raise Refused("network.net: neurons other than those that send every change")
    if bool(n["sigma_output"][()] if "sigma_output" in n else False) != (role == "sigma"):
        raise Refused("network.net: an output within the network, or none at its end")
    return np.ravel(layer["bias"][()]).astype(np.int64) if "bias" in layer else np.zeros(1, np.int64)


def network(layers, manifest, names, timesteps):
    (encoder,), (output,) = section(manifest, "inputs"), section(manifest, "outputs")
    units = {p["name"]: np.asarray(p.get("scale", []), float) for p in section(manifest, "populations")}
    name = encoder.pop("name")
    nodes = [{"name": name, "op": "encoder", "parameters": {**encoder, "presentation": "once"}, "operands": [],
              "shape": encoder["shape"], "data": None, "unit": units[f"{name}.delta"]}]
    names = [n for n in names if n != name]
    last, flat = 0, False
    for i, layer in enumerate(layers):
        kind = word(layer["type"][()])
        if (kind == "input") != (i == 0):
            raise Refused("network.net: an input layer elsewhere than at the start, or none there")
        if kind == "input":
            if list(layer["shape"][()]) != list(encoder["shape"]):
                raise Refused("network.net: the input is of another shape than manifest.yaml says")
            if neuron(layer, "delta").any() or float(layer["weight"][0]) != 1 << PAYLOAD:
                raise Refused("network.net: a host that encodes its input otherwise")
            continue
        if kind == "flatten":
            flat = True
            continue
        shape, w = [int(d) for d in layer["shape"][()]], layer["weight"][()].astype(np.int64)
        source = nodes[last]["shape"]
        if kind == "dense":
            if (len(source) > 1) != flat:
                raise Refused("network.net: a dense layer behind a map without `flatten`, or the reverse")
            if "delay" in layer or "weight_rec" in layer:
                raise Refused("network.net: delays or recurrent weights")
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
        bias = neuron(layer, "sigma" if i + 1 == len(layers) else "sigma-delta")
        parameters = {"connectivity": how, "accumulator": {"bits": 64, "overflow": "wrap"}}
        nodes.append({"name": f"{own}.synapses", "op": "projection", "parameters": parameters, "operands": [(last, 0)], "shape": shape, "data": w})
        nodes.append({"name": own, "op": "population", "operands": [(len(nodes) - 1, 0)], "shape": shape, "data": None, "unit": units[own],
                      "parameters": {"neuron": {"sigma-delta": {}}, "lossy": True, "bias": bias, "minimum": 0, "maximum": 0}})
        last = len(nodes) - 1
    if names or timesteps != sum(n["op"] == "population" for n in nodes) + 1:
        raise Refused("network.net: not one layer for each population, or not one timestep for each layer")
    nodes[last]["output"] = {k: np.asarray(output.get(k) or [0], float) for k in ("scale", "zero")}
    return {"name": "net", "timing": {"timesteps": timesteps, "schedule": "streaming"}, "nodes": nodes}
