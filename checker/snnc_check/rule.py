"""The integer rule `ort-f32`, in which the reference turns accumulators into codes.

One operand:      y = clamp(RNE(f32(acc) * M) + zero, low, high), M = f32(f32(s_x * s_w) / s_y)
Several codes:    y = clamp(RNE(f32(f32(f32(a_1) * s_1) + f32(f32(a_2) * s_2) + ..) / s_y) + zero, low, high),
                  added in the order of the model; a bias that is no whole number of units is an operand.
With accumulators among several operands: y = clamp(RNE((a_1 * s_1 + a_2 * s_2 + ..) / s_y) + zero, low, high)
                  in exact rationals, if the quantiser has no offset.
All other products, sums and quotients are rounded to f32 one by one. A payload is y - zero.
"""

import math

import numpy as np

F32 = np.float32


def rounded(name, x):
    away = {"up": np.ceil, "half-away": lambda a: np.floor(a + 0.5), "half-toward-zero": lambda a: np.ceil(a - 0.5)}
    if name in away:
        return np.copysign(away[name](np.abs(x.astype(np.float64))), x)
    return {"half-even": np.rint, "floor": np.floor, "ceil": np.ceil, "down": np.trunc}[name](x)


def exact_units(terms, scale):
    """`sum(terms) / scale` in f64, on the right side of every integer and half, and on it only where the sum is.

    Products of 29 and 24 bits are exact in f64; so is the sign of a sum by `math.fsum`."""
    terms = np.broadcast_arrays(*terms)
    units = sum(terms) / scale
    tie = np.rint(units * 2) / 2
    for at in np.argwhere(np.abs(units - tie) < 1e-6):
        at = tuple(at)
        beyond = math.fsum([*(float(t[at]) for t in terms), -tie[at] * scale])
        units[at] = tie[at] + (beyond > 0) * 1e-6 - (beyond < 0) * 1e-6
    return units


class Quantiser:
    """Scale, zero point and range of codes."""

    def __init__(self, scale, zero, low, high, rounding="half-even", offset=None):
        self.scale, self.zero, self.low, self.high = F32(scale), int(zero), int(low), int(high)
        self.rounding, self.offset = rounding, None if offset is None else F32(offset)

    def payload(self, units):
        """An offset is added before rounding, in place of the zero point after it (QONNX Quant)."""
        zero = self.zero if self.offset is None else 0
        units = units if self.offset is None else units + self.offset
        level = np.clip(rounded(self.rounding, units), -2.0 ** 40, 2.0 ** 40).astype(np.int64)
        return np.clip(level + zero, self.low, self.high) - self.zero

    @property
    def levels(self):
        return self.low - self.zero, self.high - self.zero

    def code(self, real):
        """Payloads of reals, as QuantizeLinear has it."""
        return self.payload((np.asarray(real, F32) / self.scale).astype(F32))


class Rule:
    """Payloads for integer accumulators, one array (F, n) for each operand, a row for each channel.

    `operands` are f32 scales by channel, `constants` pairs (place in the sum, f32 by channel), `affine`
    a pair of f64 by channel that scales and shifts the real sum (a batch norm), or None. `exact` sums are
    not rounded to f32."""

    def __init__(self, operands, constants, out, affine=None, exact=False):
        self.operands, self.constants, self.out, self.affine, self.exact = operands, constants, out, affine, exact

    def rows(self, keep):
        cut = lambda v: v[keep]
        affine = self.affine and tuple(map(cut, self.affine))
        return Rule([cut(s) for s in self.operands], [(i, cut(c)) for i, c in self.constants], self.out, affine, self.exact)

    def units(self, *accumulators):
        column = lambda v, t=F32: np.asarray(v, t)[:, None]
        if self.affine is not None:
            total = sum(a * column(s, np.float64) for a, s in zip(accumulators, self.operands))
            total = total + sum(column(c, np.float64) for _, c in self.constants)
            return (total * column(self.affine[0], float) + column(self.affine[1], float)) / float(self.out.scale)
        if self.exact:
            terms = [a * column(s, np.float64) for a, s in zip(accumulators, self.operands)]
            return exact_units(terms + [column(c, np.float64) for _, c in self.constants], float(self.out.scale))
        if len(self.operands) == 1 and not self.constants:
            return accumulators[0].astype(F32) * column((self.operands[0] / self.out.scale).astype(F32))
        terms = [a.astype(F32) * column(s) for a, s in zip(accumulators, self.operands)]
        for place, constant in self.constants:
            terms.insert(place, column(constant))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total / self.out.scale

    def payload(self, *accumulators):
        return self.out.payload(self.units(*accumulators))

    def tied(self, *accumulators):
        """The payloads just below and above, where f32 arithmetic in another order could make a difference."""
        units = self.units(*accumulators)
        if self.affine is None:
            slack = 0.0
        else:
            size = sum(np.abs(a * np.float64(s)[:, None]) for a, s in zip(accumulators, self.operands))
            size = size + sum(np.abs(np.float64(c))[:, None] for _, c in self.constants)
            size = size * np.abs(self.affine[0])[:, None] + np.abs(self.affine[1])[:, None]
            slack = size / float(self.out.scale) * 2.0 ** -21
        return self.out.payload(units - slack), self.out.payload(units + slack)
