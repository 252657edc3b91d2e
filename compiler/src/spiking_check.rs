//! Holds a recognised spiking network against the tensor graph it was read from: both are run on the same
//! input, and every spike of every population is compared, timestep by timestep.
//!
//! The tensor interpreter executes the ONNX operators as they are and shares nothing with recognition but
//! the names of what is compared, so that a formula that was misread shows.

use std::collections::HashMap;

use snnc_ir::{Graph, NodeId, SpikingOp};
use snnc_runtime::spiking::FloatNetwork;
use snnc_runtime::tensor::{Program, Value};

use crate::import::spiking::{Place, Recognised, Shown};
use crate::spiking_integers::in_time;
use crate::{Error, Problem};

/// A spike may hang on the rounding of a sum where the potential is so near its threshold, relative to the
/// threshold or to the largest potential of the map.
const TIE: f32 = 1e-6;
/// How far a real output may be off, relative to the largest of its values.
const NEAR: f32 = 1e-5;

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// Samples.
    pub samples: usize,
    /// Spikes or silences of neurons in timesteps.
    pub compared: u64,
    /// Spikes that hang on rounding, which end the comparison of their sample.
    pub ties: Vec<String>,
}

/// Spikes or potentials by population and timestep.
type Seen = HashMap<(usize, usize), Vec<f32>>;

/// What the tensor graph made of a sample.
struct Executed {
    spikes: Seen,
    potentials: Seen,
    /// Values of each output, run by run.
    outputs: Vec<Vec<Vec<f32>>>,
}

/// Compares both on samples, which are rows for timesteps. `None` where the tensor graph cannot be run on
/// them.
///
/// # Errors
/// The first spike or output that differs otherwise than by rounding: what was recognised is another
/// network than the model.
pub fn check(
    model: &Graph,
    recognised: &Recognised,
    samples: &[Vec<Vec<f32>>],
) -> Result<Option<Checked>, Error> {
    let (Ok(program), Ok(network)) = (Program::lean(model), FloatNetwork::new(&recognised.network))
    else {
        return Ok(None);
    };
    let mut checked = Checked::default();
    for rows in samples {
        let Some(executed) = execute(model, &program, recognised, rows) else { return Ok(None) };
        compare(&network, recognised, rows, &executed, &mut checked)?;
        checked.samples += 1;
    }
    Ok(Some(checked))
}

/// Runs the tensor graph on the rows, once or timestep by timestep.
fn execute(
    model: &Graph,
    program: &Program,
    recognised: &Recognised,
    rows: &[Vec<f32>],
) -> Option<Executed> {
    let formula = &recognised.formula;
    let steps = recognised.network.timing.timesteps;
    let inputs = model.inputs();
    let state = |id: &NodeId| formula.feedback.iter().find(|(input, _)| input == id);
    let [data] = inputs.iter().filter(|id| state(id).is_none()).collect::<Vec<_>>()[..] else {
        return None;
    };
    let value = |id: &NodeId, values: Vec<f32>| Value::from_f32(&model[*id].ty.shape, values).ok();
    let mut values: HashMap<NodeId, Value> = HashMap::new();
    for id in &inputs {
        values.insert(*id, value(id, vec![0.0; model[*id].ty.len()])?);
    }
    let mut executed = Executed {
        spikes: Seen::new(),
        potentials: Seen::new(),
        outputs: vec![Vec::new(); model.outputs().len()],
    };
    let runs: Vec<Vec<f32>> = match steps {
        1 => rows.to_vec(),
        _ if model[*data].ty.len() == rows.first()?.len() => vec![rows.first()?.clone()],
        _ => vec![rows.concat()],
    };
    for (run, row) in runs.into_iter().enumerate() {
        values.insert(*data, value(data, row)?);
        let given: Option<Vec<Value>> = inputs.iter().map(|id| values.get(id).cloned()).collect();
        let Executed { spikes, potentials, .. } = &mut executed;
        let mut observe = |id: NodeId, value: &Value| {
            for (places, seen) in
                [(&formula.spikes, &mut *spikes), (&formula.potentials, &mut *potentials)]
            {
                for place in places.get(&id).into_iter().flatten() {
                    seen.insert((place.layer, run + place.timestep), part(value, place));
                }
            }
        };
        let outcome = program.run_with(&given?, &mut observe).ok()?;
        for &(input, output) in &formula.feedback {
            let id = inputs.iter().find(|&&id| id == input)?;
            values.insert(*id, value(id, outcome.outputs.get(output)?.1.to_f32())?);
        }
        for (seen, (_, value)) in executed.outputs.iter_mut().zip(&outcome.outputs) {
            seen.push(value.to_f32());
        }
    }
    Some(executed)
}

