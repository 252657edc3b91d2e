//! The energy metric against the figures of its public computations, and against a second writing of
//! its formulae.

use proptest::prelude::*;
use snnc::energy::{
    Arithmetic, Input, Kind, Layer, Neurons, Payload, Profile, Sram, Terms, Widths, energy,
    layer_energy,
};

const T: f64 = 4.0;
/// Spikes per neuron and timestep into each of the four layers.
const RATES: [f64; 4] = [1.0, 0.241_424_560_546_875, 0.679_687_5, 0.75];

fn spikes(binary: bool, events: f64) -> Input {
    let payload = if binary { Payload::BINARY } else { Payload::graded(8) };
    Input::Spikes { payload, events, presentations: T }
}

/// The network for which figures exist: 16 x 16 grey values as a constant current, two convolutions,
/// two dense layers.
fn network(rates: [f64; 4], neurons: Neurons) -> Vec<Layer> {
    let convolution = |stride: usize| Kind::Convolution {
        kernel: vec![3, 3],
        strides: vec![stride, stride],
        groups: 1,
    };
    let shapes = [
        (convolution(1), 1, 256, 8, 2048),
        (convolution(2), 8, 2048, 16, 1024),
        (Kind::Dense, 1024, 1024, 32, 32),
        (Kind::Dense, 32, 32, 10, 10),
    ];
    let layer = |(i, (kind, input_channels, inputs, output_channels, outputs)): (usize, _)| {
        let last = i == 3;
        Layer {
            name: format!("layer{i}"),
            kind,
            input_channels,
            inputs,
            output_channels,
            outputs,
            timesteps: T,
            input: spikes(i > 0, rates[i] * T * inputs as f64),
            sends: Payload::BINARY,
            events_out: if last { 0.0 } else { rates[i + 1] * T * outputs as f64 },
            bias: true,
            neurons: if last { Neurons::ReadOut } else { neurons },
            synaptic_operations: None,
            widths: Widths::WORDS,
            memories: None,
        }
    };
    shapes.into_iter().enumerate().map(layer).collect()
}

fn profile(name: &str) -> Profile {
    Profile::named(name).expect("a profile of that name").clone()
}

fn row(t: Terms) -> [f64; 7] {
    [t.potentials, t.weights, t.bias, t.io, t.operations, t.addressing, t.total()]
}

/// Half a unit of the last printed digit.
fn agrees(found: f64, printed: &str) -> bool {
    let digits = printed.split_once('.').map_or(0, |(_, d)| d.len() as i32);
    let value: f64 = printed.parse().expect("a number");
    (found - value).abs() <= 0.5 * 10f64.powi(-digits) + 1e-9
}

#[track_caller]
fn check(found: Terms, printed: &str) {
    for (found, printed) in row(found).into_iter().zip(printed.split_whitespace()) {
        assert!(agrees(found, printed), "{found} against {printed}");
    }
}

#[test]
fn qualia_with_32_bits_layer_by_layer() {
    let found = energy(&network(RATES, Neurons::Fire), &profile("qualia-iconip"));
    let printed = [
        "2279.73 243.77 108.16 30.265 59.385 1.8688 2723.17",
        "7833.12 3873.74 54.09 64.516 13.346 14.4376 11853.25",
        "2357.29 2194.19 1.69 39.021 8.931 0.0087 4601.14",
        "26.41 12.78 0.53 1.301 0.100 0.0030 41.12",
    ];
    for (layer, printed) in found.layers.iter().zip(printed) {
        check(layer.terms_nj, printed);
        assert_eq!(layer.total_nj, layer.terms_nj.total());
    }
    check(found.terms_nj, "12496.54 6324.48 164.47 135.10 81.76 16.318 19218.67");
    assert_eq!(found.profile, "qualia-iconip");
}

#[test]
fn qualia_with_other_words_queues_and_memories() {
    let net = network(RATES, Neurons::Fire);
    let old = profile("qualia-iconip");
    let eight = Profile { word_bits: 8, arithmetic: Arithmetic::Table, ..old.clone() };
    check(energy(&net, &eight).terms_nj, "12252.49 5474.55 164.43 132.49 11.07 1.634 18036.67");
    for arithmetic in [Arithmetic::Linear, Arithmetic::Quadratic] {
        let louis = Profile { arithmetic, ..profile("qualia-louis") };
        check(energy(&net, &louis).terms_nj, "1152.57 491.60 15.57 12.46 11.07 1.634 1684.91");
    }
    let sixteen = Profile { word_bits: 16, fifo: 64, arithmetic: Arithmetic::Saturation, ..old };
    check(energy(&net, &sixteen).terms_nj, "12333.84 5757.86 164.44 131.74 81.76 16.318 18485.96");
}

