//! Akida 2.0.

use snnc_ir::{Connectivity, NodeId, Population, SpikingOp};

use super::synapses::{Geometry, Synapses};
use super::{Legaliser, Signal, is_graded, is_read_out};
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::{Padding, dense_to_v2, kernel_to_akida};
use crate::akida::lift::mantissa;
use crate::akida::search::{TwoLimits, TwoParameters, ceiling, nearest_mantissa, search_two};

/// How a population's payloads fit into what Akida 2.0 sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// 4 (unsigned) or 8 (signed).
    pub bits: i64,
    /// Canonical units in one unit.
    pub ratio: i64,
    /// Smallest and largest payload sent.
    pub range: (i64, i64),
}

impl Output {
    /// Largest payload of so many bits.
    fn top(&self) -> i64 {
        if self.bits == 4 { 15 } else { 127 }
    }
}

impl Legaliser<'_> {
    pub(super) fn population_two(&mut self, id: NodeId, p: &Population) {
        if !is_graded(p) {
            self.violation(id, format!("the coding {}", p.coding), "use `--code graded`");
            return;
        }
        if self.graph.sources(id).len() != 1 {
            self.violation(id, "several layers meet here", "remove the residual connections");
            return self.stand_in(id, p);
        }
        let Some(s) = self.synapses(id, 0) else { return self.stand_in(id, p) };
        let Some(signal) = self.signals.get(&s.source).cloned() else {
            return self.stand_in(id, p);
        };
        let layer = match s.connectivity {
            Connectivity::Dense => self.dense_two(id, &s, &signal),
            Connectivity::Convolution { window, groups: 1 } => {
                let window = window.clone();
                self.geometry(id, &s, &window)
                    .and_then(|g| self.convolution_two(id, &s, &signal, g))
            }
            Connectivity::Convolution { .. } => {
                self.violation(id, "a convolution in groups", "use a plain convolution");
                None
            }
            Connectivity::OneToOne => {
                self.violation(id, "a rescaling without weights", "fold it into its neighbour");
                None
            }
        };
        let Some((layer, limit)) = layer else { return self.stand_in(id, p) };
        let built = if is_read_out(p) {
            self.read_out_two(id, p, &s, &signal, layer)
        } else {
            self.activation_two(id, p, &s, &signal, layer, limit)
        };
        match built {
            Some((layer, signal)) => self.push(layer, id, s.projection, signal),
            None => self.stand_in(id, p),
        }
    }

    /// Bits and unit of what a population sends.
    fn output(&mut self, id: NodeId, p: &Population) -> Output {
        // Convolutions need payloads at least as wide as their weights.
        let wide = |&u: &NodeId| {
            let weights = self.graph[u].data.as_ref().and_then(|d| d.to_i64().ok());
            weights.is_some_and(|w| w.iter().any(|w| !(-8..=7).contains(w)))
        };
        let behind = self.pool_behind(id).unwrap_or(id);
        let needs_eight = self
            .graph
            .users(behind)
            .iter()
            .any(|u| self.convolution_groups(*u).is_some() && wide(u));
        if p.minimum >= 0 && p.maximum <= 15 && !needs_eight {
            return Output { bits: 4, ratio: 1, range: (0, p.maximum) };
        }
        let ratio = (0..32)
            .map(|shift| 1i64 << shift)
            .find(|r| p.maximum < 128 * r && p.minimum >= -128 * r)
            .unwrap_or(1 << 32);
        if ratio > 1 {
            self.note(
                id,
                format!(
                    "payloads from {} to {} do not fit Akida 2.0's 8 signed bits and are sent in steps of {ratio}",
                    p.minimum, p.maximum
                ),
            );
        }
        let low = if p.minimum >= 0 { 0 } else { -((-p.minimum + ratio / 2) / ratio).min(128) };
        let high = ((p.maximum + ratio / 2) / ratio).min(127);
        Output { bits: 8, ratio, range: (low, high) }
    }

    fn weight_limit_two(&mut self, id: NodeId, s: &Synapses<'_>, high: i64) -> Option<i64> {
        let worst = s.rows.iter().flatten().copied().find(|w| !(-128..=127).contains(w));
        if let Some(worst) = worst {
            let reason = format!("weight {worst}; Akida 2.0 has 8-bit weights from -128 to 127");
            self.violation(id, reason, "quantise the weights to 8 bits");
            return None;
        }
        Some(high)
    }

    fn dense_two(&mut self, id: NodeId, s: &Synapses<'_>, signal: &Signal) -> Option<(Layer, i64)> {
        let limit = self.weight_limit_two(id, s, 127)?;
        let layer = Layer::new(self.graph[id].name.clone(), LayerType::Dense1D)
            .after(signal.layer.clone())
            .with(&[("units", s.rows.len() as i64)]);
        Some((layer, limit))
    }

    fn convolution_two(
        &mut self,
        id: NodeId,
        s: &Synapses<'_>,
        signal: &Signal,
        g: Geometry,
    ) -> Option<(Layer, i64)> {
        let first = self.is_pixels(s.source);
        // Weights wider than what comes in have no place in a convolution.
        let narrow = !first && signal.range.0 >= 0 && signal.range.1 <= 15;
        let limit = self.weight_limit_two(id, s, if narrow { 7 } else { 127 })?;
        if g.kernel[0] != g.kernel[1] || g.strides[0] != g.strides[1] {
            let reason = format!(
                "a {}x{} kernel at stride {}x{}; Akida 2.0 has square ones",
                g.kernel[0], g.kernel[1], g.strides[0], g.strides[1]
            );
            self.violation(id, reason, "pad the kernel with zeros to a square");
            return None;
        }
        let [c, x, y] = s.map;
        let name = self.graph[id].name.clone();
        let layer = if first {
            Layer::new(name, LayerType::InputConv2D)
                .with(&[("input_x", x as i64), ("input_y", y as i64), ("input_channels", c as i64)])
                .array("padding_value", &[c], &vec![self.pixel_zero(); c])
        } else {
            Layer::new(name, LayerType::Conv2D).after(signal.layer.clone())
        };
        let layer = layer.with(&[
            ("filters", s.rows.len() as i64),
            ("kernel_size", g.kernel[0] as i64),
            ("kernel_stride", g.strides[0] as i64),
            ("padding", g.padding as i64),
        ]);
        Some((self.with_pool_two(id, s, layer, g.padding), limit))
    }

    fn with_pool_two(
        &mut self,
        id: NodeId,
        s: &Synapses<'_>,
        layer: Layer,
        padding: Padding,
    ) -> Layer {
        let Some(pool) = self.pool_behind(id) else { return layer };
        let Some(SpikingOp::MaxPool { window }) = self.graph[pool].as_spiking() else {
            return layer;
        };
        let [_, x, y] = s.sums;
        let out = self.map(pool).unwrap_or([0; 3]);
        let (&[k, ky], &[stride, sy]) = (window.kernel.as_slice(), window.strides.as_slice())
        else {
            return layer;
        };
        let plain = window.dilations.iter().all(|&d| d == 1) && k == ky && stride == sy;
        let same = padding.window([x, y], [k; 2], [stride; 2]).is_some_and(|w| {
            w.before == window.before
                && padding.outputs(x, k, stride) == Some(out[1])
                && padding.outputs(y, k, stride) == Some(out[2])
        });
        if !(plain && same) {
            return layer;
        }
        self.absorbed.insert(pool);
        layer.with(&[("pool_type", 1), ("pool_size", k as i64), ("pool_stride", stride as i64)])
    }

    /// The last layer: sums and bias as they are.
    fn read_out_two(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses<'_>,
        signal: &Signal,
        layer: Layer,
    ) -> Option<(Layer, Signal)> {
        let channels = s.rows.len();
        let (mut bias, mut shift, mut rounded) = (Vec::new(), Vec::new(), 0);
        for c in 0..channels {
            let wanted = (p.bias_at(c) as f64 / signal.ratio as f64).round() as i64;
            let (value, left) = nearest_mantissa(wanted);
            rounded += u64::from(
                mantissa(wanted, -128, 127).is_none() || wanted * signal.ratio != p.bias_at(c),
            );
            bias.push(value);
            shift.push(left);
        }
        if rounded > 0 {
            self.note(
                id,
                format!(
                    "the bias of {rounded} of {channels} channels is rounded to 8 significant bits"
                ),
            );
        }
        let scale: Vec<f32> = p.scale.iter().map(|s| s * signal.ratio as f32).collect();
        if signal.ratio != 1 || !scale.is_empty() {
            self.scales.insert(layer.name.clone(), scale);
        }
        let layer = weighted_two(layer, s, &s.rows)
            .with(&[("activation", 0), ("output_bits", 32)])
            .array("bias", &[channels], &bias)
            .array("bias_shift", &[channels], &shift);
        let signal = Signal {
            layer: layer.name.clone(),
            ratio: signal.ratio,
            range: (i32::MIN.into(), i32::MAX.into()),
        };
        Some((layer, signal))
    }

    fn activation_two(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses<'_>,
        signal: &Signal,
        layer: Layer,
        limit: i64,
    ) -> Option<(Layer, Signal)> {
        let output = self.output(id, p);
        let rectified = p.minimum >= 0;
        let (mut rows, mut found) = (Vec::new(), Vec::new());
        let (mut ceilings, mut differing) = (Vec::new(), 0);
        for (channel, row) in s.rows.iter().enumerate() {
            let wanted =
                self.staircase(id, p, s, channel, (signal.ratio, output.ratio), output.range);
            let largest = row.iter().map(|w| w.abs()).max().unwrap_or(0).max(1);
            let zero_bias = match layer.kind {
                LayerType::InputConv2D => row.iter().sum::<i64>() * self.pixel_zero(),
                _ => 0,
            };
            let limits = TwoLimits { minimum: output.range.0, factor: limit / largest, zero_bias };
            let best = search_two(&wanted, limits)?;
            let top = ceiling(&best.parameters, output.range.1, output.top());
            let Some(top) = top else {
                self.violation(
                    id,
                    format!(
                        "no 8-bit limit ends channel {channel}'s payloads at {}",
                        output.range.1
                    ),
                    "use the whole range of 4 or 8 bits",
                );
                return None;
            };
            differing += best.differing;
            rows.push(row.iter().map(|w| w * best.factor).collect());
            ceilings.push(top);
            found.push(best.parameters);
        }
        self.report_differing(id, differing);
        let scale = p.scale.iter().map(|s| s * output.ratio as f32).collect();
        self.scales.insert(layer.name.clone(), scale);
        let layer = weighted_two(layer, s, &rows);
        let layer = output_stage(layer, &found)
            .with(&[("activation", rectified.into()), ("output_bits", output.bits)]);
        let layer = if rectified { with_ceilings(layer, &ceilings) } else { layer };
        let signal = Signal { layer: layer.name.clone(), ratio: output.ratio, range: output.range };
        Some((layer, signal))
    }
}

