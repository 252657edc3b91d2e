"""The rule of sums with accumulators against fractions."""

from fractions import Fraction

import numpy as np
import pytest

from snnc_check.rule import Quantiser, Rule


@pytest.mark.parametrize("ties", [False, True])
def test_exact_sums_are_those_of_fractions(ties):
    rng = np.random.default_rng(1)
    for _ in range(40):
        scale = np.float32(rng.uniform(1e-3, 1))
        # Scales that are multiples of each other make ties.
        first, second = (scale / 4, scale / 2) if ties else (rng.uniform(1e-5, 1e-2), rng.uniform(1e-3, 1))
        first, second = np.float32(first), np.float32(second)
        rule = Rule([np.full(1, first), np.full(1, second)], [], Quantiser(scale, 0, -128, 127), exact=True)
        a, b = rng.integers(-3000, 3000, (1, 50)), rng.integers(-300, 300, (1, 50))
        found = rule.payload(a, b)[0]
        parts = [Fraction(float(s)) for s in (first, second, scale)]
        for x, y, payload in zip(a[0], b[0], found):
            level = round((parts[0] * int(x) + parts[1] * int(y)) / parts[2])
            assert payload == max(-128, min(127, level))