#[test]
fn qualia_with_leaking_neurons() {
    // 0.0037689 is printed: 30.875 spikes of 2048 neurons in 4 timesteps.
    let net = network([1.0, 30.875 / 8192.0, 0.0, 0.0], Neurons::Leak);
    let found = energy(&net, &profile("qualia-iconip"));
    check(found.terms_nj, "2515.77 304.24 164.47 4.305 79.68 2.094 3070.56");
}

#[test]
fn spikingjelly_reads_the_paper_as_paper_piecewise() {
    let found = energy(&network(RATES, Neurons::Fire), &profile("paper-piecewise"));
    assert!(agrees(found.total_nj, "7687.87"), "{}", found.total_nj);
    assert!((found.total_nj / twin_paper(RATES) - 1.0).abs() < 1e-12);
}

/// The formulae once more, as sums over (count, energy) in pJ on one line a layer.
fn twin_qualia(rates: [f64; 4], leak: bool, bits: f64, fifo: f64, add: f64, mul: f64) -> [f64; 6] {
    let e = |n: f64| 1.09e-5 * n * bits + 13.2;
    let mac = add + mul;
    let l = f64::from(u8::from(leak));
    let [a, b, c, d] = rates;
    // First layer: 256 sources, 8 x 9 weights each; the frame counts once, potentials every step.
    let first = [
        (a * 1024.0 * 72.0 + 8192.0) * 2.0 * e(2048.0),
        a * 256.0 * 72.0 * e(72.0),
        8192.0 * e(8.0),
        (a * 256.0 + b * 8192.0) * e(fifo),
        2048.0 * 9.0 * a * mac + (2048.0 + b * 8192.0) * add + l * 2048.0 * mul,
        a * 256.0 * (2.0 * mac + 9.0 * add),
    ];
    let second = [
        (b * 8192.0 * 144.0 + 4096.0) * 2.0 * e(1024.0),
        b * 8192.0 * 144.0 * e(1152.0),
        4096.0 * e(16.0),
        (b * 8192.0 + c * 4096.0) * e(fifo),
        (b * 8192.0 * 2.0 * 2.0 * 16.0 + 4096.0 + c * 4096.0) * add + l * 4096.0 * mac,
        b * 8192.0 * (2.0 * mac + 9.0 * add),
    ];
    let third = [
        (c * 4096.0 * 32.0 + 128.0) * 2.0 * e(32.0),
        c * 4096.0 * 32.0 * e(32768.0),
        128.0 * e(32.0),
        (c * 4096.0 + d * 128.0) * e(fifo),
        (c * 4096.0 * 32.0 + 128.0 + d * 128.0) * add + l * 128.0 * mac,
        c * 128.0 * add,
    ];
    let fourth = [
        (d * 128.0 * 10.0 + 40.0) * 2.0 * e(10.0),
        d * 128.0 * 10.0 * e(320.0),
        40.0 * e(10.0),
        d * 128.0 * e(fifo),
        (d * 128.0 * 10.0 + 40.0) * add,
        d * 40.0 * add,
    ];
    std::array::from_fn(|i| (first[i] + second[i] + third[i] + fourth[i]) / 1000.0)
}

fn twin_paper([a, b, c, d]: [f64; 4]) -> f64 {
    // pJ of a 32-bit access to a memory of so many words.
    let e = |words: f64| {
        let kib = (words / 256.0).min(1024.0);
        if kib < 8.0 {
            10.0 * kib / 8.0
        } else if kib < 32.0 {
            10.0 + 10.0 * (kib - 8.0) / 24.0
        } else {
            20.0 + 80.0 * (kib - 32.0) / 992.0
        }
    };
    let (add, mac) = (0.1, 3.2);
    let _ = a;
    let first = 73728.0 * (e(256.0) + e(80.0) + mac)
        + 8192.0 * (e(80.0) + add + 2.0 * e(2048.0))
        + b * 8192.0 * (e(1000.0) + add)
        + 4.0 * (256.0 + 2048.0 + 72.0) * add;
    let second = b
        * 8192.0
        * (e(1000.0) + 144.0 * (e(1168.0) + 2.0 * e(1024.0) + add) + 64.0 * add + 2.0 * mac)
        + 4096.0 * (e(1168.0) + add + 2.0 * e(1024.0))
        + c * 4096.0 * (e(1000.0) + add);
    let third = c * 4096.0 * (e(1000.0) + 32.0 * (e(32800.0) + 2.0 * e(32.0) + 2.0 * add))
        + 128.0 * (e(32800.0) + add + 2.0 * e(32.0))
        + d * 128.0 * (e(1000.0) + add);
    let fourth = d * 128.0 * (e(1000.0) + 10.0 * (e(330.0) + 2.0 * e(10.0) + 2.0 * add))
        + 40.0 * (e(330.0) + add);
    (first + second + third + fourth) / 1000.0
}

