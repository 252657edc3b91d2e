"""Reads `.snn` files by the published schema `snn.proto` (its text is parsed, so the schema is what is read by)."""

import json
import pathlib
import re

import numpy as np

from .common import Refused

MAGIC = b"snnc.ir\x01"
DTYPES = {"bool": "u1", "u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2", "u32": "<u4", "i32": "<i4",
          "u64": "<u8", "i64": "<i8", "f16": "<f2", "f32": "<f4", "f64": "<f8"}


def schema():
    """Message -> field number -> (name, type, repeated)."""
    text = (pathlib.Path(__file__).parent / "snn.proto").read_text()
    found = {}
    for message, body in re.findall(r"message (\w+) \{(.*?)\n\}", text, re.S):
        rows = re.findall(r"^\s*(repeated )?(\w+) (\w+) = (\d+);", body, re.M)
        found[message] = {int(n): (name, kind, bool(many)) for many, kind, name, n in rows}
    return found


SCHEMA = schema()


def varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Refused("a damaged .snn file: a number is cut short")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at


def message(name, data):
    """One message as a dict; absent fields have proto3's default, `None` for messages."""
    fields = SCHEMA[name]
    out = {n: [] if many else (None if kind in SCHEMA else {"string": "", "bytes": b""}.get(kind, 0))
           for n, kind, many in fields.values()}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        elif wire in (1, 5):
            value, at = None, at + (8 if wire == 1 else 4)
        else:
            raise Refused(f"a damaged .snn file: wire type {wire}")
        if at > len(data):
            raise Refused("a damaged .snn file: it is cut short")
        if number not in fields:
            continue
        field, kind, many = fields[number]
        if (wire == 0) != kind.startswith("uint") and not (many and kind.startswith("uint") and wire == 2):
            raise Refused(f"a damaged .snn file: field {field} has wire type {wire}")
        if kind in SCHEMA:
            value = message(kind, value)
        elif kind == "string":
            value = value.decode("utf-8", "replace")
        elif wire == 2 and kind.startswith("uint"):
            packed, value, p = value, [], 0
            while p < len(packed):
                one, p = varint(packed, p)
                value.append(one)
            out[field].extend(value)
            continue
        out[field].append(value) if many else out.__setitem__(field, value)
    return out


def tensor(m):
    """An array out of a `Tensor` message."""
    shape, count = m["shape"], int(np.prod(m["shape"], dtype=object))
    if count > 1 << 31:
        raise Refused("a damaged .snn file: a tensor of more than 2^31 elements")
    if m["dtype"] in ("u4", "i4", "u2", "i2"):
        bits = int(m["dtype"][1])
        raw = np.frombuffer(m["bytes"], np.uint8)
        parts = np.stack([(raw >> s) & ((1 << bits) - 1) for s in range(0, 8, bits)], 1).ravel()[:count].astype(np.int64)
        values = parts - ((parts >> (bits - 1)) << bits) if m["dtype"][0] == "i" else parts
    elif m["dtype"] in DTYPES:
        values = np.frombuffer(m["bytes"], DTYPES[m["dtype"]])
    else:
        raise Refused(f"a damaged .snn file: element type `{m['dtype']}`")
    if len(values) != count:
        raise Refused(f"a damaged .snn file: a tensor of shape {shape} with {len(values)} elements")
    return values.reshape(shape)


def parsed(text):
    try:
        return json.loads(text) if text else None
    except ValueError as e:
        raise Refused(f"a damaged .snn file: {e}") from e


def read(data):
    """The graph: name, stage, timing and nodes with parameters, operands [(node, delay)], shape, data."""
    if not data.startswith(MAGIC):
        raise Refused("not a .snn file")
    graph = message("Graph", data[len(MAGIC):])
    graph["timing"] = parsed(graph["timing"])
    for i, node in enumerate(graph["nodes"]):
        node["parameters"] = parsed(node["parameters"])
        node["quantisation"] = parsed(node["quantisation"])
        node["dtype"] = node["type"]["dtype"] if node["type"] else ""
        node["shape"] = node["type"]["shape"] if node["type"] else []
        node["data"] = tensor(node["data"]) if node["data"] else None
        node["operands"] = [(o["node"], o["delay"]) for o in node["operands"]]
        if any(s >= len(graph["nodes"]) for s, _ in node["operands"]):
            raise Refused(f"a damaged .snn file: node `{node['name']}`: an operand is not there")
    return graph
