//! What the codings without a barrier share: inputs as constant currents, thresholds that fit them.
//!
//! Over P presentations an input code x brings `P w x`, so everything is said P-fold: a bias b is added
//! in each of the P timesteps, a spike that stands for u units of payload brings `P u` times its
//! weight, and the threshold of one spike is `P u S`, where `S / multiplier` is the potential of one unit
//! of payload. Fractions of u are cleared by a common factor of each layer.

use snnc_ir::{
    AccumulateNeuron, BiasPlacement, Leak, NegativeSpikes, NodeId, Op, Presentation, Reset,
    Schedule, SpikingOp, TimeTable, Timing,
};

use super::recoder::{Layer, Recoded, Recoder, neuron};
use super::staircase::Line;
use super::{Initial, ResetRule};

/// How a network streams.
pub(super) struct Plan {
    pub(super) timesteps: usize,
    pub(super) schedule: Schedule,
    /// Timesteps in which inputs and biases come.
    pub(super) presentations: usize,
    /// Whether spikes can be taken back.
    pub(super) retracting: bool,
    /// Most that a neuron sends in one timestep.
    pub(super) levels: fn(&Layer, usize) -> i64,
    /// Whether the payload's thresholds must be met exactly.
    pub(super) exact: bool,
    pub(super) initial: Initial,
    pub(super) reset: ResetRule,
    pub(super) leak: Leak,
}

/// A positive fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio(i64, i64);

impl Ratio {
    fn new(numerator: i64, denominator: i64) -> Ratio {
        let divisor = greatest_divisor(numerator, denominator).max(1);
        Ratio(numerator / divisor, denominator / divisor)
    }

    fn times(self, factor: i64) -> Ratio {
        let divisor = greatest_divisor(factor, self.1).max(1);
        Ratio(self.0.saturating_mul(factor / divisor), self.1 / divisor)
    }

    /// The integer `self * common`, `common` being a multiple of the denominator.
    fn cleared(self, common: i64) -> i64 {
        self.0.saturating_mul(common / self.1)
    }
}

fn greatest_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { greatest_divisor(b, a % b) }
}

fn common_multiple(ratios: &[Ratio]) -> i64 {
    let join = |common: i64, r: &Ratio| common / greatest_divisor(common, r.1) * r.1;
    ratios.iter().fold(1, join)
}

/// Units of payload that one unit sent by the layer stands for.
fn unit(plan: &Plan, layer: &Layer) -> Ratio {
    if plan.retracting || layer.maximum == 0 {
        return Ratio(1, 1);
    }
    let levels = (plan.levels)(layer, plan.timesteps);
    Ratio::new(layer.maximum, levels.saturating_mul(plan.timesteps as i64).max(1))
}

pub(super) fn recode(recoder: &mut Recoder<'_>, plan: &Plan) {
    let layers = recoder.layers();
    let units: Vec<(NodeId, Ratio)> = layers.iter().map(|l| (l.id, unit(plan, l))).collect();
    for layer in &layers {
        let Some(lines) = lines(recoder, plan, layer) else { continue };
        let Some(worth) = port_worth(recoder, &units, layer.id) else { continue };
        let recoded = population(plan, layer, &lines, &worth);
        match recoded {
            Some(recoded) => recoder.set(layer.id, recoded),
            None => recoder.refuse(layer.id, "potentials exceed 64 bits", "use fewer timesteps"),
        }
    }
    for id in recoder.read_outs() {
        read_out(recoder, plan, &units, id);
    }
    recoder.present(match plan.presentations {
        1 => Presentation::Once,
        _ => Presentation::EveryTimestep,
    });
    if plan.timesteps > 1 || plan.retracting {
        recoder.run_pools_on_totals();
    }
    let presentations = plan.presentations as f64;
    recoder.sum_outputs(|id| match units.iter().find(|(own, _)| *own == id) {
        Some((_, unit)) => unit.0 as f64 / unit.1 as f64,
        None => 1.0 / presentations,
    });
    recoder.timing(Timing { timesteps: plan.timesteps, schedule: plan.schedule });
}

/// A line for each channel, or a refusal.
fn lines(recoder: &mut Recoder<'_>, plan: &Plan, layer: &Layer) -> Option<Vec<Line>> {
    let Some(staircases) = &layer.staircases else {
        let reason = "its table does not ascend, which a potential cannot express";
        recoder.refuse(layer.id, reason, "use `graded` or `few-spikes`");
        return None;
    };
    if layer.minimum < 0 && !plan.retracting {
        let reason = "negative payloads have no spikes";
        let remedy = "use `graded`, `few-spikes`, `rate-sync`, `signed-rate` or `sigma-delta`";
        recoder.refuse(layer.id, reason, remedy);
        return None;
    }
    let line = |s: &super::staircase::Staircase| {
        if plan.exact { s.line.filter(|l| l.odd == 0) } else { s.nearest(layer.minimum) }
    };
    let lines: Vec<Option<Line>> = staircases.iter().map(line).collect();
    let without = lines.iter().filter(|l| l.is_none()).count();
    if without > 0 {
        let reason = format!(
            "the thresholds of {without} of {} channels are on no straight line, which a constant \
             threshold needs",
            layer.channels
        );
        recoder.refuse(layer.id, reason, "use `graded` or `rate-sync`, or quantise to 4 bits");
        return None;
    }
    Some(lines.into_iter().flatten().collect())
}

