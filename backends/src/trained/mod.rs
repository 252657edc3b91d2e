//! Networks that were trained as spiking ones, on their way to integer neurons.
//!
//! Their populations are [`FloatNeuron`](snnc_ir::FloatNeuron)s. [`layers`] reads them as plain numbers,
//! one set for each channel, with factors of the input multiplied into the weights; what a target makes
//! of these is its own: [`integrating`] has integrate-and-fire neurons, Loihi its current-based ones.

mod compose;
mod integrating;

use snnc_ir::{
    Comparison, FloatNeuron, FloatReset, Graph, Neuron, NodeId, Op, Population, SpikingOp,
};

pub use compose::composed;
pub use integrating::integrating;

use crate::Violation;

/// What firing does to the potential, at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Reset {
    /// Nothing.
    None,
    /// This is subtracted.
    Soft(Vec<f64>),
    /// The potential becomes this, in all channels.
    Hard(f64),
}

/// A population and its projections; one that does not fire is a read-out. Vectors have one entry for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The population.
    pub population: NodeId,
    /// Its projections, with weights for one unit of payload, rows of one target each.
    pub projections: Vec<(NodeId, Vec<f64>)>,
    /// Share of the potential that is kept, 0 to 1.
    pub decay: f64,
    /// Share of the synaptic current that is kept; 0 for a neuron without.
    pub current_decay: f64,
    /// Added to the potential in each timestep.
    pub drive: Vec<f64>,
    /// Threshold; a read-out has none.
    pub threshold: Option<Vec<f64>>,
    /// How potential and threshold are compared.
    pub comparison: Comparison,
    /// What firing does.
    pub reset: Reset,
    /// Potential at the start.
    pub initial: Vec<f64>,
    /// Whether `drive` holds a bias of the synaptic current, which truly rises to it by and by.
    pub settled: bool,
}

/// All populations of a network of real neurons, in order of computation.
///
/// # Errors
/// Every neuron and input that integers cannot express, all at once.
pub fn layers(network: &Graph) -> Result<Vec<Layer>, Vec<Violation>> {
    let (mut found, mut violations) = (Vec::new(), Vec::new());
    for id in network.order().unwrap_or_default() {
        match &network[id].op {
            Op::Spiking(SpikingOp::Population(p)) => match layer(network, id, p) {
                Ok(layer) => found.push(layer),
                Err((reason, remedy)) => {
                    violations.push(Violation::new(&network[id], reason, remedy));
                }
            },
            Op::Spiking(SpikingOp::Encoder(e)) if e.minimum == i64::MIN => {
                let remedy = "compile with --data, so that the range of the input is known";
                violations.push(Violation::new(&network[id], "takes numbers of any size", remedy));
            }
            _ => {}
        }
    }
    if violations.is_empty() { Ok(found) } else { Err(violations) }
}

