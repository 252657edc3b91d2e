//! Residual additions on Akida 2.0.
//!
//! The chip adds two layers after shifting them left, so both count in one unit times powers of two.
//! Payloads that are handed on keep their unit; a convolution that feeds the addition gets a layer of
//! its own without activation, whose 8-bit output takes the unit that the addition needs. The sum has
//! 8 bits; an identity convolution behind it rectifies, and rounds to the population's own unit where
//! the sum is finer.

use snnc_ir::{GradedNeuron, NodeId, PerChannel, Population, SpikingOp, ThresholdTable};

use super::super::synapses::{Kind, Synapses, diagonal};
use super::super::{Legaliser, Signal};
use super::{Output, output_stage, weighted_two, with_ceilings};
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::kernel_to_akida;
use crate::akida::search::{Staircase, TwoParameters};

/// Most that an addition shifts an input to the left.
const MOST_SHIFT: i32 = 7;

/// One input of an addition as a layer, and the power of two of the common unit that it counts in.
struct Input {
    layer: String,
    exponent: i32,
}

impl Legaliser<'_> {
    /// Real value of one unit of a port's payload in units of the sum's, for each channel.
    fn units(&self, p: &Population, s: &Synapses) -> Option<Vec<f64>> {
        (0..s.rows.len()).map(|c| Some(s.gain[c] as f64 * levels_per_unit(p, c)?)).collect()
    }

    /// The unit that a population's payload should have so that an addition, its only reader, can
    /// shift it to the other input, already made.
    pub(super) fn partner_unit(&self, id: NodeId) -> Option<f64> {
        let &[projection] = self.graph.users(id).as_slice() else { return None };
        let &[population] = self.graph.users(projection).as_slice() else { return None };
        let ports = self.graph.sources(population);
        if ports.len() != 2 || !ports.iter().all(|&p| self.is_one_to_one(p)) {
            return None;
        }
        let &other = ports.iter().find(|&&p| p != projection)?;
        let signal = self.signals.get(&self.graph.source(other, 0)?)?;
        let gain = |id: NodeId| match self.graph[id].as_spiking() {
            Some(SpikingOp::Projection(p)) => p.gain_at(0) as f64,
            _ => 1.0,
        };
        Some(signal.ratio * gain(other) / gain(projection))
    }

    /// A population with several projections.
    pub(super) fn addition(&mut self, id: NodeId, p: &Population) -> Option<()> {
        let ports = self.graph.sources(id).len();
        if ports != 2 {
            let reason = format!("{ports} layers meet here; Akida 2.0 adds two");
            self.violation(id, reason, "add them two by two");
            return None;
        }
        let inputs = [self.synapses(id, 0), self.synapses(id, 1)];
        let [Some(a), Some(b)] = inputs else { return None };
        let mut parts = [a, b];
        let units = [self.units(p, &parts[0]), self.units(p, &parts[1])];
        let [Some(ua), Some(ub)] = units else {
            self.violation(id, "an addition into a table of thresholds", "requantise affinely");
            return None;
        };
        let units = [ua, ub];
        // The unit in which 8 bits hold what the population can send.
        let span = p.maximum.max(-p.minimum) as f64;
        let mut base = 1.25 * span / 127.0;
        let kept: Vec<Option<f64>> = parts.iter().zip(&units).map(|(s, u)| kept(s, u)).collect();
        if let Some(unit) = kept.iter().flatten().next() {
            base = unit * 2f64.powi((span / 127.0 / unit).log2().ceil() as i32);
        }
        // The first layer that is made for this addition takes the bias.
        let exponents: Vec<Option<i32>> =
            kept.iter().map(|k| k.and_then(|unit| shift_between(unit, base))).collect();
        let bias_port = exponents.iter().position(Option::is_none);
        let mut made = Vec::new();
        for (port, s) in parts.iter_mut().enumerate() {
            let input = match exponents[port] {
                Some(exponent) => Input { layer: s.signal.layer.clone(), exponent },
                None => {
                    let bias = bias_port == Some(port);
                    let layer = self.addend(id, p, s, (bias, base), &units[port])?;
                    Input { layer, exponent: 0 }
                }
            };
            made.push(input);
        }
        let map = parts[0].sums;
        let least = made.iter().map(|i| i.exponent).min().unwrap_or(0).min(0);
        let c = map[0];
        let name = self.graph[id].name.clone();
        let sum = format!("{name}.add");
        let mut layer = Layer::new(sum.clone(), LayerType::Add);
        for (input, shift) in made.iter().zip(["a_shift", "b_shift"]) {
            layer = layer.after(input.layer.clone()).array(
                shift,
                &[c],
                &vec![(input.exponent - least).into(); c],
            );
        }
        let layer = layer.array("output_shift", &[c], &vec![i64::from(least); c]);
        self.owners.insert(sum.clone(), (id, parts[0].projection));
        self.spec.layers.push(layer);
        self.rectify(id, p, (sum, map), base, bias_port.is_none(), parts[0].projection)
    }

    /// The layer that makes a port's sums into 8 bits of the given unit; the first takes the bias.
    fn addend(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &mut Synapses,
        (bias_here, base): (bool, f64),
        units: &[f64],
    ) -> Option<String> {
        let port = if self.graph.source(id, 0) == Some(s.projection) { "a" } else { "b" };
        let name = format!("{}.{port}", self.graph[id].name);
        let (layer, geometry, limit) = self.plan_two(id, name.clone(), s)?;
        if geometry.as_ref().is_some_and(|g| g.offset != [0, 0] || g.map != s.sums[1..]) {
            self.violation(id, "an unpadded convolution into an addition", "pad it");
            return None;
        }
        let output = Output { bits: 8, ratio: base, range: (-128, 127) };
        let rows = s.rows.clone();
        let own: &Synapses = s;
        let stage = self.stage(id, &rows, &output, limit, (layer.kind, true), |this, c| {
            let bias =
                if bias_here { p.bias_at(c) as f64 * units[c] / own.gain[c] as f64 } else { 0.0 };
            let unit = units[c] * own.signal.ratio;
            let threshold =
                |level: i64| (((level as f64 - 0.5) * base - bias) / unit).ceil() as i64;
            Staircase {
                thresholds: (-127..=127).map(threshold).collect(),
                range: this.reach(own, c),
            }
        })?;
        let layer = weighted_two(layer, s, &stage.rows, &geometry);
        let layer =
            output_stage(layer, &stage.parameters).with(&[("activation", 0), ("output_bits", 8)]);
        self.owners.insert(name.clone(), (id, s.projection));
        self.spec.layers.push(layer);
        Some(name)
    }

    /// The identity convolution behind an addition.
    fn rectify(
        &mut self,
        id: NodeId,
        p: &Population,
        (sum, map): (String, [usize; 3]),
        base: f64,
        bias_here: bool,
        projection: NodeId,
    ) -> Option<()> {
        let c = map[0];
        let name = self.graph[id].name.clone();
        let rectified = p.minimum >= 0;
        let fine = base < 1.0;
        let output = if fine {
            let mut output = self.output(id, p);
            output.ratio = 1.0;
            output
        } else {
            let units = |v: i64| (v as f64 / base).round() as i64;
            let low = if rectified { 0 } else { units(p.minimum).max(-128) };
            Output { bits: 8, ratio: base, range: (low, units(p.maximum).min(127)) }
        };
        let bias = |c: usize| if bias_here { self.own_bias(p, c) } else { 0.0 };
        let biases: Vec<f64> = (0..c).map(bias).collect();
        let rows = vec![vec![1]; c];
        let stage =
            self.stage(id, &rows, &output, 1, (LayerType::Conv2D, true), |_, channel| {
                let threshold = |level: i64| {
                    (((level as f64 - 0.5) * output.ratio - biases[channel]) / base).ceil() as i64
                };
                let levels = output.range.0 + 1..=output.range.1;
                Staircase { thresholds: levels.map(threshold).collect(), range: (-128, 127) }
            })?;
        let text = format!(
            "the addition is done in 8 bits, one unit being {base:.4} of the reference's{}",
            if fine { "" } else { ", and is sent in that unit" }
        );
        self.note(id, text);
        let plain: Vec<TwoParameters> = stage.parameters;
        let identity = diagonal(vec![1; c].into_iter()).concat();
        let layer = Layer::new(name.clone(), LayerType::Conv2D)
            .after(sum.clone())
            .with(&[
                ("filters", c as i64),
                ("kernel_size", 1),
                ("activation", rectified.into()),
                ("output_bits", output.bits),
            ])
            .array("weights", &[1, 1, c, c], &kernel_to_akida(&identity, &[c, c, 1, 1], true));
        let layer = output_stage(layer, &plain);
        let layer = if rectified { with_ceilings(layer, &stage.ceilings) } else { layer };
        let scale = p.scale.iter().map(|s| (f64::from(*s) * output.ratio) as f32).collect();
        self.scales.insert(name.clone(), scale);
        let signal =
            Signal { layer: name, ratio: output.ratio, range: output.range, map, offset: [0, 0] };
        self.push(layer, id, projection, signal);
        Some(())
    }

    /// Bias of a channel in units of the population's payload.
    fn own_bias(&self, p: &Population, c: usize) -> f64 {
        p.bias_at(c) as f64 * levels_per_unit(p, c).unwrap_or(0.0)
    }
}

