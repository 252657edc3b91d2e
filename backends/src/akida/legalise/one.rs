//! Akida 1.0.

use snnc_ir::{NodeId, Population, SpikingOp, Window};

use super::copies::over_copies;
use super::synapses::{Geometry, Kind, Shapes, Synapses, diagonal};
use super::{Legaliser, Signal, is_graded, is_read_out};
use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::{Padding, dense_to_v1, depthwise_to_akida, kernel_to_akida};
use crate::akida::lift::weight_bits;
use crate::akida::search::{OneLimits, ceil_div, search_one};

const INPUT: Shapes = Shapes { kernels: &[3, 5, 7], paddings: &[Padding::Same, Padding::Valid] };
const PLAIN: Shapes = Shapes { kernels: &[1, 3, 5, 7], paddings: &[Padding::Same] };
const SEPARABLE: Shapes = Shapes { kernels: &[3, 5, 7], paddings: &[Padding::Same] };
/// What both have at a stride of 2.
const STRIDED: Shapes = Shapes { kernels: &[3], paddings: &[Padding::Same] };

/// A layer whose weights are still to come: their kernel, their place, and their largest value.
struct Plan {
    layer: Layer,
    geometry: Option<Geometry>,
    limit: i64,
}

/// What a layer's channels do with their sums.
#[derive(Default)]
struct Stage {
    rows: Vec<Vec<i64>>,
    /// Factor of each channel behind its row, where the layer has a place for it.
    factors: Vec<i64>,
    thresholds: Vec<i64>,
    steps: Vec<f32>,
    differing: u64,
    /// Copies of what is read without which a row is too large.
    copies: usize,
}