fn part(value: &Value, place: &Place) -> Vec<f32> {
    let all = value.to_f32();
    let width = all.len() / place.parts.max(1);
    all.into_iter().skip(place.part * width).take(width).collect()
}

fn compare(
    network: &FloatNetwork,
    recognised: &Recognised,
    rows: &[Vec<f32>],
    executed: &Executed,
    checked: &mut Checked,
) -> Result<(), Error> {
    let graph = &recognised.network;
    let mut sent: HashMap<NodeId, Vec<Vec<f32>>> = HashMap::new();
    let mut observe = |id: NodeId, _: usize, values: &[f32]| {
        if matches!(graph[id].as_spiking(), Some(SpikingOp::Population(_))) {
            sent.entry(id).or_default().push(values.to_vec());
        }
    };
    let decoded = match in_time(graph) {
        true => network.run(rows, &mut observe),
        false => network.run_sample(rows.first().map_or(&[][..], |r| r), &mut observe),
    }
    .map_err(Error::network)?;
    let populations: Vec<Option<NodeId>> =
        recognised.formula.populations.iter().map(|name| graph.find(name)).collect();
    let order = graph.order().unwrap_or_default();
    let rank = |layer: usize| populations[layer].and_then(|id| order.iter().position(|&o| o == id));
    let mut all: Vec<(usize, usize)> = executed.spikes.keys().copied().collect();
    all.sort_by_key(|&(layer, t)| (t, rank(layer)));
    for (layer, t) in all {
        let Some(id) = populations[layer] else { continue };
        let expected = &executed.spikes[&(layer, t)];
        let Some(found) = sent.get(&id).and_then(|rows| rows.get(t)) else { continue };
        checked.compared += expected.len() as u64;
        let differing: Vec<usize> = (0..expected.len().max(found.len()))
            .filter(|&i| expected.get(i) != found.get(i))
            .collect();
        let Some(&first) = differing.first() else { continue };
        let threshold = &recognised.formula.thresholds[layer];
        let potentials = executed.potentials.get(&(layer, t));
        let place = graph[id].describe();
        if let Some(potentials) = potentials
            && differing.iter().all(|&i| tie(potentials, threshold, i))
        {
            checked.ties.push(format!(
                "{place}, timestep {t}, neuron {first}: potential {} at threshold {}",
                potentials[first],
                threshold.get(first).or(threshold.first()).copied().unwrap_or_default(),
            ));
            // All that follows may differ for this reason.
            return Ok(());
        }
        let reason = format!(
            "neuron {first} sends {:?} in timestep {t} where the model's own operators send {:?} (potential {:?}): the network was read otherwise than the model computes",
            found.get(first).copied().unwrap_or_default(),
            expected.get(first).copied().unwrap_or_default(),
            potentials.and_then(|p| p.get(first).copied()),
        );
        return Err(differs(place, reason));
    }
    for (position, shown) in recognised.shown.iter().enumerate() {
        let Some(runs) = executed.outputs.get(shown.index) else { continue };
        let decoder = graph.outputs().get(position).copied();
        let source = decoder.and_then(|id| graph.source(id, 0));
        let each = source.and_then(|id| sent.get(&id));
        let rows: Vec<f32> = match (shown.every, each) {
            (true, Some(each)) => each.concat(),
            _ => decoded.get(position).cloned().unwrap_or_default(),
        };
        output(shown, &runs.concat(), &rows)?;
    }
    Ok(())
}

fn tie(potentials: &[f32], threshold: &[f32], i: usize) -> bool {
    let threshold = threshold.get(i).or(threshold.first()).copied().unwrap_or_default();
    let largest = potentials.iter().fold(threshold.abs(), |m, v| m.max(v.abs()));
    potentials.get(i).is_some_and(|v| (v - threshold).abs() <= TIE * largest)
}

fn output(shown: &Shown, expected: &[f32], found: &[f32]) -> Result<(), Error> {
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let far = |(a, b): (&f32, &f32)| (a - b).abs() > NEAR * largest || a.is_nan() != b.is_nan();
    let place = format!("output `{}`", shown.name);
    if expected.len() != found.len() {
        let reason = format!("has {} values, the model {}", found.len(), expected.len());
        return Err(differs(place, reason));
    }
    match expected.iter().zip(found).position(far) {
        Some(i) => {
            let reason = format!(
                "value {i} is {} where the model's own operators give {}: the network was read otherwise than the model computes",
                found[i], expected[i]
            );
            Err(differs(place, reason))
        }
        None => Ok(()),
    }
}

fn differs(place: String, reason: String) -> Error {
    let remedy = "this is a fault of snnc: report it with the model";
    Error::Check(vec![Problem::new(place, reason, remedy)])
}
