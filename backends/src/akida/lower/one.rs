//! Layers of Akida 1.0.

use snnc_ir::{
    Accumulator, Connectivity, GradedNeuron, Neuron, NodeId, Overflow, Population, Projection,
    Tensor,
};

use super::{Lowering, Pooling, SYNAPSES, graded, padding, zero_bias};
use crate::akida::layer::{Layer, LayerError, LayerType};
use crate::akida::layout::{Padding, dense_from_v1, depthwise_from_akida, kernel_from_akida};

/// Bits in which fully connected layers and global sums are held.
pub const SUM_BITS: u8 = 20;

impl Lowering<'_> {
    pub(super) fn convolution_one(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let is_input = layer.kind == LayerType::InputConvolutional;
        let kernel = [layer.size("kernel_width")?, layer.size("kernel_height")?];
        let strides = [layer.size("stride_x")?, layer.size("stride_y")?];
        let filters = layer.size("filters")?;
        let (source, zero) = if is_input {
            let map = [
                layer.size("input_channels")?,
                layer.size("input_width")?,
                layer.size("input_height")?,
            ];
            self.pixels(layer, map, layer.within("padding_value", 0, 255)?)?
        } else {
            (self.inbound(layer, 0)?, 0)
        };
        let [c, x, y] = self.map(layer, source)?;
        let stored = weights(layer, "weights", &[kernel[0], kernel[1], c, filters])?;
        let shape = [filters, c, kernel[0], kernel[1]];
        let values = kernel_from_akida(&stored, &shape, !is_input);
        let padding = padding(layer)?;
        let window = padding
            .window([x, y], kernel, strides)
            .ok_or_else(|| layer.error("the kernel does not fit into the map"))?;
        let bias = zero_bias(&values, filters, zero);
        let projection = Projection::exact(Connectivity::Convolution { window, groups: 1 });
        let data = Tensor::from_integers(&shape, &values);
        let sums = self.project(layer, SYNAPSES, source, projection, data)?;
        let pooling = self.pooling_one(layer, padding, sums)?;
        self.activate_one(layer, sums, pooling, filters, bias)
    }

    pub(super) fn separable(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let kernel = [layer.size("kernel_width")?, layer.size("kernel_height")?];
        let strides = [layer.size("stride_x")?, layer.size("stride_y")?];
        let filters = layer.size("filters")?;
        let source = self.inbound(layer, 0)?;
        let [c, x, y] = self.map(layer, source)?;
        let stored = weights(layer, "weights", &[kernel[0], kernel[1], c, 1])?;
        let depth = depthwise_from_akida(&stored, [c, kernel[0], kernel[1]]);
        let stored = weights(layer, "weights_pw", &[1, 1, c, filters])?;
        let point = kernel_from_akida(&stored, &[filters, c, 1, 1], false);
        let padding = padding(layer)?;
        let window = padding
            .window([x, y], kernel, strides)
            .ok_or_else(|| layer.error("the kernel does not fit into the map"))?;
        let projection = Projection::exact(Connectivity::Convolution { window, groups: c });
        let data = Tensor::from_integers(&[c, 1, kernel[0], kernel[1]], &depth);
        let sums = self.project(layer, "depthwise", source, projection, data)?;
        let name = self.inner_name(layer, "map");
        let map = self.populate(name, &[sums], accumulate(Vec::new()));
        let window = snnc_ir::Window::plain(&[1, 1]);
        let projection = Projection::exact(Connectivity::Convolution { window, groups: 1 });
        let data = Tensor::from_integers(&[filters, c, 1, 1], &point);
        let sums = self.project(layer, SYNAPSES, map, projection, data)?;
        let pooling = self.pooling_one(layer, padding, sums)?;
        self.activate_one(layer, sums, pooling, filters, Vec::new())
    }

    pub(super) fn dense_one(&mut self, layer: &Layer, last: bool) -> Result<NodeId, LayerError> {
        let units = layer.size("units")?;
        let source = self.inbound(layer, 0)?;
        let map = self.map(layer, source)?;
        let inputs = map.iter().product();
        let stored = weights(layer, "weights", &[1, 1, inputs, units])?;
        let values = dense_from_v1(&stored, units, map);
        let projection = Projection {
            accumulator: Accumulator { bits: SUM_BITS, overflow: Overflow::Saturate },
            ..Projection::exact(Connectivity::Dense)
        };
        let data = Tensor::from_integers(&[units, inputs], &values);
        let sums = self.project(layer, SYNAPSES, source, projection, data)?;
        if !last && layer.parameter("activation")? == 0 {
            return Err(layer.error("only the last layer can be without activation"));
        }
        self.activate_one(layer, sums, Pooling::None, units, Vec::new())
    }

    fn pooling_one(
        &self,
        layer: &Layer,
        padding: Padding,
        sums: NodeId,
    ) -> Result<Pooling, LayerError> {
        match layer.within("pool_type", 0, 2)? {
            0 => Ok(Pooling::None),
            2 => Ok(Pooling::Global),
            _ => {
                let size = [layer.size("pooling_width")?, layer.size("pooling_height")?];
                let mut strides = size;
                for (stride, name) in
                    strides.iter_mut().zip(["pooling_stride_x", "pooling_stride_y"])
                {
                    if layer.parameter(name)? != -1 {
                        *stride = layer.size(name)?;
                    }
                }
                let [_, x, y] = self.map(layer, sums)?;
                padding
                    .window([x, y], size, strides)
                    .map(Pooling::Max)
                    .ok_or_else(|| layer.error("the pooling window does not fit into the map"))
            }
        }
    }

    /// Pooling, then the activation.
    fn activate_one(
        &mut self,
        layer: &Layer,
        sums: NodeId,
        pooling: Pooling,
        channels: usize,
        bias: Vec<i64>,
    ) -> Result<NodeId, LayerError> {
        let threshold = layer.vector("threshold", channels, 0)?;
        let step = layer.real_vector("act_step", channels, 1.0)?;
        let (drive, bias) = match pooling {
            Pooling::None => (sums, bias),
            Pooling::Max(window) => (self.pool(layer, sums, window)?, bias),
            Pooling::Global => {
                let name = self.inner_name(layer, "map");
                let map = self.populate(name, &[sums], accumulate(bias));
                (self.global_sum(layer, map, SUM_BITS)?, Vec::new())
            }
        };
        let population = if layer.within("activation", 0, 1)? == 1 {
            let bits = layer.within("act_bits", 1, 4)?;
            let neuron = activation(layer, &threshold, &step, bits)?;
            Population { bias, ..graded(neuron, 0, (1 << bits) - 1) }
        } else {
            self.scores = Some(step.iter().map(|s| 1.0 / s).collect());
            let zero = |c: usize| bias.get(c).copied().unwrap_or(0);
            accumulate(threshold.iter().enumerate().map(|(c, t)| zero(c) - t).collect())
        };
        Ok(self.populate(layer.name.clone(), &[drive], population))
    }
}

