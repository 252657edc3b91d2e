//! One changed bit of a word that takes part in a run is always noticed.

use bytes::Bytes;
use snnc_backends::MemoryFiles;
use snnc_backends::spleat::memory::MemoryKind;
use snnc_backends::spleat::{Checksums, ENTRY, Geometry, Layer, cycles, read};
use snnc_ir::{Graph, Leak, Neuron, Op, Reset, SpikingOp, Verified};

use crate::random::{self, Case, Numbers};
use crate::{Behaviour, Image, behaviour, hardware, image};

/// Whether every neuron keeps the sum of what it got: in its potential and in what it sent.
fn keeps_sums(network: &Verified) -> bool {
    network.ids().all(|id| match &network[id].op {
        Op::Spiking(SpikingOp::Population(p)) => match &p.neuron {
            Neuron::IntegrateAndFire(n) => {
                n.leak == Leak::None
                    && n.reset == Reset::Soft
                    && n.threshold.0.iter().all(|row| row.len() == 1)
            }
            _ => true,
        },
        // Payloads of both signs can cancel each other.
        Op::Spiking(SpikingOp::Encoder(e)) => e.minimum >= e.zero_point,
        _ => true,
    })
}

/// Whether the word at an address takes part in the samples' runs.
fn lives(
    layer: &Layer,
    image: &Image,
    file: (MemoryKind, usize, usize),
    address: usize,
    runs: &[Behaviour],
) -> bool {
    let (kind, port, bank) = file;
    let cpb = layer.groups_per_bank();
    let co = address % cpb * layer.npu + bank;
    if co >= layer.target.c {
        return false;
    }
    match kind {
        MemoryKind::Weight => {
            let geometry = &layer.ports[port].geometry;
            let source = &image.manifest.layers[layer.index].ports[port].source;
            runs.iter().any(|run| meets(geometry, co, address / cpb, &run[source].0))
        }
        // A threshold that was never reached may as well be higher.
        MemoryKind::Threshold => {
            runs.iter().any(|run| run[&layer.name].0.iter().any(|(_, e)| e.c == co))
                && layer.neuron.kind != snnc_backends::spleat::Kind::Accumulate
        }
        MemoryKind::Bias | MemoryKind::Membrane => true,
        _ => false,
    }
}

type Events = [(usize, snnc_backends::spleat::aer::Event)];

/// Whether an event passes through the weight `place` of an output channel.
fn meets(geometry: &Geometry, co: usize, place: usize, events: &Events) -> bool {
    let (kx, rest) = (place % geometry.kernel[1], place / geometry.kernel[1]);
    let (ky, local) = (rest % geometry.kernel[0], rest / geometry.kernel[0]);
    let group = co / (geometry.target.c / geometry.groups);
    let ci = group * geometry.inputs_per_group() + local;
    events.iter().any(|(_, e)| {
        let input = if geometry.dense { geometry.source.event_place(e.c, e.y, e.x) } else { e.c };
        input == ci && cycles::taps(geometry, e).contains(&(ky, kx))
    })
}

/// The files of the image with one bit of one word of a memory file changed.
fn changed(whole: &MemoryFiles, path: &str, address: usize, bit: u32, width: u8) -> MemoryFiles {
    let mut files = whole.clone();
    let text = String::from_utf8(files.0[path].to_vec()).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let digits = usize::from(width).div_ceil(4);
    let word = u64::from_str_radix(&lines[address + 1], 16).expect("a word") ^ (1 << bit);
    lines[address + 1] = format!("{word:0digits$X}");
    files.0.insert(path.to_owned(), Bytes::from(lines.join("\n") + "\n"));
    files
}

#[test]
fn a_thousand_changed_live_words_are_noticed() {
    let mut numbers = Numbers(7);
    let mut noticed = 0;
    let cases = (0..).map(random::case).filter(|case| keeps_sums(&case.network)).take(10);
    for Case { network, samples } in cases {
        let image = image(&network, &hardware(numbers.size(1, 4), 16));
        let whole = MemoryFiles::from(&image.artefact);
        let run = |graph: &Graph| {
            samples.iter().map(|s| behaviour(graph, s).ok()).collect::<Option<Vec<_>>>()
        };
        let expected = run(&image.network).expect("runs");
        let mut tried = 0;
        let mut here = 0;
        while here < 100 && tried < 100_000 {
            tried += 1;
            let layer = &image.layers[numbers.size(0, image.layers.len() - 1)];
            let files = &image.manifest.layers[layer.index].files;
            let file = &files[numbers.size(0, files.len() - 1)];
            let address = numbers.size(0, file.depth - 1);
            let key = (file.kind, file.port, file.bank);
            if !lives(layer, &image, key, address, &expected) {
                continue;
            }
            let bit = numbers.size(0, usize::from(file.width) - 1) as u32;
            let files = changed(&whole, &file.path, address, bit, file.width);
            let error = read(&files, ENTRY, Checksums::Checked).expect_err("the checksum differs");
            assert!(error.to_string().contains(&file.path), "{error}");
            if let Ok(graph) = read(&files, ENTRY, Checksums::Ignored) {
                let what = format!("{}: {} word {address} bit {bit}", network.name, file.path);
                assert!(run(&graph).as_ref() != Some(&expected), "{what}");
            }
            here += 1;
        }
        noticed += here;
    }
    assert_eq!(noticed, 1000);
}