/// What comes through each port of a population: `None` is an input, else what one unit stands for.
fn port_worth(
    recoder: &mut Recoder<'_>,
    units: &[(NodeId, Ratio)],
    id: NodeId,
) -> Option<Vec<Option<Ratio>>> {
    let mut worth = Vec::new();
    for port in recoder.ports(id) {
        let mut found: Vec<Option<Ratio>> = recoder
            .origins(port)
            .into_iter()
            .map(|o| units.iter().find(|(own, _)| *own == o).map(|(_, unit)| *unit))
            .collect();
        found.dedup();
        match found.as_slice() {
            [one] => worth.push(*one),
            _ => {
                let reason = "branches whose spikes stand for different values are joined";
                recoder.refuse(id, reason, "use `graded`, `few-spikes` or `rate-sync`");
                return None;
            }
        }
    }
    Some(worth)
}

fn population(
    plan: &Plan,
    layer: &Layer,
    lines: &[Line],
    worth: &[Option<Ratio>],
) -> Option<Recoded> {
    let presentations = plan.presentations as i64;
    let own = unit(plan, layer).times(presentations);
    let ports: Vec<Ratio> =
        worth.iter().map(|w| w.map_or(Ratio(1, 1), |u| u.times(presentations))).collect();
    let common = common_multiple(&[ports.as_slice(), &[own]].concat());
    let every =
        |of: &dyn Fn(&Line) -> Option<i64>| lines.iter().map(of).collect::<Option<Vec<_>>>();
    let scaled = |factor: i64| every(&|l| l.multiplier.checked_mul(factor));
    let gains =
        ports.iter().map(|p| scaled(p.cleared(common))).collect::<Option<Vec<Vec<i64>>>>()?;
    let bias = scaled(common)?;
    let thresholds = every(&|l| l.divisor.checked_mul(own.cleared(common)))?;
    let exact_start = unit(plan, layer) == Ratio(1, 1) && plan.initial == Initial::HalfThreshold;
    let initial = match plan.initial {
        _ if plan.exact || exact_start => {
            every(&|l| l.offset.checked_mul(common)?.checked_mul(presentations))?
        }
        Initial::HalfThreshold => thresholds.iter().map(|t| t / 2).collect(),
        Initial::Zero => vec![0; lines.len()],
    };
    let levels = (plan.levels)(layer, plan.timesteps);
    let threshold = if thresholds.iter().all(|t| *t == thresholds[0]) {
        TimeTable::constant(thresholds[0])
    } else {
        TimeTable::per_channel(thresholds)
    };
    let mut n = neuron(threshold, initial, levels);
    n.leak = plan.leak;
    if plan.reset == ResetRule::Hard {
        n.reset = Reset::Hard(0);
    }
    if plan.retracting {
        let (minimum, maximum) = (layer.minimum, layer.maximum);
        n.signed_limit = Some(NegativeSpikes::Retracting { minimum, maximum });
    }
    let unit = unit(plan, layer);
    let worth = unit.0 as f64 / unit.1 as f64;
    Some(Recoded {
        neuron: n.into(),
        gains,
        bias,
        bias_placement: placement(plan),
        range: (if plan.retracting { -levels } else { 0 }, levels),
        scale: layer.scale.iter().map(|s| (f64::from(*s) * worth) as f32).collect(),
    })
}

fn placement(plan: &Plan) -> BiasPlacement {
    if plan.presentations == 1 {
        BiasPlacement::FirstTimestep
    } else {
        BiasPlacement::EveryTimestep
    }
}

/// A read-out adds up what its inputs bring; only where a graph input is among them it does so once a
/// presentation.
fn read_out(recoder: &mut Recoder<'_>, plan: &Plan, units: &[(NodeId, Ratio)], id: NodeId) {
    let Some(worth) = port_worth(recoder, units, id) else { return };
    let current = plan.presentations > 1 && worth.iter().any(Option::is_none);
    let presentations = if current { plan.presentations as i64 } else { 1 };
    let ports: Vec<Ratio> =
        worth.iter().map(|w| w.map_or(Ratio(1, 1), |u| u.times(presentations))).collect();
    let common = common_multiple(&ports);
    let factor = common.saturating_mul(presentations);
    let Op::Spiking(SpikingOp::Population(own)) = recoder.graph[id].op.clone() else { return };
    let channels = recoder.graph[id].ty.shape.first().copied().unwrap_or(1);
    let shrink = |scale: &f32| (f64::from(*scale) / factor as f64) as f32;
    let recoded = Recoded {
        neuron: AccumulateNeuron.into(),
        gains: ports.iter().map(|p| vec![p.cleared(common); channels]).collect(),
        bias: vec![common; channels],
        bias_placement: if current {
            BiasPlacement::EveryTimestep
        } else {
            BiasPlacement::FirstTimestep
        },
        range: (
            own.minimum.min(0).saturating_mul(factor),
            own.maximum.max(0).saturating_mul(factor),
        ),
        scale: own.scale.iter().map(shrink).collect(),
    };
    recoder.set(id, recoded);
    for user in recoder.graph.users(id) {
        if let Op::Spiking(SpikingOp::Decoder(d)) = &mut recoder.graph[user].op {
            d.scale.iter_mut().for_each(|s| *s = shrink(s));
            d.zero.iter_mut().for_each(|z| *z = z.saturating_mul(factor));
        }
    }
}
