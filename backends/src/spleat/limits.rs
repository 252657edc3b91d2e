//! What images and hardware cannot hold: all of it, each with its node and a remedy.

use snnc_ir::{
    Connectivity, Encoder, Graph, NodeId, Op, Population, Presentation, Projection, SpikingOp,
    Window,
};

use super::geometry::{Geometry, Map};
use super::hardware::{
    AerWord, AveragePooling, Hardware, MaxPooling, NeuronKind, ResetKind, ResidualAddition,
};
use super::layer::{Kind, Layer};
use crate::Violation;

const OTHER_HARDWARE: &str = "use another hardware description (--hw FILE)";

/// What was found of a canonical network.
#[derive(Debug, Default)]
pub struct Found {
    /// Operators, connections and shapes that images do not have.
    pub structure: Vec<Violation>,
    /// Sizes and kinds of layers that this hardware does not have.
    pub capacity: Vec<Violation>,
}

/// Checks everything that does not depend on how neurons are expressed.
pub fn canonical(graph: &Graph, hardware: &Hardware) -> Found {
    let mut found = Found::default();
    for id in graph.ids() {
        let node = &graph[id];
        let Op::Spiking(op) = &node.op else { continue };
        if graph.operands(id).iter().any(|o| o.delay > 0) {
            let reason = "has a recurrent or delayed operand";
            found.structure.push(Violation::new(node, reason, "use a feed-forward network"));
        }
        match op {
            SpikingOp::Encoder(encoder) => {
                coordinates(graph, id, hardware, &mut found);
                let payloads = hardware.aer.payload_range();
                encoder_fits(graph, id, encoder, payloads, &mut found.capacity);
            }
            SpikingOp::Population(population) => {
                coordinates(graph, id, hardware, &mut found);
                population_fits(graph, id, population, hardware, &mut found);
            }
            SpikingOp::Projection(projection) => {
                synapses(graph, id, projection, hardware, &mut found)
            }
            SpikingOp::MaxPool { window } => {
                coordinates(graph, id, hardware, &mut found);
                maximum(graph, id, (window, false), hardware, &mut found);
            }
            SpikingOp::RunningMaxPool { window } => {
                coordinates(graph, id, hardware, &mut found);
                maximum(graph, id, (window, true), hardware, &mut found);
            }
            SpikingOp::Concatenate { .. } => found.structure.push(Violation::new(
                node,
                "joins maps, which an event-driven layer does not have",
                "let both branches project to the layer behind",
            )),
            SpikingOp::Decoder(_) => {}
        }
    }
    whole(graph, hardware, &mut found.capacity);
    found
}

fn whole(graph: &Graph, hardware: &Hardware, capacity: &mut Vec<Violation>) {
    let limits = &hardware.limits;
    let network = format!("network `{}`", graph.name);
    let layers = super::work::stages(graph).len();
    if layers > limits.max_layers {
        let reason = format!("has {layers} layers, the hardware {}", limits.max_layers);
        capacity.push(Violation { node: network.clone(), reason, remedy: OTHER_HARDWARE.into() });
    }
    let steps = graph.timing.timesteps;
    if steps > limits.max_timesteps {
        let reason =
            format!("runs {steps} timesteps, the hardware at most {}", limits.max_timesteps);
        capacity.push(Violation { node: network, reason, remedy: "use fewer timesteps".into() });
    }
}

