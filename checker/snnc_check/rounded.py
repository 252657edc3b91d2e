"""Layers whose weights are the model's in another unit, rounded to whole numbers: Loihi's sigma-delta neurons.

A neuron holds `t` units of state for each code of its counterpart in the model, and sends `t / 2^6` units of
payload. With `y = slope * (sum(w x) + b) + offset` in codes, its own weights must be the whole numbers nearest to
`t * slope * w * u`, `u` the codes that one payload of the source is worth, and its bias the one nearest to
`(slope * b + offset) * t / 2^12`. `t` and `u` are said by `manifest.yaml`; nothing else of it is needed, and no other
choice of them passes for another network. The slope is that of the model's staircase: see `line`.
"""

import numpy as np

from .common import NotCheckable, Wrong, bisect
from .emitted import linear
from .loihi import PAYLOAD, STATE

WEIGHT, SHARED = 0.502, 0.53  # how far from the exact value a rounded number may be: units are f32; sums meet on a common scale
BIAS = 4095  # the largest bias that a neuron holds


def line(steps, low, high, levels, constant):
    """The straight line behind a staircase: (slope, offset) in codes. Level k begins half a code below k, at `steps[k] - 1/2`. One
    through the origin is fitted (least squares) to all thresholds in `low < t <= high`; where it misses one by more than 3/2, the line runs
    through the first and the last."""
    kept = (low < steps) & (steps <= high)
    x, y = steps[kept] - 0.5, levels[kept] - 0.5
    if not len(x):
        return 0.0, float(constant)
    if (x * y).sum() > 0:
        slope = (x * y).sum() / (x * x).sum()
        if (np.abs(y / slope - x) <= 1.5).all():
            return slope, 0.0
    slope = (y[-1] - y[0]) / (x[-1] - x[0]) if len(x) > 1 else np.nan
    return slope, y[0] - slope * x[0]


def lines(reference, model):
    """Slope and offset of each channel, the slope as a factor of the exact one `scale / scale of a code`."""
    f, rule = reference.filters, reference.rule
    if rule.out is None or len(reference.operands) > 1 or rule.constants or rule.affine is not None:
        return np.ones(f), np.zeros(f)
    bias = np.broadcast_to(np.asarray(reference.bias[0]), f)
    low, high = reference.operands[0].bounds(model.low, model.high) + bias
    payload = lambda v: rule.payload(v)
    ends = payload(np.stack([low, high], 1))
    levels = np.arange(ends.min() + 1, ends.max() + 1)
    at = bisect(lambda v: payload(v) >= levels, np.repeat(low[:, None], len(levels), 1), np.repeat(high[:, None], len(levels), 1))
    found = np.array([line(at[c], low[c], high[c], levels, ends[c, 0]) for c in range(f)])
    return found[:, 0] / (rule.operands[0].astype(float) / float(rule.out.scale)), found[:, 1]


def reals(reference, code):
    """Synapses of the model, of all operands: bytes of the sources -> codes of each channel for a source of the real value 1."""
    found, rule = {}, reference.rule
    factor = rule.affine[0] if rule.affine is not None else 1.0
    for operand, unit, source in zip(reference.operands, rule.operands, reference.codes):
        for key, w in operand.columns().items():
            found[key] = found.get(key, 0) + w * unit.astype(float) * factor / float(source) / code
    return found


