//! The searches against exhaustive twins.

use super::*;
use proptest::prelude::*;

fn staircase(scale: f64, offset: f64, levels: i64, range: (i64, i64)) -> Staircase {
    let answer = |v: i64| ((v as f64 * scale + offset).round_ties_even() as i64).clamp(0, levels);
    let thresholds = snnc_ir::analysis::bisect_thresholds(answer, range, (0, levels));
    Staircase { thresholds, range }
}

fn count_one(wanted: &Staircase, found: &Found<OneParameters>, bits: i64) -> u64 {
    let levels = wanted.thresholds.len() as i64;
    let p = found.parameters;
    let (low, high) = wanted.range;
    (low..=high)
        .filter(|&v| {
            let reference = wanted.thresholds.iter().filter(|&&t| t <= v).count() as i64;
            // As the documentation writes it, in exact rationals.
            let n = 16 * (found.factor * v - p.threshold);
            let d = p.sixteenths << (4 - bits);
            let y = (-((-n).div_euclid(d))).clamp(0, levels);
            y != reference
        })
        .count() as u64
}

proptest! {
    #[test]
    fn counts_are_those_of_running_akida_1(scale in 0.001f64..0.4, offset in -20f64..20.0, b in prop::sample::select(vec![1u32, 2, 4]), low in -3000i64..0, high in 1i64..3000, factor in 1i64..8) {
        let wanted = staircase(scale, offset, (1 << b) - 1, (low, high));
        let limits = OneLimits { bits: b, sixteenths: 65_535 * 16, threshold: (1 << 19) - 1, factor };
        let found = search_one(&wanted, limits).unwrap();
        prop_assert_eq!(found.differing, count_one(&wanted, &found, b.into()));
        prop_assert!(found.factor <= factor);
    }

    #[test]
    fn an_akida_1_line_is_found(q in 16i64..4000, threshold in -500i64..500, b in prop::sample::select(vec![1u32, 2, 4])) {
        let levels = (1usize << b) - 1;
        let thresholds: Vec<i64> = (0..levels).map(|k| threshold + 1 + ((k as i64 * q) >> b)).collect();
        let range = (threshold - 100, thresholds[levels - 1] + 100);
        let wanted = Staircase { thresholds, range };
        let limits = OneLimits { bits: b, sixteenths: 65_535 * 16, threshold: 1 << 19, factor: 1 };
        prop_assert_eq!(search_one(&wanted, limits).unwrap().differing, 0);
    }
}

proptest! {
    // Each case tries some hundred thousand candidates.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_other_akida_1_parameters_are_better(scale in 0.02f64..0.9, offset in -3f64..6.0, b in prop::sample::select(vec![1u32, 2, 4]), low in -20i64..0, high in 1i64..60) {
        let wanted = staircase(scale, offset, (1 << b) - 1, (low, high));
        let limits = OneLimits { bits: b, sixteenths: 65_535, threshold: 1 << 19, factor: 1 };
        let found = search_one(&wanted, limits).unwrap();
        let mut least = u64::MAX;
        for threshold in low - 40..=high + 40 {
            for sixteenths in 1..=(120 << b) {
                let candidate = Found { parameters: OneParameters { threshold, sixteenths }, factor: 1, differing: 0 };
                let reached = |k: usize| threshold + 1 + ((k as i64 * sixteenths) >> b);
                let differing = wanted.differing((0..wanted.thresholds.len()).map(reached));
                least = least.min(differing);
                if threshold % 37 == 0 && sixteenths % 41 == 0 {
                    prop_assert_eq!(differing, count_one(&wanted, &candidate, b.into()));
                }
            }
        }
        // The search is a heuristic where no line fits; it may be off by one accumulator.
        prop_assert!(found.differing <= least + 1, "{} against {least}", found.differing);
        prop_assert!(least > 0 || found.differing == 0);
    }

}

proptest! {
    #[test]
    fn counts_are_those_of_running_akida_2(scale in 0.001f64..0.9, offset in -20f64..20.0, levels in prop::sample::select(vec![3i64, 15, 127]), low in -3000i64..0, high in 1i64..3000, factor in 1i64..6, zero in -50i64..50) {
        let wanted = staircase(scale, offset, levels, (low, high));
        let found = search_two(&wanted, TwoLimits { minimum: 0, factor, zero_bias: zero, biased: true }).unwrap();
        let p = found.parameters;
        let neuron = snnc_ir::AkidaTwoNeuron {
            bias: vec![p.bias],
            bias_shift: vec![p.bias_shift],
            scale: vec![p.scale],
            shift: vec![p.shift],
            ceiling: Some(vec![ceiling(&p, levels, if levels > 15 { 127 } else { 15 }).unwrap()]),
            ..super::super::lower::passing(1, if levels > 15 { 8 } else { 4 })
        };
        let differing = (low..=high).filter(|&v| {
            let reference = wanted.thresholds.iter().filter(|&&t| t <= v).count() as i64;
            neuron.payload(0, found.factor * (v + zero)) != reference
        });
        prop_assert_eq!(found.differing, differing.count() as u64);
        prop_assert!((1..=255).contains(&p.scale) && (-128..=127).contains(&p.bias));
        prop_assert!((0..=31).contains(&p.bias_shift) && (-32..=31).contains(&p.shift));
    }

    #[test]
    fn an_akida_2_line_is_found(scale in 1i64..256, right in 0i64..9, bias in -128i64..128, bias_shift in 0i64..6) {
        let p = TwoParameters { bias, bias_shift, scale, shift: -right };
        let thresholds: Vec<i64> = (1..=15).map(|k| p.reached(k)).collect();
        let range = (thresholds[0] - 10, thresholds[14] + 10);
        let wanted = Staircase { thresholds, range };
        prop_assert_eq!(search_two(&wanted, TwoLimits { minimum: 0, factor: 1, zero_bias: 0, biased: true }).unwrap().differing, 0);
    }
}

#[test]
fn overlapping_differences_count_once() {
    let wanted = Staircase { thresholds: vec![10, 12, 14], range: (0, 20) };
    assert_eq!(wanted.differing([10, 12, 14].into_iter()), 0);
    assert_eq!(wanted.differing([11, 12, 14].into_iter()), 1);
    // 10..13, 12..15 and 14..17 cover 10 to 16.
    assert_eq!(wanted.differing([13, 15, 17].into_iter()), 7);
    // Beyond the range nothing is seen.
    assert_eq!(wanted.differing([10, 12, 1000].into_iter()), 7);
}

#[test]
fn nearest_mantissas_lie_next_to_the_number() {
    assert_eq!(nearest_mantissa(100), (100, 0));
    assert_eq!(nearest_mantissa(127), (127, 0));
    assert_eq!(nearest_mantissa(255), (127, 1));
    assert_eq!(nearest_mantissa(-1109), (-69, 4));
    assert_eq!(nearest_mantissa(0), (0, 0));
}
