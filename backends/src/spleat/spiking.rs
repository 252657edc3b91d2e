//! Neurons that fire by themselves already, in the tables and widths of an image.

use snnc_ir::analysis::{Interval, signed_bits};
use snnc_ir::{
    BiasPlacement, Comparison, IntegrateAndFire, Leak, Neuron, Op, PerChannel, Population, Reset,
    Schedule, SpikingOp, TimeTable,
};

use super::bounds::{ChannelDrive, membrane};
use super::layer::{Kind, rows, spread};
use super::work::Work;
use crate::{Note, Violation};

/// Gains of the branch with the largest gain that are tried, from the largest down.
const GAINS: i64 = 1 << 12;

/// One channel of a population, in the unit of its weights with gains.
struct Channel {
    /// Gain of each port.
    gains: Vec<i64>,
    /// Largest magnitude of each port's weights, gains excluded.
    weights: Vec<i64>,
    /// What each port can bring in one timestep, gains included.
    sums: Vec<Interval>,
    bias: i64,
    initial: i64,
    /// Thresholds that can be reached, and what spikes subtract.
    tables: Vec<i64>,
    /// Every value that the membrane can hold.
    range: Interval,
}

impl Work<'_> {
    /// A neuron that fires by itself already: one row of every table for each channel.
    pub(super) fn spiking(
        &self,
        population: &mut Population,
        n: IntegrateAndFire,
        channels: usize,
    ) -> Result<(), Violation> {
        if n.signed_limit.is_some() {
            return Err(self.violation("sends negative spikes", "use another coding"));
        }
        let mut n = IntegrateAndFire { initial: spread(&n.initial, channels), ..n };
        let steps = self.graph.timing.timesteps;
        let threshold = table(&n.threshold, channels, steps);
        if n.comparison == Comparison::Above {
            // v > t is v >= t + 1 for integers, while the spike still subtracts t.
            if n.maximum > 1 {
                return Err(
                    self.violation("compares several levels strictly", "use another coding")
                );
            }
            if n.reset == Reset::Soft {
                n.reset = Reset::SoftBy(TimeTable(threshold.clone()));
            }
            n.comparison = Comparison::AtLeast;
            let raised =
                threshold.iter().map(|row| row.iter().map(|t| t.saturating_add(1)).collect());
            n.threshold = TimeTable(raised.collect());
        } else {
            n.threshold = TimeTable(threshold);
        }
        if let Reset::SoftBy(taken) = &n.reset {
            n.reset = Reset::SoftBy(TimeTable(table(taken, channels, steps)));
        }
        n.decode = n.decode.map(|values| TimeTable(table(&values, channels, steps)));
        population.bias = (0..channels).map(|c| population.bias_at(c)).collect();
        population.neuron = Neuron::IntegrateAndFire(n);
        Ok(())
    }

    /// Lowers thresholds that no potential reaches to the first that none does, and where numbers are
    /// wider than the hardware's, replaces gains by smaller ones, thresholds, resets and biases
    /// following in proportion: exactly where they have a common divisor, else as near as the
    /// widths allow, with a note.
    pub(super) fn fit_widths(&mut self, population: &mut Population, channels: usize) {
        let found: Vec<Channel> = (0..channels).map(|c| self.channel(population, c)).collect();
        let mut gains: Vec<Vec<i64>> = found.iter().map(|c| c.gains.clone()).collect();
        let mut worst = 0f64;
        for (index, channel) in found.iter().enumerate() {
            let mut high = channel.range.high;
            if !self.fits_widths(channel) && can_scale(population) {
                let (smaller, error) = self.smaller(channel);
                worst = worst.max(error);
                let main = main_port(&channel.gains);
                let factor = Factor(smaller[main], channel.gains[main]);
                scale(population, index, factor, high);
                let ports = channel.sums.iter().zip(channel.gains.iter().zip(&smaller));
                let synapses = ports.fold(Interval::new(0, 0), |all, (sum, (&old, &new))| {
                    all.plus(Interval::new(sum.low / old, sum.high / old).times(new))
                });
                high = self.range(population, index, synapses).high;
                gains[index] = smaller;
            }
            lower_unreachable(population, index, channel.range.high, high);
        }
        for (port, id) in self.graph.sources(self.id).into_iter().enumerate() {
            if let Op::Spiking(SpikingOp::Projection(p)) = &mut self.graph[id].op {
                p.gain = gains.iter().map(|g| g[port]).collect();
            }
        }
        if worst > 0.0 {
            let text = format!(
                "has numbers wider than the hardware's: gains, thresholds and biases are rounded to a smaller unit, by up to {:.2} parts in a million",
                worst * 1e6
            );
            self.notes.push(Note { node: self.node().describe(), text });
        }
    }

    fn channel(&self, population: &Population, index: usize) -> Channel {
        let ports = self.graph.sources(self.id);
        let gain = |id| match &self.graph[id].op {
            Op::Spiking(SpikingOp::Projection(p)) => p.gain_at(index),
            _ => 1,
        };
        let sums: Vec<Interval> = ports
            .iter()
            .map(|&id| self.bounds.values(id).get(index).copied())
            .map(|sum| sum.unwrap_or(Interval::new(0, 0)).with_zero())
            .collect();
        let synapses = sums.iter().fold(Interval::new(0, 0), |all, &sum| all.plus(sum));
        let range = self.range(population, index, synapses);
        let mut channel = Channel {
            gains: ports.iter().map(|&id| gain(id)).collect(),
            weights: self.weights_of_ports_at(index),
            sums,
            bias: population.bias_at(index),
            initial: 0,
            tables: Vec::new(),
            range,
        };
        if let Neuron::IntegrateAndFire(n) = &population.neuron {
            channel.initial = n.initial.get(index).copied().unwrap_or(0);
            let reachable = n.threshold.0.get(index).into_iter().flatten();
            channel.tables.extend(reachable.filter(|&&t| t <= range.high));
            if let Reset::SoftBy(amount) = &n.reset {
                channel.tables.extend(amount.0.get(index).into_iter().flatten());
            }
        }
        channel
    }

    /// What the membrane of a channel can hold, of which the synapses bring so much a timestep.
    fn range(&self, population: &Population, index: usize, synapses: Interval) -> Interval {
        let timing = self.graph.timing;
        let barrier = timing.schedule == Schedule::LayerSynchronous;
        let (kind, drive) = channel_drive(population, index, synapses);
        membrane(kind, &drive, timing.timesteps, barrier).union(synapses)
    }

    fn fits_widths(&self, channel: &Channel) -> bool {
        let n = &self.hardware.numbers;
        let weights = channel.gains.iter().zip(&channel.weights);
        let bits = |v: i64| signed_bits(v);
        weights.map(|(&g, &w)| g.saturating_mul(w)).all(|w| bits(w) <= n.weight_bits)
            && bits(channel.bias) <= n.bias_bits
            && channel.tables.iter().all(|&t| bits(t) <= n.threshold_bits)
            && [channel.initial, channel.range.low, channel.range.high.saturating_add(1)]
                .iter()
                .all(|&v| bits(v) <= n.membrane_bits.min(n.threshold_bits))
    }

    /// Gains that fit, and the largest relative error of what is rounded to their unit.
    fn smaller(&self, channel: &Channel) -> (Vec<i64>, f64) {
        let n = &self.hardware.numbers;
        let main = main_port(&channel.gains);
        let unit = channel.gains[main].max(1);
        // Rounding moves potentials by a little, which a sixty-fourth leaves room for.
        let within = |value: i64, bits: u8| {
            let most = i128::from(super::graded::largest(bits)) * 63 / 64;
            most * i128::from(unit) / i128::from(value.saturating_abs().max(1))
        };
        let widest = channel.range.high.max(channel.range.low.saturating_neg());
        let mut limit = within(widest, n.membrane_bits.min(n.threshold_bits))
            .min(within(channel.bias, n.bias_bits))
            .min(within(channel.initial, n.membrane_bits));
        for &value in &channel.tables {
            limit = limit.min(within(value, n.threshold_bits));
        }
        for (&gain, &weight) in channel.gains.iter().zip(&channel.weights) {
            limit = limit.min(within(weight.saturating_mul(gain), n.weight_bits));
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).clamp(1, unit);
        let values = [channel.bias, channel.initial];
        let divisor = channel.gains.iter().chain(&channel.tables).chain(&values);
        let divisor = divisor.fold(0, |a, &b| greatest_divisor(a, b.saturating_abs())).max(1);
        if unit / divisor <= limit {
            return (channel.gains.iter().map(|g| g / divisor).collect(), 0.0);
        }
        let mut best = (channel.gains.clone(), f64::INFINITY);
        for gain in (1.max(limit - GAINS)..=limit).rev() {
            let (gains, error) = rounded(channel, Factor(gain, unit));
            if error < best.1 {
                best = (gains, error);
            }
        }
        best
    }

    fn weights_of_ports_at(&self, channel: usize) -> Vec<i64> {
        let channels = self.node().ty.shape.first().copied().unwrap_or(1);
        let of = |row: Vec<i64>| row.get(channel).copied().unwrap_or(0);
        self.weights_of_ports(channels).into_iter().map(of).collect()
    }
}

