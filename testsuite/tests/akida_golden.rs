//! The vendor's JSON form, read and run: the vectors are those that the specification of the format
//! gives for these two models.

use bytes::Bytes;
use snnc_backends::{MemoryFiles, target};
use snnc_ir::{Graph, Op, SpikingOp, verify};
use snnc_runtime::spiking::{Network, Sample};

fn read(name: &str, file: &str) -> Graph {
    let path = format!("{}/cases/targets/akida/{file}", env!("CARGO_MANIFEST_DIR"));
    let content = Bytes::from(std::fs::read(path).unwrap());
    let target = target(name).unwrap();
    assert!(target.recognises(file, &content));
    let files = MemoryFiles([(file.to_owned(), content)].into());
    verify(target.read(&files, file).unwrap()).unwrap().into_inner()
}

/// What population `name` sends for each sample, (X, Y, C) fastest last, and the scores.
fn run(graph: &Graph, name: &str, samples: &[Vec<i64>]) -> Vec<(Vec<i64>, Vec<i64>, Vec<f32>)> {
    let network = Network::new(graph).unwrap();
    let id = graph.find(name).unwrap();
    let shape = graph[id].ty.shape.clone();
    let outcomes = samples.iter().map(|codes| {
        let mut sent = Vec::new();
        let outcome = network
            .run_with(&[Sample::Codes(codes.clone())], &mut |node, _, values| {
                if node == id {
                    sent = values.to_vec();
                }
            })
            .unwrap();
        let plane: usize = shape[1..].iter().product();
        let order = (0..plane).flat_map(|p| (0..shape[0]).map(move |c| c * plane + p));
        let sent = order.map(|i| sent[i]).collect();
        (sent, outcome.outputs[0].raw.clone(), outcome.outputs[0].scores.clone())
    });
    outcomes.collect()
}

/// Samples of `size` values each from one running sequence.
fn samples(count: usize, size: usize, value: impl Fn(i64) -> i64) -> Vec<Vec<i64>> {
    let all: Vec<i64> = (0..(count * size) as i64).map(value).collect();
    all.chunks(size).map(<[i64]>::to_vec).collect()
}

#[test]
fn akida_1() {
    let graph = read("akida1", "v1.json");
    let results = run(&graph, "conv", &samples(3, 4, |i| i * 5 % 16));
    let maps = [[4, 0, 0, 0, 0, 0, 0, 15], [0, 0, 0, 0, 0, 11, 7, 15], [0, 0, 0, 11, 1, 3, 6, 13]];
    let forward = [[-15, 19], [-4, 33], [0, 12]];
    let predict = [[-4.0, 4.75], [-1.25, 8.25], [-0.25, 3.0]];
    let fc = graph.find("fc").unwrap();
    let Op::Spiking(SpikingOp::Population(fc)) = &graph[fc].op else { panic!("no population") };
    for (i, (map, raw, scores)) in results.iter().enumerate() {
        assert_eq!(map[..], maps[i]);
        // The vendor's `forward` shows the potentials, ours what is left above the threshold.
        let potentials: Vec<i64> = raw.iter().enumerate().map(|(c, r)| r - fc.bias_at(c)).collect();
        assert_eq!(potentials, forward[i]);
        assert_eq!(scores[..], predict[i]);
    }
}

#[test]
fn akida_2() {
    let graph = read("akida2", "v2.json");
    let results = run(&graph, "in", &samples(2, 25, |i| i * 37 % 256));
    let maps = [
        [41, 8, 46, 52, 33, 74, 24, 39, 58, 127, 43, 95, 31, 54, 7, 25, 0, 72],
        [31, 57, 83, 120, 72, 52, 49, 12, 59, 70, 20, 112, 13, 44, 17, 127, 0, 75],
    ];
    let forward = [[3107, 6272], [5787, 11872]];
    let scores = [[31.07, 125.44], [57.87, 237.44]];
    for (i, (map, raw, found)) in results.iter().enumerate() {
        assert_eq!(map[..], maps[i]);
        assert_eq!(raw[..], forward[i]);
        for (a, b) in found.iter().zip(scores[i]) {
            assert!((f64::from(*a) - b).abs() < 1e-4 * b, "{a} against {b}");
        }
    }
}
