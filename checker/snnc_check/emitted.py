"""What an emitted population answers to a whole frame, as arithmetic on arrays; and a simulation of all timesteps.

Arrays of potentials are (channels, n). A frame is what one sample brings, all timesteps summed up.
"""

import numpy as np

from .common import Linear, NotCheckable, Refused, Wrong, windows

FAR = 2 ** 62


def column(values, channels):
    return np.broadcast_to(np.asarray(values, np.int64).reshape(-1, 1), (channels, 1))


def saturate(x, bits):
    return x if bits >= 64 else np.clip(x, -2 ** (bits - 1), 2 ** (bits - 1) - 1)


def floor_line(m, v, o, d):
    """floor((m v + o) / d), exact: in Python's integers where 64 bits do not hold it."""
    if int(np.abs(m).max()) * int(max(np.abs(v).max(initial=0), 1)) + int(np.abs(o).max()) >= FAR:
        return ((m.astype(object) * v + o) // d).clip(-FAR, FAR).astype(np.int64)
    return (m * v + o) // d


def shifted(x, s):
    """x * 2^s; a negative shift rounds to nearest, ties toward plus infinity."""
    up = np.where(s >= 0, x << np.maximum(s, 0), 0)
    by = np.maximum(-s, 1)
    return np.where(s >= 0, up, (x + (np.int64(1) << (by - 1))) >> by)


def answer(neuron, v):
    """Payload of a neuron with one answer a frame, for potentials (bias included)."""
    if neuron == "accumulate":
        return v
    (kind, n), = neuron.items()
    c = len(v)
    if kind == "graded":
        if min(n["multiplier"]) < 1 or min(n["divisor"]) < 1:
            raise Refused("a graded neuron that does not ascend")
        level = floor_line(column(n["multiplier"], c), v, column(n["offset"], c), column(n["divisor"], c))
        return np.clip(level, n["minimum"], n["maximum"])
    if kind == "thresholds":
        rows = [np.asarray(r, np.int64) for r in n["thresholds"]]
        if any((np.diff(r) < 0).any() for r in rows):
            raise Refused("thresholds that do not ascend")
        rows = rows * c if len(rows) == 1 else rows
        return n["minimum"] + np.stack([np.searchsorted(r, x, "right") for r, x in zip(rows, v)])
    if kind == "lookup":
        table = np.asarray(n["table"], np.int64)
        return table[np.clip(v - n["minimum"], 0, len(table) - 1)]
    if kind == "akida-two":
        at = lambda k: column(n[k], c)
        bias = saturate(at("bias") << np.clip(at("bias_shift"), 0, 31), n["post_bits"])
        a = saturate(v + bias, n["fused_bits"] or n["post_bits"])
        if n["ceiling"] is not None:
            a = np.clip(a, 0, at("ceiling"))
        z = shifted(saturate(a * at("scale"), n["post_bits"]), at("shift"))
        return np.clip(z, 0, 2 ** n["output_bits"] - 1) if n["output_bits"] <= 4 else saturate(z, n["output_bits"])
    raise NotCheckable(f"a neuron of the kind `{kind}`")


class Spiking:
    """Integrate and fire, one timestep after the other."""

    def __init__(self, n, channels):
        self.n, self.c = n, channels
        rows = lambda t: np.stack([np.broadcast_to(np.asarray(r, np.int64), len(max(t, key=len))) for r in t])
        self.tables = {"threshold": rows(n["threshold"]), "decode": rows(n["decode"]) if n.get("decode") else None}
        reset = n["reset"]
        self.tables["reset"] = rows(reset["soft-by"]) if isinstance(reset, dict) and "soft-by" in reset else None
        limit = n.get("signed_limit") or {}
        self.tables["below"] = rows(limit["below"]) if "below" in limit else None
        self.retracting = limit.get("retracting")

    def at(self, name, t):
        table = self.tables[name]
        return table[:, min(t, table.shape[1] - 1), None]

    def step(self, t, v, sent):
        """The level sent at potential v when `sent` is what was sent before, and the potential left."""
        n, leak = self.n, self.n.get("leak", "none")
        u = v >> leak["averaging"]["shift"] if isinstance(leak, dict) and "averaging" in leak else v
        threshold = self.at("threshold", t)
        w = u - 1 if n.get("comparison") == "above" else u
        if self.retracting:
            level = np.clip(w // np.maximum(threshold, 1), -n["maximum"], n["maximum"])
            level = np.maximum(np.minimum(level, self.retracting["maximum"] - sent), self.retracting["minimum"] - sent)
        elif n["maximum"] == 1:
            level = (w >= threshold).astype(np.int64)
        else:
            level = np.clip(w // np.maximum(threshold, 1), 0, n["maximum"])
        if self.tables["below"] is not None:
            level = np.where(level == 0, -(u <= self.at("below", t)).astype(np.int64), level)
        reset = n["reset"]
        if reset == "soft":
            left = u - level * threshold
        elif "hard" in reset:
            left = np.where(level != 0, reset["hard"], u)
        else:
            left = u - level * self.at("reset", t)
        if isinstance(leak, dict) and "averaging" in leak:
            left = leak["averaging"]["kept"] * left
        elif isinstance(leak, dict):
            left = left - (left >> leak["subtracting"]["shift"])
        return level, left

    def worth(self, t):
        return 1 if self.tables["decode"] is None else self.at("decode", t)

    def initial(self):
        return column(self.n["initial"], self.c)

    def train(self, v, timesteps):
        """What is sent in each timestep, the whole of a frame having come before: (T, channels, n)."""
        v, sent, out = v + self.initial(), 0, []
        for t in range(timesteps):
            level, v = self.step(t, v, sent)
            sent = sent + level
            out.append(np.broadcast_to(level * self.worth(t), v.shape))
        return np.stack(out)

    def plain(self):
        t = self.tables["threshold"]
        return (self.n["reset"] == "soft" and self.n.get("leak", "none") == "none" and self.tables["decode"] is None
                and self.n.get("comparison", "at-least") == "at-least" and t.shape[1] == 1 and (t > 0).all())


class Frame:
    """The payloads of a frame, summed up, as a function of all that reaches a population in it.

    `constant` says that the same comes in every timestep. `trains` are asked for where the argument
    between two potentials is that the same train is sent at both."""

    def __init__(self, node, timing, channels, constant):
        self.node, self.c = node["parameters"], channels
        self.timesteps, self.schedule = timing["timesteps"], timing["schedule"]
        neuron, self.spiking = self.node["neuron"], None
        self.neuron = neuron
        if neuron != "accumulate" and "integrate-and-fire" in neuron:
            self.spiking = Spiking(neuron["integrate-and-fire"], channels)
        elif neuron != "accumulate" and ("sigma-delta" in neuron or "current-based" in neuron or "float" in neuron):
            raise NotCheckable("its neuron answers over several timesteps")
        elif neuron != "accumulate" and self.timesteps > 1 and self.schedule != "layer-synchronous":
            raise NotCheckable("it answers before its input is complete")
        self.trains = False
        if self.spiking and self.timesteps > 1:
            if self.schedule == "layer-synchronous":
                self.trains = True
            elif self.schedule == "until-settled":
                if not (self.spiking.plain() and self.spiking.retracting):
                    raise NotCheckable("its spikes cannot be taken back")
                self.span = self.spiking.retracting["minimum"], self.spiking.retracting["maximum"]
                most = neuron["integrate-and-fire"]["maximum"]
                if most > self.node["maximum"] or -most < self.node["minimum"]:
                    raise Wrong(f"up to {most} spikes in a timestep are more than is carried", spike=most)
            else:
                start, n = self.spiking.initial(), neuron["integrate-and-fire"]
                begun = (start >= 0).all() and (start < self.spiking.at("threshold", 0)).all()
                every = not self.node.get("bias") or self.node.get("bias_placement", "every-timestep") == "every-timestep"
                if not (constant and begun and every and self.spiking.plain() and not n.get("signed_limit")):
                    raise NotCheckable("it fires before its input is complete, or its input comes unevenly")
                self.span = 0, n["maximum"] * self.timesteps

    def bias(self):
        """What the bias of each channel brings in a frame."""
        bias = column(self.node.get("bias") or [0], self.c)[:, 0]
        every = self.node.get("bias_placement", "every-timestep") == "every-timestep"
        return bias * self.timesteps if every and self.timesteps > 1 else bias

    def answers(self, v):
        """Payloads (channels, n), and trains (T, channels, n) where they count, else None."""
        low, high = self.node["minimum"], self.node["maximum"]
        if not self.spiking:
            return answer(self.neuron, v), None
        if self.trains:
            train = self.spiking.train(v, self.timesteps)
            if (train < low).any() or (train > high).any():
                raise Wrong(f"spikes are worth more than the range {low}..{high} that is carried", spike=int(max(train.max(), -train.min())))
            return train.sum(0), train
        if self.timesteps == 1:
            level, _ = self.spiking.step(0, v + self.spiking.initial(), 0)
            return level * self.spiking.worth(0), None
        total = (v + self.spiking.initial()) // self.spiking.at("threshold", 0)
        return np.clip(total, *self.span), None


def window_of(parameters):
    w = parameters["window"]
    return [w[k] for k in ("kernel", "strides", "dilations", "before")]


def linear(node, ids):
    """The synapses of a projection node over sources with these ids (C, spatial..)."""
    p, w = node["parameters"], node["data"]
    if w is None or p.get("delays") or p.get("binary"):
        raise NotCheckable("a projection without weights, with delays, or that takes spikes alone")
    how, shift = p["connectivity"], p.get("input_shift") or []
    w = w.astype(np.int64)
    if how == "dense":
        if len(shift):
            w = w * (np.int64(1) << np.broadcast_to(np.asarray(shift, np.int64), w.shape[1]))
        out = Linear.dense(ids, w)
        places = int(np.prod(node["shape"][1:], initial=1))
        if places > 1:
            raise NotCheckable("a dense projection onto a map")
    elif how == "one-to-one":
        w = np.broadcast_to(w.ravel(), ids.shape[0])
        if len(shift):
            w = w * (np.int64(1) << np.asarray(shift, np.int64))
        out = Linear.one_to_one(ids, w)
    else:
        window, groups = window_of(how["convolution"]), how["convolution"]["groups"]
        if len(shift):
            by = np.asarray(shift, np.int64)
            by = np.stack([np.resize(by[g * w.shape[1]:(g + 1) * w.shape[1]], w.shape[1]) for g in range(groups)])
            w = w << np.repeat(by, w.shape[0] // groups, 0).reshape(*w.shape[:2], *[1] * (w.ndim - 2))
        out = Linear.convolution(ids, w, window, groups, list(node["shape"][1:]))
    if out.filters != node["shape"][0] or out.filters * out.places != int(np.prod(node["shape"])):
        raise Refused(f"`{node['name']}`: its weights are not those of a map of shape {node['shape']}")
    return out


class Simulation:
    """Runs an emitted network timestep by timestep, for witnesses: arrays (T, N, neurons)."""

    def __init__(self, network):
        self.network, timing = network, network["timing"]
        self.steps, self.schedule = timing["timesteps"], timing["schedule"]
        self.settle = self.steps
        if self.schedule == "until-settled":
            self.settle = self.steps * (sum(n["op"] == "population" for n in network["nodes"]) + 2)

    def run(self, payloads):
        """Totals (N, neurons) of each node, for payloads of each encoder by name."""
        trains, totals, self.trains = {}, {}, {}
        for i, node in enumerate(self.network["nodes"]):
            sources = [trains[s] for s, delay in node["operands"] if s in trains]
            if len(sources) != len(node["operands"]) or any(d for _, d in node["operands"]):
                continue
            try:
                trains[i] = self.node(node, sources, payloads)
            except (NotCheckable, Refused):
                continue
            self.trains[node["name"]] = trains[i]
            accumulates = node["op"] == "population" and node["parameters"]["neuron"] == "accumulate"
            totals[node["name"]] = trains[i][-1] if accumulates else trains[i].sum(0)
        return totals

    def ids(self, node):
        return np.arange(int(np.prod(node["shape"]))).reshape(node["shape"])

    def node(self, node, sources, payloads):
        op, p = node["op"], node["parameters"]
        if op == "encoder":
            x = payloads[node["name"]].reshape(len(payloads[node["name"]]), -1)
            train = np.zeros((self.settle, *x.shape), np.int64)
            train[:self.steps if p["presentation"] == "every-timestep" else 1] = x
            return train
        if op in ("max-pool", "running-max-pool"):
            shape = self.network["nodes"][node["operands"][0][0]]["shape"]
            seen = windows(np.arange(int(np.prod(shape))).reshape(shape), *window_of(p), list(node["shape"][1:]))
            seen = seen.transpose(1, 0, 2).reshape(-1, seen.shape[2])
            x = sources[0] if op == "max-pool" else np.cumsum(sources[0], 0)
            padded = np.concatenate([x, np.full((*x.shape[:2], 1), -FAR)], 2)
            out = padded[:, :, seen].max(3)
            return out if op == "max-pool" else np.diff(out, axis=0, prepend=0)
        if op == "concatenate":
            shapes = [self.network["nodes"][s]["shape"] for s, _ in node["operands"]]
            parts = [x.reshape(*x.shape[:2], *s) for x, s in zip(sources, shapes)]
            return np.concatenate(parts, 2 + p["axis"]).reshape(*sources[0].shape[:2], -1)
        if op == "projection":
            shape = self.network["nodes"][node["operands"][0][0]]["shape"]
            x = sources[0]
            flat = np.concatenate([x, np.zeros((*x.shape[:2], 1), np.int64)], 2).reshape(-1, x.shape[2] + 1)
            l = linear(node, np.arange(x.shape[2]).reshape(shape))
            sums = l.scaled(p.get("gain") or [1]).run(flat)
            return sums.reshape(*x.shape[:2], -1)
        if op == "population":
            return self.population(node, sum(sources))
        raise NotCheckable(op)

    def population(self, node, x):
        p, c = node["parameters"], node["shape"][0]
        t, n = x.shape[:2]
        rows = lambda a: a.reshape(n, c, -1).transpose(1, 0, 2).reshape(c, -1)
        back = lambda a: a.reshape(c, n, -1).transpose(1, 0, 2).reshape(n, -1)
        bias, placement = column(p.get("bias") or [0], c), p.get("bias_placement", "every-timestep")
        synchronous = self.schedule == "layer-synchronous" and self.steps > 1
        spiking = Spiking(p["neuron"]["integrate-and-fire"], c) if p["neuron"] != "accumulate" and "integrate-and-fire" in p["neuron"] else None
        v = spiking.initial() if spiking else np.zeros((c, 1), np.int64)
        sent, out = 0, []
        for step in range(t):
            v = v + rows(x[step])
            if step < self.steps and (placement == "every-timestep" or placement == "first-timestep" and step == 0
                                      or placement == "after-last-timestep" and step == self.steps - 1):
                v = v + bias
            if synchronous:
                continue
            if p["neuron"] == "accumulate":
                out.append(back(v))
            elif spiking:
                level, v = spiking.step(step, v, sent)
                sent = sent + level
                out.append(back(np.broadcast_to(level * spiking.worth(step), v.shape)))
            else:
                out.append(back(answer(p["neuron"], v)))
                v = v * 0
        if synchronous:
            if spiking:
                return np.stack([back(s) for s in spiking.train(v - spiking.initial(), self.steps)])
            last = back(answer(p["neuron"], v))
            return np.concatenate([np.zeros((self.steps - 1, *last.shape), np.int64), last[None]])
        return np.stack(out)
