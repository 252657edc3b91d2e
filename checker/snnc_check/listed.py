"""Populations that differ: exactly where the certificate lists it."""

import numpy as np

from .common import CHECKED, OPEN, WRONG, NotCheckable, Wrong, bisect
from .emitted import Frame

SPAN = 200_000  # accumulators of a channel, times timesteps, that are all tried


class Listed:
    def differs(self, name, claim, wrong):
        if wrong is not None and "pairs" in wrong.witness:
            found, stated = {k: wrong.witness[k] for k in ("pairs", "differing")}, {"pairs": claim["reachable"], "differing": claim["differing"]}
            if found != stated:
                return self.answer(name, WRONG, f"{found['differing']} of {found['pairs']} pairs differ", witness=wrong.witness)
            return self.answer(name, CHECKED, f"exactly {found['differing']} of {found['pairs']} pairs of accumulators differ")
        if wrong is not None and "units" not in wrong.witness:
            return self.answer(name, WRONG, str(wrong), witness={k: v for k, v in wrong.witness.items() if k != "rows"})
        reference, pairs, frame = self.last
        if len(pairs) != 1:
            return self.answer(name, WRONG, "no pair of accumulators differs")
        listed = {}
        for d in claim["differences"]:
            listed.setdefault(d["channel"], []).append(d)
        if claim["differing"] != sum(d["to"] - d["from"] + 1 for d in claim["differences"]):
            return self.answer(name, WRONG, f"other differences are listed than the {claim['differing']} that are stated")
        for c in range(len(pairs[0]["of"])):
            try:
                self.channel(reference, pairs[0], frame, c, listed.get(c % reference.filters, []))
            except Wrong as e:
                return self.answer(name, WRONG, str(e), witness=e.witness)
        self.answer(name, CHECKED, f"exactly the {claim['differing']} listed accumulators differ")

    def channel(self, reference, pair, frame, c, listed):
        """The differences of one channel are those that are listed: at every accumulator, or where there are many between the
        thresholds of the reference and the ends of what is listed, where both sides are constant if they are the same at both ends."""
        f, g, bias = pair["of"][c], int(pair["reference"][pair["of"][c]]), frame.bias()[c]
        rule, start = reference.rule.rows([f]), np.asarray(reference.bias[0])[f]
        one = Frame(self.row(frame, c), self.timing, 1, False)
        low, high = int(pair["low"][f]), int(pair["high"][f])
        wanted = lambda u: rule.payload(g * u + start)
        if (high - low) * frame.timesteps < SPAN:
            edges = np.arange(low, high + 2)
        else:
            ends = wanted(np.array([[low, high]]))[0]
            levels = np.arange(ends.min() + 1, ends.max() + 1)[None]
            own = bisect(lambda u: wanted(u) >= levels, np.full(levels.shape, low), np.full(levels.shape, high))
            own = [own.ravel(), *([-(-d["from"] // g), d["to"] // g + 1] for d in listed)]
            edges = np.unique(np.clip(np.concatenate([*own, [low, high + 1]]), low, high + 1))
        first, last = edges[None, :-1], edges[None, 1:] - 1
        a, (b, trains) = wanted(first), one.answers(pair["emitted"][c] * first + bias)
        end, (end_b, end_trains) = wanted(last), one.answers(pair["emitted"][c] * last + bias)
        if (a != end).any() or (b != end_b).any() or trains is not None and (trains != end_trains).any():
            raise NotCheckable("answers that change between two thresholds of the reference")
        count = [0] * len(listed)
        for j in np.flatnonzero(a[0] != b[0]):
            acc, top = g * int(first[0, j]), g * int(last[0, j])
            at = next((i for i, d in enumerate(listed) if d["from"] <= acc and top <= d["to"] and (d["reference"], d["emitted"]) == (a[0, j], b[0, j])), None)
            if at is None:
                raise Wrong("a difference that the certificate does not list", channel=int(c % reference.filters), accumulator=acc,
                            reference=int(a[0, j]), emitted=int(b[0, j]))
            count[at] += int(last[0, j] - first[0, j]) + 1
        for d, n in zip(listed, count):
            if n != max(min(d["to"] // g, high) - max(-(-d["from"] // g), low) + 1, 0):
                raise Wrong("a listed difference that is none", channel=d["channel"], accumulator=d["from"])

    def row(self, frame, c):
        """The node of one channel alone."""
        cut = lambda v: [v[c if len(v) > 1 else 0]] if len(v) else []
        p = dict(frame.node)
        p["bias"] = cut(p.get("bias") or [])
        if p["neuron"] != "accumulate":
            (kind, n), = p["neuron"].items()
            keys = {"graded": ("multiplier", "offset", "divisor"), "thresholds": ("thresholds",), "akida-two": (
                "bias", "bias_shift", "scale", "shift", "ceiling"), "integrate-and-fire": ("threshold", "initial", "decode")}.get(kind, ())
            n = {k: cut(v) if k in keys and v is not None else v for k, v in n.items()}
            for nested, key in (("reset", "soft-by"), ("signed_limit", "below")):
                if isinstance(n.get(nested), dict) and key in n[nested]:
                    n[nested] = {**n[nested], key: cut(n[nested][key])}
            p["neuron"] = {kind: n}
        return {"parameters": p}