fn synapses(
    graph: &Graph,
    id: NodeId,
    projection: &Projection,
    hardware: &Hardware,
    found: &mut Found,
) {
    let node = &graph[id];
    let users = graph.users(id);
    let mut structure = |reason: String, remedy: &str| {
        found.structure.push(Violation::new(node, reason, remedy));
    };
    if users.len() != 1 {
        structure(format!("projects to {} populations", users.len()), "report this");
    }
    if projection.delays.iter().any(|&d| d > 0) {
        structure("has synaptic delays".into(), "use synapses without delay");
    }
    if projection.binary && !sends_binary(graph, id) {
        structure("counts graded spikes as 1".into(), "use binary spikes");
    }
    let shape = graph.source(id, 0).map_or(&[][..], |s| &graph[s].ty.shape);
    match Geometry::of(&projection.connectivity, shape, &node.ty.shape) {
        Err(reason) => structure(reason, "use maps of at most two dimensions"),
        Ok(geometry) => {
            let weights = node.data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
            for reason in sizes(&geometry, &weights, hardware) {
                found.capacity.push(Violation::new(node, reason, OTHER_HARDWARE));
            }
        }
    }
}

fn maximum(
    graph: &Graph,
    id: NodeId,
    (window, running): (&Window, bool),
    hardware: &Hardware,
    found: &mut Found,
) {
    let node = &graph[id];
    let Some(source) = graph.source(id, 0) else { return };
    let channels = node.ty.shape.first().copied().unwrap_or(1);
    let windows = Connectivity::Convolution { window: window.clone(), groups: channels };
    if let Err(reason) = Geometry::of(&windows, &graph[source].ty.shape, &node.ty.shape) {
        found.structure.push(Violation::new(node, reason, "use maps of at most two dimensions"));
    }
    if sends_negative(graph, source) {
        // An absent event counts as 0, which would win against negative payloads.
        let reason = "takes the maximum of payloads that can be negative";
        found.structure.push(Violation::new(node, reason, "rectify before the maximum"));
    }
    let remedy = "use a stride of the convolution before, an average pool, or another hardware description (--hw FILE)";
    let graded = super::layer::largest_payload(graph, source) > 1;
    let reason = match hardware.supports.max_pool {
        MaxPooling::Totals => return,
        MaxPooling::Buffered if !running => return,
        MaxPooling::Buffered | MaxPooling::OrBinary if running => {
            "takes the maximum of running totals, the hardware only of what one timestep brings"
        }
        MaxPooling::OrBinary if !graded => return,
        MaxPooling::OrBinary | MaxPooling::Buffered => {
            "takes the maximum of graded spikes, the hardware only of binary ones"
        }
        MaxPooling::None => "takes a maximum, which the hardware does not",
    };
    found.capacity.push(Violation::new(node, reason, remedy));
}

fn sends_negative(graph: &Graph, id: NodeId) -> bool {
    match &graph[id].op {
        Op::Spiking(SpikingOp::Population(p)) => p.minimum < 0,
        Op::Spiking(SpikingOp::Encoder(e)) => e.minimum < e.zero_point,
        _ => false,
    }
}

fn sends_binary(graph: &Graph, projection: NodeId) -> bool {
    let Some(source) = graph.source(projection, 0) else { return false };
    match &graph[source].op {
        Op::Spiking(SpikingOp::Population(p)) => p.minimum >= 0 && p.maximum <= 1,
        Op::Spiking(SpikingOp::Encoder(e)) => {
            e.minimum == e.zero_point && e.maximum - e.zero_point <= 1
        }
        _ => false,
    }
}

/// Whether the event word can name every neuron of a node.
fn coordinates(graph: &Graph, id: NodeId, hardware: &Hardware, found: &mut Found) {
    let node = &graph[id];
    let Some(map) = Map::of(&node.ty.shape) else {
        let reason = format!("has a map of shape {:?}", node.ty.shape);
        let remedy = "use maps of at most two dimensions";
        found.structure.push(Violation::new(node, reason, remedy));
        return;
    };
    let aer = &hardware.aer;
    for (what, size, field) in
        [("channels", map.c, aer.c), ("rows", map.h, aer.y), ("columns", map.w, aer.x)]
    {
        let capacity = AerWord::capacity(field);
        if size as u64 > capacity {
            found.capacity.push(Violation::new(
                node,
                format!("has {size} {what}, but the event word tells {capacity} apart"),
                "widen the field of the event word in the hardware description",
            ));
        }
    }
}

