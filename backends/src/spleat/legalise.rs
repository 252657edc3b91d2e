//! From the canonical network to the neurons and widths of an image.

use snnc_ir::analysis::{Interval, Intervals, intervals};
use snnc_ir::{
    Accumulator, BiasPlacement, Coding, Comparison, Connectivity, Graph, IntegrateAndFire, Leak,
    Neuron, NodeId, Op, Overflow, Population, Projection, Reset, Schedule, SpikingOp, Tensor,
    TimeTable, Verified, verify,
};

use super::bounds::membrane;
use super::geometry::Geometry;
use super::hardware::Hardware;
use super::layer::Layer;
use super::spiking::channel_drive;
use super::work::{Work, populations, stages};
use super::{limits, report};
use crate::{Legalised, Note, Violation};

/// Levels of a population from which on the search for its neurons takes long.
const SEARCHED: u64 = 1 << 12;

/// The network with the neurons of an image.
///
/// # Errors
/// Every limit of the hardware that the network passes, and everything images cannot say.
pub fn legalise(
    network: &Verified,
    hardware: &Hardware,
    force: bool,
) -> Result<Legalised, Vec<Violation>> {
    let found = limits::canonical(network, hardware);
    let mut violations = found.capacity;
    // Neurons of many levels are not searched for where something is refused in any case.
    let many = |id: &NodeId| {
        matches!(network[*id].as_spiking(), Some(SpikingOp::Population(p))
            if p.maximum.abs_diff(p.minimum) > SEARCHED)
    };
    let long = !violations.is_empty() && populations(network).iter().any(many);
    if !found.structure.is_empty() || long {
        violations.splice(0..0, found.structure);
        return Err(violations);
    }
    let bounds = intervals(network).map_err(|e| vec![internal(&e.to_string())])?;
    let mut graph = network.clone().into_inner();
    let mut notes = Vec::new();
    let mut complete = true;
    for id in populations(&graph) {
        let mut work = Work { graph: &mut graph, bounds: &bounds, hardware, id, notes: &mut notes };
        if let Err(violation) = work.population() {
            violations.push(violation);
            complete = false;
        }
    }
    if !complete {
        return Err(violations);
    }
    normalise_pools(&mut graph);
    set_widths(&mut graph, hardware, &mut violations)?;
    let graph = verify(graph)
        .map_err(|errors| errors.iter().map(|e| internal(&e.to_string())).collect::<Vec<_>>())?;
    let layers = layers(&graph, hardware)?;
    violations.extend(limits::layers(&graph, &layers, hardware));
    let fit = report::rows(&layers, hardware);
    let lacking = report::lacking(&graph, &fit);
    if force {
        notes.extend(lacking.into_iter().map(|v| Note { node: v.node, text: v.reason }));
    } else {
        violations.extend(lacking);
    }
    if violations.is_empty() {
        Ok(Legalised { network: graph, notes, fit })
    } else {
        Err(violations)
    }
}

/// The layers of a legalised network.
///
/// # Errors
/// When the network is not one that [`legalise`] made for this hardware.
pub fn layers(graph: &Graph, hardware: &Hardware) -> Result<Vec<Layer>, Vec<Violation>> {
    let (mut layers, mut violations) = (Vec::new(), Vec::new());
    for (index, id) in stages(graph).into_iter().enumerate() {
        match Layer::of(graph, id, index, hardware) {
            Ok(layer) => layers.push(layer),
            Err(reason) => violations.push(Violation::new(&graph[id], reason, "report this")),
        }
    }
    if violations.is_empty() { Ok(layers) } else { Err(violations) }
}

fn internal(reason: &str) -> Violation {
    Violation::fault("network", reason)
}