proptest! {
    #[test]
    fn the_second_writing_agrees(
        a in 0.0..=1.0, b in 0.0..1.0, c in 0.0..1.0, d in 0.0..1.0,
        leak: bool, bits in 1u32..=32, fifo in 1usize..4096,
    ) {
        let rates = [a, b, c, d];
        let neurons = if leak { Neurons::Leak } else { Neurons::Fire };
        let p = Profile { word_bits: bits, fifo, ..profile("qualia-iconip") };
        let found = row(energy(&network(rates, neurons), &p).terms_nj);
        let twin = twin_qualia(rates, leak, f64::from(bits), fifo as f64, 0.1, 3.1);
        for (x, y) in found.into_iter().zip(twin) {
            prop_assert!((x - y).abs() <= 1e-12 * y.abs().max(1e-9), "{} {}", x, y);
        }
        let paper = energy(&network(rates, Neurons::Fire), &profile("paper-piecewise")).total_nj;
        prop_assert!((paper / twin_paper(rates) - 1.0).abs() < 1e-12);
    }

    /// A graded spike of one bit is a binary spike.
    #[test]
    fn one_bit_is_binary(b in 0.0..1.0, d in 0.0..1.0) {
        let net = network([1.0, b, 0.5, d], Neurons::Fire);
        let binary = |l: &Layer| matches!(l.input, Input::Spikes { payload, .. } if payload.is_binary());
        for layer in net.iter().filter(|l| binary(l)) {
            let graded = layer_energy(layer, &profile("graded"));
            let qualia = layer_energy(layer, &profile("qualia-iconip"));
            prop_assert_eq!(graded.rule, "binary");
            if !matches!(layer.kind, Kind::Dense) {
                // But for Qualia's addresses of dense layers the two are one.
                for (x, y) in row(graded.terms_nj).into_iter().zip(row(qualia.terms_nj)) {
                    prop_assert!((x - y).abs() <= 1e-12 * y, "{} {}", x, y);
                }
            }
        }
    }
}

#[test]
fn printed_figures_agree_with_the_second_writing() {
    let check = |found: [f64; 6], printed: &str| {
        for (found, printed) in found.into_iter().zip(printed.split_whitespace()) {
            assert!(agrees(found, printed), "{found} against {printed}");
        }
    };
    let total = "12496.54 6324.48 164.47 135.10 81.76 16.318";
    check(twin_qualia(RATES, false, 32.0, 1000.0, 0.1, 3.1), total);
    let narrow = "12252.49 5474.55 164.43 132.49 11.07 1.634";
    check(twin_qualia(RATES, false, 8.0, 1000.0, 0.03, 0.2), narrow);
}

/// A convolution and a dense layer of an ordinary network, by hand: 16 x 16 x 3 to 8 x 8 x 5 with 3 x 3
/// taps, and 20 to 7.
#[test]
fn formal_layers() {
    let base = network(RATES, Neurons::Fire);
    let convolution = Layer {
        input_channels: 3,
        inputs: 768,
        output_channels: 5,
        outputs: 320,
        ..base[1].clone()
    };
    let convolution = convolution.formal();
    let dense =
        Layer { input_channels: 20, inputs: 20, output_channels: 7, outputs: 7, ..base[2].clone() }
            .formal();
    let e = |n: f64| 1.09e-5 * n * 32.0 + 13.2;
    let macs = 3.0 * 5.0 * 64.0 * 9.0;
    let pj = [
        0.0,
        macs * e(135.0),
        320.0 * e(5.0),
        macs * e(768.0) + 320.0 * e(320.0),
        macs * 3.2 + 320.0 * 0.1,
        (768.0 + 320.0 + 45.0) * 0.1,
    ];
    let found = layer_energy(&convolution, &profile("qualia-iconip"));
    assert_eq!((found.rule, found.operations.mac), ("formal", macs));
    close(found.terms_nj, pj);
    let found = layer_energy(&dense, &profile("qualia-iconip"));
    let io = 20.0 * e(20.0) + 7.0 * e(7.0);
    close(
        found.terms_nj,
        [0.0, 140.0 * e(140.0), 7.0 * e(7.0), io, 140.0 * 3.2 + 0.7, 140.0 * 0.1],
    );
    // The paper's own address count of a dense layer, and one memory for weights and biases.
    let found = layer_energy(&dense, &profile("paper-piecewise"));
    let e = |n: f64| 10.0 * n * 4.0 / 8192.0;
    let io = 20.0 * e(20.0) + 7.0 * e(7.0);
    close(
        found.terms_nj,
        [0.0, 140.0 * e(147.0), 7.0 * e(147.0), io, 140.0 * 3.2 + 0.7, 27.0 * 0.1],
    );
}

