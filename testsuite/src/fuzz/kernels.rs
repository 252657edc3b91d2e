//! Spiking networks in their prepared form against the scalar interpreter, on every instruction set.

#[path = "../../../runtime/tests/prepared/networks.rs"]
mod networks;

use networks::{network, sparse_network, wide_network};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::{Network, Sample};

/// Eight bytes say which network, one more which kind, the rest are its samples.
pub(super) fn differential(data: &[u8]) {
    let Some((seed, rest)) = data.split_first_chunk::<8>() else { return };
    let seed = u64::from_le_bytes(*seed);
    let (&kind, rest) = rest.split_first().unwrap_or((&0, rest));
    let (graph, inputs) = match kind {
        1 => wide_network(seed),
        2 => sparse_network(seed, (seed >> 20) as i64 % 70_000 + 1),
        _ => network(seed),
    };
    let at = |i: usize| rest.get(i).copied().unwrap_or((i * 37 % 256) as u8);
    let samples: Vec<[Sample; 1]> = (0..2)
        .map(|s| [Sample::Codes((0..inputs).map(|i| i64::from(at(s * inputs + i))).collect())])
        .collect();
    let twin = Network::with_kernels(&graph, Kernels::Scalar).expect("it runs by scalar code");
    let expected: Vec<_> = samples.iter().map(|sample| twin.run(sample)).collect();
    for kernels in Kernels::ALL.into_iter().filter(|&k| k <= Kernels::best()) {
        let fast = Network::with_kernels(&graph, kernels).expect("it runs");
        for (sample, expected) in samples.iter().zip(&expected) {
            assert_eq!(&fast.run(sample), expected, "{kernels:?}");
        }
    }
}
