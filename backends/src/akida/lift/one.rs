//! Layers of Akida 1.0.

use snnc_ir::{Connectivity, GradedNeuron, Neuron, NodeId, Population, Window};

use super::{Lifting, spread};
use crate::EmitError;
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::{dense_to_v1, depthwise_to_akida, kernel_to_akida};
use crate::akida::lower::weight_range;

impl Lifting<'_> {
    pub(super) fn population_one(&mut self, id: NodeId, p: &Population) -> Result<(), EmitError> {
        let summed = self.summed(id).map(|(inner, _)| inner);
        let stage = summed.unwrap_or(id);
        let drive = self.drive(stage, 0)?;
        let name = self.graph[id].name.clone();
        let channels = drive.map[0];
        let layer = match &drive.projection.connectivity {
            Connectivity::Dense => {
                let map = self.map(drive.source)?;
                let values = dense_to_v1(&self.weights(&drive), channels, map);
                let inputs = map.iter().product();
                Layer::new(name, LayerType::FullyConnected)
                    .after(self.inbound(id, drive.source)?)
                    .with(&[("units", channels as i64), ("weights_bits", weight_bits(&values))])
                    .array("weights", &[1, 1, inputs, channels], &values)
            }
            _ => self.convolution_one(id, stage, name)?,
        };
        let layer = match (summed, drive.pool) {
            (Some(_), _) => layer.with(&[("pool_type", 2)]),
            (None, Some(window)) => layer.with(&pooling(window)),
            (None, None) => layer,
        };
        let layer = self.activation_one(id, stage, p, layer)?;
        let input = match layer.kind {
            LayerType::SeparableConvolutional => self.drive(drive.source, 0)?.source,
            _ => drive.source,
        };
        self.push(layer, id, input)
    }

    fn convolution_one(&self, id: NodeId, stage: NodeId, name: String) -> Result<Layer, EmitError> {
        let drive = self.drive(stage, 0)?;
        let values = self.weights(&drive);
        if self.is_inner(drive.source) {
            return self.separable_one(id, drive.source, name, &values, drive.map[0]);
        }
        let (window, padding, groups) = self.window(id, &drive)?;
        if groups != 1 {
            return Err(self.fault(id, "an Akida 1.0 convolution has no groups"));
        }
        let [c, x, y] = self.map(drive.source)?;
        let (kx, ky) = (window.kernel[0], window.kernel[1]);
        let shape = [drive.map[0], c, kx, ky];
        let common = [
            ("kernel_width", kx as i64),
            ("kernel_height", ky as i64),
            ("filters", drive.map[0] as i64),
            ("padding", padding as i64),
            ("stride_x", window.strides[0] as i64),
            ("stride_y", window.strides[1] as i64),
            ("weights_bits", weight_bits(&values)),
        ];
        let pixels = !self.names.contains_key(&drive.source);
        let stored = kernel_to_akida(&values, &shape, !pixels);
        let layer = if pixels {
            let zero = self.pixel_zero();
            Layer::new(name, LayerType::InputConvolutional).with(&[
                ("input_width", x as i64),
                ("input_height", y as i64),
                ("input_channels", c as i64),
                ("padding_value", zero),
            ])
        } else {
            Layer::new(name, LayerType::Convolutional).after(self.inbound(id, drive.source)?)
        };
        Ok(layer.with(&common).array("weights", &[kx, ky, c, drive.map[0]], &stored))
    }

    fn separable_one(
        &self,
        id: NodeId,
        inner: NodeId,
        name: String,
        point: &[i64],
        filters: usize,
    ) -> Result<Layer, EmitError> {
        let drive = self.drive(inner, 0)?;
        let (window, padding, groups) = self.window(id, &drive)?;
        let [c, ..] = self.map(drive.source)?;
        if groups != c || drive.map[0] != c {
            return Err(self.fault(id, "its inner stage is not depthwise"));
        }
        let (kx, ky) = (window.kernel[0], window.kernel[1]);
        let depth = self.weights(&drive);
        Ok(Layer::new(name, LayerType::SeparableConvolutional)
            .after(self.inbound(id, drive.source)?)
            .with(&[
                ("kernel_width", kx as i64),
                ("kernel_height", ky as i64),
                ("filters", filters as i64),
                ("padding", padding as i64),
                ("stride_x", window.strides[0] as i64),
                ("stride_y", window.strides[1] as i64),
                ("weights_bits", weight_bits(&depth).max(weight_bits(point))),
            ])
            .array("weights", &[kx, ky, c, 1], &depthwise_to_akida(&depth, [c, kx, ky]))
            .array(
                "weights_pw",
                &[1, 1, c, filters],
                &kernel_to_akida(point, &[filters, c, 1, 1], false),
            ))
    }

    /// The pixel that stands for payload 0.
    pub(super) fn pixel_zero(&self) -> i64 {
        self.spec.encoding.as_ref().map_or(0, |e| e.encoder.zero_point - e.encoder.minimum)
    }

    fn activation_one(
        &self,
        id: NodeId,
        stage: NodeId,
        p: &Population,
        layer: Layer,
    ) -> Result<Layer, EmitError> {
        let channels = self.map(id)?[0];
        match &p.neuron {
            Neuron::Graded(n) => {
                let (bits, threshold, step) = threshold_and_step(n, channels)
                    .ok_or_else(|| self.fault(id, "its neuron is not an Akida 1.0 activation"))?;
                let threshold: Option<Vec<i64>> =
                    threshold.into_iter().map(|t| i32::try_from(t).ok().map(i64::from)).collect();
                let threshold =
                    threshold.ok_or_else(|| self.fault(id, "a threshold beyond 32 bits"))?;
                Ok(layer
                    .with(&[("activation", 1), ("act_bits", bits)])
                    .array("threshold", &[channels], &threshold)
                    .reals("act_step", &step))
            }
            Neuron::Accumulate => {
                let zero = match (layer.kind, stage == id) {
                    (LayerType::InputConvolutional, true) => self.zero_bias(stage)?,
                    _ => vec![0; channels],
                };
                let threshold: Vec<i64> = (0..channels).map(|c| zero[c] - p.bias_at(c)).collect();
                if threshold.iter().any(|&t| i32::try_from(t).is_err()) {
                    return Err(self.fault(id, "a bias beyond 32 bits"));
                }
                Ok(layer
                    .with(&[("activation", 0)])
                    .array("threshold", &[channels], &threshold)
                    .reals("act_step", &spread(&[1.0], channels)))
            }
            _ => Err(self.fault(id, "its neuron is not an Akida 1.0 activation")),
        }
    }

    /// What a map of pixels that stand for 0 brings to each channel.
    fn zero_bias(&self, stage: NodeId) -> Result<Vec<i64>, EmitError> {
        let drive = self.drive(stage, 0)?;
        let values = self.weights(&drive);
        let each = values.len() / drive.map[0].max(1);
        Ok(values.chunks(each.max(1)).map(|w| w.iter().sum::<i64>() * self.pixel_zero()).collect())
    }
}

