//! Layers of Akida 2.0.

use std::collections::HashSet;

use snnc_ir::{
    AkidaTwoNeuron, Connectivity, LookupNeuron, Neuron, NodeId, Population, SpikingOp, Tensor,
};

use super::{Drive, Lifting, spread};
use crate::EmitError;
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::{dense_to_v2, depthwise_to_akida, kernel_to_akida, sources_to_v2};
use crate::akida::lower::{TABLE, UNBOUNDED};
use crate::akida::rules::sends_narrow_potentials;

impl Lifting<'_> {
    pub(super) fn population_two(&mut self, id: NodeId, p: &Population) -> Result<(), EmitError> {
        if self.graph.sources(id).len() == 2 {
            return self.add(id, p);
        }
        // The last stage scales; stages before it activate, look up and add up.
        let summed = self.summed(id).map(|(inner, _)| inner);
        let mut stage = summed.unwrap_or(id);
        if summed.is_none()
            && let Ok(drive) = self.drive(id, 0)
            && self.is_inner(drive.source)
        {
            stage = drive.source;
        }
        let table = match self.graph[stage].as_spiking() {
            Some(SpikingOp::Population(p)) => p.neuron.get::<LookupNeuron>(),
            _ => None,
        };
        let table = table.map(|n| n.table.as_slice());
        if table.is_some() {
            stage = self.drive(stage, 0)?.source;
        }
        let drive = self.drive(stage, 0)?;
        let channels = drive.map[0];
        let biased = self.stage(id, stage, channels)?;
        let scaled = self.stage(id, id, channels)?;
        let layer = self.synapses_two(id, &drive, &biased)?;
        let layer = match (summed.is_some(), drive.pool) {
            (true, _) => layer.with(&[("pool_type", 2)]),
            (false, Some(window)) => layer.with(&[
                ("pool_type", 1),
                ("pool_size", window.kernel[0] as i64),
                ("pool_stride", window.strides[0] as i64),
            ]),
            (false, None) => layer,
        };
        let layer = activation(layer, &biased, table)
            .with(&[
                ("output_bits", scaled.output_bits.into()),
                ("post_op_buffer_bits", scaled.post_bits.into()),
            ])
            .array("bias", &[channels], &biased.bias)
            .array("bias_shift", &[channels], &biased.bias_shift)
            .array("output_scales", &[channels], &scaled.scale)
            .array("output_shift", &[channels], &scaled.shift);
        let expected = match self.spec.encoding.as_ref() {
            Some(_) if layer.kind == LayerType::InputConv2D => self.zero_bias_two(&drive),
            _ => Vec::new(),
        };
        let Some(SpikingOp::Population(first)) = self.graph[stage].as_spiking() else {
            return Err(self.fault(id, "it has no inner stage"));
        };
        if p.neuron.fires()
            && (0..channels).any(|c| first.bias_at(c) != expected.get(c).copied().unwrap_or(0))
        {
            return Err(self.fault(id, "its bias is not in the neuron"));
        }
        self.push(layer, id, drive.source)
    }

    /// The neuron of one stage with an entry for each channel.
    fn stage(
        &self,
        id: NodeId,
        stage: NodeId,
        channels: usize,
    ) -> Result<AkidaTwoNeuron, EmitError> {
        let wrong = || self.fault(id, "its neuron is not an output stage of Akida 2.0");
        let Some(SpikingOp::Population(p)) = self.graph[stage].as_spiking() else {
            return Err(wrong());
        };
        let n = match &p.neuron {
            Neuron::AkidaTwo(n) => n.clone(),
            Neuron::Accumulate => {
                let mut n = crate::akida::lower::passing(channels, 32);
                for c in 0..channels {
                    let (value, shift) = mantissa(p.bias_at(c), -128, 127)
                        .ok_or_else(|| self.fault(id, "a bias of more than 8 significant bits"))?;
                    (n.bias[c], n.bias_shift[c]) = (value, shift);
                }
                n
            }
            _ => return Err(wrong()),
        };
        let n = AkidaTwoNeuron {
            bias: spread(&n.bias, channels),
            bias_shift: spread(&n.bias_shift, channels),
            scale: spread(&n.scale, channels),
            shift: spread(&n.shift, channels),
            ceiling: n.ceiling.as_ref().map(|v| spread(v, channels)),
            ..n
        };
        let fits = |values: &[i64], low, high| values.iter().all(|v| (low..=high).contains(v));
        let narrow = fits(&n.bias, -128, 127)
            && fits(&n.bias_shift, 0, 31)
            && fits(&n.scale, 0, 255)
            && fits(&n.shift, -128, 127);
        if narrow { Ok(n) } else { Err(self.fault(id, "a bias, scale or shift beyond 8 bits")) }
    }

    fn synapses_two(
        &self,
        id: NodeId,
        drive: &Drive<'_>,
        biased: &AkidaTwoNeuron,
    ) -> Result<Layer, EmitError> {
        let name = self.graph[id].name.clone();
        let values = self.weights(drive);
        let map @ [c, x, y] = self.map(drive.source)?;
        let filters = drive.map[0];
        let buffer = i64::from(drive.projection.accumulator.bits);
        let shifts: Vec<i64> = drive.projection.input_shift.iter().map(|&s| s.into()).collect();
        if drive.projection.connectivity == Connectivity::Dense {
            let inputs = map.iter().product();
            let shifts = if shifts.is_empty() { vec![0; inputs] } else { spread(&shifts, inputs) };
            return Ok(Layer::new(name, LayerType::Dense1D)
                .after(self.inbound(id, drive.source)?)
                .with(&[("units", filters as i64), ("buffer_bits", buffer)])
                .array("weights", &[inputs, filters], &dense_to_v2(&values, filters, map))
                .array("input_shift", &[inputs], &sources_to_v2(&shifts, map)));
        }
        let (window, padding, groups) = self.window(id, drive)?;
        let (k, stride) = (window.kernel[0], window.strides[0]);
        if window.kernel != [k, k] || window.strides != [stride, stride] {
            return Err(self.fault(id, "Akida 2.0 has square kernels and strides only"));
        }
        let common = [
            ("kernel_size", k as i64),
            ("kernel_stride", stride as i64),
            ("padding", padding as i64),
        ];
        if let Some(buffer) = biased.fused_bits {
            return Ok(Layer::new(name, LayerType::InputConv2D)
                .with(&common)
                .with(&[
                    ("input_x", x as i64),
                    ("input_y", y as i64),
                    ("input_channels", c as i64),
                    ("filters", filters as i64),
                    ("buffer_bits", buffer.into()),
                ])
                .array(
                    "weights",
                    &[k, k, c, filters],
                    &kernel_to_akida(&values, &[filters, c, k, k], false),
                )
                .array("padding_value", &[c], &vec![self.pixel_zero(); c]));
        }
        let shifts = if shifts.is_empty() { vec![0; c] } else { spread(&shifts, c) };
        let layer = if groups == 1 {
            Layer::new(name, LayerType::Conv2D).with(&[("filters", filters as i64)]).array(
                "weights",
                &[k, k, c, filters],
                &kernel_to_akida(&values, &[filters, c, k, k], true),
            )
        } else if groups == c && filters == c {
            Layer::new(name, LayerType::DepthwiseConv2D).array(
                "weights",
                &[k, k, c, 1],
                &depthwise_to_akida(&values, [c, k, k]),
            )
        } else {
            return Err(self.fault(id, format!("Akida 2.0 has no convolution in {groups} groups")));
        };
        Ok(layer
            .after(self.inbound(id, drive.source)?)
            .with(&common)
            .with(&[("buffer_bits", buffer)])
            .array("input_shift", &[c], &shifts))
    }

    fn add(&mut self, id: NodeId, p: &Population) -> Result<(), EmitError> {
        let Some(n) = p.neuron.get::<AkidaTwoNeuron>() else {
            return Err(self.fault(id, "its neuron is not an output stage of Akida 2.0"));
        };
        let [c, ..] = self.map(id)?;
        let mut layer = Layer::new(self.graph[id].name.clone(), LayerType::Add);
        for (port, name) in ["a_shift", "b_shift"].into_iter().enumerate() {
            let drive = self.drive(id, port)?;
            let plain = drive.projection.connectivity == Connectivity::OneToOne
                && self.weights(&drive).iter().all(|&w| w == 1);
            if !plain {
                return Err(self.fault(id, "Add takes its inputs as they are"));
            }
            let shifts: Vec<i64> = drive.projection.input_shift.iter().map(|&s| s.into()).collect();
            let shifts = if shifts.is_empty() { vec![0; c] } else { spread(&shifts, c) };
            layer = layer.after(self.inbound(id, drive.source)?).array(name, &[c], &shifts);
        }
        let layer = layer
            .with(&[("output_bits", n.output_bits.into()), ("buffer_bits", n.post_bits.into())])
            .array("output_shift", &[c], &spread(&n.shift, c));
        self.push(layer, id, id)
    }

    fn zero_bias_two(&self, drive: &Drive<'_>) -> Vec<i64> {
        let values = self.weights(drive);
        let each = values.len() / drive.map[0].max(1);
        values.chunks(each.max(1)).map(|w| w.iter().sum::<i64>() * self.pixel_zero()).collect()
    }
}

