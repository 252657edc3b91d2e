//! What the synapses of one projection bring to their targets.

use snnc_ir::{Connectivity, Overflow, PerChannel, Projection, Tensor, saturate};

use super::RunError;

/// A projection with its weights laid out by source neuron.
#[derive(Debug)]
pub(super) struct Synapses {
    projection: Projection,
    wiring: Wiring,
    targets: usize,
    target_channels: usize,
    source_channels: usize,
    sources: usize,
}

#[derive(Debug)]
enum Wiring {
    /// `weights[source][target]`.
    Dense(Vec<i64>),
    Convolution(Convolution),
    /// One weight for each channel, or one for all.
    OneToOne(Vec<i64>),
}

/// A convolution over maps of three spatial dimensions; maps of fewer have extent 1 before them.
#[derive(Debug)]
struct Convolution {
    /// `weights[source channel][tap][target channel within the group]`.
    weights: Vec<i64>,
    groups: usize,
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 3],
    strides: [usize; 3],
    dilations: [usize; 3],
    before: [usize; 3],
}

/// One synaptic event: where it goes and what it brings, before the gain.
type Deposit<'a> = dyn FnMut(usize, i64, usize) + 'a;

impl Synapses {
    pub(super) fn new(
        name: &str,
        projection: &Projection,
        weights: &Tensor,
        source_shape: &[usize],
        target_shape: &[usize],
    ) -> Result<Self, RunError> {
        let fault = |reason: String| RunError::Node { node: name.to_owned(), reason };
        let values = weights.to_i64().map_err(|e| fault(e.to_string()))?;
        let (sources, targets) =
            (source_shape.iter().product::<usize>(), target_shape.iter().product());
        let wiring = match &projection.connectivity {
            Connectivity::Dense => {
                let mut by_source = vec![0; values.len()];
                for (i, w) in values.iter().enumerate() {
                    by_source[(i % sources) * targets + i / sources] = *w;
                }
                Wiring::Dense(by_source)
            }
            Connectivity::OneToOne => Wiring::OneToOne(values),
            Connectivity::Convolution { window, groups } => {
                let volume = |v: &[usize], fill: usize| match *v {
                    [x] => Ok([fill, fill, x]),
                    [y, x] => Ok([fill, y, x]),
                    [z, y, x] => Ok([z, y, x]),
                    _ => {
                        Err(fault(format!("convolutions over {} dimensions are not run", v.len())))
                    }
                };
                let kernel = volume(&window.kernel, 1)?;
                let taps = kernel.iter().product::<usize>();
                let (per_group_in, per_group_out) =
                    (weights.shape()[1], weights.shape()[0] / groups);
                let mut by_source = vec![0; values.len()];
                for (i, w) in values.iter().enumerate() {
                    let (target, rest) = (i / (per_group_in * taps), i % (per_group_in * taps));
                    let (within, tap) = (rest / taps, rest % taps);
                    let source = target / per_group_out * per_group_in + within;
                    by_source[(source * taps + tap) * per_group_out + target % per_group_out] = *w;
                }
                Wiring::Convolution(Convolution {
                    weights: by_source,
                    groups: *groups,
                    input: volume(&source_shape[1..], 1)?,
                    output: volume(&target_shape[1..], 1)?,
                    kernel,
                    strides: volume(&window.strides, 1)?,
                    dilations: volume(&window.dilations, 1)?,
                    before: volume(&window.before, 0)?,
                })
            }
        };
        if !projection.delays.is_empty() && !matches!(wiring, Wiring::Dense(_)) {
            return Err(fault("synaptic delays are run in dense projections only".into()));
        }
        Ok(Synapses {
            projection: projection.clone(),
            wiring,
            targets,
            target_channels: target_shape.first().copied().unwrap_or(1).max(1),
            source_channels: source_shape.first().copied().unwrap_or(1).max(1),
            sources,
        })
    }

    /// Largest synaptic delay in timesteps.
    pub(super) fn max_delay(&self) -> usize {
        self.projection.delays.iter().copied().max().unwrap_or(0).into()
    }