/// A fraction by which numbers are made smaller.
#[derive(Clone, Copy)]
struct Factor(i64, i64);

impl Factor {
    /// To the nearest integer.
    fn of(self, value: i64) -> i64 {
        let scaled = i128::from(value) * i128::from(self.0) * 2 + i128::from(self.1);
        scaled.div_euclid(2 * i128::from(self.1)) as i64
    }

    /// The nearest integer, and how far it is off.
    fn error(self, value: i64) -> f64 {
        (self.of(value) as f64 - value as f64 * self.0 as f64 / self.1 as f64).abs()
    }
}

fn greatest_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

fn main_port(gains: &[i64]) -> usize {
    (0..gains.len()).max_by_key(|&p| gains[p]).unwrap_or(0)
}

/// The gains of a channel by a factor, and the largest relative error; that of biases and initial
/// potentials is relative to the smallest threshold.
fn rounded(channel: &Channel, factor: Factor) -> (Vec<i64>, f64) {
    let gains: Vec<i64> = channel.gains.iter().map(|&g| factor.of(g).max(1)).collect();
    let real = |value: i64| (value as f64 * factor.0 as f64 / factor.1 as f64).abs().max(1e-9);
    let exact = channel.gains.iter().zip(&gains).map(|(&g, &s)| (s as f64 / real(g) - 1.0).abs());
    let positive = channel.tables.iter().copied().filter(|&t| t > 0);
    let least = real(positive.clone().min().unwrap_or(1));
    let tables = positive.map(|t| factor.error(t) / real(t));
    let added = [channel.bias, channel.initial].map(|v| factor.error(v) / least);
    let error = exact.chain(tables).chain(added).fold(0.0, f64::max);
    (gains, error)
}