type Refusal = (String, &'static str);
/// Values of a parameter by its name, its numbers, and the number that absent ones stand for.
type Values<'a, T> = dyn Fn(&str, &[f32], f64) -> Result<T, Refusal> + 'a;

fn layer(network: &Graph, id: NodeId, p: &Population) -> Result<Layer, Refusal> {
    let Neuron::Float(n) = &p.neuron else {
        return Err(("is not a float32 neuron".into(), "compile it by itself"));
    };
    let decoded = |u: NodeId| matches!(network[u].as_spiking(), Some(SpikingOp::Decoder(_)));
    if n.firing.is_none() && !network.users(id).into_iter().all(decoded) {
        return Err((
            "sends its potential, a real number, to further neurons".into(),
            "put neurons that fire in front of max pools and joined maps, and at most linear layers between",
        ));
    }
    let shape = &network[id].ty.shape;
    let neurons: usize = shape.iter().product();
    let channels = shape.first().copied().unwrap_or(1).max(1);
    let each = |what: &str, values: &[f32], absent: f64| {
        by_channel(values, channels, neurons, absent).ok_or_else(|| {
            let reason = format!("its {what} differs among neurons of one channel");
            (reason, "train one value for each channel")
        })
    };
    let one = |what: &str, values: &[f32], absent: f64| {
        let all = each(what, values, absent)?;
        let first = all.first().copied().unwrap_or(absent);
        let reason = || (format!("its {what} differs among channels"), "train one for all");
        if all.iter().all(|&x| x == first) { Ok(first) } else { Err(reason()) }
    };
    let decay = one("decay", &n.decay, 1.0)?;
    let current_decay = n.current.as_ref().map_or(Ok(0.0), |c| one("current", &c.decay, 0.0))?;
    for (what, share) in [("potential", decay), ("current", current_decay)] {
        if !(0.0..=1.0).contains(&share) || (what == "current" && share == 1.0) {
            let reason = format!("keeps {share} of its {what}, which grows without bound");
            return Err((reason, "train a decay from 0 to 1"));
        }
    }
    let gain = each("gain", &n.gain, 1.0)?;
    let through = n
        .current
        .as_ref()
        .map_or(Ok(vec![1.0; channels]), |c| each("current's gain", &c.gain, 1.0))?;
    let factor: Vec<f64> = gain.iter().zip(&through).map(|(a, b)| a * b).collect();
    let firing = n.firing.as_ref();
    let threshold = firing.map(|f| each("threshold", &f.threshold, 0.0)).transpose()?;
    if let Some(low) = threshold.iter().flatten().find(|&&t| t.is_nan() || t <= 0.0) {
        return Err((format!("has the threshold {low}"), "train thresholds above 0"));
    }
    let input_bias = each("input bias", &n.input_bias, 0.0)?;
    let drive = each("drive", &n.drive, 0.0)?;
    let summed = |c: usize| drive[c] + factor[c] * input_bias[c] / (1.0 - current_decay);
    let settled = current_decay > 0.0 && input_bias.iter().any(|&b| b != 0.0);
    Ok(Layer {
        population: id,
        projections: projections(network, id, &factor)?,
        decay,
        current_decay,
        drive: (0..channels).map(summed).collect(),
        threshold,
        comparison: firing.map_or_else(Default::default, |f| f.comparison),
        reset: match firing {
            Some(f) => reset(n, &f.reset, decay, &each, &one)?,
            None => Reset::None,
        },
        initial: each("initial potential", &n.initial, 0.0)?,
        settled,
    })
}

/// A reset in the next timestep, after the decay, is one at once of so much more:
/// `d v - a = d (v - a / d)`.
fn reset(
    n: &FloatNeuron,
    reset: &FloatReset,
    decay: f64,
    each: &Values<'_, Vec<f64>>,
    one: &Values<'_, f64>,
) -> Result<Reset, Refusal> {
    Ok(match reset {
        FloatReset::None => Reset::None,
        FloatReset::Soft(amount) => Reset::Soft(each("reset", amount, 0.0)?),
        FloatReset::Hard(value) => Reset::Hard(one("reset", value, 0.0)?),
        FloatReset::SoftDelayed(_) if decay == 0.0 => {
            let kept = n.decay.first().copied().unwrap_or_default();
            let reason =
                format!("keeps {kept} of its potential, but its reset acts a timestep late");
            return Err((reason, "train a decay above 0, or a reset at once"));
        }
        FloatReset::SoftDelayed(amount) => {
            let amounts = each("reset", amount, 0.0)?;
            Reset::Soft(amounts.into_iter().map(|a| a / decay).collect())
        }
    })
}

/// Real value of one unit of what a node sends.
fn unit(network: &Graph, id: NodeId) -> Result<f64, Refusal> {
    match network[id].as_spiking() {
        Some(SpikingOp::Encoder(e)) => Ok(f64::from(e.scale)),
        Some(SpikingOp::Population(_)) => Ok(1.0),
        Some(SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. }) => {
            network.source(id, 0).map_or(Ok(1.0), |s| unit(network, s))
        }
        Some(SpikingOp::Concatenate { .. }) => {
            let units: Result<Vec<f64>, Refusal> =
                network.sources(id).into_iter().map(|s| unit(network, s)).collect();
            let units = units?;
            let first = units.first().copied().unwrap_or(1.0);
            match units.iter().all(|&u| u == first) {
                true => Ok(first),
                false => Err((
                    "gets spikes and numbers of another unit joined".into(),
                    "give them synapses of their own, and add these up",
                )),
            }
        }
        _ => Err(("gets what integers cannot hold".into(), "report this with the model")),
    }
}

fn projections(
    network: &Graph,
    id: NodeId,
    factor: &[f64],
) -> Result<Vec<(NodeId, Vec<f64>)>, Refusal> {
    let mut found = Vec::new();
    for source in network.sources(id) {
        let node = &network[source];
        let (Some(SpikingOp::Projection(_)), Some(data), Some(before)) =
            (node.as_spiking(), &node.data, network.source(source, 0))
        else {
            return Err(("gets spikes without synapses".into(), "report this with the model"));
        };
        let unit = unit(network, before)?;
        let values = data.to_f32();
        // One weight serves all channels of a projection from neuron to neuron.
        let rows = data.shape().first().copied().unwrap_or(1).max(1);
        if rows == 1 && factor.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(("its gain differs among channels".into(), "train one gain for all"));
        }
        let width = (values.len() / rows).max(1);
        let weight =
            |(i, &w): (usize, &f32)| f64::from(w) * unit * factor[(i / width) % factor.len()];
        found.push((source, values.iter().enumerate().map(weight).collect()));
    }
    Ok(found)
}

/// One value for each channel; `None` where neurons of one channel differ.
fn by_channel(values: &[f32], channels: usize, neurons: usize, absent: f64) -> Option<Vec<f64>> {
    match values {
        [] => Some(vec![absent; channels]),
        [value] => Some(vec![f64::from(*value); channels]),
        values if values.len() == neurons => {
            let rows = values.chunks((neurons / channels).max(1));
            rows.map(|row| {
                let first = *row.first()?;
                row.iter().all(|&x| x == first).then_some(f64::from(first))
            })
            .collect()
        }
        values if values.len() == channels => Some(values.iter().map(|&x| x.into()).collect()),
        _ => None,
    }
}