fn encoder_fits(
    graph: &Graph,
    id: NodeId,
    encoder: &Encoder,
    (low, high): (i64, i64),
    found: &mut Vec<Violation>,
) {
    let ends = match encoder.presentation {
        Presentation::BitSerial { .. } => (0, 1),
        _ => (
            encoder.minimum.saturating_sub(encoder.zero_point),
            encoder.maximum.saturating_sub(encoder.zero_point),
        ),
    };
    if ends.0 < low || ends.1 > high {
        found.push(Violation::new(
            &graph[id],
            format!("sends payloads from {} to {}, but the event word carries {low} to {high}", ends.0, ends.1),
            "widen the payload field in the hardware description, or quantise the input to fewer bits",
        ));
    }
}

fn population_fits(
    graph: &Graph,
    id: NodeId,
    population: &Population,
    hardware: &Hardware,
    found: &mut Found,
) {
    let node = &graph[id];
    let supports = &hardware.supports;
    let mut capacity = |reason: String, remedy: &str| {
        found.capacity.push(Violation::new(node, reason, remedy));
    };
    let sources = graph.sources(id);
    if sources.len() > 1 && supports.residual_add == ResidualAddition::None {
        let reason = format!("adds {} branches, which the hardware does not", sources.len());
        capacity(reason, OTHER_HARDWARE);
    }
    let readout = !population.neuron.fires();
    if readout && !supports.neurons.contains(&NeuronKind::Accumulate) {
        capacity("reads out potentials, which the hardware does not".into(), OTHER_HARDWARE);
    }
    let limit = hardware.limits.max_payload.min(hardware.aer.payload_range().1);
    if !readout && population.maximum > limit {
        capacity(
            format!("sends payloads up to {}, the hardware up to {limit}", population.maximum),
            "quantise the activation to fewer bits, or use a hardware description with a wider payload",
        );
    }
    if !readout && population.maximum > 1 && !supports.graded {
        let reason = "sends graded spikes, which the hardware does not";
        capacity(reason.into(), "use a binary coding, such as rate");
    }
    let mut structure = |reason: &str, remedy: &str| {
        found.structure.push(Violation::new(node, reason, remedy));
    };
    if !sources.iter().all(|&s| matches!(graph[s].op, Op::Spiking(SpikingOp::Projection(_)))) {
        structure("is fed without a projection", "report this");
    }
    let read = |u: NodeId| matches!(graph[u].op, Op::Spiking(SpikingOp::Decoder(_)));
    if readout && !graph.users(id).into_iter().all(read) {
        structure("sends its potential to further neurons", "quantise the activation behind it");
    }
}

/// Neurons and numbers of legalised layers that the hardware does not have.
pub fn layers(graph: &Graph, layers: &[Layer], hardware: &Hardware) -> Vec<Violation> {
    let mut found = Vec::new();
    for layer in layers {
        let mut reasons = Vec::new();
        neuron_supported(layer, hardware, &mut reasons);
        numbers(layer, hardware, &mut reasons);
        let node = graph.find(&layer.name).map(|id| &graph[id]);
        let name = node.map_or_else(|| format!("`{}`", layer.name), |n| n.describe());
        found.extend(reasons.into_iter().map(|(reason, remedy)| Violation {
            node: name.clone(),
            reason,
            remedy: remedy.to_owned(),
        }));
    }
    found
}

