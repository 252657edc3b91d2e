//! Every kernel on every instruction set of this processor against its definition.

use proptest::prelude::*;

use super::neurons::{Line, fit};
use super::product::Product;
use super::reals::{Lists, Rows, nonzero};
use super::{Isa, Kernels, elements};

fn every() -> impl Iterator<Item = Isa> {
    Kernels::ALL.into_iter().filter(|&k| k <= Kernels::best()).filter_map(Isa::of)
}

#[test]
fn an_instruction_set_is_never_more_than_the_processor_has() {
    assert!(Isa::of(Kernels::Scalar).is_none());
    for kernels in &Kernels::ALL[1..] {
        assert!(Isa::of(*kernels).is_some_and(|isa| isa.kernels() <= Kernels::best()));
    }
}

proptest! {
    #[test]
    fn products_are_sums_of_products(
        (inputs, outputs, taps, rows) in (1usize..40, 1usize..70, 1usize..5, 0usize..40),
        bytes in prop::collection::vec(any::<u8>(), 600),
        weights in prop::collection::vec(any::<i8>(), 977),
        add: bool,
    ) {
        let weight = |o: usize, t: usize, i: usize| weights[(o * 31 + t * 7 + i * 13) % 977];
        let taps: Vec<usize> = (0..taps).map(|t| t * 61).collect();
        let rows: Vec<usize> = (0..rows).map(|r| r * 7).collect();
        let initial: Vec<i32> = (0..outputs as i32).map(|o| o * 1000 - 7).collect();
        let product = Product::new(taps.clone(), inputs, &initial, weight);
        for isa in every() {
            let mut sums = vec![5; rows.len() * product.width()];
            product.run(isa, &bytes, &rows, &mut sums, add);
            for (r, &row) in rows.iter().enumerate() {
                for o in 0..outputs {
                    let mut sum = initial[o] + if add { 5 } else { 0 };
                    for (t, &tap) in taps.iter().enumerate() {
                        for i in 0..inputs {
                            sum += i32::from(bytes[row + tap + i]) * i32::from(weight(o, t, i));
                        }
                    }
                    prop_assert_eq!(sums[r * product.width() + o], sum, "{:?}", isa);
                }
            }
        }
    }

    #[test]
    fn spikes_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..40_000), zero: u8) {
        let spikes = bytes.iter().filter(|&&b| b != zero).count() as u64;
        let payload = bytes.iter().map(|b| u64::from(b.abs_diff(zero))).sum::<u64>();
        for isa in every() {
            prop_assert_eq!(elements::activity(isa, &bytes, zero), (spikes, payload));
        }
    }

    #[test]
    fn reals_become_codes(
        x in prop::collection::vec(any::<f32>(), 0..100),
        scale in prop_oneof![Just(0.0f32), Just(1.0), 1e-3f32..10.0],
    ) {
        let code = |x: f32| {
            let level = (x / scale).round_ties_even();
            let level = if level.is_nan() { 0 } else { level as i64 };
            (level.clamp(-100, 155) + 100) as u8
        };
        let expected: Vec<u8> = x.iter().map(|&x| code(x)).collect();
        for isa in every() {
            let mut codes = vec![0; x.len()];
            elements::quantise(isa, &x, scale, -100.0, 155.0, &mut codes);
            prop_assert_eq!(&codes, &expected);
        }
    }

    #[test]
    fn a_line_that_is_found_has_the_thresholds(
        multiplier in 1i64..9000, offset in -20_000i64..20_000, levels in 1i64..=255,
        half in 1i64..2000,
    ) {
        let answer = |v: i64| ((multiplier * v + offset).div_euclid(9000)).clamp(0, levels);
        let reach = (-half, half);
        let first = |k: i64| (-half..=half).find(|&v| answer(v) >= k).unwrap_or(half + 1);
        let thresholds: Vec<i64> = (1..=levels).map(first).collect();
        let line = fit(&thresholds, reach);
        if let Some((slope, offset)) = line {
            for v in -half..=half {
                let byte = Line::byte(v as i32, slope, offset, (0.0, levels as f32));
                prop_assert_eq!(i64::from(byte), answer(v), "at {}", v);
            }
        }
    }
}

#[test]
fn uneven_thresholds_have_no_line() {
    assert!(fit(&[1, 2, 3, 4], (-10, 10)).is_some());
    assert!(fit(&[1, 2, 30, 31], (-10, 100)).is_none());
    assert!(fit(&[], (-10, 10)).is_some());
    assert!(fit(&[-20, -11], (-10, 10)).is_some_and(|(_, offset)| offset >= 2.0));
}

proptest! {
    #[test]
    fn rows_of_reals_are_summed_in_order(
        (sources, targets) in (1usize..60, 1usize..150),
        lists in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..40), 0..9),
        weights in prop::collection::vec(-1.0f32..1.0, 977),
        valued: bool,
    ) {
        let weight = |t: usize, s: usize| weights[(t * 31 + s * 7) % 977];
        let rows = Rows::new(sources, targets, weight);
        let (mut indices, mut values) = (vec![0; lists.len() * 40], vec![0.0; lists.len() * 40]);
        let counts: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
        for (i, list) in lists.iter().enumerate() {
            for (k, &entry) in list.iter().enumerate() {
                indices[i * 40 + k] = u32::from(entry) % sources as u32;
                values[i * 40 + k] = if valued { weights[usize::from(entry) % 977] } else { 1.0 };
            }
        }
        let given: &[f32] = if valued { &values } else { &[] };
        let given = Lists { indices: &indices, values: given, counts: &counts, stride: 40 };
        for isa in every() {
            for block in rows.blocks() {
                let mut sums = vec![9.0; lists.len() * block.width()];
                block.sums(isa, given, &mut sums);
                for (i, list) in lists.iter().enumerate() {
                    for t in 0..block.targets() {
                        let entry = |sum: f32, k: usize| {
                            let source = indices[i * 40 + k] as usize;
                            sum + weight(block.first() + t, source) * values[i * 40 + k]
                        };
                        let sum = (0..list.len()).fold(0.0, entry);
                        prop_assert_eq!(sums[i * block.width() + t].to_bits(), sum.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_zero_is_listed(
        values in prop::collection::vec(prop_oneof![Just(0.0f32), Just(-0.0), Just(1.0), Just(-3.0), Just(f32::NAN)], 0..100),
    ) {
        let expected: Vec<u32> =
            (0..).zip(&values).filter(|(_, x)| **x != 0.0).map(|(i, _)| i).collect();
        for isa in every() {
            let mut indices = vec![0; values.len().next_multiple_of(16)];
            let count = nonzero(isa, &values, &mut indices);
            prop_assert_eq!(&indices[..count], &expected);
        }
    }
}
