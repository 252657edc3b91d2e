//! What integer targets need to know of a network that was trained as a spiking one, and how far its
//! spikes are from those of the model.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use snnc_backends::Note;
use snnc_ir::query::{delay, delays};
use snnc_ir::{
    FloatNeuron, Graph, NodeId, Op, Population, Presentation, SpikingOp, Verified, verify,
};
use snnc_runtime::spiking::{FloatNetwork, Network, RunError, Sample};

use crate::Error;
use crate::certificate::Measured;
use crate::data::{Dataset, Scaling};

/// Timesteps of a network that does not say how many it runs.
const USUAL_TIMESTEPS: usize = 100;
/// Levels of an input of reals.
const LEVELS: f32 = 255.0;
/// Most samples on which spikes are compared.
const COMPARED: usize = 100;
/// Most samples on which a recognised network is held against the model.
const CHECKED: usize = 8;
/// Timesteps of that, where the model has one and there is no data.
const CHECKED_STEPS: usize = 12;

/// What a user says of the run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Samples `(N, T, input..)`, or `(N, input..)` for a network that is shown one picture.
    pub data: Option<(Dataset, PathBuf)>,
    /// How integer data becomes the input.
    pub scaling: Option<Scaling>,
    /// Timesteps, where the model has one and is run again and again.
    pub timesteps: Option<usize>,
}

impl Run {
    /// Numbers stay as they are where nothing is said: they are spikes and currents, not images.
    pub(crate) fn scaling(&self) -> Scaling {
        self.scaling.unwrap_or(Scaling::AS_IS)
    }

    /// The samples on which a recognised network is held against the model, as rows of timesteps: of the
    /// data, or numbers from 0 to 1.
    pub fn checked(&self, network: &Graph) -> Vec<Vec<Vec<f32>>> {
        if let Some((data, _)) = &self.data {
            return (0..data.len().min(CHECKED)).map(|i| self.rows(data, i, network)).collect();
        }
        let neurons = network.inputs().first().map_or(1, |&id| network[id].ty.len()).max(1);
        let steps = match network.timing.timesteps {
            _ if !in_time(network) => 1,
            1 => CHECKED_STEPS,
            steps => steps,
        };
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1u32 << 24) as f32
        };
        vec![(0..steps).map(|_| (0..neurons).map(|_| next()).collect()).collect()]
    }

    /// One sample as the rows of its timesteps.
    fn rows(&self, data: &Dataset, index: usize, network: &Graph) -> Vec<Vec<f32>> {
        let neurons = network.inputs().first().map_or(1, |&id| network[id].ty.len()).max(1);
        let sample = data.reals(index, self.scaling());
        let rows: Vec<Vec<f32>> = sample.chunks_exact(neurons).map(<[f32]>::to_vec).collect();
        if in_time(network) {
            return rows;
        }
        let row = rows.into_iter().next().unwrap_or_default();
        vec![row; network.timing.timesteps]
    }
}

/// Whether the network takes a row of input in each timestep, and not one for all.
pub fn in_time(network: &Graph) -> bool {
    network.inputs().iter().any(|&id| {
        matches!(network[id].as_spiking(),
            Some(SpikingOp::Encoder(e)) if e.presentation == Presentation::InTime)
    })
}

/// The network with the range of its input and the timesteps that it will run.
///
/// # Errors
/// When the data does not fit the input, or is missing where numbers are no spikes.
pub fn bounded(network: &Verified, run: &Run) -> Result<(Verified, Vec<Note>), Error> {
    let mut graph: Graph = (**network).clone();
    let mut notes = Vec::new();
    let neurons = graph.inputs().first().map_or(1, |&id| graph[id].ty.len()).max(1);
    let mut steps = None;
    let (mut scale, mut low, mut high) = (1.0, 0, 1);
    if let Some((data, path)) = &run.data {
        let values: usize = data.shape.iter().product();
        if !values.is_multiple_of(neurons) || (values != neurons && !in_time(&graph)) {
            let reason = format!(
                "has samples of shape {:?}, but the network takes {neurons} values a timestep",
                data.shape
            );
            let place = format!("`{}`", path.display());
            return Err(Error::input(place, reason, "give `x` as (N, T, input..)"));
        }
        steps = in_time(&graph).then_some(values / neurons);
        (scale, low, high) = range(data, run.scaling());
    } else {
        notes.push(Note {
            node: "input".into(),
            text: "taken as spikes, 0 or 1: samples of other numbers, given with --data, show its range"
                .into(),
        });
    }
    for id in graph.inputs() {
        if let Op::Spiking(SpikingOp::Encoder(e)) = &mut graph[id].op {
            (e.scale, e.zero_point, e.minimum, e.maximum) = (scale, 0, low, high);
        }
    }
    if graph.timing.timesteps == 1 || run.timesteps.is_some() {
        let timesteps = run.timesteps.or(steps);
        graph.timing.timesteps = timesteps.unwrap_or(USUAL_TIMESTEPS);
        if timesteps.is_none() {
            let text = format!(
                "the model is one timestep; sums are proved to fit for {USUAL_TIMESTEPS}, or as many as \
                 --timesteps says"
            );
            notes.push(Note { node: "network".into(), text });
        }
    }
    let fault = |errors: Vec<snnc_ir::VerifyError>| Error::unverified("network", &errors);
    Ok((verify(graph).map_err(fault)?, notes))
}

