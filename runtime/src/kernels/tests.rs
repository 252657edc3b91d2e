//! Every kernel on every instruction set of this processor against its definition.

use proptest::prelude::*;

use super::events::{Layout, Spikes, Sums};
use super::lines::{fit, fit_below, fit_wide};
use super::neurons::{
    Binary, Input, Line, Sent, WideLine, answer, answer_blocks, answer_uneven_blocks, fire,
    fire_blocks,
};
use super::product::{BLOCK, Product};
use super::reals::bits::{self, bits, gather, spread};
use super::reals::{Lists, Maps, Rows, largest_of_four, nonzero, transpose};
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
        (inputs, outputs, taps, rows) in (1usize..150, 1usize..150, 1usize..5, 0usize..40),
        bytes in prop::collection::vec(any::<u8>(), 700),
        (most, silent) in (1u8.., 0u32..10),
        weights in prop::collection::vec(any::<i8>(), 977),
        add: bool,
    ) {
        let mut bytes = bytes;
        for (i, byte) in bytes.iter_mut().enumerate() {
            let silent = (i as u32 / 3).wrapping_mul(2_654_435_761) >> 16 & 15 < silent;
            *byte = if silent { 0 } else { *byte % most.max(1) };
        }
        let weight = |o: usize, t: usize, i: usize| weights[(o * 31 + t * 7 + i * 13) % 977];
        let taps: Vec<usize> = (0..taps).map(|t| t * 61).collect();
        let rows: Vec<usize> = (0..rows).map(|r| r * 7).collect();
        let initial: Vec<i32> = (0..outputs as i32).map(|o| o * 1000 - 7).collect();
        let product = Product::new(taps.clone(), inputs, &initial, weight);
        let mut expected = Vec::with_capacity(rows.len() * outputs);
        for &row in &rows {
            for (o, initial) in initial.iter().enumerate() {
                let mut sum = initial + if add { 5 } else { 0 };
                for (t, &tap) in taps.iter().enumerate() {
                    for i in 0..inputs {
                        sum += i32::from(bytes[row + tap + i]) * i32::from(weight(o, t, i));
                    }
                }
                expected.push(sum);
            }
        }
        for isa in every() {
            let mut sums = vec![5; rows.len() * product.width()];
            product.run(isa, &bytes, &rows, &mut sums, add);
            let found = sums.chunks_exact(product.width()).flat_map(|row| &row[..outputs]);
            prop_assert!(found.eq(&expected), "{:?}", isa);
        }
    }

    #[test]
    fn sums_over_spikes_are_products(
        (height, width, steps, quads) in (1usize..5, 1usize..6, 1usize..4, 1usize..40),
        (kernel, dilations) in ((1usize..4, 1usize..4), (1usize..3, 1usize..3)),
        outputs in 1usize..200,
        spikes in prop::collection::vec(0u8..20, 977),
        (least, weights) in (0u8..20, prop::collection::vec(any::<i8>(), 977)),
        add: bool,
    ) {
        // Beyond its first rows, taps would lie outside of the map.
        let (down, right) = ((kernel.0 - 1) * dilations.0, (kernel.1 - 1) * dilations.1);
        let layout = Layout {
            lines: height + down,
            places: width + right,
            steps,
            stride: 4 * quads,
        };
        let len = layout.lines * layout.places * steps * layout.stride;
        let bytes: Vec<u8> = (0..len).map(|i| u8::from(spikes[i % 977] < least)).collect();
        let taps: Vec<usize> = (0..kernel.0)
            .flat_map(|y| (0..kernel.1).map(move |x| (y * dilations.0, x * dilations.1)))
            .map(|(y, x)| (y * layout.places + x) * layout.place_len())
            .collect();
        let places: Vec<[u32; 2]> = (0..height as u32)
            .flat_map(|y| (0..width as u32).map(move |x| [y, x]))
            .collect();
        let rows: Vec<usize> = places
            .iter()
            .flat_map(|&place| (0..steps).map(move |t| (place, t)))
            .map(|([y, x], t)| {
                (y as usize * layout.places + x as usize) * layout.place_len() + t * layout.stride
            })
            .collect();
        let initial: Vec<i32> = (0..outputs as i32).map(|o| o * 1000 - 7).collect();
        let weight = |o: usize, t: usize, i: usize| weights[(o * 31 + t * 7 + i * 13) % 977];
        let product = Product::new(taps, layout.stride, &initial, weight);
        let sums = Sums::new(&product, layout);
        for isa in every() {
            let mut spikes = Spikes::default();
            spikes.collect(isa, &bytes, layout);
            prop_assert_eq!(spikes.count(), bytes.iter().map(|&b| usize::from(b)).sum::<usize>());
            let mut expected = vec![5; rows.len() * product.width()];
            let mut found = expected.clone();
            product.run(isa, &bytes, &rows, &mut expected, add);
            sums.run(isa, &product, &spikes, &places, &mut found, add);
            let pad = |sums: &[i32]| -> Vec<i32> {
                sums.chunks_exact(product.width()).flat_map(|row| &row[..outputs]).copied().collect()
            };
            prop_assert_eq!(pad(&found), pad(&expected), "{:?}", isa);
        }
    }

    #[test]
    fn spikes_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..40_000), zero: u8) {
        let spikes = bytes.iter().filter(|&&b| b != zero).count() as u64;
        let payload = bytes.iter().map(|b| u64::from(b.abs_diff(zero))).sum::<u64>();
        for isa in every() {
            prop_assert_eq!(elements::activity(isa, &bytes, zero), (spikes, payload));
            prop_assert_eq!(elements::activity_of_chunks(isa, &bytes, zero), (spikes, payload));
            prop_assert_eq!(elements::spikes(isa, &bytes, zero), spikes);
        }
    }

    #[test]
    fn synapses_and_squares_are_added_up(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        copies in 1usize..300,
        zero: u8,
    ) {
        // Long enough now and then for sums that 32 bits would not hold.
        let bytes = bytes.repeat(copies);
        let each: Vec<u32> = (0..bytes.len() as u32)
            .map(|i| i.wrapping_mul(2_654_435_761) % (elements::MOST_SYNAPSES + 1))
            .collect();
        let squares = bytes.iter().map(|b| u64::from(b.abs_diff(zero)).pow(2)).sum::<u64>();
        let fired = bytes.iter().zip(&each).filter(|(b, _)| **b != zero);
        let synapses = fired.map(|(_, &each)| u64::from(each)).sum::<u64>();
        for isa in every() {
            prop_assert_eq!(elements::squares(isa, &bytes, zero), squares);
            prop_assert_eq!(elements::squares_of_chunks(isa, &bytes, zero), squares);
            prop_assert_eq!(elements::synapses(isa, &bytes, zero, &each), synapses);
            prop_assert_eq!(elements::synapses_of_chunks(isa, &bytes, zero, &each), synapses);
        }
    }

    #[test]
    fn windows_are_pooled(
        bytes in prop::collection::vec(any::<u8>(), 250..400),
        all in prop::collection::vec(prop::collection::vec(0usize..50, 0..6), 0..5),
        (len, empty) in (prop_oneof![1usize..150, (1usize..10).prop_map(|n| 16 * n)], any::<u8>()),
    ) {
        let mut windows = elements::Windows::default();
        let (mut most, mut sum) = (vec![7; 5 * len], vec![7; 5 * len]);
        for (w, cells) in all.iter().enumerate() {
            windows.push(w * len, cells);
            for i in 0..len {
                let at = || cells.iter().map(|&cell| bytes[cell + i]);
                most[w * len + i] = at().max().unwrap_or(empty);
                sum[w * len + i] = at().fold(0, u8::wrapping_add);
            }
        }
        for isa in every() {
            let mut pooled = vec![7; 5 * len];
            elements::maxima(isa, &bytes, &windows, len, empty, &mut pooled);
            prop_assert_eq!(&pooled, &most);
            elements::sums(isa, &bytes, &windows, len, &mut pooled);
            prop_assert_eq!(&pooled, &sum);
            elements::maxima_of_cells(isa, &bytes, &windows, len, empty, &mut pooled);
            prop_assert_eq!(&pooled, &most);
            elements::sums_of_cells(isa, &bytes, &windows, len, &mut pooled);
            prop_assert_eq!(&pooled, &sum);
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

proptest! {
    #[test]
    fn a_line_below_is_at_most_one_level_low(
        multiplier in 1i64..9000, offset in -20_000i64..20_000, levels in 1i64..=255,
        half in 1i64..2000, moved in prop::collection::vec(-1i64..=1, 255),
    ) {
        let first = |k: i64| {
            let answer = |v: i64| ((multiplier * v + offset).div_euclid(9000)).clamp(0, levels);
            (-half..=half).find(|&v| answer(v) >= k).unwrap_or(half + 1)
        };
        let mut thresholds: Vec<i64> = (1..=levels).zip(&moved).map(|(k, m)| first(k) + m).collect();
        thresholds.sort_unstable();
        if let Some((slope, offset)) = fit_below(&thresholds, (-half, half)) {
            for v in -half..=half {
                let byte = Line::byte(v as i32, slope, offset, (0.0, levels as f32));
                let level = thresholds.partition_point(|&t| t <= v) as i64;
                prop_assert!((0..=1).contains(&(level - i64::from(byte))), "at {}", v);
            }
        }
    }

    #[test]
    fn a_wide_line_has_the_thresholds(
        (shift, offset) in (20u32..36, -(1i64 << 40)..1 << 40),
        levels in 1i64..=255,
        near in prop::collection::vec((0i64..=255, -2i64..=2), 20),
    ) {
        let answer = |v: i64| ((v + offset) >> shift).clamp(0, levels);
        let reach = (-(1 << 44), 1 << 44);
        let first = |k: i64| ((k << shift) - offset).clamp(reach.0, reach.1 + 1);
        let thresholds: Vec<i64> = (1..=levels).map(first).collect();
        let (slope, offset) = fit_wide(&thresholds, reach).unwrap();
        for (k, distance) in near {
            let v = (first(k) + distance).clamp(reach.0, reach.1);
            let byte = WideLine::byte(v as f64, slope, offset, levels as f64);
            prop_assert_eq!(i64::from(byte), answer(v), "at {}", v);
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
    ) {
        let weight = |t: usize, s: usize| weights[(t * 31 + s * 7) % 977];
        let rows = Rows::new(sources, targets, weight);
        let (mut indices, mut values) = (vec![0; lists.len() * 40], vec![0.0; lists.len() * 40]);
        let counts: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
        for (i, list) in lists.iter().enumerate() {
            for (k, &entry) in list.iter().enumerate() {
                indices[i * 40 + k] = u32::from(entry) % sources as u32;
                values[i * 40 + k] = weights[usize::from(entry) % 977];
            }
        }
        let given = Lists { indices: &indices, values: &values, counts: &counts, stride: 40 };
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
    fn weights_of_spikes_are_summed_in_order(
        // Beyond 1280 sources tile by tile, and many maps ask for the next tile meanwhile.
        (sources, targets, each) in (prop_oneof![1usize..200, 1200usize..1900], 1usize..100, 1usize..=64),
        maps in prop_oneof![0usize..5, 30usize..40],
        weights in prop::collection::vec(-1.0f32..1.0, 977),
        share in 0usize..5,
    ) {
        let weight = |t: usize, s: usize| weights[(t * 31 + s * 7) % 977];
        let spikes = |map: usize, s: usize| (map * 31 + s * s * 7) % 5 < share;
        let rows = Rows::new(sources, targets, weight);
        let stride = sources.div_ceil(each) + 1;
        let mut words = vec![0u64; maps * stride];
        for (map, words) in words.chunks_exact_mut(stride).enumerate() {
            for s in (0..sources).filter(|&s| spikes(map, s)) {
                words[s / each] |= 1 << (s % each);
            }
        }
        let given = Maps { words: &words, stride, each };
        for isa in every() {
            for block in rows.blocks() {
                let mut sums = vec![9.0; maps * block.width()];
                block.spikes(isa, given, &mut sums);
                for map in 0..maps {
                    for t in 0..block.targets() {
                        let firing = (0..sources).filter(|&s| spikes(map, s));
                        let sum = firing.fold(0.0f32, |sum, s| sum + weight(block.first() + t, s));
                        prop_assert_eq!(sums[map * block.width() + t].to_bits(), sum.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn bits_are_gathered_in_the_order_of_sources(
        (channels, plane, taps, targets) in (1usize..90, 1usize..40, 1usize..=64, 0usize..20),
        seed: u32,
    ) {
        let roll = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13;
        let values: Vec<f32> =
            (0..channels * plane).map(|i| if roll(i).is_multiple_of(4) { 1.0 } else { -0.0 }).collect();
        let cells: Vec<u32> =
            (0..targets * taps).map(|i| roll(i) % (plane as u32 + 1)).collect();
        let layout = bits::Layout::new(channels, taps).unwrap();
        for isa in every() {
            let mut spread_out = vec![u64::MAX; (plane + 1) * layout.stride()];
            let mut maps = vec![u64::MAX; targets * layout.stride()];
            spread(isa, layout, &values, plane, &mut vec![7; plane], &mut spread_out);
            gather(isa, layout, &spread_out, &cells, &mut maps);
            let maps = layout.maps(&maps);
            prop_assert_eq!(maps.count(), targets);
            for target in 0..targets {
                let mut expected = vec![0u64; maps.stride];
                for source in 0..channels * taps {
                    let cell = cells[target * taps + source % taps] as usize;
                    if cell < plane && values[source / taps * plane + cell] != 0.0 {
                        expected[source / maps.each] |= 1 << (source % maps.each);
                    }
                }
                prop_assert_eq!(&maps.words[target * maps.stride..][..maps.stride], &expected);
            }
        }
    }

    #[test]
    fn what_is_not_zero_is_listed(
        values in prop::collection::vec(prop_oneof![Just(0.0f32), Just(-0.0), Just(1.0), Just(-3.0), Just(f32::NAN)], 0..200),
    ) {
        let expected: Vec<u32> =
            (0..).zip(&values).filter(|(_, x)| **x != 0.0).map(|(i, _)| i).collect();
        for isa in every() {
            let mut indices = vec![0; values.len().next_multiple_of(16)];
            let count = nonzero(isa, &values, &mut indices);
            prop_assert_eq!(&indices[..count], &expected);
            let mut words = vec![u64::MAX; values.len().div_ceil(64)];
            bits(isa, &values, &mut words);
            let set = |i: &u32| words[*i as usize / 64] >> (i % 64) & 1 == 1;
            let set: Vec<u32> = (0..words.len() as u32 * 64).filter(set).collect();
            prop_assert_eq!(&set, &expected);
        }
    }

    #[test]
    fn rows_become_columns(
        (count, width, columns, spare) in (1usize..20, prop_oneof![Just(16usize), Just(64), 1usize..70], 0usize..70, 0usize..5),
    ) {
        let columns = columns.min(width);
        let rows: Vec<f32> = (0..count * width).map(|i| i as f32).collect();
        let stride = count + spare;
        for isa in every() {
            let mut out = vec![-1.0; columns * stride];
            transpose(isa, &rows, width, columns, stride, &mut out);
            for (i, &x) in out.iter().enumerate() {
                let (column, row) = (i / stride, i % stride);
                let expected = if row < count { rows[row * width + column] } else { -1.0 };
                prop_assert_eq!(x, expected);
            }
        }
    }

    #[test]
    fn the_largest_of_four_is_kept(
        (rows, width) in (0usize..6, 1usize..40),
        values in prop::collection::vec(prop_oneof![-1.0f32..1.0, Just(f32::NAN)], 101),
    ) {
        let x: Vec<f32> = (0..rows * width * 4).map(|i| values[i % 101]).collect();
        for isa in every() {
            let mut out = vec![9.0; rows * width];
            largest_of_four(isa, &x, width, &mut out);
            for (i, &out) in out.iter().enumerate() {
                let (row, column) = (i / width, i % width);
                let cell = |y: usize, z: usize| x[(row * 2 + y) * 2 * width + column * 2 + z];
                let largest = cell(0, 0).max(cell(0, 1)).max(cell(1, 0)).max(cell(1, 1));
                prop_assert!(out == largest || (out.is_nan() && largest.is_nan()));
            }
        }
    }
}

/// The bytes that neurons send, in a buffer of places of `stride` channels with a gap behind each.
fn sent_by(
    places: usize,
    (steps, stride): (usize, usize),
    run: impl FnOnce(&mut Sent<'_>),
) -> Vec<u8> {
    let starts: Vec<usize> = (0..places).map(|place| place * (steps * stride + 3)).collect();
    let mut bytes = vec![77; places * (steps * stride + 3)];
    run(&mut Sent { bytes: &mut bytes, places: &starts, stride });
    bytes
}

proptest! {
    #[test]
    fn neurons_of_every_instruction_set_send_the_same(
        (blocks, fewer, places, steps) in (1usize..10, 0usize..4, 1usize..5, 1usize..6),
        sums in prop::collection::vec(-300i32..300, 997),
        (constant, varying, behind_barrier) in any::<(bool, bool, bool)>(),
        bias_at in prop::option::of(0usize..5),
        (rows, hard) in ([any::<bool>(); 3], prop::option::of(-50i32..50)),
    ) {
        let (width, stride) = (16 * blocks, 16 * blocks - 4 * fewer);
        let many = |len: usize, seed: usize| -> Vec<i32> {
            (0..len).map(|i| sums[(i * 7 + seed) % 997]).collect()
        };
        let input = Input {
            varying: &many(if varying { places * steps * width } else { 0 }, 1),
            constant: &many(if constant { places * width } else { 0 }, 2),
            bias: &many(width, 3),
            bias_at: bias_at.filter(|&at| at < steps),
            steps,
            width,
        };
        let rows = rows.map(|each| width * if each { steps } else { 1 });
        let binary = Binary {
            threshold: many(rows[0], 4),
            amount: many(rows[1], 5),
            spike: many(rows[2], 6).iter().map(|&x| x as u8).collect(),
            initial: many(width, 7),
            hard,
            silence: 9,
            behind_barrier,
        };
        let real = |x: &i32| *x as f32 / 50.0;
        let line = Line {
            slope: many(width, 8).iter().map(real).collect(),
            offset: many(width, 9).iter().map(real).collect(),
            low: 0.0,
            high: 200.0,
            silence: 9,
            behind_barrier,
            ..Line::default()
        };
        let uneven = Line {
            thresholds: many(201 * 5, 10),
            rows: (0..width as u32).map(|c| c % 5 * 201).collect(),
            uneven: (0..width / BLOCK).map(|block| block % 2 == 0).collect(),
            ..line.clone()
        };
        let portable = Isa::of(Kernels::Portable).unwrap();
        let shape = (steps, stride);
        let fired = sent_by(places, shape, |to| fire_blocks(portable, &binary, &input, to));
        let answered = sent_by(places, shape, |to| answer_blocks(portable, &line, &input, to));
        let righted = sent_by(places, shape, |to| answer_uneven_blocks(portable, &uneven, &input, to));
        for isa in every() {
            let own = sent_by(places, shape, |to| fire(isa, &binary, &input, to));
            prop_assert_eq!(&own, &fired, "{:?}", isa);
            let own = sent_by(places, shape, |to| answer(isa, &line, &input, to));
            prop_assert_eq!(&own, &answered, "{:?}", isa);
            let own = sent_by(places, shape, |to| answer(isa, &uneven, &input, to));
            prop_assert_eq!(&own, &righted, "{:?}", isa);
        }
    }
}
