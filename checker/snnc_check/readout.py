"""What a network shows: scores, payloads, and accumulators that a host requantises."""

import numpy as np

from .common import NotCheckable, Wrong
from .emitted import Frame
from .model import WHOLE
from .rule import F32


class Readout:
    def scores(self, node, reference, pairs, frame):
        """A read-out: raw values and their scale and zero make the model's scores."""
        bias = self.shown(frame, pairs)
        users = [n for n in self.network["nodes"] if n["op"] == "decoder" and self.network["nodes"][n["operands"][0][0]] is node]
        if len(pairs) != 1 or len(users) != 1 or frame.timesteps > 1 and users[0]["parameters"]["readout"] != "last":
            raise NotCheckable("scores that are made otherwise than by one sum and one decoder")
        p, pair, f = users[0]["parameters"], pairs[0], reference.filters
        if len(pair["of"]) != f:
            raise NotCheckable("scores of copies")
        rule = reference.rule
        factor, shift = rule.affine or (np.ones(f), np.zeros(f))
        slope = rule.operands[0].astype(np.float64) * factor * pair["reference"]
        base = (np.asarray(reference.bias[0]) * rule.operands[0].astype(np.float64) + sum(np.asarray(c, np.float64) for _, c in rule.constants))
        base = base * factor + shift
        spread = lambda v, d: np.broadcast_to(np.asarray(v if len(v) else [d], np.float64), f)
        scale, zero = spread(p["scale"], 1), spread(p.get("zero") or [], 0)
        own_slope, own_base = scale * pair["emitted"], scale * (bias - zero)
        active = pair["prime"].weights.any(1)
        off = active & (np.abs(own_slope - slope) > 2.0 ** -22 * np.abs(slope))
        if off.any():
            c = int(np.argmax(off))
            raise Wrong("scores count in another unit", channel=c, reference=float(slope[c]), emitted=float(own_slope[c]))
        unit = np.abs(slope) / pair["reference"]
        # Scales are f32 numbers, so a bias of n units is off by n ulp at the most.
        room = WHOLE * unit + 2.0 ** -22 * np.abs(base)
        # Whole units of a bias are in the accumulator; what is left of it may be the host's.
        rest = self.rest.get(users[0]["name"], np.zeros(1))
        if len(rest) in (1, f) and (np.abs(own_base + rest - base) <= room).all():
            own_base = own_base + rest
        if (np.abs(own_base - base) > room).any():
            c = int(np.argmax(np.abs(own_base - base) - room))
            raise Wrong("scores are off by a constant", channel=c, accumulator=0, reference=float(base[c]), emitted=float(own_base[c]),
                        units_off=float((own_base[c] - base[c]) / unit[c]))
        return "weights, bias and scale of every score are the model's"

    def hosted(self, node, reference, pairs):
        """Accumulators that the host requantises: they are the model's, and so is what `host.snn` says of them."""
        index, rule, host = self.network["nodes"].index(node), reference.rule, self.host or {"nodes": []}
        decoder = next((n for n in self.network["nodes"] if n["op"] == "decoder" and n["operands"][0][0] == index), None)
        if decoder is None or len(pairs) != 1 or rule.affine is not None or rule.constants:
            raise NotCheckable("accumulators that are shown, of several operands or of none")
        p, (pair,) = decoder["parameters"], pairs
        frame = Frame(node, self.timing, len(pair["of"]), False)
        off = (pair["emitted"] != pair["reference"][pair["of"]]) | (frame.bias() != np.asarray(reference.bias[0])[pair["of"]])
        if off.any() or len(pair["of"]) != reference.filters:
            raise Wrong("it shows other accumulators than the model's", channel=int(np.argmax(off)))
        if set(np.ravel(p["scale"])) != {1.0} or any(p.get("zero") or [0]) or frame.timesteps > 1 and p["readout"] != "last":
            raise Wrong("its accumulators are not shown as they are")
        entry = next((i for i, n in enumerate(host["nodes"]) if n["op"] == "input" and decoder["name"] in [o["node"] for o in n["origins"]]), None)
        following = lambda i: [(j, n) for j, n in enumerate(host["nodes"]) if i in [s for s, _ in n["operands"]]]
        if entry is None or len(following(entry)) != 1 or following(entry)[0][1]["op"] != "requantise" or len(following(entry)[0][1]["operands"]) > 1:
            raise NotCheckable("the host does not requantise its accumulators alone")
        before, ((at, after),) = host["nodes"][entry]["quantisation"], following(entry)
        q, out = after["quantisation"], rule.out
        spread = lambda v: np.broadcast_to(np.asarray(v, F32), reference.filters)
        if (spread(before["scale"]) != spread(rule.operands[0])).any() or any(before["zero_point"]) or (
                F32(q["scale"][0]), q["zero_point"][0], q["minimum"], q["maximum"], q["rounding"]) != (
                out.scale, out.zero, out.low, out.high, out.rounding) or len(q["scale"]) > 1:
            raise Wrong("the host requantises otherwise", reference=[float(out.scale), out.zero, out.low, out.high], emitted=q)
        chain = []
        while len(following(at)) == 1:
            ((at, n),) = following(at)
            chain.append(n)
        real = [n["parameters"] for n in chain if n["op"] == "dequantise"]
        shown = self.model.outputs.get(chain[-1]["name"] if chain else None)
        done = "the model's accumulators, which the host requantises as the model does"
        if isinstance(shown, NotCheckable):  # a softmax, for one
            return done
        if shown is None or [n["op"] for n in chain] != ["dequantise"] * len(real) + ["output"] or len(real) > 1:
            raise NotCheckable("the host does more than requantise")
        if not np.array_equal(shown[0], reference.ids) or real and (F32(real[0]["scale"][0]), real[0]["zero_point"][0]) != (shown[1], out.zero):
            raise Wrong("the host shows other neurons, or in another unit")
        return done

    def shown(self, frame, pairs):
        """The bias of a read-out; an Akida 2 stage is one if nothing saturates and nothing is scaled."""
        bias = frame.bias().astype(np.float64)
        if frame.neuron == "accumulate":
            return bias
        n = frame.neuron.get("akida-two")
        if n is None or len(pairs) != 1:
            raise NotCheckable("its potential is not read out")
        pair, of = pairs[0], pairs[0]["of"]
        v = pair["emitted"][:, None] * np.linspace(pair["low"][of], pair["high"][of], 257).astype(np.int64).T + frame.bias()[:, None]
        bias = bias + (n["bias"] << n["bias_shift"])
        own = v + (n["bias"] << n["bias_shift"])[:, None]
        if (off := frame.answers(v)[0] != own).any():
            c, j = np.argwhere(off)[0]
            raise Wrong("a read-out shows another number than its potential", channel=int(c), potential=int(own[c, j]),
                        emitted=int(frame.answers(v)[0][c, j]))
        if n["ceiling"] is not None or (n["scale"] != 1).any() or n["shift"].any():
            raise NotCheckable("its potential is not read out as it is")
        bits = min(n["post_bits"], n["output_bits"], n["fused_bits"] or 64)
        ends = np.stack([pairs[0]["emitted"] * pairs[0][k][pairs[0]["of"]] + bias for k in ("low", "high")])
        if ends.min() < -(1 << (bits - 1)) or ends.max() >= 1 << (bits - 1):
            raise Wrong(f"a read-out of {bits} bits saturates", potential=int(ends.max() if ends.max() >= 1 << (bits - 1) else ends.min()))
        return bias

    def on_decoder(self, node, sources):
        ids, scale = self.model.outputs.get(node["name"], (None, None)) if not isinstance(
            self.model.outputs.get(node["name"]), NotCheckable) else (None, None)
        source = self.network["nodes"][node["operands"][0][0]]
        p, state = node["parameters"], sources[0]
        if state.ids is None or source["name"] not in self.answers:
            return state
        if ids is not None and not np.array_equal(state.ids.ravel(), ids):
            self.judge(source["name"], Wrong(f"`{node['name']}` shows other neurons than the model's output"), None)
        reference = self.by_name.get(source["name"])
        if reference is not None and reference.kind == "neurons" and source["parameters"]["neuron"] != "accumulate":
            scale = reference.rule.out.scale if scale is None else scale
            own = np.asarray(p["scale"], F32)
            if np.abs(own / scale - 1).max() > 2.0 ** -22 or any(p.get("zero") or [0]):
                self.judge(source["name"], Wrong("its scores count in another unit", reference=float(scale), emitted=float(own[0])), None)
            if self.timing["timesteps"] > 1 and p["readout"] != "sum":
                self.judge(source["name"], Wrong("its payloads are not summed up"), None)
        return state