/// Bits, thresholds and steps of an activation, if the neuron is one: multiplier 16, divisor
/// `q * 2^(4 - bits)`, offset `divisor - 1 - 16 * threshold`.
fn threshold_and_step(n: &GradedNeuron, channels: usize) -> Option<(i64, Vec<i64>, Vec<f32>)> {
    let bits = (1..=4).find(|b| n.maximum == (1 << b) - 1 && n.minimum == 0)?;
    let (mut thresholds, mut steps) = (Vec::new(), Vec::new());
    let divisors = spread(&n.divisor, channels);
    for (offset, divisor) in spread(&n.offset, channels).into_iter().zip(divisors) {
        let sixteen = divisor - 1 - offset;
        let q = divisor >> (4 - bits);
        if sixteen % 16 != 0 || q << (4 - bits) != divisor || q >= 1 << 24 {
            return None;
        }
        thresholds.push(sixteen / 16);
        steps.push(q as f32 / 16.0);
    }
    spread(&n.multiplier, channels).iter().all(|&m| m == 16).then_some((bits, thresholds, steps))
}

/// The fewest weight bits, of 2, 4 and 8.
pub fn weight_bits(values: &[i64]) -> i64 {
    let fits = |bits: &i64| {
        weight_range(*bits)
            .is_some_and(|(low, high)| values.iter().all(|w| (low..=high).contains(w)))
    };
    [2, 4].into_iter().find(fits).unwrap_or(8)
}

fn pooling(window: &Window) -> [(&'static str, i64); 5] {
    [
        ("pool_type", 1),
        ("pooling_width", window.kernel[0] as i64),
        ("pooling_height", window.kernel[1] as i64),
        ("pooling_stride_x", window.strides[0] as i64),
        ("pooling_stride_y", window.strides[1] as i64),
    ]
}