/// Step and codes of an input: whole numbers as they are, other numbers in 255 levels.
fn range(data: &Dataset, scaling: Scaling) -> (f32, i64, i64) {
    let (mut low, mut high, mut whole) = (0.0f32, 1.0f32, true);
    for i in 0..data.len() {
        for x in data.reals(i, scaling) {
            (low, high) = (low.min(x), high.max(x));
            whole &= x.fract() == 0.0;
        }
    }
    if whole {
        return (1.0, low as i64, high as i64);
    }
    if low >= 0.0 {
        return (high / LEVELS, 0, LEVELS as i64);
    }
    let half = (LEVELS / 2.0).floor();
    (high.max(-low) / half, -(half as i64), half as i64)
}

/// How the spikes of each population, by name, differ from the model's on the data; each of its neurons
/// is compared in every timestep, as many timesteps later as synapses on the way take.
///
/// # Errors
/// When a sample cannot be run.
pub fn compared(
    model: &Graph,
    network: &Graph,
    run: &Run,
) -> Result<BTreeMap<String, Measured>, Error> {
    let mut found: BTreeMap<String, Measured> = BTreeMap::new();
    let Some((data, path)) = &run.data else { return Ok(found) };
    let fault = |e: RunError| {
        Error::input(format!("`{}`", path.display()), e.to_string(), "check the samples")
    };
    let (float, integer) =
        (FloatNetwork::new(model).map_err(fault)?, Network::new(network).map_err(fault)?);
    let latency = delays(network);
    for index in 0..data.len().min(COMPARED) {
        let rows = run.rows(data, index, model);
        let mut expected: HashMap<&str, Vec<Vec<f32>>> = HashMap::new();
        let mut seen = |id: NodeId, _: usize, values: &[f32]| {
            // A read-out shows reals, of which integers are no spikes.
            let fires =
                |p: &Population| p.neuron.get::<FloatNeuron>().is_some_and(|n| n.firing.is_some());
            if matches!(model[id].as_spiking(), Some(SpikingOp::Population(p)) if fires(p)) {
                expected.entry(&model[id].name).or_default().push(values.to_vec());
            }
        };
        float.run(&rows, &mut seen).map_err(fault)?;
        let mut count = |id: NodeId, t: usize, values: &[i64]| {
            let Some(then) = latency.get(&id).and_then(|l| t.checked_sub(*l)) else { return };
            let name = &network[id].name;
            if let Some(row) = expected.get(name.as_str()).and_then(|rows| rows.get(then)) {
                add(found.entry(name.clone()).or_default(), row, values);
            }
        };
        integer.run_with(&[sample(network, &rows)], &mut count).map_err(fault)?;
    }
    for measured in found.values_mut() {
        measured.mean_error = measured.noise / measured.activations.max(1) as f64;
    }
    Ok(found)
}

/// Samples `(N, T, input..)` or `(N, input..)` as the network's own codes, and the network with as many
/// timesteps as they take.
///
/// # Errors
/// When the data does not fit the input.
pub fn samples(
    network: &mut Graph,
    data: &Dataset,
    scaling: Scaling,
    path: &std::path::Path,
) -> Result<Vec<Sample>, Error> {
    let neurons = network.inputs().first().map_or(1, |&id| network[id].ty.len()).max(1);
    let values: usize = data.shape.iter().product();
    let rows = in_time(network);
    if !values.is_multiple_of(neurons) || (values != neurons && !rows) {
        let reason = format!(
            "has samples of shape {:?}, but the network takes {neurons} values a timestep",
            data.shape
        );
        let place = format!("`{}`", path.display());
        return Err(Error::input(place, reason, "give `x` as (N, T, input..)"));
    }
    if rows {
        network.timing.timesteps = values / neurons + delay(network);
    }
    let one = |i: usize| {
        let all = data.reals(i, scaling);
        sample(network, &all.chunks(neurons).map(<[f32]>::to_vec).collect::<Vec<_>>())
    };
    Ok((0..data.len()).map(one).collect())
}

/// Rows as the network's own codes.
fn sample(network: &Graph, rows: &[Vec<f32>]) -> Sample {
    let encoder = network.inputs().first().and_then(|&id| network[id].as_spiking());
    let Some(SpikingOp::Encoder(e)) = encoder else { return Sample::InTime(Vec::new()) };
    let code = |x: &f32| (x / e.scale).round_ties_even() as i64;
    let codes = |row: &Vec<f32>| -> Vec<i64> {
        row.iter().map(|x| code(x).clamp(e.minimum, e.maximum)).collect()
    };
    match e.presentation {
        Presentation::InTime => Sample::InTime(rows.iter().map(codes).collect()),
        _ => Sample::Codes(rows.first().map(codes).unwrap_or_default()),
    }
}

/// Spikes are 0 or 1, so distances and their squares are the same.
fn add(measured: &mut Measured, expected: &[f32], sent: &[i64]) {
    measured.activations += sent.len() as u64;
    for (e, s) in expected.iter().zip(sent) {
        let distance = (f64::from(*e) - *s as f64).abs();
        measured.differing += u64::from(distance != 0.0);
        measured.maximum_error = measured.maximum_error.max(distance as i64);
        measured.signal += f64::from(*e);
        measured.noise += distance;
    }
}