impl Legaliser<'_> {
    pub(super) fn population_one(&mut self, id: NodeId, p: &Population) {
        if !is_graded(p) {
            self.violation(id, format!("the coding {}", p.coding), "use `--code graded`");
            return;
        }
        if !self.answers_once(id, p) {
            return self.stand_in(id, p);
        }
        if self.graph.sources(id).len() != 1 {
            self.violation(
                id,
                "several layers meet here, but an Akida 1.0 model is a chain",
                "remove the residual connections, which only Akida 2.0 has",
            );
            return self.stand_in(id, p);
        }
        let bits = self.payload_bits(id, p);
        let Some(mut s) = self.synapses(id, 0) else { return self.stand_in(id, p) };
        let Some(plan) = self.plan_one(id, &mut s) else { return self.stand_in(id, p) };
        match self.activation_one(id, p, &mut s, plan, bits) {
            Some((layer, range, map, offset)) => {
                let signal = Signal { layer: layer.name.clone(), ratio: 1.0, range, map, offset };
                self.scales.insert(layer.name.clone(), p.scale.clone());
                self.push(layer, id, s.projection, signal);
            }
            None => self.stand_in(id, p),
        }
    }

    fn plan_one(&mut self, id: NodeId, s: &mut Synapses) -> Option<Plan> {
        let name = self.graph[id].name.clone();
        let inbound = s.signal.layer.clone();
        let first = self.is_pixels(s.source);
        let limit = self.weight_limit(id, s, first)?;
        let strided = |w: &Window| w.strides.iter().any(|&s| s != 1);
        let (kind, shapes) = match &s.kind {
            Kind::Dense => {
                let layer = Layer::new(name, LayerType::FullyConnected)
                    .after(inbound)
                    .with(&[("units", s.rows.len() as i64)]);
                return Some(Plan { layer, geometry: None, limit });
            }
            Kind::Plain(_) if first => (LayerType::InputConvolutional, INPUT),
            Kind::Plain(w) if strided(w) => (LayerType::Convolutional, STRIDED),
            Kind::Plain(_) => (LayerType::Convolutional, PLAIN),
            Kind::Depthwise(w) if strided(w) => (LayerType::SeparableConvolutional, STRIDED),
            Kind::Depthwise(_) => (LayerType::SeparableConvolutional, SEPARABLE),
            Kind::Global | Kind::OneToOne => {
                let layer = Layer::new(name, LayerType::Convolutional).after(inbound).with(&[
                    ("kernel_width", 1),
                    ("kernel_height", 1),
                    ("filters", s.rows.len() as i64),
                    ("pool_type", if s.kind == Kind::Global { 2 } else { 0 }),
                ]);
                return Some(Plan { layer, geometry: None, limit });
            }
        };
        let g = self.geometry(id, s, shapes)?;
        let [c, x, y] = s.signal.map;
        let layer = match kind {
            LayerType::InputConvolutional => Layer::new(name, kind).with(&[
                ("input_width", x as i64),
                ("input_height", y as i64),
                ("input_channels", c as i64),
                ("padding_value", self.pixel_zero()),
            ]),
            _ => Layer::new(name, kind).after(inbound),
        };
        let layer = layer.with(&[
            ("kernel_width", g.kernel[0] as i64),
            ("kernel_height", g.kernel[1] as i64),
            ("filters", s.rows.len() as i64),
            ("padding", g.padding as i64),
            ("stride_x", g.strides[0] as i64),
            ("stride_y", g.strides[1] as i64),
        ]);
        Some(Plan { layer, geometry: Some(g), limit })
    }

    /// Lets later layers be checked although this one cannot be built.
    pub(super) fn stand_in(&mut self, id: NodeId, p: &Population) {
        let Some(map) = self.map(id) else { return };
        let signal = Signal {
            layer: self.graph[id].name.clone(),
            ratio: 1.0,
            range: (p.minimum.max(-128), p.maximum.min(127)),
            map,
            offset: [0, 0],
        };
        if let Some(pool) = self.pool_behind(id)
            && let Some(map) = self.map(pool)
        {
            self.absorbed.insert(pool);
            self.signals.insert(pool, Signal { map, ..signal.clone() });
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
                    "quantise the activations to 1, 2 or 4 bits",
                );
                4
            }
        }
    }

    /// Largest weight of a layer; a violation for each that has larger ones.
    fn weight_limit(&mut self, id: NodeId, s: &Synapses, first: bool) -> Option<i64> {
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

    /// Whether a node is an input that goes into an input convolution.
    pub(super) fn is_pixels(&self, source: NodeId) -> bool {
        matches!(self.graph[source].as_spiking(), Some(SpikingOp::Encoder(_)))
            && !self.spec.layers.iter().any(|l| l.kind == LayerType::InputData)
    }

    /// The code that stands for payload 0, counted from the smallest.
    pub(super) fn pixel_zero(&self) -> i64 {
        self.spec.encoding.as_ref().map_or(0, |e| e.encoder.zero_point - e.encoder.minimum)
    }

    /// Weights, thresholds, steps and pooling; and range, map and offset of what is sent.
    #[allow(clippy::type_complexity)] // the parts of one signal
    fn activation_one(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &mut Synapses,
        plan: Plan,
        bits: u32,
    ) -> Option<(Layer, (i64, i64), [usize; 3], [usize; 2])> {
        let Plan { mut layer, geometry, limit } = plan;
        let channels = s.rows.len();
        let (mut map, mut offset) = match &geometry {
            Some(g) => ([channels, g.map[0], g.map[1]], g.offset),
            None => (s.sums, [0, 0]),
        };
        if is_read_out(p) {
            if s.gain.iter().any(|&g| g != 1) {
                self.violation(id, "scores with a gain", "");
                return None;
            }
            let threshold: Vec<i64> =
                (0..channels).map(|c| self.zero_bias(&layer, &s.rows[c]) - p.bias_at(c)).collect();
            let layer = weighted_one(
                layer.with(&[("activation", 0)]),
                s,
                &s.rows,
                &vec![1; channels],
                &geometry,
            )
            .array("threshold", &[channels], &threshold)
            .reals("act_step", &vec![1.0; channels]);
            return Some((layer, (i32::MIN.into(), i32::MAX.into()), map, offset));
        }
        if let Some(pool) = geometry.as_ref().and_then(|g| self.pooled(id, s.sums, g)) {
            self.absorbed.extend(self.pool_behind(id));
            (map, offset) = ([channels, pool.map[0], pool.map[1]], pool.offset);
            layer = layer.with(&[
                ("pool_type", 1),
                ("pooling_width", pool.size[0] as i64),
                ("pooling_height", pool.size[1] as i64),
                ("pooling_stride_x", pool.strides[0] as i64),
                ("pooling_stride_y", pool.strides[1] as i64),
            ]);
        }
        let top = (1 << bits) - 1;
        let most = match (&s.kind, &layer.kind) {
            (Kind::Dense | Kind::Plain(_), kind) if *kind != LayerType::InputConvolutional => {
                self.most_copies(&s.signal.layer, &layer)
            }
            _ => 1,
        };
        let stage = self.stage_one(id, p, s, &layer, (limit, most, bits))?;
        self.report_differing(id, stage.differing);
        let mut rows = stage.rows;
        if stage.copies > 1 {
            rows = over_copies(&rows, stage.copies);
            self.copy_filters(&s.signal.layer, stage.copies);
            s.signal.map[0] *= stage.copies;
            let text = format!(
                "its input map is repeated {} times: weights from -{1} to {1}, fewer differing accumulators; `--set copies=1` turns this off",
                stage.copies,
                limit * stage.copies as i64
            );
            self.note(id, text);
        }
        let layer = weighted_one(layer, s, &rows, &stage.factors, &geometry)
            .with(&[("activation", 1), ("act_bits", bits.into())])
            .array("threshold", &[channels], &stage.thresholds)
            .reals("act_step", &stage.steps);
        Some((layer, (0, top), map, offset))
    }

    /// The neuron of each channel, with up to `most` copies of what it reads.
    fn stage_one(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses,
        layer: &Layer,
        (limit, most, bits): (i64, usize, u32),
    ) -> Option<Stage> {
        let first = layer.kind == LayerType::InputConvolutional;
        let mut stage = Stage { copies: 1, ..Stage::default() };
        for (channel, row) in s.rows.iter().enumerate() {
            let wanted = self.staircase(id, p, s, channel, 1.0, (0, (1 << bits) - 1));
            let zero = self.zero_bias(layer, row);
            let largest = row.iter().map(|w| w.abs()).max().unwrap_or(0).max(1);
            let limits = OneLimits {
                bits,
                sixteenths: if first { 1_048_575 * 16 } else { 65_535 * 16 },
                threshold: if first { (1 << 23) - 1 } else { (1 << 19) - 1 } - zero.abs(),
                // The second stage of a separable convolution, and an identity, have weights to spare.
                factor: match s.kind {
                    Kind::Depthwise(_) | Kind::Global => limit,
                    _ => limit * most as i64 / largest,
                },
            };
            let Some(found) = search_one(&wanted, limits) else {
                let reason = format!(
                    "channel {channel} needs a threshold or a step beyond the chip's registers"
                );
                let remedy = "scale the layer's weights and activations closer to each other";
                self.violation(id, reason, remedy);
                return None;
            };
            stage.differing += found.differing;
            let outside = matches!(s.kind, Kind::Depthwise(_) | Kind::Global);
            let factor = if outside { 1 } else { found.factor };
            let copies = ceil_div(largest * factor, limit) as usize;
            stage.copies = stage.copies.max(copies.min(most));
            stage.rows.push(row.iter().map(|w| w * factor).collect());
            stage.factors.push(if outside { found.factor } else { 1 });
            stage.thresholds.push(found.parameters.threshold + zero * found.factor);
            stage.steps.push(found.parameters.sixteenths as f32 / 16.0);
        }
        Some(stage)
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
            let text = format!(
                "{differing} reachable accumulator values give another payload than the reference"
            );
            self.note(id, text);
        }
    }

    /// A 1x1 convolution that hands payloads of so many bits on as they are.
    pub(super) fn identity_one(&self, name: String, signal: &Signal) -> Layer {
        let c = signal.map[0];
        let bits = [1, 2].into_iter().find(|b| signal.range.1 < 1 << b).unwrap_or(4);
        let rows: Vec<i64> = diagonal(vec![1; c].into_iter()).concat();
        Layer::new(name, LayerType::Convolutional)
            .after(signal.layer.clone())
            .with(&[
                ("kernel_width", 1),
                ("kernel_height", 1),
                ("filters", c as i64),
                ("weights_bits", weight_bits(&rows)),
                ("act_bits", bits),
            ])
            .array("weights", &[1, 1, c, c], &kernel_to_akida(&rows, &[c, c, 1, 1], true))
            .array("threshold", &[c], &vec![0; c])
            // q * 2^(4 - bits) is 16, so the level is the sum itself.
            .reals("act_step", &vec![(1 << bits) as f32 / 16.0; c])
    }
}