fn activation(layer: Layer, biased: &AkidaTwoNeuron, table: Option<&[i64]>) -> Layer {
    let channels = biased.bias.len();
    match (table, &biased.ceiling) {
        (Some(table), _) => layer
            .with(&[("activation", 2)])
            .array("activation_scales", &[channels], &biased.scale)
            .array("activation_shift", &[channels], &biased.shift)
            .array("lut_values", &[TABLE], table),
        (None, Some(ceiling)) => {
            let parts: Vec<(i64, i64)> = ceiling.iter().map(|&c| ceiling_parts(c)).collect();
            layer
                .with(&[("activation", 1)])
                .array("max_value", &[channels], &parts.iter().map(|p| p.0).collect::<Vec<_>>())
                .array(
                    "max_value_shift",
                    &[channels],
                    &parts.iter().map(|p| p.1).collect::<Vec<_>>(),
                )
        }
        (None, None) => layer.with(&[("activation", 0)]),
    }
}

/// A rectifier's limit as 8-bit value and shift.
pub fn ceiling_parts(ceiling: i64) -> (i64, i64) {
    if ceiling == UNBOUNDED { (127, 31) } else { mantissa(ceiling, 0, 255).unwrap_or((127, 31)) }
}

/// `value << shift` with the least shift for which the value lies in a range.
pub fn mantissa(x: i64, low: i64, high: i64) -> Option<(i64, i64)> {
    (0..=31).find_map(|shift| {
        let value = x >> shift;
        (value << shift == x && (low..=high).contains(&value)).then_some((value, shift))
    })
}

