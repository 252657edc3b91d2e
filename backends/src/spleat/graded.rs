//! Graded neurons as multi-level integrate-and-fire neurons, channel by channel.

use snnc_ir::analysis::{Interval, signed_bits};
use snnc_ir::{Neuron, Op, Population, SpikingOp};

use super::bounds::{ChannelDrive, membrane};
use super::fit::{Fit, fit};
use super::layer::Kind;
use super::work::Work;
use crate::{Note, Violation};

/// Multipliers of weights that are tried at most.
const MULTIPLIERS: i64 = 1 << 14;

/// Integers that are tried for the ratio of two branches' gains.
const RATIOS: i64 = 1 << 15;

/// What reaches one channel of a population, in the unit of its weights with gains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drive {
    /// What all synapses can bring.
    synapses: Interval,
    /// Bias.
    pub(super) bias: i64,
    /// The potential of the canonical neuron is `synapses * unit.0 / unit.1 + offset`.
    unit: (i128, i128),
    /// What has no place in the integer bias because the unit is a fraction.
    offset: i64,
}

impl Drive {
    fn canonical(&self, v: i64) -> i64 {
        let scaled = (i128::from(v) * self.unit.0).div_euclid(self.unit.1);
        let v = scaled.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64;
        v.saturating_add(self.offset)
    }
}

pub(super) fn largest(bits: u8) -> i64 {
    (1i64 << (bits.clamp(1, 62) - 1)) - 1
}

impl Work<'_> {
    /// What reaches each channel. Gains that leave no room for weights are replaced by small
    /// integers in the same ratio, as near as weights allow.
    pub(super) fn drives(&mut self, population: &Population, channels: usize) -> Vec<Drive> {
        let limit = largest(self.hardware.numbers.weight_bits);
        let potentials = self.bounds.potentials(self.id).to_vec();
        let exact = |channel: usize| {
            let bias = population.bias_at(channel);
            let reachable = potentials.get(channel).copied().unwrap_or(Interval::new(0, 0));
            let synapses = reachable.plus(Interval::new(-bias, -bias));
            Drive { synapses, bias, unit: (1, 1), offset: 0 }
        };
        let fits = self.magnitudes(channels).iter().all(|&m| m <= limit);
        if fits || self.gains().iter().flatten().any(|&g| g <= 0) {
            return (0..channels).map(exact).collect();
        }
        self.rescale(population, channels, limit)
    }

    /// Gains of each port, as they are stored.
    fn gains(&self) -> Vec<Vec<i64>> {
        let sources = self.graph.sources(self.id);
        let projections = sources.iter().filter_map(|&id| match &self.graph[id].op {
            Op::Spiking(SpikingOp::Projection(p)) => Some(p),
            _ => None,
        });
        projections.map(|p| p.gain.clone()).collect()
    }

    fn rescale(&mut self, population: &Population, channels: usize, limit: i64) -> Vec<Drive> {
        let ports = self.graph.sources(self.id);
        let at = |gains: &[i64], c: usize| match gains {
            [] => 1,
            [one] => *one,
            many => many[c],
        };
        let old = self.gains();
        let mut new = vec![vec![1i64; channels]; ports.len()];
        let mut drives = Vec::with_capacity(channels);
        let mut worst = 0f64;
        let largest_weights = self.weights_of_ports(channels);
        for channel in 0..channels {
            let gains: Vec<i64> = old.iter().map(|g| at(g, channel)).collect();
            let room: Vec<i64> =
                largest_weights.iter().map(|w| limit / w[channel].max(1)).collect();
            let (small, error) = ratio(&gains, &room);
            worst = worst.max(error);
            let mut synapses = Interval::new(0, 0);
            for (port, &id) in ports.iter().enumerate() {
                let sum = self.bounds.values(id).get(channel).copied();
                let sum = sum.unwrap_or(Interval::new(0, 0)).with_zero();
                let accumulator = Interval::new(sum.low / gains[port], sum.high / gains[port]);
                synapses = synapses.plus(accumulator.times(small[port]));
                new[port][channel] = small[port];
            }
            // The branch with the largest gain sets the unit.
            let main = (0..gains.len()).max_by_key(|&p| gains[p]).unwrap_or(0);
            let unit = (i128::from(gains[main]), i128::from(small[main]));
            drives.push(Drive { synapses, bias: 0, unit, offset: population.bias_at(channel) });
        }
        for (&id, gain) in ports.iter().zip(new) {
            if let Op::Spiking(SpikingOp::Projection(p)) = &mut self.graph[id].op {
                p.gain = gain;
            }
        }
        if worst > 0.0 {
            let text = format!(
                "adds branches whose scales have no small common unit: their ratio is rounded by up to {:.2} parts in a million",
                worst * 1e6
            );
            self.notes.push(Note { node: self.node().describe(), text });
        }
        drives
    }

    /// Largest magnitude of a weight, gain excluded, for each port and channel.
    pub(super) fn weights_of_ports(&self, channels: usize) -> Vec<Vec<i64>> {
        let ports = self.graph.sources(self.id);
        let of = |id| -> Vec<i64> {
            let weights = self.graph[id].data.as_ref().and_then(|d| d.to_i64().ok());
            let weights = weights.unwrap_or_default();
            let shift = match &self.graph[id].op {
                Op::Spiking(SpikingOp::Projection(p)) => p.input_shift.iter().max().copied(),
                _ => None,
            };
            let each = (weights.len() / channels.max(1)).max(1);
            (0..channels)
                .map(|c| {
                    // One weight can serve all channels.
                    let row = weights.get(c * each..(c + 1) * each).unwrap_or(&weights);
                    let most = row.iter().map(|w| w.saturating_abs()).max().unwrap_or(0);
                    most << shift.unwrap_or(0).min(31)
                })
                .collect()
        };
        ports.into_iter().map(of).collect()
    }

    /// For each channel the multi-level neuron that answers like the graded one.
    pub(super) fn fits(
        &self,
        population: &Population,
        drives: &[Drive],
    ) -> Result<Vec<Fit>, Violation> {
        if self.graph.timing.timesteps != 1 {
            return Err(self.violation(
                "a graded neuron answers once, but the network has several timesteps",
                "use the coding multi-level with one timestep",
            ));
        }
        let magnitudes = self.magnitudes(drives.len());
        let numbers = &self.hardware.numbers;
        let mut fits = Vec::with_capacity(drives.len());
        for (channel, (drive, &magnitude)) in drives.iter().zip(&magnitudes).enumerate() {
            let reachable = drive.synapses.plus(Interval::new(drive.bias, drive.bias));
            let answer =
                |v| population.neuron.single_shot(channel, drive.canonical(v)).unwrap_or(0);
            if answer(reachable.low) < 0 {
                return Err(self.violation(
                    format!("sends negative payloads (down to {})", answer(reachable.low)),
                    "give the activation a zero point at the lower end of its codes",
                ));
            }
            let most = largest(numbers.weight_bits) / magnitude.max(1);
            let limits = (most.clamp(1, MULTIPLIERS), largest(numbers.threshold_bits));
            let accept = |f: &Fit| self.accepts(drive, f);
            match fit(answer, reachable, population.maximum, limits, accept) {
                // A table that is no line would be another function.
                Some(found)
                    if matches!(population.neuron, Neuron::Thresholds(_))
                        && found.misses(reachable) =>
                {
                    return Err(self.violation(
                        format!(
                            "channel {channel} has thresholds that do not lie evenly: one threshold would give other payloads for {} of {} potentials",
                            found.differing,
                            reachable.high.abs_diff(reachable.low).saturating_add(1)
                        ),
                        "use thresholds that lie evenly, or another target",
                    ));
                }
                Some(found) => fits.push(found),
                None => {
                    return Err(self.violation(
                        format!(
                            "channel {channel} has no integer threshold within {} threshold, {} bias and {} membrane bits",
                            numbers.threshold_bits, numbers.bias_bits, numbers.membrane_bits
                        ),
                        "use a hardware description with wider numbers, or fewer bits in the model",
                    ));
                }
            }
        }
        Ok(fits)
    }

    /// Whether bias and every potential fit the memories.
    fn accepts(&self, drive: &Drive, f: &Fit) -> bool {
        let numbers = &self.hardware.numbers;
        let scaled = ChannelDrive {
            synapses: drive.synapses.times(f.multiplier),
            bias: drive.bias.saturating_mul(f.multiplier),
            initial: f.offset,
            hard_reset: None,
            resets: Interval::new(0, 0),
        };
        let v = membrane(Kind::IntegrateAndFire, &scaled, 1, false);
        let potentials = [v.low, v.high, f.offset, scaled.synapses.low, scaled.synapses.high];
        signed_bits(scaled.bias) <= numbers.bias_bits
            && potentials.iter().all(|&x| signed_bits(x) <= numbers.membrane_bits)
    }

    /// Says how many answers differ, if any do.
    pub(super) fn note(&mut self, population: &Population, fits: &[Fit]) {
        let inexact = fits.iter().filter(|f| f.differing > 0).count();
        if inexact > 0 {
            let values: u64 = fits.iter().map(|f| f.differing).sum();
            let text = format!(
                "no integer threshold is exact for {inexact} of {} channels: {values} reachable accumulator values give another of the {} levels",
                fits.len(),
                population.maximum + 1
            );
            self.notes.push(Note { node: self.node().describe(), text });
        }
    }
}

