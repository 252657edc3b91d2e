//! Arithmetic on linear layers: what they make of a constant, and factors that become part of their
//! weights. All of it is in f64 and rounded once.

use snnc_ir::{Connectivity, PerChannel, Tensor, Window};

use super::expression::{Layer, LayerKind, Values};

/// The value for element `i` of a constant that has one entry for all or one for each.
pub(super) fn entry(values: &[f64], i: usize) -> f64 {
    *PerChannel::of(values).at(i)
}

/// What a linear layer adds up where its inputs are `values`, bias included; one entry where all are
/// equal. `None` for a pooling by maximum.
pub(super) fn applied(layer: &Layer, values: &[f64]) -> Option<Values> {
    let LayerKind::Synapses(connectivity) = &layer.kind else { return None };
    let (sources, targets) =
        (layer.input.iter().product::<usize>(), layer.output.iter().product::<usize>());
    let mut sums: Values = match &layer.bias {
        Some(bias) => bias.iter().map(|&b| f64::from(b)).collect(),
        None => vec![0.0; targets],
    };
    if values.iter().any(|&v| v != 0.0) {
        let weights = layer.weights.as_ref()?.to_f32();
        let mut add = |target: usize, source: usize, weight: usize| {
            sums[target] += f64::from(weights[weight]) * entry(values, source);
        };
        match connectivity {
            Connectivity::Dense => {
                for at in 0..targets * sources {
                    add(at / sources, at % sources, at);
                }
            }
            Connectivity::OneToOne => {
                let plane = sources / layer.input.first().copied().unwrap_or(1).max(1);
                for at in 0..targets {
                    add(at, at, PerChannel::of(&weights).index(at / plane.max(1)));
                }
            }
            Connectivity::Convolution { window, groups } => convolve(layer, window, *groups, add),
        }
    }
    Some(shortened(sums))
}

/// One entry where all are equal.
pub(super) fn shortened(values: Values) -> Values {
    match values.first() {
        Some(&first) if values.iter().all(|&v| v == first) => vec![first],
        _ => values,
    }
}

/// Calls `add` with target, source and weight of every synapse of a convolution.
fn convolve(
    layer: &Layer,
    window: &Window,
    groups: usize,
    mut add: impl FnMut(usize, usize, usize),
) {
    let (from, to) = (&layer.input[1..], &layer.output[1..]);
    let plane = |s: &[usize]| s.iter().product::<usize>();
    let taps = plane(&window.kernel);
    let (inputs, outputs) = (layer.input[0] / groups, layer.output[0] / groups);
    for place in 0..plane(to) {
        for tap in 0..taps {
            let Some(cell) = cell(window, from, to, (place, tap)) else { continue };
            for feature in 0..layer.output[0] {
                for channel in 0..inputs {
                    let source = (feature / outputs * inputs + channel) * plane(from) + cell;
                    let weight = (feature * inputs + channel) * taps + tap;
                    add(feature * plane(to) + place, source, weight);
                }
            }
        }
    }
}

/// The cell of a map of size `from` under a tap of the window at a place of `to`; `None` in the padding.
pub(super) fn cell(
    window: &Window,
    from: &[usize],
    to: &[usize],
    (mut place, mut tap): (usize, usize),
) -> Option<usize> {
    let (mut cell, mut run) = (0, 1);
    for axis in (0..from.len()).rev() {
        let (kernel, size) = (window.kernel[axis], from[axis]);
        let (at, k) = (place % to[axis], tap % kernel);
        let reach = at * window.strides[axis] + k * window.dilations[axis];
        let here = reach.checked_sub(window.before[axis]).filter(|&c| c < size)?;
        cell += here * run;
        run *= size;
        place /= to[axis];
        tap /= kernel;
    }
    Some(cell)
}