impl Work<'_> {
    fn population(&mut self) -> Result<(), Violation> {
        let Op::Spiking(SpikingOp::Population(population)) = &self.node().op else { return Ok(()) };
        let mut population = population.clone();
        let channels = self.node().ty.shape.first().copied().unwrap_or(1);
        let mut multipliers = vec![1; channels];
        let spiking = matches!(population.neuron, Neuron::IntegrateAndFire(_));
        match population.neuron.clone() {
            Neuron::Graded(_) | Neuron::Thresholds(_) => {
                let drives = self.drives(&population, channels);
                let fits = self.fits(&population, &drives)?;
                multipliers = fits.iter().map(|f| f.multiplier).collect();
                self.note(&population, &fits);
                population.bias =
                    drives.iter().zip(&fits).map(|(d, f)| d.bias * f.multiplier).collect();
                population.neuron = Neuron::IntegrateAndFire(IntegrateAndFire {
                    threshold: TimeTable::per_channel(fits.iter().map(|f| f.threshold)),
                    reset: Reset::Soft,
                    initial: fits.iter().map(|f| f.offset).collect(),
                    leak: Leak::None,
                    maximum: population.maximum,
                    comparison: Comparison::AtLeast,
                    signed_limit: None,
                    decode: None,
                });
            }
            Neuron::IntegrateAndFire(n) => self.spiking(&mut population, n, channels)?,
            Neuron::Accumulate => {
                population.bias = (0..channels).map(|c| population.bias_at(c)).collect();
            }
            other => {
                let remedy =
                    "use an activation that never falls, such as ReLU, or compile for reference";
                return Err(self.violation(format!("has no form for {}", other.name()), remedy));
            }
        }
        if population.coding == Coding::Graded {
            population.coding = Coding::MultiLevel;
        }
        self.place_bias(&mut population)?;
        if spiking {
            self.fit_widths(&mut population, channels);
        }
        self.graph[self.id].op = Op::Spiking(SpikingOp::Population(population));
        self.fold(&multipliers)
    }

    /// Brings the bias to where an image adds it: in every timestep, or behind a barrier once.
    fn place_bias(&self, population: &mut Population) -> Result<(), Violation> {
        let timing = self.graph.timing;
        let steps = i64::try_from(timing.timesteps).unwrap_or(i64::MAX);
        if timing.schedule == Schedule::LayerSynchronous {
            let factor = match population.bias_placement {
                BiasPlacement::EveryTimestep => steps,
                _ => 1,
            };
            population.bias.iter_mut().for_each(|b| *b = b.saturating_mul(factor));
            population.bias_placement = BiasPlacement::AfterLastTimestep;
            return Ok(());
        }
        let silent = population.bias.iter().all(|&b| b == 0);
        if steps > 1 && !silent && population.bias_placement != BiasPlacement::EveryTimestep {
            match &mut population.neuron {
                Neuron::IntegrateAndFire(n)
                    if population.bias_placement == BiasPlacement::FirstTimestep
                        && n.leak == Leak::None =>
                {
                    for (v, b) in n.initial.iter_mut().zip(&mut population.bias) {
                        *v = v.saturating_add(std::mem::take(b));
                    }
                }
                // The potentials of a read-out begin at its bias.
                Neuron::Accumulate if population.bias_placement == BiasPlacement::FirstTimestep => {
                    return Ok(());
                }
                _ => {
                    let reason = "adds its bias once in several timesteps";
                    return Err(
                        self.violation(reason, "use a layer-synchronous coding, or one timestep")
                    );
                }
            }
        }
        population.bias_placement = BiasPlacement::EveryTimestep;
        Ok(())
    }

    /// Gives every projection of the population its final weights.
    fn fold(&mut self, multipliers: &[i64]) -> Result<(), Violation> {
        for id in self.graph.sources(self.id) {
            let Some((geometry, weights)) = self.folded(id, multipliers) else {
                return Err(
                    self.violation("has a projection without integer weights", "report this")
                );
            };
            let rank = self.node().ty.shape.len();
            let exact = Projection::exact(geometry.connectivity(rank));
            let data = Tensor::from_integers(&geometry.weight_shape(rank), &weights);
            let node = &mut self.graph[id];
            node.op = Op::Spiking(SpikingOp::Projection(exact));
            node.data = Some(data);
        }
        Ok(())
    }
}

/// Gives the windows of maxima the padding that the image keeps.
fn normalise_pools(graph: &mut Graph) {
    for id in stages(graph) {
        let Some(source) = graph.source(id, 0) else { continue };
        let (window, running) = match &graph[id].op {
            Op::Spiking(SpikingOp::MaxPool { window }) => (window, false),
            Op::Spiking(SpikingOp::RunningMaxPool { window }) => (window, true),
            _ => continue,
        };
        let (from, to) = (&graph[source].ty.shape, &graph[id].ty.shape);
        let windows = Connectivity::Convolution { window: window.clone(), groups: 1 };
        let Ok(geometry) = Geometry::of(&windows, from, to) else { continue };
        if let Connectivity::Convolution { window, .. } = geometry.connectivity(to.len()) {
            graph[id].op = Op::Spiking(match running {
                true => SpikingOp::RunningMaxPool { window },
                false => SpikingOp::MaxPool { window },
            });
        }
    }
}

/// Gives every projection the width of its layer's membranes: that of the hardware, or the least
/// that no input can overflow.
fn set_widths(
    graph: &mut Graph,
    hardware: &Hardware,
    violations: &mut Vec<Violation>,
) -> Result<(), Vec<Violation>> {
    let bounds = intervals(graph).map_err(|e| vec![internal(&e.to_string())])?;
    for id in populations(graph) {
        let range = membrane_range(graph, &bounds, id);
        let needed = range.bits();
        let limit = hardware.numbers.membrane_bits;
        if needed > limit {
            violations.push(Violation::new(
                &graph[id],
                format!(
                    "membrane potentials from {} to {} need {needed} bits, the hardware has {limit}",
                    range.low, range.high
                ),
                "use a hardware description with wider membranes, or fewer bits in the model",
            ));
        }
        let bits = if hardware.numbers.fitted { needed.clamp(2, limit) } else { limit };
        for source in graph.sources(id) {
            if let Op::Spiking(SpikingOp::Projection(p)) = &mut graph[source].op {
                p.accumulator = Accumulator { bits, overflow: Overflow::Error };
            }
        }
    }
    Ok(())
}

/// Every value that the membrane of a population of a legalised graph can hold.
pub fn membrane_range(graph: &Graph, bounds: &Intervals, id: NodeId) -> Interval {
    let node = &graph[id];
    let Op::Spiking(SpikingOp::Population(population)) = &node.op else {
        return Interval::new(0, 0);
    };
    let barrier = graph.timing.schedule == Schedule::LayerSynchronous;
    let mut range = Interval::new(0, 0);
    for channel in 0..node.ty.shape.first().copied().unwrap_or(1) {
        let mut synapses = Interval::new(0, 0);
        for source in graph.sources(id) {
            let part = bounds.values(source).get(channel).copied();
            synapses = synapses.plus(part.unwrap_or(Interval::new(0, 0)).with_zero());
        }
        let (kind, drive) = channel_drive(population, channel, synapses);
        range = range.union(membrane(kind, &drive, graph.timing.timesteps, barrier));
        // The sum of the synapses alone is what the interpreter keeps within the width.
        range = range.union(synapses);
    }
    range
}
