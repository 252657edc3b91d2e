"""What the reader of the model and the readers of the targets share: neurons, synapses, pools, answers.

Every neuron of the reference has a number of its own (its *id*), whatever layout a file has: transposes,
reshapes, joins and pools are then index arithmetic, and two networks have the same geometry exactly if the
same ids meet with the same weights. Id -1 is padding, which always brings 0.
"""

import numpy as np


class Refused(Exception):
    """The artefact, the certificate or the model is damaged, incomplete, or of another network."""


# What reading damaged numbers raises; everywhere it means that the file is refused.
MALFORMED = (KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError, MemoryError, OSError, RecursionError)


CHECKED, WRONG, OPEN = "confirmed", "refuted", "not checkable"


class NotCheckable(Exception):
    """Nothing wrong was found, but this checker has no argument for it."""


class Wrong(Exception):
    """A statement is false; the witness shows it."""

    def __init__(self, why, **witness):
        super().__init__(why)
        self.witness = witness


class State:
    """What a node of the emitted network sends: whose payloads, and how they come in time."""

    def __init__(self, ids=None, times=1, constant=False, runs=True, why=None, encoder=None):
        self.ids, self.times, self.constant, self.runs, self.why, self.encoder = ids, times, constant, runs, why, encoder
        self.units = self.codes = None  # in another unit than the model's: the real value of a payload, and of a code


def bisect(reached, low, high):
    """The smallest number from `low` to `high` at which `reached` is true, `high + 1` where none is; arrays, one search for each."""
    a, b = low - 1, high + 1
    while (b - a > 1).any():
        middle = (a + b) >> 1
        up = reached(middle)
        a, b = np.where((b - a > 1) & ~up, middle, a), np.where((b - a > 1) & up, middle, b)
    return b


class Space:
    """Hands out ids; knows what a pooled neuron is the maximum of."""

    def __init__(self):
        self.size = 0
        self.windows = {}  # bytes of the sorted ids of a window -> id of the maximum
        self.members = {}  # id of a maximum -> ids
        self.low, self.high = [], []  # blocks of payload ranges, in order of ids

    def add(self, count, low, high):
        ids = np.arange(self.size, self.size + count, dtype=np.int64)
        self.size += count
        self.low.append(np.broadcast_to(np.asarray(low, np.int64), count))
        self.high.append(np.broadcast_to(np.asarray(high, np.int64), count))
        return ids

    def ranges(self):
        """Smallest and largest payload by id; the last entry, which -1 finds, is padding."""
        return (np.concatenate([*self.low, [0]]), np.concatenate([*self.high, [0]]))

    def pool(self, rows):
        """Ids of the maxima of windows given as rows of ids; -1 (padding) never wins."""
        rows, (low, high), new = np.sort(rows, axis=1), self.ranges(), []
        out = np.empty(len(rows), np.int64)
        for i, row in enumerate(rows):
            row = row[row >= 0]
            row = row[np.r_[True, row[1:] != row[:-1]]] if len(row) else row
            if len(row) == 0:
                raise NotCheckable("a window of nothing but padding")
            if len(row) == 1:
                out[i] = row[0]
                continue
            key = row.tobytes()
            if key not in self.windows:
                self.windows[key] = self.size + len(new)
                self.members[self.size + len(new)] = row
                new.append(row)
            out[i] = self.windows[key]
        self.add(len(new), [low[r].max() for r in new], [high[r].max() for r in new])
        return out


def windows(ids, kernel, strides, dilations, before, counts, fill=-1):
    """Ids (C, spatial..) to (positions, C, cells): what each window sees, `fill` for padding."""
    rank = len(kernel)
    if ids.ndim != rank + 1:
        raise NotCheckable(f"a window of {rank} dimensions over a map of shape {list(ids.shape)}")
    axes = []
    for d in range(rank):
        at = np.arange(counts[d])[:, None] * strides[d] + np.arange(kernel[d])[None] * dilations[d] - before[d]
        axes.append(np.where((at >= 0) & (at < ids.shape[1 + d]), at, -1))
    grid_o = np.indices(counts).reshape(rank, -1)
    grid_k = np.indices(kernel).reshape(rank, -1)
    flat = np.zeros((grid_o.shape[1], grid_k.shape[1]), np.int64)
    inside = np.ones_like(flat, bool)
    for d in range(rank):
        at = axes[d][grid_o[d][:, None], grid_k[d][None]]
        inside &= at >= 0
        flat = flat * ids.shape[1 + d] + np.maximum(at, 0)
    plane = ids.reshape(ids.shape[0], -1)
    return np.where(inside[:, None, :], plane[:, flat].transpose(1, 0, 2), fill)