type Reasons = Vec<(String, &'static str)>;

fn neuron_supported(layer: &Layer, hardware: &Hardware, reasons: &mut Reasons) {
    let (supports, neuron) = (&hardware.supports, &layer.neuron);
    let kind = match neuron.kind {
        Kind::IntegrateAndFire => NeuronKind::If,
        Kind::LeakyAveraging { .. } => NeuronKind::LifTau2,
        Kind::LeakySubtracting { .. } => NeuronKind::LifShiftLeak,
        Kind::Accumulate | Kind::Maximum | Kind::RunningMaximum => return,
    };
    if !supports.neurons.contains(&kind) {
        reasons.push((
            format!("has neurons of kind {kind:?}, which the hardware has not"),
            OTHER_HARDWARE,
        ));
    }
    let reset = if neuron.hard_reset.is_some() { ResetKind::Hard } else { ResetKind::Soft };
    if !supports.reset.contains(&reset) {
        reasons.push((
            format!("resets its neurons by {reset:?} reset, which the hardware does not"),
            OTHER_HARDWARE,
        ));
    }
    let in_time = |table: &Vec<Vec<i64>>| table.iter().any(|row| row.len() > 1);
    let tables = [Some(&neuron.threshold), neuron.reset.as_ref(), neuron.decode.as_ref()];
    if tables.into_iter().flatten().any(in_time) && !supports.time_tables {
        reasons.push((
            "has thresholds that change in time, which the hardware has not".into(),
            OTHER_HARDWARE,
        ));
    }
}

fn sizes(g: &Geometry, weights: &[i64], hardware: &Hardware) -> Vec<String> {
    let (limits, supports) = (&hardware.limits, &hardware.supports);
    let mut reasons = Vec::new();
    let mut within = |what: &str, size: usize, limit: usize| {
        if size > limit {
            reasons.push(format!("has {size} {what}, the hardware at most {limit}"));
        }
    };
    if g.dense {
        within("inputs", g.source.neurons(), limits.max_fc_inputs);
    } else {
        within("input channels", g.source.c, limits.max_cin);
        let largest = [g.source.h, g.source.w, g.target.h, g.target.w].into_iter().max();
        within("rows or columns", largest.unwrap_or(0), limits.max_hw);
        within("rows or columns of its kernel", g.kernel[0].max(g.kernel[1]), limits.max_kernel);
    }
    let one_row = g.source.h == 1 && g.target.h == 1 && g.kernel[0] == 1;
    let (supported, what) = match () {
        () if g.dense => (supports.fc, "a dense layer"),
        () if g.groups > 1 && is_average(g, weights) => {
            (supports.depthwise || supports.avg_pool == AveragePooling::AsConv, "an average pool")
        }
        () if g.groups > 1 => (supports.depthwise, "a convolution in groups"),
        () if one_row => (supports.conv1d || supports.conv2d, "a one-dimensional convolution"),
        () => (supports.conv2d, "a two-dimensional convolution"),
    };
    if !supported {
        reasons.push(format!("is {what}, which the hardware has not"));
    }
    reasons
}

/// Whether a window weighs all cells of its channel alike and meets no other channel.
fn is_average(geometry: &Geometry, weights: &[i64]) -> bool {
    let each = geometry.weights_per_channel().max(1);
    geometry.inputs_per_group() == 1
        && weights.chunks(each).all(|row| row.iter().all(|w| *w == row[0]))
}

fn numbers(layer: &Layer, hardware: &Hardware, reasons: &mut Reasons) {
    let n = &hardware.numbers;
    let fewer =
        "quantise the model to fewer bits, or use a hardware description with wider numbers";
    let mut within = |what: &str, values: &mut dyn Iterator<Item = &i64>, limit: u8| {
        let needed = super::layer::width(values);
        if needed > limit {
            reasons
                .push((format!("its {what} need {needed} bits, the hardware has {limit}"), fewer));
        }
    };
    within("weights", &mut layer.ports.iter().flat_map(|p| &p.weights), n.weight_bits);
    within("biases", &mut layer.bias.iter(), n.bias_bits);
    within("thresholds", &mut layer.neuron.threshold.iter().flatten(), n.threshold_bits);
    let tables = [layer.neuron.reset.as_ref(), layer.neuron.decode.as_ref()];
    within(
        "reset or spike values",
        &mut tables.into_iter().flatten().flatten().flatten(),
        n.threshold_bits,
    );
    within("initial potentials", &mut layer.initial.iter(), n.membrane_bits);
}
