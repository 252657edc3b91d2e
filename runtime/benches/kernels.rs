//! How long the kernels take, on bytes and on reals, for each instruction set of this processor.
//!
//! `cargo bench -p snnc-runtime --bench kernels` prints time and products or bytes a second.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use snnc_ir::{Comparison, Firing, FloatNeuron, FloatReset};
use snnc_runtime::kernels::events::{Layout, Spikes, Sums};
use snnc_runtime::kernels::neurons::{Binary, Input, Sent, fire};
use snnc_runtime::kernels::product::Product;
use snnc_runtime::kernels::reals::neurons::{Arriving, Neurons, States};
use snnc_runtime::kernels::reals::{Lists, Maps, Rows, nonzero};
use snnc_runtime::kernels::{Isa, Kernels, elements};

fn main() {
    divan::main();
}

fn isas() -> Vec<Kernels> {
    Kernels::ALL.into_iter().filter(|&k| k != Kernels::Scalar && k <= Kernels::best()).collect()
}

/// (taps, inputs, outputs, rows): a dense layer over 32 timesteps, one over 1, and convolutions over 4.
const PRODUCTS: [(usize, usize, usize, usize); 4] =
    [(1, 512, 256, 32), (1, 784, 512, 1), (9, 64, 64, 64), (9, 512, 512, 16)];

#[divan::bench(args = isas().into_iter().flat_map(|k| PRODUCTS.map(|p| (k, p))))]
fn products(bencher: Bencher, (kernels, size): (Kernels, (usize, usize, usize, usize))) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (taps, inputs, outputs, rows) = size;
    let taps: Vec<usize> = (0..taps).map(|t| t * inputs).collect();
    let product = Product::new(taps.clone(), inputs, &vec![0; outputs], |o, t, i| {
        (o * 31 + t * 7 + i * 13) as i8
    });
    let x: Vec<u8> = (0..(taps.len() + rows) * inputs).map(|i| u8::from(i % 8 == 0)).collect();
    let rows: Vec<usize> = (0..rows).map(|r| r * inputs).collect();
    let mut sums = vec![0; rows.len() * product.width()];
    let work = ItemsCount::new(rows.len() * product.products());
    bencher.counter(work).bench_local(|| product.run(isa, &x, &rows, &mut sums, false));
}

#[divan::bench(args = isas())]
fn binary_neurons(bencher: Bencher, kernels: Kernels) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (places, steps, width) = (64usize, 4usize, 64usize);
    let neurons = Binary {
        threshold: vec![100; width],
        amount: vec![100; width],
        initial: vec![0; width],
        spike: vec![1; width],
        ..Binary::default()
    };
    let varying: Vec<i32> = (0..places * steps * width).map(|i| (i % 64) as i32).collect();
    let bias = vec![0; width];
    let input =
        Input { varying: &varying, constant: &[], bias: &bias, bias_at: None, steps, width };
    let starts: Vec<usize> = (0..places).map(|p| p * steps * width).collect();
    let mut bytes = vec![0; places * steps * width];
    bencher.counter(ItemsCount::new(bytes.len())).bench_local(|| {
        let mut sent = Sent { bytes: &mut bytes, places: &starts, stride: width };
        fire(isa, &neurons, &input, &mut sent);
    });
}

#[divan::bench(args = isas())]
fn activity(bencher: Bencher, kernels: Kernels) {
    let Some(isa) = Isa::of(kernels) else { return };
    let bytes: Vec<u8> = (0..1 << 16).map(|i: u32| u8::from(i.is_multiple_of(8))).collect();
    let work = BytesCount::new(bytes.len());
    bencher.counter(work).bench_local(|| elements::activity(isa, &bytes, 0));
}

/// (sources, targets, lists, sources that send of 100): a dense layer over 32 timesteps, one over 1, and
/// convolutions over 4.
const SUMS: [(usize, usize, usize, usize); 4] =
    [(512, 256, 32, 12), (784, 512, 1, 19), (576, 64, 256, 14), (4608, 512, 16, 8)];

#[divan::bench(args = isas().into_iter().flat_map(|k| SUMS.map(|s| (k, s))))]
fn sums_of_rows(bencher: Bencher, (kernels, size): (Kernels, (usize, usize, usize, usize))) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (sources, targets, lists, share) = size;
    let rows = Rows::new(sources, targets, |t, s| (t * 31 + s * 7) as f32);
    let each = sources * share / 100;
    let indices: Vec<u32> =
        (0..lists * each).map(|i| ((i % each * 100 / share + i / each) % sources) as u32).collect();
    let counts = vec![each as u32; lists];
    let values = vec![1.0; indices.len()];
    let lists = Lists { indices: &indices, values: &values, counts: &counts, stride: each };
    let mut sums = vec![0.0; counts.len() * 64];
    bencher.counter(ItemsCount::new(counts.len() * each * targets)).bench_local(|| {
        rows.blocks().iter().for_each(|block| block.sums(isa, lists, &mut sums));
    });
}

