"""Reads SPLEAT-style memory images (snnc's documented stand-in): `manifest.json` and the `.mem` files."""

import json
import zlib

import numpy as np

from .common import Refused

MAGIC = 0x53504C31
KINDS = {0: "convolution", 1: "dense", 2: "maximum", 3: "further port", 4: "running maximum"}


def words(folder, entry):
    """The words of a `.mem` file."""
    out = []
    for line in folder.text(entry["path"]).splitlines():
        out += [int(w, 16) for w in line.split("//")[0].split() if not w.startswith("@")]
    if len(out) != entry["depth"] or any(w >> entry["width"] for w in out):
        raise Refused(f"{entry['path']}: not {entry['depth']} words of {entry['width']} bits")
    each = min(-(-entry["width"] // 8), 8)
    content = b"".join(w.to_bytes(8, "little")[:each] for w in out)
    if f"{zlib.crc32(content):08x}" != entry["crc32"]:
        raise Refused(f"{entry['path']}: its CRC-32 is not the manifest's")
    return out, content


class Layer:
    """The memories of one layer by kind and port, banks in order."""

    def __init__(self, folder, entry, timesteps, barrier):
        self.entry, self.banks, self.width, self.cfg, contents = entry, {}, {}, [], []
        for f in entry["files"]:
            if f["format"] != "mem":
                continue
            out, content = words(folder, f)
            contents.append((f, content))
            if f["kind"] == "configuration":
                self.cfg.append(out)
                continue
            self.width[f["kind"]] = f["width"]
            signed = np.array([w - (w >> (f["width"] - 1) << f["width"]) for w in out], np.int64)
            self.banks.setdefault((f["kind"], f.get("port", 0)), []).append(signed)
        if len(self.cfg) != len(entry["ports"]) or any(len(c) != 32 or c[0] != MAGIC or c[1] != 1 for c in self.cfg):
            raise Refused(f"layer `{entry['name']}`: no configuration of this format for each port")
        first = contents[0][1]
        rest = b"".join(content for _, content in contents[1:])
        if self.cfg[0][30] != zlib.crc32(first[:120] + bytes(4) + first[124:] + rest):
            raise Refused(f"layer `{entry['name']}`: configuration word 30 is not the CRC-32 of its memories")
        c = self.cfg[0]
        self.channels, self.places, self.npu, self.groups = c[6], c[7] * c[8], c[16], c[17]
        shape = list(entry["shape"])
        if [c[6], c[7], c[8]] != {1: [*shape, 1, 1], 2: [shape[0], 1, shape[-1]], 3: shape}[len(shape)]:
            raise Refused(f"layer `{entry['name']}`: configuration and manifest have maps of another shape")
        if self.groups != -(-self.channels // self.npu) or c[24] != timesteps:
            raise Refused(f"layer `{entry['name']}`: its configuration contradicts itself or the manifest")
        pool = c[2] in (2, 4)
        if bool(c[25] >> 28 & 1) != (barrier and not pool):
            raise Refused(f"layer `{entry['name']}`: configuration and manifest disagree on the barrier")

    def table(self, kind, port=0):
        """Rows (channels, words of a channel): channel co = j * npu + bank has the words j, j + groups, .."""
        banks = self.banks.get((kind, port), [])
        if len(banks) != self.npu:
            raise Refused(f"layer `{self.entry['name']}`: {len(banks)} {kind} memories, not {self.npu}")
        stacked = np.stack(banks).reshape(self.npu, -1, self.groups)  # bank, row, group
        return stacked.transpose(2, 0, 1).reshape(self.groups * self.npu, -1)[:self.channels]

    def window(self, c, shape, source):
        """Window with the least padding after that gives as many outputs, in the rank of the map."""
        pick = {1: [], 2: [1], 3: [0, 1]}[len(shape)]
        dil = [c[29] >> 16, c[29] & 0xFFFF]
        at = lambda first: [c[first + i] for i in pick]
        kernel, strides, before, target, have = at(9), at(11), at(13), at(7), at(4)
        dilations = [dil[i] for i in pick]
        after = [max((t - 1) * s + (k - 1) * d + 1 - b - h, 0)
                 for t, s, k, d, b, h in zip(target, strides, kernel, dilations, before, have)]
        return {"kernel": kernel, "strides": strides, "dilations": dilations, "before": before, "after": after}

    def neuron(self):
        """The neuron, its bias, and when that is added, as the wire form has them."""
        c, initial = self.cfg[0], self.table("membrane")
        if (initial != initial[:, :1]).any():
            raise Refused(f"layer `{self.entry['name']}`: initial potentials differ within a channel")
        initial, bias = initial[:, 0], self.table("bias")[:, 0]
        barrier = c[25] >> 28 & 1
        placement = "after-last-timestep" if barrier else "every-timestep"
        if c[18] == 3:
            if initial.any():
                if bias.any():
                    raise Refused(f"layer `{self.entry['name']}`: a read-out with a bias and initial potentials")
                return "accumulate", initial, "first-timestep"
            return "accumulate", bias, placement
        leak = {0: "none", 1: {"averaging": {"shift": c[19], "kept": c[31]}}, 2: {"subtracting": {"shift": c[19]}}}.get(c[18])
        if leak is None or c[20] > 1:
            raise Refused(f"layer `{self.entry['name']}`: neuron kind {c[18]}, reset mode {c[20]}")
        reset = {"hard": c[21] - (c[21] >> 31 << 32)} if c[20] else "soft"
        if c[25] >> 29 & 1 and not c[20]:
            reset = {"soft-by": self.table("reset").tolist()}
        threshold = self.table("threshold")
        if threshold.shape[1] != (c[24] if c[25] >> 24 & 1 else 1):
            raise Refused(f"layer `{self.entry['name']}`: a threshold table of {threshold.shape[1]} timesteps")
        n = {"threshold": threshold.tolist(), "reset": reset, "initial": initial.tolist(), "leak": leak, "maximum": c[22],
             "comparison": "at-least"}
        if c[25] >> 30 & 1:
            n["decode"] = self.table("decode").tolist()
        return {"integrate-and-fire": n}, bias, placement


def read(folder):
    """The network as `wire.read` gives it."""
    manifest = json.loads(folder.text("manifest.json"))
    if manifest.get("format") != "snnc-spleat-image" or manifest.get("version") != 1:
        raise Refused("manifest.json is of no format that this checker knows")
    timing, nodes, shapes = manifest["timing"], {}, {}
    barrier = timing["schedule"] == "layer-synchronous"
    for e in manifest["inputs"]:
        nodes[e["name"]] = dict(op="encoder", parameters=e["encoder"], sources=[], shape=e["shape"], data=None, origins=e["origins"])
        shapes[e["name"]] = e["shape"]
    shapes |= {e["name"]: e["shape"] for e in manifest["layers"]}
    for e in manifest["layers"]:
        layer = Layer(folder, e, timing["timesteps"], barrier)
        kind = layer.cfg[0][2]
        if (e["kind"] == "neurons") != (kind not in (2, 4)):
            raise Refused(f"layer `{e['name']}`: configuration and manifest disagree on maxima")
        for port, (p, c) in enumerate(zip(e["ports"], layer.cfg)):
            source = shapes[p["source"]]
            if not all(0 < c[i] < 1 << 24 for i in (6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 24)) or c[29] >> 16 == 0 or c[29] & 0xFFFF == 0:
                raise Refused(f"layer `{e['name']}`: a size of 0 in the configuration of port {port}")
            sc, sh, sw = {1: [*source, 1, 1], 2: [source[0], 1, source[-1]], 3: source}[len(source)]
            dense = c[2] == 1 if c[2] != 3 else p["dense"]
            if dense != p["dense"] or [c[3], c[4], c[5]] != ([sc * sh * sw, 1, 1] if dense else [sc, sh, sw]):
                raise Refused(f"layer `{e['name']}`: the map that port {port} reads is of another shape")
            if dense and (c[9:16] != [1, 1, 1, 1, 0, 0, 1] or c[29] != 0x10001):
                raise Refused(f"layer `{e['name']}`: a window in the configuration of dense port {port}")
            flat = [1, sc, sw] if dense and sh * sw > 1 else [0, 0, 0]
            if c[26:29] != flat or (c[2] == 3) != (port > 0) or c[16:26] != layer.cfg[0][16:26]:
                raise Refused(f"layer `{e['name']}`: the configuration of port {port} contradicts itself")
            window = layer.window(c, e["shape"], source)
            if kind in (2, 4):
                op = "max-pool" if kind == 2 else "running-max-pool"
                nodes[e["name"]] = dict(op=op, parameters={"window": window}, sources=[p["source"]], shape=e["shape"], data=None, origins=e["origins"])
                continue
            inputs = (sc * sh * sw if dense else sc) // max(c[15], 1)
            w = layer.table("weight", port).reshape(layer.channels, inputs, *([] if dense else [c[9], c[10]]))
            if dense:  # sources come in the order of their events (y, x, c)
                w = w.reshape(-1, sh, sw, sc).transpose(0, 3, 1, 2).reshape(layer.channels, -1)
                how = "dense"
            else:
                rank = len(e["shape"]) - 1
                w = w.reshape(layer.channels, inputs, *w.shape[4 - rank:]) if rank < 2 else w
                how = {"convolution": {"window": window, "groups": c[15]}}
                if rank == 0:
                    how, w = "one-to-one", w.reshape(-1)
            bits = c[25] >> 16 & 0xFF
            if c[25] & 0xFF != layer.width["weight"] or bits != layer.width["membrane"]:
                raise Refused(f"layer `{e['name']}`: the widths in its configuration are not those of its memories")
            parameters = {"connectivity": how, "accumulator": {"bits": bits, "overflow": "error"}}
            nodes[p["name"]] = dict(op="projection", parameters=parameters, sources=[p["source"]], shape=e["shape"], data=w, origins=p["origins"])
        if kind in (2, 4):
            continue
        neuron, bias, placement = layer.neuron()
        low, high = e["payloads"]
        if neuron != "accumulate" and not (0 <= layer.cfg[0][22] and high.bit_length() <= layer.cfg[0][23]):
            raise Refused(f"layer `{e['name']}`: payloads up to {high} in {layer.cfg[0][23]} bits")
        parameters = {"coding": e["coding"], "bias": bias.tolist(), "bias_placement": placement, "neuron": neuron,
                      "minimum": low, "maximum": high, "scale": e["scale"], "membrane_bits": layer.cfg[0][25] >> 16 & 0xFF}
        nodes[e["name"]] = dict(op="population", parameters=parameters, sources=[p["name"] for p in e["ports"]], shape=e["shape"], data=None, origins=e["origins"])
    for e in manifest["outputs"]:
        nodes[e["name"]] = dict(op="decoder", parameters=e["decoder"], sources=[e["source"]], shape=e["shape"], data=None, origins=[])
    if sorted(manifest["order"]) != sorted(nodes):
        raise Refused("manifest.json: `order` names other nodes than there are")
    index = {name: i for i, name in enumerate(manifest["order"])}
    for name, node in nodes.items():
        if any(s not in index or index[s] >= index[name] for s in node["sources"]):
            raise Refused(f"manifest.json: `{name}` reads what is not there before it")
        node["name"], node["operands"] = name, [(index[s], 0) for s in node["sources"]]
    return {"name": manifest["name"], "timing": timing, "nodes": [nodes[n] for n in manifest["order"]]}
