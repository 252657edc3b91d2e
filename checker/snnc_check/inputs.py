"""The codes that inputs become."""

import numpy as np

from .common import CHECKED, WRONG, NotCheckable, Refused, State, Wrong
from .emitted import Frame
from .rule import F32, Quantiser


def f32_at(key):
    """The f32 numbers in their order, by an integer."""
    key = np.asarray(key, np.int64)
    bits = np.where(key >= 0, key, (-key) | 0x80000000).astype(np.uint32)
    return bits.view(F32) if bits.ndim else np.frombuffer(bits.tobytes(), F32)


def breaks(function):
    """Keys of all f32 numbers at which an ascending function of f32 changes."""
    top = 0x7F7FFFFF
    low, high = int(function(f32_at([-top]))[0]), int(function(f32_at([top]))[0])
    if low > high:
        raise NotCheckable("an input whose codes fall as it grows")
    levels = np.arange(low + 1, high + 1)
    a, b = np.full(len(levels), -top), np.full(len(levels), top)
    while (b - a > 1).any():
        middle = (a + b) // 2
        up = function(f32_at(middle)) >= levels
        a, b = np.where(up, a, middle), np.where(up, middle, b)
    return b


class Inputs:
    def on_encoder(self, node, sources):
        p, reference = node["parameters"], self.by_name.get(node["name"])
        times = self.timing["timesteps"] if p["presentation"] == "every-timestep" else 1
        own = Quantiser(p["scale"], p["zero_point"], p["minimum"], p["maximum"], p.get("rounding", "half-even"), p.get("offset"))
        constant = p["presentation"] == "every-timestep" or self.timing["timesteps"] == 1
        state = State(None, times, constant, p["presentation"] == "once", encoder=own)
        if p["presentation"] not in ("once", "every-timestep"):
            raise NotCheckable(f"an input that is presented `{p['presentation']}`")
        if reference is not None and reference.kind not in ("input", "codes"):
            raise Refused(f"`{node['name']}` is an input, but is said to stand for `{reference.name}`")
        if reference is None or len(reference.ids) != np.prod(node["shape"]):
            raise NotCheckable("it is no input of the model that this checker can read")
        q, claim = reference.rule.out, self.claims.get(node["name"])
        if own.levels != q.levels and reference.kind == "input":
            state.why = "its payloads are turned into the model's by the population behind it"
            state.ids = reference  # a neuron behind it decides
            return state
        wrong, why = None, "codes are taken as they are"
        try:
            if reference.kind == "codes":
                if (own.zero, own.low, own.high, own.scale) != (q.zero, q.low, q.high, q.scale):
                    raise Wrong("the input's codes are taken otherwise", code=own.low if own.zero == q.zero else 0)
            else:
                why = self.same_codes(reference, lambda x: own.code(x))
        except Wrong as e:
            wrong = e
        self.coded(node["name"], wrong, why)
        self.matched[node["name"]] = reference
        state.ids = reference.ids.reshape(node["shape"])
        if "unit" in node:
            state.units, state.codes = (np.full(node["shape"], float(v)) for v in (node["unit"][0], q.scale))
        return state

    def coded(self, name, wrong, why):
        """What is stated of an input: all f32 numbers get the same codes, or at most so many do not."""
        claim = self.claims.get(name)
        if claim is None or claim["verdict"] != "differs":
            return self.judge(name, wrong, why)
        numbers = wrong.witness.get("numbers", np.inf) if wrong else 0
        if numbers > claim["differing"]:
            return self.answer(name, WRONG, str(wrong), witness=wrong.witness)
        self.answer(name, CHECKED, f"{numbers} f32 numbers get another code, which is at most the stated {claim['differing']}")

    def same_codes(self, reference, function):
        """Whether every f32 number becomes the same payload; both sides change at these numbers alone."""
        chain = reference.steps.value if reference.steps else (lambda x: x)
        with np.errstate(all="ignore"):
            wanted = lambda x: reference.rule.out.code(chain(x))
            ends = breaks(wanted), breaks(function)
            keys = np.unique(np.concatenate(ends))
            keys = np.unique(np.concatenate([keys, keys - 1]))
            x = f32_at(keys)
            a, b = wanted(x), function(x)
        if (a != b).any():
            i = int(np.argmax(a != b))
            apart = {"numbers": int(np.abs(ends[0] - ends[1]).sum())} if len(ends[0]) == len(ends[1]) else {}
            raise Wrong("the input is encoded otherwise", input=float(x[i]), reference=int(a[i]), emitted=int(b[i]), **apart)
        return "all f32 numbers get the same codes"

    def turned(self, node, reference, sources, state):
        """A population that turns the encoder's payloads into the model's."""
        (source,) = sources
        s, = (self.network["nodes"][i] for i, _ in node["operands"])
        if source.encoder is None or s["op"] != "projection" or s["parameters"]["connectivity"] != "one-to-one" or node["shape"][0] > 1:
            raise NotCheckable("the model's input is quantised elsewhere")
        frame, (low, high) = Frame(node, self.timing, 1, source.constant), source.encoder.levels
        weight = int(s["data"].ravel()[0]) * int((s["parameters"].get("gain") or [1])[0]) * source.times
        table = frame.answers(np.arange(low, high + 1)[None] * weight + frame.bias()[:, None])[0][0]
        encoder = next(n for n in self.network["nodes"] if n["op"] == "encoder")["name"]
        wrong = None
        try:
            if (np.diff(table) < 0).any():
                raise NotCheckable("an input that is turned round")
            self.same_codes(reference, lambda x: table[source.encoder.code(x) - low])
        except Wrong as e:
            wrong = e
        self.coded(encoder, wrong, "all f32 numbers get the same codes, with the population behind it")
        if wrong is not None:
            raise wrong
        return "all f32 numbers get the same codes"
