//! Every kernel on every instruction set of this processor against its definition.

use proptest::prelude::*;

use super::neurons::{Line, fit};
use super::product::Product;
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
