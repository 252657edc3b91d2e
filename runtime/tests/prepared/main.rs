//! The prepared form of a network against the scalar interpreter: outcome, activity and every payload,
//! for every instruction set of this processor.

mod mixed;
mod networks;

use std::collections::HashMap;

use mixed::{mixed_network, settling_network};
use networks::{Dice, network, sparse_network, wide_network};
use proptest::prelude::*;
use snnc_ir::{Graph, NodeId, SpikingOp};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::{Network, Sample};

type Sent = HashMap<(NodeId, usize), Vec<i64>>;

fn compare(seed: u64) -> Result<bool, TestCaseError> {
    let (graph, inputs) = network(seed);
    compare_graph(&graph, inputs, seed)
}

fn compare_graph(graph: &Graph, inputs: usize, seed: u64) -> Result<bool, TestCaseError> {
    let mut dice = Dice(seed ^ 77);
    let reals: Vec<f32> = (0..inputs).map(|_| dice.range(-5000, 9000) as f32 / 1000.0).collect();
    let samples = [Sample::Real(reals), Sample::Codes(dice.many(inputs, -140, 270))];
    let twin = Network::with_kernels(graph, Kernels::Scalar).unwrap();
    let mut prepared = false;
    for kernels in &Kernels::ALL[1..] {
        let fast = Network::with_kernels(graph, *kernels).unwrap();
        prepared = fast.is_prepared();
        let wanted: Vec<NodeId> = graph
            .ids()
            .filter(|&id| {
                let projects =
                    |id: NodeId| matches!(graph[id].as_spiking(), Some(SpikingOp::Projection(_)));
                match graph[id].as_spiking() {
                    Some(SpikingOp::Projection(_) | SpikingOp::Decoder(_)) => false,
                    // A pool on sums may be part of the population behind it.
                    Some(SpikingOp::MaxPool { .. }) => !graph.sources(id).into_iter().any(projects),
                    _ => true,
                }
            })
            .collect();
        // Twice, so that nothing of the first sample stays for the second.
        for sample in samples.iter().chain(&samples) {
            let sample = std::slice::from_ref(sample);
            let (mut expected, mut found) = (Sent::new(), Sent::new());
            let slow = twin.run_with(sample, &mut |id, t, v| {
                expected.insert((id, t), v.to_vec());
            });
            let quick = fast.run_showing(sample, &wanted, &mut |id, t, v| {
                found.insert((id, t), v.to_vec());
            });
            for (key, value) in &found {
                prop_assert_eq!(
                    value,
                    &expected[key],
                    "{} at {}, {:?}",
                    graph[key.0].name,
                    key.1,
                    kernels
                );
            }
            prop_assert_eq!(slow, quick, "{:?}", kernels);
        }
        compare_batch(&twin, &fast, inputs, &wanted, seed)?;
    }
    Ok(prepared)
}

/// Batches, each sample of them as if it were alone.
fn compare_batch(
    twin: &Network,
    fast: &Network,
    inputs: usize,
    wanted: &[NodeId],
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut dice = Dice(seed ^ 99);
    // More than a group now and then, and fewer after more.
    let most = if dice.one_in(16) { fast.batch() as i64 + 2 } else { 6 };
    for count in [1, dice.range(2, most), 2] {
        let samples: Vec<[Sample; 1]> = (0..count)
            .map(|_| {
                let (low, high) = if dice.one_in(4) { (0, 300) } else { (-5000, 9000) };
                [Sample::Real((0..inputs).map(|_| dice.range(low, high) as f32 / 1000.0).collect())]
            })
            .collect();
        let all: Vec<&[Sample]> = samples.iter().map(<[Sample; 1]>::as_slice).collect();
        let mut found = HashMap::new();
        let outcomes = fast.run_batch(&all, wanted, &mut |sample, id, shown| {
            for t in 0..shown.timesteps() {
                let mut payloads = vec![7];
                shown.payloads(t, &mut payloads);
                if let (1, Some(squares)) = (shown.timesteps(), shown.squares()) {
                    assert_eq!(squares as i64, payloads.iter().map(|p| p * p).sum::<i64>());
                }
                found.insert((sample, id, t), payloads);
            }
        });
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            // An accumulator has left its range, first in some sample.
            Err(error) => {
                let alone = samples.iter().map(|sample| twin.run_with(sample, &mut |_, _, _| {}));
                prop_assert_eq!(alone.filter_map(Result::err).next(), Some(error));
                continue;
            }
        };
        prop_assert_eq!(outcomes.len(), samples.len());
        for (i, (sample, outcome)) in samples.iter().zip(outcomes).enumerate() {
            let mut shown = 0;
            let expected = twin.run_with(sample, &mut |id, t, v| {
                if wanted.contains(&id) {
                    shown += 1;
                    assert_eq!(found.get(&(i, id, t)).map(Vec::as_slice), Some(v));
                }
            });
            prop_assert_eq!(expected.unwrap(), outcome);
            prop_assert_eq!(shown, found.keys().filter(|(sample, _, _)| *sample == i).count());
        }
    }
    Ok(())
}

#[test]
fn the_prepared_form_is_the_scalar_interpreter_bit_for_bit() {
    let prepared = (0..400).filter(|&seed| compare(seed).unwrap_or_else(|e| panic!("{seed}: {e}")));
    let prepared = prepared.count();
    assert!(prepared > 300, "only {prepared} of 400 networks have a prepared form");
}

#[test]
fn layers_of_every_form_run_alike_beside_each_other() {
    let (mut whole, mut forms) = (0, HashMap::new());
    for seed in 0..600 {
        let (graph, inputs) = mixed_network(seed);
        compare_graph(&graph, inputs, seed).unwrap_or_else(|e| panic!("{seed}: {e}"));
        match Network::with_kernels(&graph, Kernels::Portable).unwrap().forms() {
            Ok(own) => own.iter().for_each(|f| *forms.entry(f.form.name()).or_insert(0) += 1),
            Err(_) => whole += 1,
        }
    }
    // None is left to the scalar interpreter as a whole, and each form is met often.
    assert_eq!(whole, 0);
    assert!(forms.len() == 4 && forms.values().all(|&count| count > 40), "{forms:?}");
}

#[test]
fn networks_that_run_until_they_settle_run_alike() {
    for seed in 0..60 {
        let (graph, inputs) = settling_network(seed);
        let prepared =
            compare_graph(&graph, inputs, seed).unwrap_or_else(|e| panic!("{seed}: {e}"));
        assert!(prepared, "seed {seed} has a prepared form");
    }
}

#[test]
fn sums_beyond_32_bits_run_alike() {
    for seed in 0..20 {
        let (graph, inputs) = wide_network(seed);
        assert!(compare_graph(&graph, inputs, seed).unwrap(), "seed {seed} has a prepared form");
    }
}

#[test]
fn few_and_many_spikes_run_alike() {
    for (seed, threshold) in [(1, 12_000), (2, 5_000), (3, 60_000), (4, 1)] {
        let (graph, inputs) = sparse_network(seed, threshold);
        assert!(compare_graph(&graph, inputs, seed).unwrap(), "seed {seed} has a prepared form");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_network_runs_alike(seed: u64) {
        compare(seed)?;
        let (graph, inputs) = mixed_network(seed);
        compare_graph(&graph, inputs, seed)?;
    }
}