#[track_caller]
fn close(found: Terms, pj: [f64; 6]) {
    for (x, y) in row(found).into_iter().zip(pj) {
        assert!((x * 1000.0 - y).abs() <= 1e-9 * y.max(1.0), "{x} against {y} pJ");
    }
}

/// The rule for graded spikes: one event each, a MAC for each synaptic operation and each reset,
/// queues wider by the payload.
#[test]
fn graded_spikes_multiply_and_widen_queues() {
    let base = network(RATES, Neurons::Fire);
    let (events, sent) = (100.0, 30.0);
    let layer = |bits| Layer {
        input: Input::Spikes { payload: Payload::graded(bits), events, presentations: 1.0 },
        sends: Payload::graded(bits),
        events_out: sent,
        timesteps: 1.0,
        ..base[1].clone()
    };
    let found = layer_energy(&layer(4), &profile("graded"));
    let e = |n: f64, bits: f64| 1.09e-5 * n * bits + 13.2;
    close(
        found.terms_nj,
        [
            2.0 * (14400.0 + 1024.0) * e(1024.0, 32.0),
            14400.0 * e(1152.0, 32.0),
            1024.0 * e(16.0, 32.0),
            130.0 * e(1000.0, 36.0),
            (6400.0 + 30.0) * 3.2 + 1024.0 * 0.1,
            200.0 * 3.2 + 900.0 * 0.1,
        ],
    );
    assert_eq!(
        (found.rule, found.operations.mac, found.operations.acc),
        ("graded", 6430.0, 1024.0)
    );
    // The same spikes as a frame of several timesteps are what Qualia counts too low.
    let four = Layer {
        input: Input::Spikes { payload: Payload::graded(4), events: 400.0, presentations: 4.0 },
        ..layer(4)
    };
    let frame = layer_energy(&four, &profile("qualia-iconip"));
    assert_eq!(frame.rule, "frame");
    assert!(
        frame.terms_nj.weights < layer_energy(&four, &profile("graded")).terms_nj.weights / 3.9
    );
}

/// Measured operations and own memories: worked by hand.
#[test]
fn hardware_counts_what_occurred() {
    let base = network(RATES, Neurons::Fire);
    let layer = Layer {
        input: Input::Spikes { payload: Payload::graded(4), events: 100.0, presentations: 1.0 },
        sends: Payload::graded(4),
        events_out: 30.0,
        timesteps: 1.0,
        synaptic_operations: Some(5000.0),
        widths: Widths { weight: 4, potential: 16 },
        memories: None,
        ..base[1].clone()
    };
    let p = profile("hardware");
    let found = layer_energy(&layer, &p);
    let access = |words: f64, bits: f64| words * bits / 8.0 / 8192.0 * 10.0 * bits / 32.0;
    let (add, multiply) = (p.add(16.0), p.multiply(4.0));
    let (near, far) = (p.add(10.0), p.multiply(10.0));
    close(
        found.terms_nj,
        [
            2.0 * 6024.0 * access(1024.0, 16.0),
            5000.0 * access(1152.0, 4.0),
            1024.0 * access(16.0, 16.0),
            // 11 bits name one of 2048 sources, 10 one of 1024 targets, 4 are the payload.
            100.0 * access(64.0, 15.0) + 30.0 * access(64.0, 14.0),
            5030.0 * (add + multiply) + 1024.0 * add,
            200.0 * (near + far) + 5000.0 / 16.0 * near,
        ],
    );
    let Sram::PerBit { .. } = p.sram else { panic!("the hardware profile pays by the bit") };
}

/// Additions of maps: free where spikes simply join, and with the extents added up as Qualia does.
#[test]
fn additions_of_maps() {
    let base = network(RATES, Neurons::Fire);
    let joined = Layer {
        kind: Kind::OneToOne { shape: vec![8, 16, 16] },
        inputs: 2048,
        outputs: 2048,
        output_channels: 8,
        neurons: Neurons::Shared,
        ..base[1].clone()
    };
    for name in ["qualia-iconip", "qualia-louis", "paper-piecewise"] {
        let found = layer_energy(&joined, &profile(name));
        assert_eq!((found.rule, found.total_nj), ("free", 0.0));
    }
    assert!(layer_energy(&joined, &profile("graded")).total_nj > 0.0);
    let formal = layer_energy(&joined.formal(), &profile("qualia-iconip"));
    let e = 1.09e-5 * 2048.0 * 32.0 + 13.2;
    close(formal.terms_nj, [0.0, 0.0, 0.0, (80.0 + 8.0) * e, 4.0, 4.0]);
}