#[divan::bench(args = isas().into_iter().flat_map(|k| SUMS.map(|s| (k, s))))]
fn sums_of_spikes(bencher: Bencher, (kernels, size): (Kernels, (usize, usize, usize, usize))) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (sources, targets, maps, share) = size;
    let rows = Rows::new(sources, targets, |t, s| (t * 31 + s * 7) as f32);
    let stride = sources.div_ceil(64);
    let mut words = vec![0; maps * stride];
    let mut spikes = 0;
    for i in 0..maps * sources {
        let (map, source) = (i / sources, i % sources);
        if i * 7919 % 101 < share {
            words[map * stride + source / 64] |= 1 << (source % 64);
            spikes += 1;
        }
    }
    let mut sums = vec![0.0; maps * 64];
    bencher.counter(ItemsCount::new(spikes * targets)).bench_local(|| {
        let maps = Maps { words: &words, stride, each: 64 };
        rows.blocks().iter().for_each(|block| block.spikes(isa, maps, &mut sums));
    });
}

#[divan::bench(args = isas())]
fn lists_of_spikes(bencher: Bencher, kernels: Kernels) {
    let Some(isa) = Isa::of(kernels) else { return };
    let values: Vec<f32> = (0..1 << 14).map(|i| f32::from(u8::from(i * 7 % 50 < 6))).collect();
    let mut indices = vec![0; values.len()];
    let work = ItemsCount::new(values.len());
    bencher.counter(work).bench_local(|| nonzero(isa, &values, &mut indices));
}

#[divan::bench(args = isas())]
fn real_neurons(bencher: Bencher, kernels: Kernels) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (neurons, steps) = (512, 32);
    let own = FloatNeuron {
        decay: vec![0.9],
        gain: Vec::new(),
        input_bias: (0..neurons).map(|i| (i % 7) as f32 / 50.0).collect(),
        drive: Vec::new(),
        current: None,
        initial: Vec::new(),
        firing: Some(Firing {
            threshold: vec![1.0],
            comparison: Comparison::AtLeast,
            reset: FloatReset::Soft(vec![1.0]),
        }),
    };
    let Some(own) = Neurons::new(&own, neurons) else { return };
    let x: Vec<f32> = (0..neurons * steps).map(|i| (i % 13) as f32 / 20.0).collect();
    let (mut states, mut sent) = (States::default(), vec![0.0; neurons * steps]);
    let arriving = [Arriving { values: &x, stride: neurons }];
    bencher.counter(ItemsCount::new(sent.len())).bench_local(|| {
        own.rest(&mut states);
        own.fire(isa, &mut states, &arriving, &mut sent);
    });
}

/// (taps, inputs, outputs, places) of convolutions over 4 timesteps in which every ninth neuron fires.
const EVENTS: [(usize, usize, usize, usize); 2] = [(3, 64, 64, 16), (3, 512, 512, 4)];

#[divan::bench(args = isas().into_iter().flat_map(|k| EVENTS.map(|s| (k, s))))]
fn sums_over_spikes(bencher: Bencher, (kernels, size): (Kernels, (usize, usize, usize, usize))) {
    let Some(isa) = Isa::of(kernels) else { return };
    let (taps, stride, outputs, places) = size;
    let layout = Layout { lines: 1, places: places + taps - 1, steps: 4, stride };
    let distances = (0..taps).map(|t| t * layout.place_len()).collect();
    let product = Product::new(distances, stride, &vec![0; outputs], |o, t, i| {
        (o * 31 + t * 7 + i * 13) as i8
    });
    let x: Vec<u8> = (0..layout.len()).map(|i| u8::from(i % 9 == 0)).collect();
    let mut spikes = Spikes::default();
    spikes.collect(isa, &x, layout);
    let sums = Sums::new(&product, layout);
    let places: Vec<[u32; 2]> = (0..places as u32).map(|x| [0, x]).collect();
    let mut to = vec![0; places.len() * layout.steps * product.width()];
    let work = ItemsCount::new(places.len() * layout.steps * product.products());
    bencher.counter(work).bench_local(|| sums.run(isa, &product, &spikes, &places, &mut to, false));
}
