//! A legalised spiking graph as the layers of a `.net` file.

use snnc_ir::{
    Connectivity, CurrentBasedNeuron, Graph, Neuron, Node, NodeId, Op, Population, Projection,
    SigmaDeltaRole, SpikingOp,
};

use super::net::{
    BIAS_EXPONENT, BIASES, Conv, DECAY_ONE, DEFAULT_INPUT_WEIGHT, DELAY_LIMIT, Dense, HostEncoding,
    Layer, Net, Neurons, SPIKE_EXPONENT, STATE_EXPONENT, THRESHOLDS, WEIGHTS,
};
use super::weights;
use crate::EmitError;

/// The layers that NetX needs to run `graph`.
///
/// # Errors
/// What does not fit the format, or would be changed by the loader without a word.
pub(super) fn net(graph: &Graph) -> Result<Net, EmitError> {
    let order = graph.order().map_err(|e| EmitError::Container(e.to_string()))?;
    let mut layers = Vec::new();
    for id in order {
        let node = &graph[id];
        let Op::Spiking(op) = &node.op else { continue };
        match op {
            SpikingOp::Encoder(_) if drives_neurons(graph, id) => {}
            SpikingOp::Encoder(_) => {
                layers.push(Layer::Input { shape: node.ty.shape.clone(), neuron: None });
            }
            SpikingOp::Population(p) if is_input(graph, id) => {
                layers.push(input(graph, node, p, id)?);
            }
            SpikingOp::Population(p) => synaptic(graph, id, p, &mut layers)?,
            SpikingOp::Projection(_) | SpikingOp::Decoder(_) => {}
            SpikingOp::MaxPool { .. }
            | SpikingOp::RunningMaxPool { .. }
            | SpikingOp::Concatenate { .. } => {
                return Err(fault(node, "there is no such layer in NetX"));
            }
        }
    }
    Ok(Net { layers, timesteps: Some(graph.timing.timesteps) })
}

fn fault(node: &Node, reason: impl Into<String>) -> EmitError {
    EmitError::Node { node: node.describe(), reason: reason.into() }
}

fn within(node: &Node, what: &str, value: i64, (low, high): (i64, i64)) -> Result<i64, EmitError> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(fault(node, format!("{what} is {value}, outside {low}..={high}")))
    }
}

fn is_input(graph: &Graph, population: NodeId) -> bool {
    graph
        .source(population, 0)
        .is_some_and(|s| matches!(graph[s].as_spiking(), Some(SpikingOp::Encoder(_))))
}

fn drives_neurons(graph: &Graph, encoder: NodeId) -> bool {
    graph
        .users(encoder)
        .iter()
        .any(|&u| matches!(graph[u].as_spiking(), Some(SpikingOp::Population(_))))
}

fn input(graph: &Graph, node: &Node, p: &Population, id: NodeId) -> Result<Layer, EmitError> {
    let neurons = neurons(node, &p.neuron)?;
    let encoder = graph.source(id, 0).and_then(|s| graph[s].as_spiking());
    let (weight, bias) = match (p.neuron.get::<CurrentBasedNeuron>(), encoder) {
        (Some(n), Some(SpikingOp::Encoder(e))) => {
            let bias = n.bias.first().copied().unwrap_or(0);
            (1.0 / f64::from(e.scale), within(node, "the input's bias", bias, BIASES)? as f64)
        }
        _ => (DEFAULT_INPUT_WEIGHT, 0.0),
    };
    let host = HostEncoding { weight, bias };
    Ok(Layer::Input { shape: node.ty.shape.clone(), neuron: Some((neurons, host)) })
}

/// The layer of one population and its projections.
fn synaptic(
    graph: &Graph,
    id: NodeId,
    p: &Population,
    layers: &mut Vec<Layer>,
) -> Result<(), EmitError> {
    let node = &graph[id];
    let (mut forward, mut recurrent) = (None, None);
    for projection in graph.sources(id) {
        let own = graph.source(projection, 0) == Some(id);
        let slot = if own { &mut recurrent } else { &mut forward };
        if slot.replace(projection).is_some() {
            return Err(fault(node, "NetX has one projection to each population"));
        }
    }
    let Some(forward) = forward else { return Err(fault(node, "nothing projects to it")) };
    let Some(SpikingOp::Projection(projection)) = graph[forward].as_spiking() else {
        return Err(fault(node, "its input is no projection"));
    };
    for projection in [Some(forward), recurrent].into_iter().flatten() {
        check_projection(graph, projection)?;
    }
    let source = graph.source(forward, 0).map(|s| graph[s].ty.shape.clone()).unwrap_or_default();
    match &projection.connectivity {
        Connectivity::Dense => {
            let from_map = source.len() > 1;
            if from_map {
                layers.push(Layer::Flatten);
            }
            let dense = dense(graph, forward, recurrent, projection, p, node)?;
            layers.push(Layer::Dense(dense));
        }
        Connectivity::Convolution { window, groups } => {
            if recurrent.is_some() {
                return Err(fault(node, "NetX has no recurrent convolution"));
            }
            let conv = conv(&graph[forward], window, *groups, p, node)?;
            layers.push(Layer::Conv(conv));
        }
        Connectivity::OneToOne => return Err(fault(node, "NetX has no such synapses")),
    }
    Ok(())
}

