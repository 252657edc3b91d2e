"""Mutants of artefacts: one number, window, schedule, permutation or file changed, all checksums made right again."""

import copy
import json

import h5py
import numpy as np

from snnc_check import wire


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def encode(name, message):
    """The inverse of `wire.message`."""
    out = b""
    for number, (field, kind, many) in wire.SCHEMA[name].items():
        for value in message[field] if many else [message[field]]:
            if value in (None, "", b"") or value == 0 and not many:
                continue
            if kind.startswith("uint"):
                out += varint(number << 3) + varint(value)
                continue
            value = encode(kind, value) if kind in wire.SCHEMA else value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def tensor_values(t):
    return wire.tensor(t).astype(np.int64)


def packed(t, values):
    if t["dtype"] in wire.DTYPES:
        low = values.astype(wire.DTYPES[t["dtype"]])
        assert (low == values).all()
        return low.tobytes()
    bits = int(t["dtype"][1])
    flat, per = values.ravel() & (1 << bits) - 1, 8 // bits
    flat = np.concatenate([flat, np.zeros(-len(flat) % per, np.int64)]).reshape(-1, per)
    return (flat << np.arange(0, 8, bits)).sum(1).astype(np.uint8).tobytes()


def numbers(value, path=()):
    """Places of all integers in JSON."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [p for k, v in items for p in numbers(v, (*path, k))]


def put(value, path, change):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = change(value[path[-1]])


def wire_mutant(content, rng, kind):
    """Another `.snn`; what was done, or None where there is nothing of that kind."""
    graph = wire.message("Graph", content[8:])
    nodes = graph["nodes"]
    parameters = {i: json.loads(n["parameters"]) for i, n in enumerate(nodes) if n["parameters"]}
    step = int(rng.choice([-1, 1]))
    if kind in ("weight", "permutation"):
        choices = [i for i, n in enumerate(nodes) if n["data"]]
        i = int(rng.choice(choices))
        values = tensor_values(nodes[i]["data"])
        if kind == "weight":
            at = tuple(int(rng.integers(d)) for d in values.shape)
            # The storage type's range must not be left.
            span = {"i4": (-8, 7), "i8": (-128, 127), "i2": (-2, 1), "u4": (0, 15)}.get(nodes[i]["data"]["dtype"], (-2 ** 31, 2 ** 31 - 1))
            step = step if span[0] <= values[at] + step <= span[1] else -step
            values[at] += step
            what = f"{nodes[i]['name']}: weight {at} by {step}"
        else:
            axis = 1 if values.ndim > 1 and values.shape[1] > 1 and rng.random() < 0.5 else 0
            if values.shape[axis] < 2:
                return None, None
            a, b = rng.choice(values.shape[axis], 2, replace=False)
            order = np.arange(values.shape[axis])
            order[[a, b]] = order[[b, a]]
            values = np.take(values, order, axis)
            what = f"{nodes[i]['name']}: {a} and {b} of axis {axis} swapped"
        nodes[i]["data"]["bytes"] = packed(nodes[i]["data"], values)
    elif kind == "schedule":
        timing = json.loads(graph["timing"])
        if timing["timesteps"] == 1:
            timing["timesteps"] = 2
        else:
            timing["schedule"] = "streaming" if timing["schedule"] != "streaming" else "layer-synchronous"
        graph["timing"], what = json.dumps(timing), f"{timing}"
    else:
        keys = {"bias": ("bias",), "threshold": ("threshold", "thresholds", "multiplier", "offset", "divisor", "initial", "soft-by", "decode"),
                "window": ("strides", "dilations", "before", "groups"), "gain": ("gain", "input_shift"),
                "width": ("minimum", "maximum", "bits"), "encoder": ("zero_point",)}[kind]
        found = [(i, p) for i, j in parameters.items() for p in numbers(j) if any(k in p for k in keys)]
        if not found:
            return None, None
        i, path = found[int(rng.integers(len(found)))]
        change = (lambda v: max(v // 3, 1)) if kind == "width" and "bits" in path else lambda v: v + step
        put(parameters[i], path, change)
        if kind == "width" and "bits" in path:  # a saturating accumulator of few bits
            put(parameters[i], ("accumulator", "overflow"), lambda _: "saturate")
            put(parameters[i], path, lambda _: 6)
        nodes[i]["parameters"] = json.dumps(parameters[i])
        what = f"{nodes[i]['name']}: {path}"
    return content[:8] + encode("Graph", graph), what


def reference(folder, rng, kind):
    path = folder / "network.snn"
    content, what = wire_mutant(path.read_bytes(), rng, kind)
    if what:
        path.write_bytes(content)
    return what


def spleat(folder, rng, kind):
    letters = {"weight": "w", "bias": "b", "threshold": "trd", "width": "v", "window": "cfg", "schedule": "cfg", "gain": "v"}
    manifest = json.loads((folder / "manifest.json").read_text())
    files = [f for l in manifest["layers"] for f in l["files"] if f["format"] == "mem"]
    if kind in ("permutation", "file"):
        groups = {}
        for f in files:
            groups.setdefault((f["kind"], f["width"], f["depth"]), []).append(f["path"])
        same = [g for g in groups.values() if len(g) > 1]
        g = same[int(rng.integers(len(same)))]
        a, b = rng.choice(g, 2, replace=False)
        x, y = (folder / a).read_bytes(), (folder / b).read_bytes()
        (folder / a).write_bytes(y), (folder / b).write_bytes(x)
        return f"{a} and {b} swapped"
    if kind == "encoder":
        e = manifest["inputs"][0]["encoder"]
        e["zero_point"] += 1
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return "the input's zero point"
    wanted = letters[kind]
    files = [f for f in files if (f["kind"] == "configuration") == (wanted == "cfg") and
             (wanted == "cfg" or f["path"].split("_")[1][0] in wanted)]
    f = files[int(rng.integers(len(files)))]
    head, *words = (folder / f["path"]).read_text().splitlines()
    at = int(rng.choice({"window": [9, 10, 11, 12, 13, 14, 15, 29], "schedule": [24, 25]}[kind])) if wanted == "cfg" else int(rng.integers(len(words)))
    value = int(words[at], 16)
    new = value ^ (1 << 28) if kind == "schedule" and at == 25 else (value + int(rng.choice([-1, 1]))) % (1 << f["width"])
    words[at] = f"{new:0{len(words[at])}X}"
    (folder / f["path"]).write_text("\n".join([head, *words]) + "\n")
    return f"{f['path']}: word {at}"


def akida(folder, rng, kind):
    path = folder / "model.npz"
    arrays = dict(np.load(path))
    spec = json.loads((folder / "model.spec.json").read_text())
    names = {"weight": ("weights",), "bias": ("bias", "bias_shift"), "threshold": ("threshold", "act_step", "output_scales", "output_shift", "max_value", "max_value_shift"),
             "gain": ("input_shift",), "permutation": ("weights",)}
    if kind in names:
        found = [k for k in arrays if k.split("/")[-1] in names[kind] and arrays[k].size]
        if not found:
            return None
        k = found[int(rng.integers(len(found)))]
        v = arrays[k].copy()
        if kind == "permutation":
            axes = [d for d in range(max(v.ndim - 2, 0), v.ndim) if v.shape[d] > 1]
            axis = int(rng.choice(axes))
            a, b = rng.choice(v.shape[axis], 2, replace=False)
            v = np.take(v, [b if i == a else a if i == b else i for i in range(v.shape[axis])], axis)
            what = f"{k}: {a} and {b} of axis {axis} swapped"
        else:
            at = tuple(int(rng.integers(d)) for d in v.shape)
            step = int(rng.choice([-1, 1])) * (0.0625 if v.dtype.kind == "f" else 1)
            info = np.iinfo(v.dtype) if v.dtype.kind != "f" else None
            if info and not info.min <= int(v[at]) + step <= info.max:
                step = -step
            v[at] += v.dtype.type(step) if v.dtype.kind != "u" or step > 0 else v.dtype.type(0)
            if (v == arrays[k]).all():
                v[at] += v.dtype.type(1)
            what = f"{k} {at}"
        arrays[k] = v
        np.savez(path, **arrays)
        return what
    keys = {"window": ("padding", "stride_x", "stride_y", "kernel_stride"), "width": ("buffer_bits", "act_bits", "output_bits", "post_op_buffer_bits"),
            "encoder": None}.get(kind)
    if kind == "encoder":
        spec["encoding"]["zero_point"] += 1
        what = "the input's zero point"
    elif keys is None:
        return None
    else:
        found = [(i, k) for i, l in enumerate(spec["layers"]) for k in l["parameters"] if k in keys]
        i, k = found[int(rng.integers(len(found)))]
        p = spec["layers"][i]["parameters"]
        p[k] = max(p[k] - 1, 0) if k == "padding" else max(p[k] // 3, 1) if kind == "width" else p[k] + 1
        what = f"{spec['layers'][i]['name']}: {k}"
    (folder / "model.spec.json").write_text(json.dumps(spec))
    return what


def hdf5(folder, rng, kind, file, wire_at=None):
    """A number in an HDF5 file; in `.nir` also the integer network in its metadata."""
    path = folder / file
    with h5py.File(path, "r+") as f:
        if wire_at and rng.random() < 0.5:
            content, what = wire_mutant(f[wire_at][()].tobytes(), rng, kind)
            if not what:
                return None
            del f[wire_at]
            f[wire_at] = np.frombuffer(content, np.uint8)
            return f"metadata, {what}"
        names = {"weight": ("weight",), "bias": ("bias",), "threshold": ("v_threshold", "r", "v_reset", "vThMant"), "schedule": ("tSample", "timesteps"),
                 "window": ("padding", "stride", "dilation", "groups"), "width": ("payload_maximum", "payload_minimum"),
                 "encoder": ("shape",), "permutation": ("weight",)}.get(kind)
        found = []
        f.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) and names and n.split("/")[-1] in names and
                     o.dtype.kind in "iuf" and not n.startswith("layer/0") else None)
        if not found:
            return None
        n = found[int(rng.integers(len(found)))]
        v = f[n][()]
        old = copy.copy(v)
        if kind == "permutation" and np.ndim(v) > 1 and v.shape[0] > 1:
            a, b = rng.choice(v.shape[0], 2, replace=False)
            v[[a, b]] = v[[b, a]]
        elif np.ndim(v) == 0:
            v = v + 1
        else:
            at = tuple(int(rng.integers(d)) for d in v.shape)
            v[at] += 1
        if np.array_equal(v, old):
            return None
        f[n][...] = v
        return n


def certificate(folder, rng, kind):
    """A falsified statement or hint."""
    path = folder / "certificate.json"
    c = json.loads(path.read_text())
    if kind == "hint":
        names = list(c["hints"])
        a, b = rng.choice(names, 2, replace=False)
        c["hints"][a], c["hints"][b] = c["hints"][b], c["hints"][a]
        what = f"hints of {a} and {b} swapped"
    else:
        worse = [p for p in c["populations"] if p["verdict"] == "differs"]
        if worse and rng.random() < 0.5:
            p = worse[int(rng.integers(len(worse)))]
            p["verdict"], p["differing"], what = "proved", 0, f"{p['population']} proved instead of differs"
            p.pop("differences")
            c["verdict"] = max((q["verdict"] for q in c["populations"]), key=["proved", "differs", "approximate", "failed"].index)
        elif worse:
            p = worse[int(rng.integers(len(worse)))]
            d = p["differences"].pop(int(rng.integers(len(p["differences"]))))
            p["differing"] -= d["to"] - d["from"] + 1
            what = f"{p['population']}: a difference left out"
        else:
            p = c["populations"].pop(int(rng.integers(len(c["populations"]))))
            what = f"{p['population']} left out"
    path.write_text(json.dumps(c))
    return what


KINDS = ["weight", "bias", "threshold", "gain", "window", "width", "schedule", "permutation", "encoder", "file", "hint", "statement"]


def foreign(folder, rng, other):
    """A file of another network's artefact in the place of its own."""
    same = [p.name for p in folder.iterdir() if p.name.split(".")[0] in ("network", "model") and (other / p.name).exists()]
    same += [p.name for p in folder.glob("*.mem") if (other / p.name).exists()]
    name = same[int(rng.integers(len(same)))]
    if (folder / name).read_bytes() == (other / name).read_bytes():
        return None
    (folder / name).write_bytes((other / name).read_bytes())
    return f"{name} of another network"


def mutate(target, folder, rng, kind, other):
    """Changes the artefact in one place; what was done, or None where there is nothing of that kind. `other` is the
    artefact of another network."""
    if kind in ("hint", "statement"):
        return certificate(folder, rng, kind)
    if kind == "file" and (target != "spleat" or rng.random() < 0.5):
        return foreign(folder, rng, other)
    if target == "spleat":
        return spleat(folder, rng, kind)
    if target == "reference":
        return reference(folder, rng, kind)
    if target in ("akida1", "akida2"):
        return akida(folder, rng, kind)
    if target == "nir":
        return hdf5(folder, rng, kind, "network.nir", "node/metadata/snnc_network")
    return hdf5(folder, rng, kind, "network.net")