/// The weights of a layer whose input was multiplied by `before` and whose sums are by `after`; `None`
/// where a factor differs among neurons that share weights.
pub(super) fn scaled(layer: &Layer, before: &[f64], after: &[f64]) -> Option<Tensor> {
    let LayerKind::Synapses(connectivity) = &layer.kind else { return None };
    let weights = layer.weights.as_ref()?;
    if before == [1.0] && after == [1.0] {
        return Some(weights.clone());
    }
    let values = weights.to_f32();
    let scaled: Option<Vec<f32>> = match connectivity {
        Connectivity::Dense => {
            let width: usize = layer.input.iter().product();
            let at = |(i, &w): (usize, &f32)| {
                Some((f64::from(w) * entry(before, i % width) * entry(after, i / width)) as f32)
            };
            values.iter().enumerate().map(at).collect()
        }
        Connectivity::OneToOne => None,
        Connectivity::Convolution { window, groups } => {
            let before = by_channel(before, &layer.input)?;
            let after = by_channel(after, &layer.output)?;
            let taps: usize = window.kernel.iter().product();
            let (inputs, outputs) = (layer.input[0] / groups, layer.output[0] / groups);
            let at = |(i, &w): (usize, &f32)| {
                let (feature, channel) = (i / (inputs * taps), i / taps % inputs);
                let source = feature / outputs * inputs + channel;
                Some((f64::from(w) * entry(&before, source) * entry(&after, feature)) as f32)
            };
            values.iter().enumerate().map(at).collect()
        }
    };
    Some(Tensor::from_f32(weights.shape(), &scaled?))
}

/// One entry for all or one for each channel of a map; `None` where neurons of one channel differ.
pub(super) fn by_channel(values: &[f64], shape: &[usize]) -> Option<Values> {
    if values.len() == 1 {
        return Some(values.to_vec());
    }
    let channels = shape.first().copied().unwrap_or(1).max(1);
    let plane = shape[1..].iter().product::<usize>().max(1);
    if values.len() != channels * plane {
        return None;
    }
    let rows = values.chunks(plane);
    rows.map(|row| row.iter().all(|v| v == &row[0]).then_some(row[0])).collect()
}

/// The entry of each channel for each neuron of a map of another size.
pub(super) fn spread(channels: &[f64], shape: &[usize]) -> Values {
    let plane = shape.get(1..).map_or(1, |s| s.iter().product::<usize>());
    match channels {
        [one] => vec![*one],
        many => many.iter().flat_map(|&v| std::iter::repeat_n(v, plane)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolution(window: Window, groups: usize, shapes: [&[usize]; 2], w: &[f32]) -> Layer {
        let [input, output] = shapes.map(<[usize]>::to_vec);
        let shape = [&[output[0], input[0] / groups], window.kernel.as_slice()].concat();
        Layer {
            kind: LayerKind::Synapses(Connectivity::Convolution { window, groups }),
            weights: Some(Tensor::from_f32(&shape, w)),
            bias: Some(vec![0.5; output.iter().product()]),
            input,
            output,
        }
    }

    #[test]
    fn padding_takes_no_part_in_what_a_constant_adds_up() {
        let window = Window { before: vec![1], after: vec![1], ..Window::plain(&[3]) };
        let layer = convolution(window, 1, [&[1, 4], &[1, 4]], &[1.0, 10.0, 100.0]);
        assert_eq!(applied(&layer, &[2.0]), Some(vec![220.5, 222.5, 222.5, 22.5]));
        assert_eq!(applied(&layer, &[0.0]), Some(vec![0.5]));
    }

    #[test]
    fn groups_and_factors_meet_their_own_channels() {
        let window = Window::plain(&[1]);
        let layer = convolution(window, 2, [&[2, 2], &[4, 2]], &[1.0, 2.0, 3.0, 4.0]);
        let weights = scaled(&layer, &[10.0, 10.0, 100.0, 100.0], &[2.0]).map(|w| w.to_f32());
        assert_eq!(weights, Some(vec![20.0, 40.0, 600.0, 800.0]));
        assert_eq!(scaled(&layer, &[1.0, 2.0, 3.0, 3.0], &[1.0]), None, "cells of one channel");
        let all = applied(&layer, &[1.0, 1.0, 10.0, 10.0]);
        assert_eq!(all, Some(vec![1.5, 1.5, 2.5, 2.5, 30.5, 30.5, 40.5, 40.5]));
    }
}