    /// Adds what `payloads` bring to `arrivals[delay][target]`, and returns the number of synaptic
    /// operations (weights met by a payload that is not 0).
    pub(super) fn propagate(
        &self,
        name: &str,
        payloads: &[i64],
        arrivals: &mut [Vec<i64>],
    ) -> Result<u64, RunError> {
        let each = self.projection.accumulator.overflow == Overflow::SaturateEach;
        let bits = self.projection.accumulator.bits;
        let mut sums = vec![vec![0i64; self.targets]; self.max_delay() + 1];
        let mut operations = 0;
        for (source, &payload) in payloads.iter().enumerate() {
            if payload == 0 {
                continue;
            }
            let payload = self.presented(source, payload);
            self.scatter(source, &mut |target, weight, delay| {
                operations += 1;
                let sum = &mut sums[delay][target];
                *sum = sum.wrapping_add(weight.wrapping_mul(payload));
                if each {
                    *sum = saturate(*sum, bits);
                }
            });
        }
        for (sums, arrivals) in sums.iter().zip(arrivals) {
            for (target, (&sum, arrival)) in sums.iter().zip(arrivals.iter_mut()).enumerate() {
                let channel = target * self.target_channels / self.targets;
                *arrival += self.projection.gain_at(channel) * self.held(name, sum)?;
            }
        }
        Ok(operations)
    }

    fn presented(&self, source: usize, payload: i64) -> i64 {
        if self.projection.binary {
            return 1;
        }
        let channel = source * self.source_channels / self.sources;
        let shift = match self.projection.input_shift.as_slice() {
            [] => 0,
            [shift] => *shift,
            // Dense projections may shift each source neuron by itself.
            shifts if shifts.len() == self.sources => shifts[source],
            shifts => shifts[channel],
        };
        let shifted = payload << shift;
        match self.projection.accumulator.overflow {
            Overflow::Saturate | Overflow::SaturateEach => {
                saturate(shifted, self.projection.accumulator.bits)
            }
            _ => shifted,
        }
    }

    fn held(&self, name: &str, sum: i64) -> Result<i64, RunError> {
        let bits = self.projection.accumulator.bits;
        match self.projection.accumulator.overflow {
            Overflow::Error if saturate(sum, bits) != sum => Err(RunError::Node {
                node: name.to_owned(),
                reason: format!("the sum {sum} leaves the accumulator's {bits} bits"),
            }),
            Overflow::Error => Ok(sum),
            Overflow::Saturate | Overflow::SaturateEach => Ok(saturate(sum, bits)),
            Overflow::Wrap => Ok((sum << (64 - bits)) >> (64 - bits)),
        }
    }

    /// Calls `deposit(target, weight, delay)` for every synapse of one source neuron.
    fn scatter(&self, source: usize, deposit: &mut Deposit<'_>) {
        match &self.wiring {
            Wiring::OneToOne(weights) => {
                let channel = source * self.source_channels / self.sources;
                deposit(source, *PerChannel::of(weights).at(channel), 0);
            }
            Wiring::Dense(weights) => {
                let delays = &self.projection.delays;
                for (target, &weight) in
                    weights[source * self.targets..][..self.targets].iter().enumerate()
                {
                    let delay = delays.get(target * self.sources + source).copied().unwrap_or(0);
                    deposit(target, weight, delay.into());
                }
            }
            Wiring::Convolution(c) => {
                c.scatter(source, self.source_channels, self.target_channels, deposit)
            }
        }
    }
}

impl Convolution {
    fn scatter(&self, source: usize, inputs: usize, outputs: usize, deposit: &mut Deposit<'_>) {
        let place = |index: usize, extents: &[usize; 3]| {
            let [_, height, width] = *extents;
            [index / (height * width), index / width % height, index % width]
        };
        let volume = self.input.iter().product::<usize>();
        let (channel, at) = (source / volume, place(source % volume, &self.input));
        let per_group = outputs / self.groups;
        let first = channel / (inputs / self.groups) * per_group;
        let taps = self.kernel.iter().product::<usize>();
        let [depth, height, width] = self.output;
        let [layers, rows, columns] = [0, 1, 2].map(|axis| self.met(axis, at[axis]));
        for &(z, layer) in &layers {
            for &(y, row) in &rows {
                for &(x, column) in &columns {
                    let tap = (z * self.kernel[1] + y) * self.kernel[2] + x;
                    let weights = &self.weights[(channel * taps + tap) * per_group..][..per_group];
                    for (within, &weight) in weights.iter().enumerate() {
                        let target = ((first + within) * depth + layer) * height + row;
                        deposit(target * width + column, weight, 0);
                    }
                }
            }
        }
    }

    /// The taps along `axis` that lie on input position `i`, each with the output position at which it does.
    fn met(&self, axis: usize, i: usize) -> Vec<(usize, usize)> {
        let own = |k: usize| Some((k, self.meets(axis, i, k)?));
        (0..self.kernel[axis]).filter_map(own).collect()
    }

    /// The output position along `axis` at which tap `k` of the kernel lies on input position `i`.
    fn meets(&self, axis: usize, i: usize, k: usize) -> Option<usize> {
        let distance = (i + self.before[axis]).checked_sub(k * self.dilations[axis])?;
        let stride = self.strides[axis];
        (distance % stride == 0 && distance / stride < self.output[axis])
            .then_some(distance / stride)
    }
}
