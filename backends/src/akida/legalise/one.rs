//! Akida 1.0.

use snnc_ir::{Connectivity, NodeId, Population, SpikingOp};

use super::synapses::{Geometry, Synapses};
use super::{Legaliser, Signal, is_graded, is_read_out};
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::{Padding, dense_to_v1, kernel_to_akida};
use crate::akida::lift::weight_bits;
use crate::akida::search::{OneLimits, search_one};

impl Legaliser<'_> {
    pub(super) fn population_one(&mut self, id: NodeId, p: &Population) {
        if !is_graded(p) {
            self.violation(id, format!("the coding {}", p.coding), "use `--code graded`");
            return;
        }
        if self.graph.sources(id).len() != 1 {
            self.violation(
                id,
                "several layers meet here, but an Akida 1.0 model is a chain",
                "compile for akida2, or remove the residual connections",
            );
            self.stand_in(id, p);
            return;
        }
        let bits = self.payload_bits(id, p);
        let Some(s) = self.synapses(id, 0) else { return self.stand_in(id, p) };
        let Some(signal) = self.signals.get(&s.source).cloned() else {
            return self.stand_in(id, p);
        };
        let layer = match s.connectivity {
            Connectivity::Dense => self.dense_one(id, &s, &signal),
            Connectivity::Convolution { window, groups: 1 } => {
                let window = window.clone();
                self.geometry(id, &s, &window)
                    .and_then(|g| self.convolution_one(id, &s, &signal, g))
            }
            Connectivity::Convolution { .. } => {
                self.violation(
                    id,
                    "a convolution in groups, which Akida 1.0 has only as part of a separable one",
                    "use a plain convolution, or compile for akida2",
                );
                None
            }
            Connectivity::OneToOne => {
                self.violation(id, "a rescaling without weights", "fold it into its neighbour");
                None
            }
        };
        let Some(layer) = layer else { return self.stand_in(id, p) };
        match self.activation_one(id, p, &s, layer, bits) {
            Some((layer, range)) => {
                let signal = Signal { layer: layer.name.clone(), ratio: 1, range };
                self.scales.insert(layer.name.clone(), p.scale.clone());
                self.push(layer, id, s.projection, signal);
            }
            None => self.stand_in(id, p),
        }
    }

    /// Lets later layers be checked although this one cannot be built.
    pub(super) fn stand_in(&mut self, id: NodeId, p: &Population) {
        let signal = Signal {
            layer: self.graph[id].name.clone(),
            ratio: 1,
            range: (p.minimum.max(-128), p.maximum.min(127)),
        };
        if let Some(pool) = self.pool_behind(id) {
            self.absorbed.insert(pool);
            self.signals.insert(pool, signal.clone());
        }
        self.signals.insert(id, signal);
    }

    /// Bits of what the population sends: 1, 2 or 4.
    fn payload_bits(&mut self, id: NodeId, p: &Population) -> u32 {
        if is_read_out(p) {
            return 4;
        }
        if p.minimum < 0 {
            self.violation(
                id,
                format!("payloads from {} to {}; Akida 1.0 sends 0 to 15", p.minimum, p.maximum),
                "quantise behind a Relu, without a sign",
            );
            return 4;
        }
        match p.maximum {
            1 => 1,
            3 => 2,
            15 => 4,
            other => {
                self.violation(
                    id,
                    format!(
                        "payloads 0 to {other}; Akida 1.0 sends 1, 2 or 4 bits: 0 to 1, 3 or 15"
                    ),
                    "quantise the activations to 4 bits, or compile for akida2",
                );
                4
            }
        }
    }

    /// Largest weight of a layer; a violation for each that has larger ones.
    fn weight_limit(&mut self, id: NodeId, s: &Synapses<'_>, first: bool) -> Option<i64> {
        let (low, high) = if first { (-128, 127) } else { (-7, 7) };
        let worst = s.rows.iter().flatten().copied().find(|w| !(low..=high).contains(w));
        if let Some(worst) = worst {
            let reason = if first {
                format!("weight {worst}; the first layer's have 8 bits, {low} to {high}")
            } else {
                format!("weight {worst}; Akida 1.0 has 4-bit weights from {low} to {high} here")
            };
            self.violation(
                id,
                reason,
                "quantise the weights to 4 bits with a symmetric, narrow range",
            );
            return None;
        }
        Some(high)
    }

    fn dense_one(&mut self, id: NodeId, s: &Synapses<'_>, signal: &Signal) -> Option<(Layer, i64)> {
        let limit = self.weight_limit(id, s, false)?;
        let units = s.rows.len();
        let layer = Layer::new(self.graph[id].name.clone(), LayerType::FullyConnected)
            .after(signal.layer.clone())
            .with(&[("units", units as i64)]);
        Some((layer, limit))
    }

    fn convolution_one(
        &mut self,
        id: NodeId,
        s: &Synapses<'_>,
        signal: &Signal,
        g: Geometry,
    ) -> Option<(Layer, i64)> {
        let first = self.is_pixels(s.source);
        let limit = self.weight_limit(id, s, first)?;
        let [c, x, y] = s.map;
        let name = self.graph[id].name.clone();
        let layer = if first {
            Layer::new(name, LayerType::InputConvolutional).with(&[
                ("input_width", x as i64),
                ("input_height", y as i64),
                ("input_channels", c as i64),
                ("padding_value", self.pixel_zero()),
            ])
        } else {
            Layer::new(name, LayerType::Convolutional).after(signal.layer.clone())
        };
        let layer = layer.with(&[
            ("kernel_width", g.kernel[0] as i64),
            ("kernel_height", g.kernel[1] as i64),
            ("filters", s.rows.len() as i64),
            ("padding", g.padding as i64),
            ("stride_x", g.strides[0] as i64),
            ("stride_y", g.strides[1] as i64),
        ]);
        Some((self.with_pool(id, s, layer, g.padding), limit))
    }

    /// Whether a node is an input that goes into an input convolution.
    pub(super) fn is_pixels(&self, source: NodeId) -> bool {
        matches!(self.graph[source].as_spiking(), Some(SpikingOp::Encoder(_)))
            && !self.spec.layers.iter().any(|l| l.kind == LayerType::InputData)
    }

    /// The code that stands for payload 0, counted from the smallest.
    pub(super) fn pixel_zero(&self) -> i64 {
        self.spec.encoding.as_ref().map_or(0, |e| e.encoder.zero_point - e.encoder.minimum)
    }

    /// Takes the max-pool behind the population into its layer, if it is Akida's.
    fn with_pool(&mut self, id: NodeId, s: &Synapses<'_>, layer: Layer, padding: Padding) -> Layer {
        let Some(pool) = self.pool_behind(id) else { return layer };
        let Some(SpikingOp::MaxPool { window }) = self.graph[pool].as_spiking() else {
            return layer;
        };
        let [_, x, y] = s.sums;
        let out = self.map(pool).unwrap_or([0; 3]);
        let plain = window.dilations.iter().all(|&d| d == 1);
        let (&[kx, ky], &[sx, sy]) = (window.kernel.as_slice(), window.strides.as_slice()) else {
            return layer;
        };
        let same = padding.window([x, y], [kx, ky], [sx, sy]).is_some_and(|w| {
            w.before == window.before
                && padding.outputs(x, kx, sx) == Some(out[1])
                && padding.outputs(y, ky, sy) == Some(out[2])
        });
        if !(plain && same) {
            return layer;
        }
        self.absorbed.insert(pool);
        layer.with(&[
            ("pool_type", 1),
            ("pooling_width", kx as i64),
            ("pooling_height", ky as i64),
            ("pooling_stride_x", sx as i64),
            ("pooling_stride_y", sy as i64),
        ])
    }

    /// Weights, thresholds and steps; and the range of what is sent.
    fn activation_one(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses<'_>,
        (layer, limit): (Layer, i64),
        bits: u32,
    ) -> Option<(Layer, (i64, i64))> {
        let channels = s.rows.len();
        if is_read_out(p) {
            if s.gain.iter().any(|&g| g != 1) {
                self.violation(id, "scores with a gain", "");
                return None;
            }
            let threshold: Vec<i64> =
                (0..channels).map(|c| self.zero_bias(&layer, &s.rows[c]) - p.bias_at(c)).collect();
            let layer = weighted_one(layer.with(&[("activation", 0)]), s, &s.rows)
                .array("threshold", &[channels], &threshold)
                .reals("act_step", &vec![1.0; channels]);
            return Some((layer, (i32::MIN.into(), i32::MAX.into())));
        }
        let first = layer.kind == LayerType::InputConvolutional;
        let top = (1 << bits) - 1;
        let (mut rows, mut thresholds, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let mut differing = 0;
        for (channel, row) in s.rows.iter().enumerate() {
            let wanted = self.staircase(id, p, s, channel, (1, 1), (0, top));
            let zero = self.zero_bias(&layer, row);
            let largest = row.iter().map(|w| w.abs()).max().unwrap_or(0).max(1);
            let limits = OneLimits {
                bits,
                sixteenths: if first { 1_048_575 * 16 } else { 65_535 * 16 },
                threshold: if first { (1 << 23) - 1 } else { (1 << 19) - 1 } - zero.abs(),
                factor: limit / largest,
            };
            let Some(found) = search_one(&wanted, limits) else {
                self.violation(
                    id,
                    format!(
                        "channel {channel} needs a threshold or a step beyond the chip's registers"
                    ),
                    "scale the layer's weights and activations closer to each other",
                );
                return None;
            };
            differing += found.differing;
            rows.push(row.iter().map(|w| w * found.factor).collect());
            thresholds.push(found.parameters.threshold + zero * found.factor);
            steps.push(found.parameters.sixteenths as f32 / 16.0);
        }
        self.report_differing(id, differing);
        let layer = weighted_one(layer, s, &rows)
            .with(&[("activation", 1), ("act_bits", bits.into())])
            .array("threshold", &[channels], &thresholds)
            .reals("act_step", &steps);
        Some((layer, (0, top)))
    }

    /// What pixels that stand for 0 bring to a channel beyond the canonical sum.
    fn zero_bias(&self, layer: &Layer, row: &[i64]) -> i64 {
        match layer.kind {
            LayerType::InputConvolutional => row.iter().sum::<i64>() * self.pixel_zero(),
            _ => 0,
        }
    }

    /// Says for how many accumulators a population differs.
    pub(super) fn report_differing(&mut self, id: NodeId, differing: u64) {
        if differing > 0 {
            self.note(
                id,
                format!("{differing} reachable accumulator values give another payload than the reference"),
            );
        }
    }
}

/// The layer with its weights in Akida's order, in as few bits as hold them.
fn weighted_one(layer: Layer, s: &Synapses<'_>, rows: &[Vec<i64>]) -> Layer {
    let values: Vec<i64> = rows.iter().flatten().copied().collect();
    let layer = layer.with(&[("weights_bits", weight_bits(&values))]);
    let (units, [c, x, y]) = (rows.len(), s.map);
    match s.connectivity {
        Connectivity::Convolution { window, .. } => {
            let (kx, ky) = (window.kernel[0], window.kernel[1]);
            let flip = layer.kind != LayerType::InputConvolutional;
            let stored = kernel_to_akida(&values, &[units, c, kx, ky], flip);
            layer.array("weights", &[kx, ky, c, units], &stored)
        }
        _ => {
            let stored = dense_to_v1(&values, units, s.map);
            layer.array("weights", &[1, 1, c * x * y, units], &stored)
        }
    }
}