/// Bias, scale and shift of each channel.
fn output_stage(layer: Layer, found: &[TwoParameters]) -> Layer {
    let n = [found.len()];
    let each = |part: fn(&TwoParameters) -> i64| found.iter().map(part).collect::<Vec<_>>();
    layer
        .array("bias", &n, &each(|p| p.bias))
        .array("bias_shift", &n, &each(|p| p.bias_shift))
        .array("output_scales", &n, &each(|p| p.scale))
        .array("output_shift", &n, &each(|p| p.shift))
}

fn with_ceilings(layer: Layer, ceilings: &[i64]) -> Layer {
    let parts: Vec<(i64, i64)> =
        ceilings.iter().map(|&c| crate::akida::lift::ceiling_parts(c)).collect();
    let n = [ceilings.len()];
    layer.array("max_value", &n, &parts.iter().map(|p| p.0).collect::<Vec<_>>()).array(
        "max_value_shift",
        &n,
        &parts.iter().map(|p| p.1).collect::<Vec<_>>(),
    )
}

/// The layer with its weights in Akida's order.
fn weighted_two(layer: Layer, s: &Synapses<'_>, rows: &[Vec<i64>]) -> Layer {
    let values: Vec<i64> = rows.iter().flatten().copied().collect();
    let (units, [c, x, y]) = (rows.len(), s.map);
    let layer = match s.connectivity {
        Connectivity::Convolution { window, .. } => {
            let k = window.kernel[0];
            let flip = layer.kind != LayerType::InputConv2D;
            layer.array(
                "weights",
                &[k, k, c, units],
                &kernel_to_akida(&values, &[units, c, k, k], flip),
            )
        }
        _ => layer.array("weights", &[c * x * y, units], &dense_to_v2(&values, units, s.map)),
    };
    crate::akida::lift::weight_bits_two(layer)
}