/// Refuses what the format has no word for, and NetX would leave out.
fn check_projection(graph: &Graph, id: NodeId) -> Result<(), EmitError> {
    let node = &graph[id];
    let Some(SpikingOp::Projection(p)) = node.as_spiking() else {
        return Err(fault(node, "it is no projection"));
    };
    if !(p.gain.is_empty() && p.input_shift.is_empty()) {
        return Err(fault(node, "NetX has no gain between synapses and neurons"));
    }
    if p.connectivity != Connectivity::Dense && !p.delays.is_empty() {
        return Err(fault(node, "NetX ignores the delays of a convolution"));
    }
    let numbers = graph
        .source(id, 0)
        .and_then(|s| graph[s].as_spiking())
        .is_some_and(|s| matches!(s, SpikingOp::Population(p) if p.neuron.sends_changes()));
    if p.binary == numbers {
        let what = if numbers { "carries the numbers" } else { "casts to bool what comes" };
        return Err(fault(node, format!("NetX {what} of its sources")));
    }
    if graph.operands(id).iter().any(|o| o.delay != 1) {
        return Err(fault(node, "in NetX synapses take one timestep"));
    }
    Ok(())
}

/// Refuses weights that the loader would change.
fn check_weights(node: &Node, matrices: &[&[i64]]) -> Result<(), EmitError> {
    match weights::loaded_together(matrices) {
        Ok(loaded) if loaded == matrices => Ok(()),
        Ok(_) => Err(fault(node, "NetX would change its weights when loading them")),
        Err(e) => Err(fault(node, e.to_string())),
    }
}

fn integers(node: &Node) -> Result<Vec<i64>, EmitError> {
    let data = node.data.as_ref().ok_or_else(|| fault(node, "it has no weights"))?;
    data.to_i64().map_err(|e| fault(node, e.to_string()))
}

fn dense(
    graph: &Graph,
    forward: NodeId,
    recurrent: Option<NodeId>,
    projection: &Projection,
    p: &Population,
    node: &Node,
) -> Result<Dense, EmitError> {
    let weights = integers(&graph[forward])?;
    if recurrent.is_some() && !projection.delays.is_empty() {
        return Err(fault(node, "NetX delays recurrent spikes as well, by the same matrix"));
    }
    let recurrent = recurrent.map(|r| integers(&graph[r])).transpose()?;
    let matrices: Vec<&[i64]> =
        std::iter::once(weights.as_slice()).chain(recurrent.as_deref()).collect();
    check_weights(&graph[forward], &matrices)?;
    let targets = node.ty.len();
    for &delay in &projection.delays {
        within(node, "a delay", delay.into(), (0, DELAY_LIMIT))?;
    }
    Ok(Dense {
        shape: node.ty.shape.clone(),
        sources: weights.len() / targets.max(1),
        weights,
        recurrent,
        bias: bias(node, &p.neuron)?,
        delays: projection.delays.clone(),
        neuron: p.neuron.fires().then(|| neurons(node, &p.neuron)).transpose()?,
    })
}

fn conv(
    projection: &Node,
    window: &snnc_ir::Window,
    groups: usize,
    p: &Population,
    node: &Node,
) -> Result<Conv, EmitError> {
    let weights = integers(projection)?;
    for &w in &weights {
        within(projection, "a weight", w, WEIGHTS)?;
    }
    let map = || fault(node, "NetX convolves maps of two dimensions");
    let pair = |v: &[usize]| <[usize; 2]>::try_from(v).map_err(|_| map());
    if window.before != window.after {
        return Err(fault(node, "NetX pads both sides alike"));
    }
    let shape = projection.data.as_ref().map(|d| d.shape()).unwrap_or_default();
    Ok(Conv {
        shape: node.ty.shape.as_slice().try_into().map_err(|_| map())?,
        weight_shape: shape.try_into().map_err(|_| map())?,
        weights,
        bias: bias(node, &p.neuron)?,
        stride: pair(&window.strides)?,
        padding: pair(&window.before)?,
        dilation: pair(&window.dilations)?,
        groups,
        neuron: neurons(node, &p.neuron)?,
    })
}

fn bias(node: &Node, neuron: &Neuron) -> Result<Vec<i64>, EmitError> {
    for &b in neuron.bias() {
        within(node, "a bias", b, BIASES)?;
    }
    Ok(neuron.bias().to_vec())
}

/// Neurons that the format can hold; NetX sets exponents by itself, and takes resets as arguments.
fn neurons(node: &Node, neuron: &Neuron) -> Result<Neurons, EmitError> {
    let exponents = match neuron {
        Neuron::CurrentBased(n) => n.bias_exponent == BIAS_EXPONENT,
        Neuron::SigmaDelta(n) => {
            (n.spike_exponent, n.state_exponent) == (SPIKE_EXPONENT, STATE_EXPONENT)
        }
        _ => return Err(fault(node, "NetX has no such neurons")),
    };
    if !exponents {
        return Err(fault(node, "NetX has another exponent, whatever a file says"));
    }
    if matches!(neuron, Neuron::CurrentBased(n) if n.reset.is_some() || !n.fires) {
        return Err(fault(node, "a file holds no resets, and no neurons that do not fire"));
    }
    Ok(match neuron {
        Neuron::CurrentBased(n) => Neurons::CurrentBased {
            current_decay: within(node, "the current's decay", n.current_decay, (0, DECAY_ONE))?,
            voltage_decay: within(node, "the voltage's decay", n.voltage_decay, (0, DECAY_ONE))?,
            threshold: within(node, "the threshold", n.threshold, THRESHOLDS)?,
        },
        Neuron::SigmaDelta(n) => Neurons::SigmaDelta {
            threshold: within(node, "the threshold", n.threshold, THRESHOLDS)?,
            output: n.role == SigmaDeltaRole::Sigma,
        },
        _ => return Err(fault(node, "NetX has no such neurons")),
    })
}