/// A population that shows its sums, in 32 bits.
fn accumulate(bias: Vec<i64>) -> Population {
    Population { bias, ..graded(Neuron::Accumulate, i32::MIN.into(), i32::MAX.into()) }
}

/// `clamp(ceil(16 * (p - threshold) / (q * 2^(4 - bits))), 0, 2^bits - 1)` with
/// `q = floor(16 * act_step)`.
fn activation(
    layer: &Layer,
    threshold: &[i64],
    step: &[f32],
    bits: i64,
) -> Result<Neuron, LayerError> {
    let sixteenths = |s: &f32| {
        let q = (f64::from(*s) * 16.0).floor();
        if (1.0..=2f64.powi(40)).contains(&q) {
            Ok(q as i64)
        } else {
            Err(layer.error(format!("`act_step` is {s}; the least is 1/16")))
        }
    };
    let divisor: Vec<i64> =
        step.iter().map(|s| Ok(sixteenths(s)? << (4 - bits))).collect::<Result<_, _>>()?;
    // ceil(n / d) is floor((n + d - 1) / d).
    let offset = threshold.iter().zip(&divisor).map(|(t, d)| d - 1 - 16 * t).collect();
    Ok(Neuron::Graded(GradedNeuron {
        multiplier: vec![16; divisor.len()],
        offset,
        divisor,
        minimum: 0,
        maximum: (1 << bits) - 1,
    }))
}

/// The weights, which must be within the range of the layer's weight bits.
fn weights(layer: &Layer, name: &str, shape: &[usize]) -> Result<Vec<i64>, LayerError> {
    let values = layer.tensor(name, shape)?;
    let bits = layer.parameter("weights_bits")?;
    let (low, high) = weight_range(bits)
        .ok_or_else(|| layer.error(format!("`weights_bits` is {bits}; 1, 2, 4 and 8 exist")))?;
    match values.iter().find(|w| !(low..=high).contains(*w)) {
        None => Ok(values),
        Some(w) => {
            Err(layer.error(format!("`{name}` holds {w}; {bits} bits reach from {low} to {high}")))
        }
    }
}

/// Smallest and largest weight of so many bits.
pub fn weight_range(bits: i64) -> Option<(i64, i64)> {
    match bits {
        1 => Some((0, 1)),
        2 => Some((-1, 1)),
        4 => Some((-7, 7)),
        8 => Some((-128, 127)),
        _ => None,
    }
}
