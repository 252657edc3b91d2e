"""Populations in a larger map than the model's, and such as only pass payloads on."""

import numpy as np

from .common import Linear, NotCheckable, State
from .emitted import Frame


class Layout:
    def passing(self, node):
        """A population beside the model's, each neuron of which sends on what one neuron before it sends."""
        (ports, pool) = self.ports(node)
        if len(ports) != 1 or pool is not None or self.timing["timesteps"] > 1:
            raise NotCheckable("it stands for no population of the model")
        (port,), frame, ids = ports, Frame(node, self.timing, node["shape"][0], False), []
        for c in range(port.filters):
            taps = np.flatnonzero(port.weights[c])
            at = port.sources[:, port.group(c), taps[0]] if len(taps) == 1 else np.array([-1])
            if (at < 0).any():
                raise NotCheckable("it stands for no population of the model")
            x = np.arange(self.model.low[at].min(), self.model.high[at].max() + 1)[None]
            one = Frame(self.row(frame, c), self.timing, 1, False)
            if (one.answers(port.weights[c, taps[0]] * x + frame.bias()[c])[0] != x).any():
                raise NotCheckable("it stands for no population of the model, and changes what it gets")
            ids.append(at)
        return State(np.concatenate(ids).reshape(node["shape"]), 1, True, True)

    def border(self, reference, port, shape, node):
        """A map that is larger than the model's, which lies within it: the synapses of that part, and the ids of the whole. What sends the
        border is known to no one, so readers must not take it in."""
        operand, own = reference.operands[0], reference.shape
        if len(reference.operands) > 1 or len(shape) != len(own) or shape[0] % own[0]:
            return port, None
        wanted = set(operand.columns())
        grid = port.sources.reshape(*shape[1:], *port.sources.shape[1:])
        for offset in np.ndindex(*(max(a - b + 1, 0) for a, b in zip(shape[1:], own[1:]))):
            part = tuple(slice(o, o + n) for o, n in zip(offset, own[1:]))
            inner = Linear(grid[part].reshape(-1, *grid.shape[len(own) - 1:]), port.weights, port.groups)
            if set(inner.columns()) == wanted:
                low, high = node["parameters"]["minimum"], node["parameters"]["maximum"]
                ids = self.model.space.add(int(np.prod(shape)), low, high).reshape(shape)
                self.model.low, self.model.high = self.model.space.ranges()
                ids[(slice(None), *part)] = np.resize(reference.ids, (shape[0], *own[1:]))
                return inner, ids
        return port, None
