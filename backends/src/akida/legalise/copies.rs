//! Filters laid out several times, for weights beyond the chip's range.
//!
//! A layer of Akida 1.0 compares whole sums with `threshold + k * act_step`, where the threshold is a whole
//! number: its staircase has no phase of its own, and most requantisations do not lie on it. Weights
//! multiplied by a whole number make sums finer than thresholds, but the chip has weights from -7 to
//! 7 only. Where the layer before is laid out n times, each weight is met n times and reaches from
//! -7n to 7n: `w = sum of floor((w + j) / n) for j in 0..n` (Hermite's identity).

use snnc_ir::Tensor;

use super::Legaliser;
use crate::akida::layer::{Layer, LayerType};
use crate::akida::rules;

/// Most copies of a filter unless `--set copies=N` says otherwise.
pub(super) const MOST_COPIES: usize = 4;

impl Legaliser<'_> {
    /// How often the layer `source` can be laid out if only `reader` reads it: as often as the options
    /// allow and no limit of the device is passed that one copy keeps.
    pub(super) fn most_copies(&self, source: &str, reader: &Layer) -> usize {
        use LayerType::*;
        let Some(at) = self.spec.layers.iter().position(|l| l.name == source) else { return 1 };
        let kinds = [InputConvolutional, Convolutional, SeparableConvolutional, FullyConnected];
        let (Some(device), true) = (self.device, kinds.contains(&self.spec.layers[at].kind)) else {
            return 1;
        };
        let mut spec = self.spec.clone();
        let reader = reader.clone().with(&[("weights_bits", 4)]);
        spec.layers.push(reader);
        let broken = |spec: &_| rules::check(spec, device).len();
        let before = broken(&spec);
        let own = spec.layers[at].clone();
        let mut fits = |copies: &usize| {
            spec.layers[at] = copied(&own, *copies);
            broken(&spec) <= before
        };
        (2..=self.copies).rev().find(|copies| fits(copies)).unwrap_or(1)
    }

    /// Lays the filters of the layer `source` out `copies` times, the copies behind all others.
    pub(super) fn copy_filters(&mut self, source: &str, copies: usize) {
        if let Some(layer) = self.spec.layers.iter_mut().find(|l| l.name == source) {
            *layer = copied(layer, copies);
        }
        if let Some(scales) = self.scales.get_mut(source).filter(|s| s.len() > 1) {
            *scales = scales.repeat(copies);
        }
    }
}

/// The layer with its filters laid out several times.
fn copied(layer: &Layer, copies: usize) -> Layer {
    let mut layer = layer.clone();
    for key in ["filters", "units"] {
        layer.parameters.entry(key.into()).and_modify(|n| *n *= copies as i64);
        if !layer.kind.form().parameters.contains_key(key) {
            layer.parameters.remove(key);
        }
    }
    let separable = layer.kind == LayerType::SeparableConvolutional;
    for (name, tensor) in &mut layer.variables {
        // The first stage of a separable convolution has no filters.
        if !(separable && name == "weights") {
            *tensor = tiled(tensor, copies);
        }
    }
    layer
}

/// The array with its last dimension laid out several times.
fn tiled(tensor: &Tensor, copies: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let Some(last) = shape.last_mut() else { return tensor.clone() };
    let each = (*last).max(1);
    *last *= copies;
    if tensor.dtype().is_float() {
        let values: Vec<f32> =
            tensor.to_f32().chunks(each).flat_map(|r| r.repeat(copies)).collect();
        return Tensor::from_f32(&shape, &values);
    }
    let values = tensor.to_i64().unwrap_or_default();
    let values: Vec<i64> = values.chunks(each).flat_map(|r| r.repeat(copies)).collect();
    Tensor::from_i64(tensor.dtype(), &shape, &values)
}

/// Rows over `copies` copies of what is sent, together as large as `rows`.
pub(super) fn over_copies(rows: &[Vec<i64>], copies: usize) -> Vec<Vec<i64>> {
    let n = copies as i64;
    let part = |j: i64| move |w: &i64| (w + j).div_euclid(n);
    rows.iter().map(|row| (0..n).flat_map(|j| row.iter().map(part(j))).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_weight_add_up_to_it_and_are_small() {
        for copies in 1..=5usize {
            let most = 7 * copies as i64;
            let row: Vec<i64> = (-most..=most).collect();
            let wide = &over_copies(std::slice::from_ref(&row), copies)[0];
            for (i, &w) in row.iter().enumerate() {
                let parts: Vec<i64> = wide.iter().skip(i).step_by(row.len()).copied().collect();
                assert_eq!(parts.iter().sum::<i64>(), w);
                assert!(parts.iter().all(|p| (-7..=7).contains(p)), "{parts:?}");
            }
        }
    }

    #[test]
    fn a_copied_layer_repeats_its_filters_behind_the_others() {
        let layer = Layer::new("conv", LayerType::Convolutional)
            .with(&[("filters", 2), ("kernel_width", 1), ("kernel_height", 1)])
            .array("weights", &[1, 1, 2, 2], &[1, 2, 3, 4])
            .array("threshold", &[2], &[5, 6])
            .reals("act_step", &[0.5, 1.5]);
        let twice = copied(&layer, 2);
        assert_eq!(twice.parameter("filters"), Ok(4));
        assert_eq!(twice.tensor("weights", &[1, 1, 2, 4]).unwrap(), [1, 2, 1, 2, 3, 4, 3, 4]);
        assert_eq!(twice.vector("threshold", 4, 0).unwrap(), [5, 6, 5, 6]);
        assert_eq!(twice.real_vector("act_step", 4, 1.0).unwrap(), [0.5, 1.5, 0.5, 1.5]);
    }
}