/// Gives the weights of each layer their width: 4 bits where they and the layer's other widths allow it and no
/// layer before sends its potentials in 8 bits, behind which devices take none so narrow; else 8.
pub fn set_weight_bits(layers: &mut [Layer]) {
    let mut potentials: HashSet<String> = HashSet::new();
    for layer in layers {
        let behind = layer.inbounds.iter().any(|name| potentials.contains(name));
        let handed_on = layer.kind == LayerType::Concatenate && behind;
        if handed_on || sends_narrow_potentials(layer) {
            potentials.insert(layer.name.clone());
        }
        if let Some(weights) = layer.variables.get("weights") {
            let bits = if behind || !may_be_narrow(layer, weights) { 8 } else { 4 };
            layer.parameters.insert("weights_bits".into(), bits);
        }
    }
}

/// Whether a layer by itself may have 4-bit weights.
fn may_be_narrow(layer: &Layer, weights: &Tensor) -> bool {
    let small = weights.to_i64().is_ok_and(|v| v.iter().all(|w| (-8..=7).contains(w)));
    let wide_output = !matches!(layer.parameter("output_bits"), Ok(4 | 32));
    let takes = match layer.kind {
        LayerType::InputConv2D => false,
        LayerType::Dense1D => !wide_output,
        _ => true,
    };
    small && takes
}