class Linear:
    """Synapses onto a population of F channels with P places each: target (f, p) gets
    `sum_k weights[f, k] * payload(sources[p, g, k])`, g the group of f."""

    def __init__(self, sources, weights, groups=1):
        self.sources, self.weights, self.groups = sources, np.asarray(weights, np.int64), groups
        self.filters, self.places = len(self.weights), sources.shape[0]

    @staticmethod
    def convolution(ids, weights, window, groups, counts):
        f, per = weights.shape[:2]
        if ids.shape[0] != per * groups or f % groups:
            raise Refused(f"weights of shape {list(weights.shape)} over {ids.shape[0]} channels in {groups} groups")
        seen = windows(ids, *window, counts)
        seen = seen.reshape(seen.shape[0], groups, per * seen.shape[2])
        return Linear(seen, weights.reshape(f, -1), groups)

    @staticmethod
    def dense(ids, weights):
        if weights.shape[1] != ids.size:
            raise Refused(f"weights of shape {list(weights.shape)} over {ids.size} sources")
        return Linear(ids.reshape(1, 1, -1), weights)

    @staticmethod
    def one_to_one(ids, weights):
        c = ids.shape[0] if ids.ndim else 1
        plane = ids.reshape(c, -1)
        w = np.broadcast_to(np.asarray(weights, np.int64).reshape(-1, 1), (c, 1))
        return Linear(plane.T[:, :, None], w, c)

    def scaled(self, gain):
        return Linear(self.sources, self.weights * np.asarray(gain, np.int64).reshape(-1, 1), self.groups)

    def group(self, f):
        return f // (self.filters // self.groups)

    def columns(self):
        """The synapses without groups and without doubles: bytes of the sources in all places -> the
        weight of each filter."""
        found, per = {}, self.filters // self.groups
        for g in range(self.groups):
            rows = slice(g * per, (g + 1) * per)
            for k in range(self.sources.shape[2]):
                w, column = self.weights[rows, k], self.sources[:, g, k]
                if not w.any() or (column < 0).all():
                    continue
                key = np.ascontiguousarray(column).tobytes()
                total = found.setdefault(key, np.zeros(self.filters, np.int64))
                total[rows] += w
        return {k: w for k, w in found.items() if w.any()}

    def synapses(self, f, p):
        """Source id -> weight of one target neuron."""
        found = {}
        for s, w in zip(self.sources[p, self.group(f)], self.weights[f]):
            if s >= 0 and w:
                found[int(s)] = found.get(int(s), 0) + int(w)
        return {s: w for s, w in found.items() if w}

    def bounds(self, low, high):
        """Smallest and largest sum of each filter, any place, for payload ranges by id."""
        lo, hi = low[self.sources].min(0), high[self.sources].max(0)  # (G, K)
        per = self.filters // self.groups
        out = np.empty((2, self.filters), np.int64)
        for g in range(self.groups):
            w = self.weights[g * per:(g + 1) * per]
            up, down = np.maximum(w, 0), np.minimum(w, 0)
            out[0, g * per:(g + 1) * per] = up @ lo[g] + down @ hi[g]
            out[1, g * per:(g + 1) * per] = up @ hi[g] + down @ lo[g]
        return out

    def run(self, values):
        """Sums (N, F, P) for payloads (N, ids + 1), the last column 0."""
        per, out = self.filters // self.groups, []
        for g in range(self.groups):
            seen = values[:, self.sources[:, g, :]].astype(np.float64)  # (N, P, K)
            w = self.weights[g * per:(g + 1) * per].astype(np.float64)
            out.append(np.rint(seen @ w.T).astype(np.int64).transpose(0, 2, 1))
        return np.concatenate(out, 1)