/// Levels of a population that one unit of its potential is worth. Halves that go to the even level lie
/// unevenly, but every second threshold evenly.
fn levels_per_unit(p: &Population, c: usize) -> Option<f64> {
    let pick = |v: &[i64]| *PerChannel::of(v).at(c) as f64;
    if let Some(n) = p.neuron.get::<GradedNeuron>() {
        return Some(pick(&n.multiplier) / pick(&n.divisor));
    }
    let row = p.neuron.get::<ThresholdTable>()?.row(c);
    // What cannot be reached is the same for all levels above.
    let reached = row.windows(2).take_while(|pair| pair[0] < pair[1]).count();
    let last = if reached > 1 { reached / 2 * 2 } else { reached };
    let run = (row.get(last)?.checked_sub(*row.first()?)?) as f64;
    (run > 0.0).then(|| last as f64 / run)
}

/// The unit of payloads that are handed on as they are, if all channels have one.
fn kept(s: &Synapses, units: &[f64]) -> Option<f64> {
    let ones = s.kind == Kind::OneToOne && s.rows.iter().all(|r| r == &[1]);
    let one = units.iter().all(|u| *u == units[0]);
    let narrow = s.signal.range.0 >= -128 && s.signal.range.1 <= 127;
    (ones && one && narrow && s.signal.offset == [0, 0]).then(|| units[0] * s.signal.ratio)
}

/// The power of two from `base` to `unit`, if there is one within reach.
fn shift_between(unit: f64, base: f64) -> Option<i32> {
    let exponent = (unit / base).log2();
    let whole = exponent.round();
    // Scales are f32, so units that are meant to be related agree to its precision.
    let related = (exponent - whole).abs() < 1e-4;
    (related && whole.abs() <= f64::from(MOST_SHIFT)).then_some(whole as i32)
}
