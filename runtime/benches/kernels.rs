//! How long the byte kernels take, for each instruction set of this processor.
//!
//! `cargo bench -p snnc-runtime --bench kernels` prints time and products or bytes a second.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use snnc_runtime::kernels::neurons::{Binary, Input, Sent, fire};
use snnc_runtime::kernels::product::Product;
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
