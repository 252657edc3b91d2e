//! Kernels on payloads against what they are defined by, for every instruction set of this processor.

use proptest::prelude::*;
use snnc_ir::{
    Comparison, IntegrateAndFire, Leak, NegativeSpikes, Neuron, Reset, SigmaDeltaNeuron,
    SigmaDeltaRole, TimeTable,
};

use super::elements::{Running, Windows, running_maxima};
use super::neurons::{Input, Sent};
use super::scatter::{
    Event, SigmaDelta, SigmaDeltaStates, Taps, Targets, Weights, scatter, sigma_delta,
};
use super::signed::{Signed, activity_of_sums, fire_signed, largest_of_rows};
use super::{Isa, Kernels};

fn every() -> impl Iterator<Item = Isa> {
    Kernels::ALL.into_iter().filter(|&k| k <= Kernels::best()).filter_map(Isa::of)
}

proptest! {
    #[test]
    fn running_maxima_are_changes_of_the_largest_total(
        (stride, steps, places, cells) in (1usize..40, 1usize..6, 1usize..6, 0usize..5),
        bytes in prop::collection::vec(0u8..12, 700),
        (silence, same) in (0u8..6, any::<bool>()),
    ) {
        let at = |place: usize, k: usize| (place * 3 + k * 2) % 8 * steps * stride;
        let mut windows = Windows::default();
        for place in 0..places {
            let own: Vec<usize> = (0..cells).map(|k| at(place, k)).collect();
            windows.push(place * steps * stride, &own);
        }
        let from: Vec<u8> = (0..8 * steps * stride).map(|i| bytes[i * 7 % 700]).collect();
        let run = Running { steps, from: if same { 0 } else { stride }, stride, silence };
        let mut expected = vec![0u8; places * steps * stride];
        for place in 0..places {
            for c in 0..stride {
                let (mut totals, mut before) = (vec![0i64; cells], 0i64);
                for t in 0..steps {
                    for (k, total) in totals.iter_mut().enumerate() {
                        *total += i64::from(from[at(place, k) + t * run.from + c]) - i64::from(silence);
                    }
                    let largest = totals.iter().copied().max().unwrap_or(0);
                    let byte = (largest - before + i64::from(silence)) as u8;
                    expected[(place * steps + t) * stride + c] = byte;
                    before = largest;
                }
            }
        }
        for isa in every() {
            let mut to = vec![77; expected.len()];
            running_maxima(isa, &from, &windows, run, &mut to);
            prop_assert_eq!(&to, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn events_bring_their_weights_times_themselves(
        (taps, reached, groups, places) in (1usize..5, 1usize..20, 1usize..3, 1usize..6),
        values in prop::collection::vec((any::<i32>(), 0usize..6, 0usize..4), 0..30),
        weights in prop::collection::vec(any::<i32>(), 97),
        small: bool,
    ) {
        let channels = reached * groups;
        let targets = Targets { channels, reached };
        let mut met = Taps::default();
        let pairs = |place: usize| (0..taps).map(move |tap| [tap as u32, ((place + tap) % places) as u32]);
        (0..places).for_each(|place| met.push(pairs(place)));
        let weight = |i: usize| weights[i * 5 % 97] % if small { 128 } else { i32::MAX };
        let all: Vec<i32> = (0..4 * taps * reached).map(weight).collect();
        let packed = match small {
            true => Weights::Bytes(all.iter().map(|&w| w as i8).collect()),
            false => Weights::Words(all.clone()),
        };
        let mut expected = vec![3i32; places * channels];
        let mut events = Vec::new();
        for &(value, place, channel) in &values {
            let (place, first) = (place % places, channel % groups * reached);
            events.push(Event {
                place: place as u32,
                weights: (channel * taps * reached) as u32,
                first: first as u32,
                value,
            });
            for [tap, to] in pairs(place) {
                for k in 0..reached {
                    let weight = all[(channel * taps + tap as usize) * reached + k];
                    let sum = &mut expected[to as usize * channels + first + k];
                    *sum = sum.wrapping_add(value.wrapping_mul(weight));
                }
            }
        }
        for isa in every() {
            let mut sums = vec![3i32; places * channels];
            scatter(isa, &met, &packed, targets, &events, &mut sums);
            prop_assert_eq!(&sums, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn signed_neurons_are_what_they_are_defined_as(
        (steps, places, above) in (1usize..7, 1usize..4, any::<bool>()),
        sums in prop::collection::vec(-90i32..90, 499),
        thresholds in prop::collection::vec(1i32..60, 16),
        (minimum, maximum) in (-3i32..=0, 0i32..5),
    ) {
        let width = 16;
        let varying: Vec<i32> = (0..places * steps * width).map(|i| sums[i * 3 % 499]).collect();
        let bias: Vec<i32> = (0..width).map(|i| sums[i * 11 % 499]).collect();
        let initial: Vec<i32> = (0..width).map(|i| sums[i * 17 % 499]).collect();
        let input = Input { varying: &varying, constant: &[], bias: &bias, bias_at: None, steps, width };
        let kernel = Signed {
            threshold: thresholds.clone(),
            initial: initial.clone(),
            above: i32::from(above),
            minimum,
            maximum,
            silence: 1,
        };
        let model = IntegrateAndFire {
            threshold: TimeTable::per_channel(thresholds.iter().map(|&t| t.into())),
            reset: Reset::Soft,
            initial: initial.iter().map(|&v| v.into()).collect(),
            leak: Leak::None,
            maximum: 1,
            comparison: if above { Comparison::Above } else { Comparison::AtLeast },
            signed_limit: Some(NegativeSpikes::Retracting {
                minimum: minimum.into(),
                maximum: maximum.into(),
            }),
            decode: None,
        };
        let starts: Vec<usize> = (0..places).map(|place| place * steps * width).collect();
        let mut expected = vec![0u8; places * steps * width];
        for place in 0..places {
            for c in 0..width {
                let (mut v, mut total) = (i64::from(initial[c]), 0);
                for t in 0..steps {
                    let at = (place * steps + t) * width + c;
                    v += i64::from(varying[at]) + i64::from(bias[c]);
                    let (level, left) = model.step(c, t, v, total);
                    (v, total) = (left, total + level);
                    expected[at] = (level + 1) as u8;
                }
            }
        }
        for isa in every() {
            let mut bytes = vec![0; expected.len()];
            let mut sent = Sent { bytes: &mut bytes, places: &starts, stride: width };
            fire_signed(isa, &kernel, &input, &mut sent);
            prop_assert_eq!(&bytes, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn sigma_delta_neurons_are_what_they_are_defined_as(
        (steps, places, channels) in (1usize..6, 1usize..4, 1usize..20),
        (threshold, spike_exponent, state_exponent) in (0i64..5, 0u8..12, 0u8..12),
        inputs in prop::collection::vec(prop_oneof![Just(0), -5000i32..5000, any::<i32>()], 499),
        bias in prop::collection::vec(-300i64..300, 20),
    ) {
        let model = SigmaDeltaNeuron {
            role: SigmaDeltaRole::SigmaDelta,
            threshold,
            bias: bias[..channels].to_vec(),
            spike_exponent,
            state_exponent,
        };
        let shift = spike_exponent + state_exponent;
        let kernel = SigmaDelta {
            bias: bias[..channels].iter().map(|&b| (b << shift) as i32).collect(),
            threshold: (threshold << shift) as u32,
            reachable: threshold << shift <= 1 << 31,
            shift: state_exponent.into(),
        };
        let neurons = places * channels;
        let input = |t: usize, i: usize| inputs[(t * neurons + i) * 7 % 499];
        for isa in every() {
            let mut states = SigmaDeltaStates::default();
            states.rest(neurons);
            let neuron = Neuron::from(model.clone());
            let mut twin = neuron.states(neurons, channels).unwrap();
            for t in 0..steps {
                let mut sent: Vec<i32> = (0..neurons).map(|i| input(t, i)).collect();
                sigma_delta(isa, &kernel, &mut states, &mut sent);
                // The twin's neurons are in order of channels, the kernel's of places.
                let order = (0..channels).flat_map(|c| (0..places).map(move |p| p * channels + c));
                let order: Vec<usize> = order.collect();
                let own = twin.step(t, order.iter().map(|&i| i64::from(input(t, i))));
                let sent: Vec<i64> = order.iter().map(|&i| sent[i].into()).collect();
                prop_assert_eq!(sent, own, "{:?}", isa);
            }
        }
    }

    #[test]
    fn the_largest_of_rows_is_found_in_place(
        (places, cells, steps, width) in (1usize..5, 1usize..5, 1usize..4, 1usize..40),
        sums in prop::collection::vec(-3i32..3, 499),
    ) {
        let all: Vec<i32> =
            (0..places * cells * steps * width).map(|i| sums[i * 3 % 499]).collect();
        let row = steps * width;
        let largest = |i: usize| {
            let own = |k: usize| all[(i / row * cells + k) * row + i % row];
            (0..cells).map(own).max().unwrap()
        };
        let expected: Vec<i32> = (0..places * row).map(largest).collect();
        let magnitude: u64 = expected.iter().map(|v| u64::from(v.unsigned_abs())).sum();
        let count = expected.iter().filter(|&&v| v != 0).count() as u64;
        for isa in every() {
            let mut own = all.clone();
            largest_of_rows(isa, &mut own, cells, steps, width);
            prop_assert_eq!(&own[..expected.len()], &expected[..], "{:?}", isa);
            prop_assert_eq!(activity_of_sums(isa, &expected), (count, magnitude), "{:?}", isa);
        }
    }
}