/// Whether all numbers of a neuron can become smaller: one hard reset serves all channels.
fn can_scale(population: &Population) -> bool {
    matches!(&population.neuron, Neuron::IntegrateAndFire(n) if !matches!(n.reset, Reset::Hard(v) if v != 0))
}

/// Multiplies everything of a channel but its gains; thresholds above `reachable` stay.
fn scale(population: &mut Population, channel: usize, factor: Factor, reachable: i64) {
    if let Some(bias) = population.bias.get_mut(channel) {
        *bias = factor.of(*bias);
    }
    let Neuron::IntegrateAndFire(n) = &mut population.neuron else { return };
    if let Some(initial) = n.initial.get_mut(channel) {
        *initial = factor.of(*initial);
    }
    for t in n.threshold.0.get_mut(channel).into_iter().flatten() {
        if *t <= reachable {
            *t = factor.of(*t).max(i64::from(*t > 0));
        }
    }
    if let Reset::SoftBy(amount) = &mut n.reset {
        for a in amount.0.get_mut(channel).into_iter().flatten() {
            *a = factor.of(*a);
        }
    }
}

/// Gives thresholds above `reachable` the first value above `high`.
fn lower_unreachable(population: &mut Population, channel: usize, reachable: i64, high: i64) {
    if let Neuron::IntegrateAndFire(n) = &mut population.neuron {
        for t in n.threshold.0.get_mut(channel).into_iter().flatten() {
            if *t > reachable {
                *t = high.saturating_add(1);
            }
        }
    }
}

/// The neuron model of a channel and what drives it, of which the synapses bring so much a timestep.
pub(super) fn channel_drive(
    population: &Population,
    channel: usize,
    synapses: Interval,
) -> (Kind, ChannelDrive) {
    let (mut initial, mut hard_reset, mut resets) = (0, None, Interval::new(0, 0));
    let mut kind = Kind::Accumulate;
    if let Neuron::IntegrateAndFire(n) = &population.neuron {
        initial = PerChannel::of(&n.initial).get(channel).copied().unwrap_or(0);
        kind = match n.leak {
            Leak::None => Kind::IntegrateAndFire,
            Leak::Averaging { shift, kept } => Kind::LeakyAveraging { shift, kept },
            Leak::Subtracting { shift } => Kind::LeakySubtracting { shift },
        };
        match &n.reset {
            Reset::Hard(v) => hard_reset = Some(*v),
            Reset::Soft => resets = excess(&n.threshold, &n.threshold, n.maximum, channel),
            Reset::SoftBy(table) => resets = excess(&n.threshold, table, n.maximum, channel),
        }
    }
    let mut bias = population.bias_at(channel);
    if population.bias_placement == BiasPlacement::FirstTimestep {
        initial += std::mem::take(&mut bias);
    }
    (kind, ChannelDrive { synapses, bias, initial, hard_reset, resets })
}

/// How far below 0 one spike can take a potential that just reached its threshold, and how far up.
fn excess(threshold: &TimeTable, reset: &TimeTable, maximum: i64, channel: usize) -> Interval {
    let steps = [threshold, reset]
        .into_iter()
        .filter_map(|t| PerChannel::of(&t.0).get(channel))
        .map(Vec::len)
        .max()
        .unwrap_or(1);
    let most = maximum.max(1);
    (0..steps).fold(Interval::new(0, 0), |all, t| {
        let (needed, taken) = (threshold.at(channel, t), reset.at(channel, t));
        // Both ends are linear in the level, so the highest decides.
        let left = needed.saturating_sub(taken).saturating_mul(most).min(0);
        let up = taken.saturating_mul(most).saturating_neg().max(0);
        all.union(Interval::new(left, up))
    })
}

/// One row for each channel, with one entry if time changes nothing, else one for each timestep.
fn table(table: &TimeTable, channels: usize, steps: usize) -> Vec<Vec<i64>> {
    let rows = rows(table, channels);
    let constant = rows.iter().all(|row| row.iter().take(steps).all(|v| *v == row[0]));
    let columns = if constant { 1 } else { steps };
    let at = |row: &[i64], t: usize| row.get(t).or(row.last()).copied().unwrap_or(0);
    rows.iter().map(|row| (0..columns).map(|t| at(row, t)).collect()).collect()
}
