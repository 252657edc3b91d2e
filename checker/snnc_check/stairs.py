"""Synapses tap by tap, and payloads of both sides on all accumulators that can occur."""

import math

import numpy as np

from .common import Linear, NotCheckable, Wrong, bisect
from .emitted import FAR

EXHAUSTIVE = 4_000_000  # accumulators of a population that are all tried, whatever its neuron
GRID = 60_000_000  # cells of a residual addition that are compared at most


class Stairs:
    def aligned(self, reference, ports):
        """For each operand: weights without common factor, that factor in both networks, and the bounds."""
        if len(ports) != len(reference.operands):
            raise NotCheckable(f"{len(ports)} projections for {len(reference.operands)} operands")
        pairs, wrong, left = [], None, list(range(len(ports)))
        for operand in reference.operands:
            best = None
            for i in left:
                found = self.pair(operand, ports[i])
                if not isinstance(found, Wrong):
                    best = i, found
                    break
                wrong = found
            if best is None:
                return pairs, wrong
            left.remove(best[0])
            pairs.append(best[1])
        return pairs, None

    def pair(self, a, b):
        """Operand `a` of the reference against projection `b`: tap by tap."""
        f = a.filters
        if b.filters % f:
            return Wrong(f"{b.filters} channels where the model has {f}")
        if a.groups == b.groups and np.array_equal(a.sources, b.sources) and b.filters == f:
            wa, wb, base = a.weights, b.weights, a
        else:
            ca, cb = a.columns(), b.columns()
            if set(ca) != set(cb):
                return self.taps(a, b)
            keys = sorted(ca)
            wa = np.stack([ca[k] for k in keys], 1) if keys else np.zeros((f, 0), np.int64)
            wb = np.stack([cb[k] for k in keys], 1) if keys else np.zeros((b.filters, 0), np.int64)
            sources = np.stack([np.frombuffer(k, np.int64) for k in keys], 1) if keys else np.zeros((a.places, 0), np.int64)
            base = Linear(sources[:, None, :], wa)
        divisor = np.gcd.reduce(wa, axis=1, initial=0)
        divisor = np.where(divisor == 0, 1, divisor)
        prime = wa // divisor[:, None]
        of = np.arange(b.filters) % f
        if prime.shape[1] == 0:
            factor = np.zeros(b.filters, np.int64)
        else:
            first = np.argmax(prime != 0, axis=1)[of]
            lead = prime[of, first]
            factor = np.where(lead != 0, wb[np.arange(b.filters), first] // np.where(lead == 0, 1, lead), 0)
        bad = (wb != prime[of] * factor[:, None]).any(1)
        if bad.any():
            e = int(np.argmax(bad))
            k = int(np.argmax(wb[e] != prime[of[e]] * factor[e]))
            per = base.filters // base.groups
            at = base.sources[:, (e % f) // per, k]
            return Wrong("its weights are not the model's times one constant for each channel", channel=e, tap=k,
                         source=int(at[at >= 0][0]), weight=int(wb[e, k]), reference=int(wa[e % f, k]), rows=(a, b, e))
        low, high = Linear(base.sources, prime, base.groups).bounds(self.model.low, self.model.high)
        return {"prime": Linear(base.sources, prime, base.groups), "reference": divisor, "emitted": factor, "of": of,
                "low": low, "high": high}

    def taps(self, a, b):
        """The first neuron that meets other sources."""
        if a.places != b.places:
            return Wrong(f"{b.places} places where the model has {a.places}")
        for p in range(a.places):
            for f in range(0, a.filters, max(a.filters // a.groups, 1)):
                x, y = a.synapses(f, p), b.synapses(f, p)
                if set(x) != set(y):
                    return Wrong("its windows have another geometry", channel=f, place=p,
                                 source=min(set(x) ^ set(y)), rows=(a, b, f))
        for f in range(b.filters):
            if set(a.synapses(f % a.filters, 0)) != set(b.synapses(f, 0)):
                return Wrong("it meets other sources", channel=f, place=0, rows=(a, b, f))
        raise NotCheckable("its synapses are laid out in a way that this checker does not compare")

    def compared(self, node, reference, pairs, frame, state):
        """Payloads of both sides on all accumulators that can occur."""
        bias, of = frame.bias(), pairs[0]["of"]
        rule = reference.rule.rows(of)
        state.runs = True
        own = [p["reference"][of][:, None] for p in pairs]
        start = [np.asarray(b)[of][:, None] for b in reference.bias]
        factor = [p["emitted"][:, None] for p in pairs]
        low, high = [p["low"][of] for p in pairs], [p["high"][of] for p in pairs]
        flip = rule.affine is not None and (rule.affine[0] < 0)

        def wanted(*u):
            return rule.payload(*[g * x + b for g, x, b in zip(own, u, start)])

        def tied(*u):
            return rule.tied(*[g * x + b for g, x, b in zip(own, u, start)])

        def potential(*u):
            return sum(g * x for g, x in zip(factor, u)) + bias[:, None]

        self.membrane(node, frame, factor, low, high, bias)
        if len(pairs) == 1:
            return self.staircases(wanted, tied, lambda u: frame.answers(potential(u)), low[0], high[0], flip, frame, state,
                                   rule.affine is not None, own[0], start[0])
        if len(pairs) == 2 and rule.affine is None:
            if self.claims.get(node["name"], {}).get("verdict") == "approximate":
                raise NotCheckable("a sum of two operands of which no equality is claimed")
            if rule.exact and rule.constants:
                raise NotCheckable("an exact sum with a bias that is no whole number of units")
            total, differing, witness = self.joined(reference, pairs, frame, state)
            if differing:
                raise Wrong("a payload differs", pairs=total, differing=differing, **witness)
            return f"{total} pairs of accumulators"
        raise NotCheckable(f"a sum of {len(pairs)} operands")

    def membrane(self, node, frame, factor, low, high, bias):
        """Potentials must fit their memory, where it is narrower than 64 bits."""
        bits = node["parameters"].get("membrane_bits", 64)
        if bits >= 64 or frame.schedule == "streaming" and frame.timesteps > 1:
            return
        ends = [np.minimum(g[:, 0] * l, g[:, 0] * h) for g, l, h in zip(factor, low, high)], [
            np.maximum(g[:, 0] * l, g[:, 0] * h) for g, l, h in zip(factor, low, high)]
        start = frame.spiking.initial()[:, 0] if frame.spiking else 0
        floor, top = sum(ends[0]) + np.minimum(bias, 0) + start, sum(ends[1]) + np.maximum(bias, 0) + start
        if floor.min() < -(1 << (bits - 1)) or top.max() >= 1 << (bits - 1):
            raise Wrong(f"a membrane potential of {bits} bits overflows", potential=int(top.max() if top.max() >= 1 << (bits - 1) else floor.min()))

    def difference(self, c, u, a, b, own, start):
        acc = int(own[c, 0] * u + start[c, 0])
        return Wrong("a payload differs", channel=int(c), accumulator=acc, reference=int(a), emitted=int(b), units=(int(c), int(u)))

    def staircases(self, wanted, tied, emitted, low, high, flip, frame, state, real, own, start):
        """One operand: both sides between the reference's thresholds; every accumulator where there are few."""
        count = int((high - low + 1).sum())
        self.count = count
        if np.any(flip):
            swap = np.asarray(flip)[:, None]
            up = lambda f: (lambda u: f(np.where(swap, -u, u)))
            w, t, e = up(wanted), up(tied), up(emitted)
            low, high = np.where(flip, -high, low), np.where(flip, -low, high)
        else:
            w, t, e = wanted, tied, emitted
        ends = np.stack([low, high], 1)
        level = w(ends)
        steps = np.arange(level.min() + 1, level.max() + 1)[None]
        b = bisect(lambda u: w(u) >= steps, *(np.repeat(v[:, None], steps.shape[1], 1) for v in (low, high)))
        first = np.concatenate([low[:, None], b], 1)
        last = np.concatenate([b - 1, high[:, None]], 1)
        first, last = np.maximum(first, low[:, None]), np.minimum(last, high[:, None])
        levels = np.broadcast_to(np.arange(level.min(), level.max() + 1)[None], first.shape)
        used = first <= last
        ties = 0
        while True:
            used = first <= last
            (x, trains_x), (y, trains_y) = e(np.where(used, first, low[:, None])), e(np.where(used, last, low[:, None]))
            wrong_x, wrong_y = used & (x != levels), used & (y != levels)
            moved = 0
            # A decision that hangs on the order of f32 operations is a tie: either payload is right.
            for wrong, at, value, step in ((wrong_x, first, x, 1), (wrong_y, last, y, -1)):
                if real and wrong.any():
                    below, above = t(at)
                    free = wrong & (value >= below) & (value <= above)
                    at += free * step
                    moved += int(free.sum())
            ties += moved
            if not moved:
                break
        for wrong, at, value in ((wrong_x, first, x), (wrong_y, last, y)):
            if wrong.any():
                c, j = np.argwhere(wrong)[0]
                u = int(at[c, j]) * (-1 if np.any(flip) and np.asarray(flip)[c] else 1)
                raise self.difference(c, u, levels[c, j], value[c, j], own, start)
        low_, high_ = frame.node["minimum"], frame.node["maximum"]
        if frame.timesteps == 1 and (x.min() < low_ or x.max() > high_ or y.max() > high_ or y.min() < low_):
            raise Wrong(f"payloads beyond the range {low_}..{high_} that is carried", payload=int(max(x.max(), y.max())))
        if trains_x is not None:
            few = count * frame.timesteps <= EXHAUSTIVE
            if (used & (trains_x != trains_y).any(0)).any() and not few:
                raise NotCheckable("trains that differ between two thresholds of the reference")
            runs = lambda s: ((np.diff(s, axis=0) <= 0).all(0) & ((s == 0) | (s == 1)).all(0) | ~used).all()
            state.runs = bool(runs(trains_x) and runs(trains_y))
        if count * (frame.timesteps if trains_x is not None else 1) <= EXHAUSTIVE:
            self.every(w, t, e, low, high, real, own, start, flip)
        tie = f", {ties} ties" if ties else ""
        return f"{steps.shape[1]} thresholds, {count} accumulators{tie}"

    def every(self, wanted, tied, emitted, low, high, real, own, start, flip):
        """Every accumulator of every channel, one by one."""
        width = int((high - low).max()) + 1
        part = max(1, min(width, 500_000 // len(low)))
        for begin in range(0, width, part):
            u = np.minimum(low[:, None] + np.arange(begin, min(begin + part, width))[None], high[:, None])
            a, (b, _) = wanted(u), emitted(u)
            bad = a != b
            if real and bad.any():
                lo, hi = tied(u)
                bad &= (b < lo) | (b > hi)
            if bad.any():
                c, j = np.argwhere(bad)[0]
                sign = -1 if np.any(flip) and np.asarray(flip)[c] else 1
                raise self.difference(c, int(u[c, j]) * sign, a[c, j], b[c, j], own, start)

    def joined(self, reference, pairs, frame, state):
        """Two operands: how many pairs of accumulators there are, for how many the payloads differ, and one of those."""
        total, differing, witness, known = 0, 0, None, {}
        ends = [p["emitted"] * p[k][p["of"]] for p in pairs for k in ("low", "high")]
        low, high = (sum(f(a, b) for a, b in zip(ends[::2], ends[1::2])) + frame.bias() for f in (np.minimum, np.maximum))
        starts = segments(frame, low, high)
        for c in range(len(pairs[0]["of"])):
            join = Join(reference, pairs, c, int(frame.bias()[c]), starts[c], known)
            count, wrong, found = join.compared()
            total, differing, witness = total + count, differing + wrong, witness or found
            state.runs &= join.runs
        return total, differing, witness


class Join:
    """One channel of a sum of two operands. Accumulators are counted in the smallest steps that reach the emitted neuron whole. What it
    sends hangs on its potential alone, so its thresholds are lines: each is held against the reference's for every
    value of the operand with fewer."""

    def __init__(self, reference, pairs, c, bias, segments, known):
        f = pairs[0]["of"][c]
        e, r = [int(p["emitted"][c]) for p in pairs], [int(p["reference"][f]) for p in pairs]
        g = [math.gcd(a, b) for a, b in zip(e, r)]
        self.step, self.factor = [b // d for b, d in zip(r, g)], [a // d for a, d in zip(e, g)]
        self.low, self.high = ([int(p[k][f]) * d for p, d in zip(pairs, g)] for k in ("low", "high"))
        self.start, self.channel = [int(np.broadcast_to(b, reference.filters)[f]) for b in reference.bias], c
        self.rule, self.bias = reference.rule.rows([f]), bias
        self.starts, self.values, self.runs = segments
        self.known, self.key = known, repr((self.step, self.factor, self.low, self.high, self.start, bias, self.starts.tobytes(), self.values.tobytes(), [
            float(s[0]) for s in self.rule.operands], [(i, float(v[0])) for i, v in self.rule.constants]))

    def wanted(self, *units):
        return self.rule.payload(*(s * u + b for s, u, b in zip(self.step, units, self.start)))

    def compared(self):
        """Pairs, how many of them differ, and one of those; the same for channels of the same numbers."""
        if self.key not in self.known:
            self.known[self.key] = self.count()
        count, wrong, found = self.known[self.key]
        return count, wrong, found and {**found, "channel": self.channel}

    def count(self):
        spans = [h - l + 1 for l, h in zip(self.low, self.high)]
        outer = 0 if spans[0] <= spans[1] else 1
        order = (lambda o, i: (o, i)) if outer == 0 else (lambda o, i: (i, o))
        inner, m = 1 - outer, self.factor[1 - outer]
        if m < 0 or m == 0 and spans[inner] > 1:
            raise NotCheckable("an operand that does not raise the potential")
        lo, hi = self.low[inner], self.high[inner]
        ends = [int(self.wanted(*(np.array([[v]]) for v in side))[0, 0]) for side in (self.low, self.high)]
        levels = np.arange(min(ends[0], self.values[0]) + 1, max(ends[1], self.values[-1]) + 1)[:, None]
        if spans[outer] * len(levels) > GRID:
            raise NotCheckable(f"a sum of two accumulators, {spans[outer] * len(levels)} thresholds: more than this checker tries")
        at = np.searchsorted(self.values, levels[:, 0])
        least = np.append(self.starts, FAR)[at][:, None]  # the smallest potential of each level
        differing, witness, part = 0, None, max(1, 400_000 // max(len(levels), 1))
        for begin in range(self.low[outer], self.high[outer] + 1, part):
            o = np.arange(begin, min(begin + part, self.high[outer] + 1))[None]
            flat = np.broadcast_to(o, (len(levels), o.shape[1])).reshape(1, -1)
            level = np.broadcast_to(levels, (len(levels), o.shape[1])).reshape(1, -1)
            own = bisect(lambda u: self.wanted(*order(flat, u)) >= level, np.full(flat.shape, lo), np.full(flat.shape, hi))
            own = own.reshape(len(levels), -1)
            theirs = np.clip(-((self.factor[outer] * o + self.bias - least) // max(m, 1)), lo, hi + 1)
            first, last = np.minimum(own, theirs), np.maximum(own, theirs)
            before = np.concatenate([np.full((1, o.shape[1]), lo), np.maximum.accumulate(last)[:-1]]) if len(levels) else last
            differing += int(np.maximum(last - np.maximum(first, before), 0).sum())
            if witness is None and (own != theirs).any():
                k, j = np.argwhere(own != theirs)[0]
                u = order(np.array([[o[0, j]]]), np.array([[first[k, j]]]))
                v = sum(f * int(x[0, 0]) for f, x in zip(self.factor, u)) + self.bias
                witness = {"accumulators": [int(s * x[0, 0] + b) for s, x, b in zip(self.step, u, self.start)],
                           "reference": int(self.wanted(*u)[0, 0]), "emitted": int(self.values[np.searchsorted(self.starts, v, "right") - 1])}
        return spans[0] * spans[1], differing, witness


def segments(frame, low, high):
    """For each channel the potentials from `low` to `high` at which what is sent in a frame changes, what it sums up to from there on,
    and whether all trains are runs of single spikes. Where both ends send the same train, all between do."""
    channel, a, b, found = np.arange(len(low)), low, high, []
    while len(channel):
        at = np.arange(len(channel)) - np.searchsorted(channel, channel)
        first, last = (np.repeat(low[:, None], at.max() + 1, 1) for _ in range(2))
        first[channel, at], last[channel, at] = a, b
        (x, trains), (y, others) = frame.answers(first), frame.answers(last)
        x, same, runs = x[channel, at], (x == y)[channel, at], np.ones(len(channel), bool)
        if trains is not None:
            sent = trains[:, channel, at]
            same &= (sent == others[:, channel, at]).all(0)
            runs = (np.diff(sent, axis=0) <= 0).all(0) & ((sent == 0) | (sent == 1)).all(0)
        found.append((channel[same], a[same], x[same], runs[same]))
        channel, a, b = channel[~same], a[~same], b[~same]
        middle = (a + b) >> 1
        channel, a, b = np.concatenate([channel] * 2), np.concatenate([a, middle + 1]), np.concatenate([middle, b])
        order = np.argsort(channel, kind="stable")
        channel, a, b = channel[order], a[order], b[order]
        if len(channel) > 1_000_000:
            raise NotCheckable("a neuron that answers too many trains")
    channel, starts, values, runs = (np.concatenate(v) for v in zip(*found))
    order = np.lexsort((starts, channel))
    channel, starts, values, runs = channel[order], starts[order], values[order], runs[order]
    if ((np.diff(values) < 0) & (np.diff(channel) == 0)).any():
        raise NotCheckable("a neuron that sends less where its potential is higher")
    cut = np.searchsorted(channel, np.arange(1, len(low)))
    return list(zip(np.split(starts, cut), np.split(values, cut), [bool(r.all()) for r in np.split(runs, cut)]))