/// The layer with its weights in Akida's order, in as few bits as hold them.
fn weighted_one(
    layer: Layer,
    s: &Synapses,
    rows: &[Vec<i64>],
    factors: &[i64],
    g: &Option<Geometry>,
) -> Layer {
    let rows = match s.kind {
        Kind::OneToOne => diagonal(rows.iter().map(|r| r.first().copied().unwrap_or(1))),
        Kind::Global => diagonal(factors.iter().copied()),
        _ => rows.to_vec(),
    };
    let values = rows.concat();
    let all = [values.as_slice(), factors].concat();
    let layer = layer.with(&[("weights_bits", weight_bits(&all))]);
    let (units, [c, x, y]) = (rows.len(), s.signal.map);
    let [kx, ky] = g.as_ref().map_or([1, 1], |g| g.kernel);
    match s.kind {
        Kind::Dense => {
            let stored = dense_to_v1(&values, units, s.signal.map);
            layer.array("weights", &[1, 1, c * x * y, units], &stored)
        }
        Kind::Depthwise(_) => {
            let point = diagonal(factors.iter().copied()).concat();
            layer
                .array("weights", &[kx, ky, c, 1], &depthwise_to_akida(&values, [c, kx, ky]))
                .array("weights_pw", &[1, 1, c, c], &kernel_to_akida(&point, &[c, c, 1, 1], false))
        }
        _ => {
            let flip = layer.kind != LayerType::InputConvolutional;
            let stored = kernel_to_akida(&values, &[units, c, kx, ky], flip);
            layer.array("weights", &[kx, ky, c, units], &stored)
        }
    }
}