def compare(checker, node, reference, source, state):
    """Raises what is wrong; returns what was found."""
    nodes = checker.network["nodes"]
    projection = nodes[node["operands"][0][0]]
    before = nodes[projection["operands"][0][0]]
    if source.units is None:
        raise NotCheckable(f"its input is unknown: {source.why}")
    port = linear(projection, np.arange(source.ids.size).reshape(before["shape"]))
    f, carried, output = reference.filters, port.filters - reference.filters, node.get("output")
    if carried < 0 or carried and (port.groups > 1 or output):
        raise Wrong(f"{port.filters} channels where the model has {f}")
    code = 1.0 if reference.rule.out is None else float(reference.rule.out.scale)
    own = np.broadcast_to(output["scale"] if output else node["unit"], port.filters)  # the real value of what is shown or sent
    t = code / own[:f] * (1 if output else 1 << STATE)
    exact = len(reference.operands) == 1 and reference.rule.affine is None and not reference.rule.constants
    room, (slope, offset) = WEIGHT if exact else SHARED, lines(reference, checker.model)
    synapses(reference, port, source, t * slope, code, room)
    biases(reference, node, t, slope, offset, code, room, output)
    taps = passing(port, source, f, own, node["parameters"]["bias"])
    ids, codes = source.ids.ravel(), source.codes.ravel()
    state.ids = np.concatenate([reference.ids, *(ids[at] for at in taps)]).reshape(node["shape"])
    state.units = np.repeat(own, port.places).reshape(node["shape"])
    state.codes = np.concatenate([np.full(len(reference.ids), code), *(codes[at] for at in taps)]).reshape(node["shape"])
    return "weights and biases are the model's in the neuron's unit, rounded; no equality is claimed"


def synapses(reference, port, source, factor, code, room):
    """Every weight onto the first channels: a number times the model's, rounded; nothing missing, nothing more."""
    f, per = reference.filters, port.filters // port.groups
    ids, units = np.append(source.ids.ravel(), -1), np.append(source.units.ravel(), np.nan)
    wanted, seen = reals(reference, code), set()
    for g in range(port.groups):
        rows = np.arange(g * per, min((g + 1) * per, f))
        for k in range(port.sources.shape[2]):
            at, w = port.sources[:, g, k], port.weights[rows, k]
            if (at < 0).all():
                continue
            unit, key = units[at][at >= 0], np.ascontiguousarray(ids[at]).tobytes()
            if (unit != unit[0]).any():
                raise NotCheckable("a synapse whose sources count in different units")
            seen.add((g, key))
            real = factor[rows] * wanted[key][rows] * unit[0] if key in wanted else np.zeros(len(rows))
            if (off := np.abs(w - real) > room).any():
                c = int(np.argmax(off))
                raise Wrong("a weight is not the model's in the neuron's unit, rounded", channel=int(rows[c]), tap=k,
                            weight=int(w[c]), reference=float(real[c]))
    for key, real in wanted.items():
        for c in np.flatnonzero(real):
            if (int(c) // per, key) not in seen:
                raise Wrong("it does not meet a source of the model's, or elsewhere", channel=int(c))


def biases(reference, node, t, slope, offset, code, room, output):
    """The bias of each channel; a read-out's is in the zero that the host subtracts."""
    f, rule = reference.filters, reference.rule
    total = sum(np.broadcast_to(np.asarray(b), f) * s.astype(float) for b, s in zip(reference.bias, rule.operands))
    total = total + sum(c.astype(float) for _, c in rule.constants)
    factor, shift = rule.affine or (1.0, 0.0)
    beta = ((total * factor + shift) / code * slope + offset) * t
    own = np.broadcast_to(node["parameters"]["bias"], np.prod(node["shape"][:1]))[:f]
    if output:
        own, wanted = own - np.broadcast_to(output["zero"], f), beta
    else:
        wanted = np.clip(beta / (1 << PAYLOAD + STATE), -BIAS - 1, BIAS)
    if (off := np.abs(own - wanted) > room + 2.0 ** -22 * np.abs(beta)).any():
        c = int(np.argmax(off))
        raise Wrong("a bias is not the model's in the neuron's unit, rounded", channel=c, bias=float(own[c]), reference=float(wanted[c]))


def passing(port, source, f, own, bias):
    """Neurons behind those of the model pass one payload on, rectified, which changes nothing: the sources of each."""
    taps = []
    for c in range(f, port.filters):
        (k, *more) = np.flatnonzero(port.weights[c]) if port.weights[c].any() else (0, 0)
        at = port.sources[:, 0, k]
        unit = source.units.ravel()[at]
        wanted = unit / own[c] * (1 << STATE)
        if more or (at < 0).any() or np.broadcast_to(bias, port.filters)[c] or (np.abs(port.weights[c, k] - wanted) > WEIGHT).any():
            raise Wrong("a neuron beside the model's does not pass one payload on", channel=c)
        taps.append(at)
    return taps