/// Small integers nearly in the ratio of `gains`, each at most its `room`, and the relative error of
/// the worst ratio; the smallest of those that are equally near.
fn ratio(gains: &[i64], room: &[i64]) -> (Vec<i64>, f64) {
    let main = (0..gains.len()).max_by_key(|&p| gains[p]).unwrap_or(0);
    let Some(&unit) = gains.get(main) else { return (Vec::new(), 0.0) };
    let mut best: Option<(Vec<i64>, f64)> = None;
    for m in 1..=room[main].clamp(1, RATIOS) {
        let scaled = |&g: &i64| {
            let exact = g as f64 * m as f64 / unit as f64;
            (exact.round().max(1.0), exact)
        };
        let all: Vec<(f64, f64)> = gains.iter().map(scaled).collect();
        if all.iter().zip(room).any(|((rounded, _), &r)| *rounded > r.max(1) as f64) {
            break;
        }
        let error =
            all.iter().map(|(rounded, exact)| (rounded / exact - 1.0).abs()).fold(0.0, f64::max);
        if best.as_ref().is_none_or(|(_, e)| error < *e) {
            best = Some((all.iter().map(|(rounded, _)| *rounded as i64).collect(), error));
        }
        if error == 0.0 {
            break;
        }
    }
    best.unwrap_or((vec![1; gains.len()], f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_the_nearest_in_the_room() {
        assert_eq!(ratio(&[1 << 30, 1 << 29], &[100, 100]), (vec![2, 1], 0.0));
        assert_eq!(ratio(&[7 << 20], &[100]).0, [1]);
        let (small, error) = ratio(&[1_000_000_000, 318_309_886], &[4000, 32_000]);
        assert_eq!((small, error < 1e-6), (vec![355, 113], true));
        assert_eq!(ratio(&[3, 2], &[1, 1]).0, [1, 1]);
    }
}
