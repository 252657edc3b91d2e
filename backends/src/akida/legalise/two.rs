//! Akida 2.0.

mod addition;

use snnc_ir::{Connectivity, LookupNeuron, NodeId, Population, SpikingOp};

use super::synapses::{Geometry, Kind, Shapes, Synapses, diagonal};
use super::{Legaliser, Signal, is_graded, is_read_out};
use crate::akida::layer::{Layer, LayerType, Version};
use crate::akida::layout::{Padding, dense_to_v2, depthwise_to_akida, kernel_to_akida};
use crate::akida::lift::{ceiling_parts, mantissa};
use crate::akida::lower::{TABLE, UNBOUNDED};
use crate::akida::search::{
    Staircase, TwoLimits, TwoParameters, ceiling, nearest_mantissa, search_two,
};

const INPUT: Shapes = Shapes { kernels: &[3, 4, 5, 7], paddings: &[Padding::Same, Padding::Valid] };
const INPUT_STRIDED: Shapes = Shapes {
    kernels: &[3, 4, 5, 7],
    paddings: &[Padding::Same, Padding::SameUpper, Padding::Valid],
};
const PLAIN: Shapes = Shapes { kernels: &[1, 3, 5, 7], paddings: &[Padding::Same] };
const PLAIN_STRIDED: Shapes =
    Shapes { kernels: &[1, 3], paddings: &[Padding::Same, Padding::SameUpper] };
const DEPTHWISE: Shapes = Shapes { kernels: &[3, 5, 7], paddings: &[Padding::Same] };
const DEPTHWISE_STRIDED: Shapes =
    Shapes { kernels: &[3], paddings: &[Padding::Same, Padding::SameUpper] };

/// How a population's payloads fit into what Akida 2.0 sends.
#[derive(Clone, Copy, Debug)]
struct Output {
    /// 4 (unsigned) or 8 (signed).
    bits: i64,
    /// Canonical units in one unit.
    ratio: f64,
    /// Smallest and largest payload sent.
    range: (i64, i64),
}

impl Output {
    /// Largest payload of so many bits.
    fn top(&self) -> i64 {
        if self.bits == 4 { 15 } else { 127 }
    }
}

/// What a layer's channels do with their sums.
struct Stage {
    rows: Vec<Vec<i64>>,
    parameters: Vec<TwoParameters>,
    ceilings: Vec<i64>,
    differing: u64,
}

impl Legaliser<'_> {
    pub(super) fn population_two(&mut self, id: NodeId, p: &Population) {
        if !is_graded(p) {
            self.violation(id, format!("the coding {}", p.coding), "use `--code graded`");
            return;
        }
        if !self.answers_once(id, p) {
            return self.stand_in(id, p);
        }
        if self.graph.sources(id).len() > 1 {
            if self.addition(id, p).is_none() {
                self.stand_in(id, p);
            }
            return;
        }
        if self.single_two(id, p).is_none() {
            self.stand_in(id, p);
        }
    }

    fn single_two(&mut self, id: NodeId, p: &Population) -> Option<()> {
        let mut s = self.synapses(id, 0)?;
        let (layer, geometry, limit) = self.plan_two(id, self.graph[id].name.clone(), &mut s)?;
        if let (LayerType::InputConv2D, Some(g)) = (layer.kind, &geometry)
            && g.padding == Padding::SameUpper
        {
            self.upper.insert(id);
        }
        let (mut map, mut offset) = match &geometry {
            Some(g) => ([s.rows.len(), g.map[0], g.map[1]], g.offset),
            None => (s.sums, [0, 0]),
        };
        if s.kind == Kind::OneToOne {
            (map, offset) = (s.signal.map, s.signal.offset);
        }
        let mut layer = layer;
        if let Some(pool) = geometry.as_ref().and_then(|g| self.pooled(id, s.sums, g))
            && pool.size[0] == pool.size[1]
            && pool.strides[0] == pool.strides[1]
            && !is_read_out(p)
        {
            self.absorbed.extend(self.pool_behind(id));
            (map, offset) = ([s.rows.len(), pool.map[0], pool.map[1]], pool.offset);
            layer = layer.with(&[
                ("pool_type", 1),
                ("pool_size", pool.size[0] as i64),
                ("pool_stride", pool.strides[0] as i64),
            ]);
        }
        let (layer, ratio, range) = if is_read_out(p) {
            self.read_out_two(id, p, &s, layer, &geometry)
        } else if let Some(n) = p.neuron.get::<LookupNeuron>() {
            self.table_two(id, p, &s, layer, (n.minimum, &n.table))?
        } else {
            self.activation_two(id, p, &s, layer, (&geometry, limit))?
        };
        let signal = Signal { layer: layer.name.clone(), ratio, range, map, offset };
        self.push(layer, id, s.projection, signal);
        Some(())
    }

    /// The layer without weights, its geometry, and the largest weight it may get.
    fn plan_two(
        &mut self,
        id: NodeId,
        name: String,
        s: &mut Synapses,
    ) -> Option<(Layer, Option<Geometry>, i64)> {
        let first = self.is_pixels(s.source);
        // Weights wider than what comes in have no place in a convolution.
        let narrow = !first && s.signal.range.0 >= 0 && s.signal.range.1 <= 15;
        let limit = if narrow && s.kind != Kind::Dense { 7 } else { 127 };
        if let Some(worst) = s.rows.iter().flatten().find(|w| !(-128..=127).contains(*w)) {
            let reason = format!("weight {worst}; Akida 2.0 has 8-bit weights from -128 to 127");
            self.violation(id, reason, "quantise the weights to 8 bits");
            return None;
        }
        let strided = matches!(&s.kind, Kind::Plain(w) | Kind::Depthwise(w) if w.strides.iter().any(|&d| d > 1));
        let inbound = s.signal.layer.clone();
        let units = s.rows.len() as i64;
        let (kind, shapes) = match (&s.kind, first, strided) {
            (Kind::Dense, ..) => {
                let layer = Layer::new(name, LayerType::Dense1D).after(inbound);
                return Some((layer.with(&[("units", units)]), None, limit));
            }
            (Kind::OneToOne | Kind::Global, ..) => {
                let global = s.kind == Kind::Global;
                let layer = Layer::new(name, LayerType::Conv2D).after(inbound).with(&[
                    ("filters", units),
                    ("kernel_size", 1),
                    ("pool_type", if global { 2 } else { 0 }),
                ]);
                return Some((layer, None, limit));
            }
            (Kind::Plain(_), true, false) => (LayerType::InputConv2D, INPUT),
            (Kind::Plain(_), true, true) => (LayerType::InputConv2D, INPUT_STRIDED),
            (Kind::Plain(_), false, false) => (LayerType::Conv2D, PLAIN),
            (Kind::Plain(_), false, true) => (LayerType::Conv2D, PLAIN_STRIDED),
            (Kind::Depthwise(_), _, false) => (LayerType::DepthwiseConv2D, DEPTHWISE),
            (Kind::Depthwise(_), _, true) => (LayerType::DepthwiseConv2D, DEPTHWISE_STRIDED),
        };
        let g = self.geometry(id, s, shapes)?;
        if g.kernel[0] != g.kernel[1] || g.strides[0] != g.strides[1] {
            let reason = format!(
                "a {:?} kernel at stride {:?}; Akida 2.0 has square ones",
                g.kernel, g.strides
            );
            self.violation(id, reason, "use the same kernel and stride in both directions");
            return None;
        }
        let [c, x, y] = s.signal.map;
        let layer = match kind {
            LayerType::InputConv2D => Layer::new(name, kind)
                .with(&[("input_x", x as i64), ("input_y", y as i64), ("input_channels", c as i64)])
                .array("padding_value", &[c], &vec![self.pixel_zero(); c]),
            _ => Layer::new(name, kind).after(inbound),
        };
        let layer = layer.with(&[
            ("kernel_size", g.kernel[0] as i64),
            ("kernel_stride", g.strides[0] as i64),
            ("padding", g.padding as i64),
        ]);
        let layer = match kind {
            LayerType::DepthwiseConv2D => layer,
            _ => layer.with(&[("filters", units)]),
        };
        Some((layer, Some(g), limit))
    }

    /// Whether some layer that reads the node has weights of 8 bits, which take payloads of 8 bits only: a
    /// convolution whose weights need them, or a dense layer, whose weights get a factor, but for a read-out,
    /// whose weights are the model's.
    pub(super) fn is_read_by_bytes(&self, id: NodeId) -> bool {
        let wide = |u: NodeId| {
            let weights = self.graph[u].data.as_ref().and_then(|d| d.to_i64().ok());
            weights.is_some_and(|w| w.iter().any(|w| !(-8..=7).contains(w)))
        };
        let answers = |u: NodeId| {
            let own = |user: NodeId| match self.graph[user].as_spiking() {
                Some(SpikingOp::Population(p)) => !is_read_out(p),
                _ => false,
            };
            self.graph.users(u).into_iter().any(own)
        };
        self.graph.users(id).into_iter().any(|u| match self.graph[u].as_spiking() {
            Some(SpikingOp::Concatenate { .. }) => self.is_read_by_bytes(u),
            Some(SpikingOp::Projection(p)) if p.connectivity == Connectivity::Dense => {
                wide(u) || answers(u)
            }
            _ => self.convolution_groups(u).is_some() && wide(u),
        })
    }

    /// Bits and unit of what a population sends.
    fn output(&mut self, id: NodeId, p: &Population) -> Output {
        let behind = self.pool_behind(id).unwrap_or(id);
        let needs_eight = self.upper.contains(&id) || self.is_read_by_bytes(behind);
        if p.minimum >= 0 && p.maximum <= 15 && !needs_eight {
            return Output { bits: 4, ratio: 1.0, range: (0, p.maximum) };
        }
        let least = (p.maximum as f64 / 127.5).max(-p.minimum as f64 / 128.5).max(1.0);
        let ratio = match self.partner_unit(behind) {
            // An addition shifts its inputs: this one's unit is the other's times a power of two.
            Some(unit) => unit * 2f64.powi((least / unit).log2().ceil() as i32),
            None => 2f64.powi(least.log2().ceil() as i32),
        };
        if ratio != 1.0 {
            let text = format!(
                "payloads from {} to {} are sent in 8 bits with a sign, in steps of {ratio:.4}",
                p.minimum, p.maximum
            );
            self.note(id, text);
        }
        let units = |v: i64| (v as f64 / ratio).round() as i64;
        let low = if p.minimum >= 0 { 0 } else { units(p.minimum).max(-128) };
        Output { bits: 8, ratio, range: (low, units(p.maximum).min(127)) }
    }

    /// Parameters of each channel, for levels in the output's range.
    fn stage(
        &mut self,
        id: NodeId,
        rows: &[Vec<i64>],
        output: &Output,
        limit: i64,
        (layer, biased): (LayerType, bool),
        wanted: impl Fn(&Self, usize) -> Staircase,
    ) -> Option<Stage> {
        let mut stage =
            Stage { rows: Vec::new(), parameters: Vec::new(), ceilings: Vec::new(), differing: 0 };
        for (channel, row) in rows.iter().enumerate() {
            let largest = row.iter().map(|w| w.abs()).max().unwrap_or(0).max(1);
            let zero_bias = match layer {
                LayerType::InputConv2D => row.iter().sum::<i64>() * self.pixel_zero(),
                _ => 0,
            };
            let limits = TwoLimits {
                minimum: output.range.0,
                factor: (limit / largest).max(1),
                zero_bias,
                biased,
            };
            let found = search_two(&wanted(self, channel), limits);
            let end = found.and_then(|f| ceiling(&f.parameters, output.range.1, output.top()));
            let (Some(found), Some(end)) = (found, end) else {
                let reason = format!("no 8-bit scale serves channel {channel}");
                self.violation(id, reason, "use the whole range of 4 or 8 bits");
                return None;
            };
            stage.differing += found.differing;
            stage.rows.push(row.iter().map(|w| w * found.factor).collect());
            stage.ceilings.push(end);
            stage.parameters.push(found.parameters);
        }
        Some(stage)
    }

    fn activation_two(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses,
        layer: Layer,
        (geometry, limit): (&Option<Geometry>, i64),
    ) -> Option<(Layer, f64, (i64, i64))> {
        let output = self.output(id, p);
        let global = s.kind == Kind::Global;
        let rows = s.rows.clone();
        let limit = if global { 1 } else { limit };
        let stage = self.stage(id, &rows, &output, limit, (layer.kind, !global), |this, c| {
            this.staircase(id, p, s, c, output.ratio, output.range)
        })?;
        self.report_differing(id, stage.differing);
        let scale = p.scale.iter().map(|s| (f64::from(*s) * output.ratio) as f32).collect();
        self.scales.insert(layer.name.clone(), scale);
        // A global sum comes behind the rectifier, which then has nothing to do.
        let rectified = p.minimum >= 0;
        let unsigned_input = s.signal.range.0 >= 0;
        let activation = if global { unsigned_input } else { rectified };
        let layer = weighted_two(layer, s, &stage.rows, geometry);
        let layer = output_stage(layer, &stage.parameters)
            .with(&[("activation", activation.into()), ("output_bits", output.bits)]);
        let ends = if global { vec![UNBOUNDED; s.rows.len()] } else { stage.ceilings };
        let layer = if activation { with_ceilings(layer, &ends) } else { layer };
        Some((layer, output.ratio, output.range))
    }

    /// The last layer: sums and bias as they are.
    fn read_out_two(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses,
        layer: Layer,
        geometry: &Option<Geometry>,
    ) -> (Layer, f64, (i64, i64)) {
        let channels = s.rows.len();
        let ratio = s.signal.ratio;
        let (mut bias, mut shift, mut rounded) = (Vec::new(), Vec::new(), 0);
        for c in 0..channels {
            let wanted = (p.bias_at(c) as f64 / ratio).round() as i64;
            let (value, left) = nearest_mantissa(wanted);
            let exact = mantissa(wanted, -128, 127).is_some() && ratio == 1.0;
            rounded += u64::from(!exact && p.bias_at(c) != 0);
            bias.push(value);
            shift.push(left);
        }
        if rounded > 0 {
            let text = format!(
                "the bias of {rounded} of {channels} channels is rounded to 8 significant bits"
            );
            self.note(id, text);
        }
        let scale = p.scale.iter().map(|s| (f64::from(*s) * ratio) as f32).collect();
        self.scales.insert(layer.name.clone(), scale);
        let layer = weighted_two(layer, s, &s.rows, geometry)
            .with(&[("activation", 0), ("output_bits", 32)])
            .array("bias", &[channels], &bias)
            .array("bias_shift", &[channels], &shift);
        (layer, ratio, (i32::MIN.into(), i32::MAX.into()))
    }

    /// A function by table: an identity convolution with a look-up.
    fn table_two(
        &mut self,
        id: NodeId,
        p: &Population,
        s: &Synapses,
        layer: Layer,
        (minimum, table): (i64, &[i64]),
    ) -> Option<(Layer, f64, (i64, i64))> {
        if s.kind != Kind::OneToOne {
            self.violation(id, "a table on weighted sums", "quantise between the two");
            return None;
        }
        let c = s.rows.len();
        let output = self.output(id, p);
        let last = table.len().saturating_sub(1) as i64;
        let entry = |i: usize| {
            let code = ((i as f64 - 1024.0) * s.signal.ratio).round() as i64;
            let value = table[(code - minimum).clamp(0, last) as usize];
            (value as f64 / output.ratio).round() as i64
        };
        let scale = p.scale.iter().map(|s| (f64::from(*s) * output.ratio) as f32).collect();
        self.scales.insert(layer.name.clone(), scale);
        let layer = weighted_two(layer, s, &vec![vec![1]; c], &None)
            .with(&[("activation", 2), ("output_bits", output.bits)])
            .array("activation_scales", &[c], &vec![1; c])
            .array("activation_shift", &[c], &vec![0; c])
            .array("lut_values", &[TABLE], &(0..TABLE).map(entry).collect::<Vec<_>>());
        Some((layer, output.ratio, output.range))
    }

    /// A 1x1 convolution that hands payloads on to the readers of `sender` as they are.
    pub(super) fn identity_two(&self, name: String, signal: &Signal, sender: NodeId) -> Layer {
        let c = signal.map[0];
        let rows = diagonal(vec![1; c].into_iter()).concat();
        let small = signal.range.0 >= 0 && signal.range.1 <= 15;
        let narrow = small && !self.is_read_by_bytes(sender);
        let rectified = signal.range.0 >= 0;
        Layer::new(name, LayerType::Conv2D)
            .after(signal.layer.clone())
            .with(&[
                ("filters", c as i64),
                ("kernel_size", 1),
                ("output_bits", if narrow { 4 } else { 8 }),
                ("activation", rectified.into()),
            ])
            .array("weights", &[1, 1, c, c], &kernel_to_akida(&rows, &[c, c, 1, 1], true))
    }

    /// Branches side by side, if they count in one unit.
    pub(super) fn concatenate(&mut self, id: NodeId, axis: usize) {
        let sources = self.graph.sources(id);
        let signals: Vec<Signal> =
            sources.iter().filter_map(|s| self.signals.get(s).cloned()).collect();
        let Some(map) = self.map(id) else { return };
        let same = |s: &Signal| {
            s.ratio == signals[0].ratio && s.offset == [0, 0] && s.map[1..] == map[1..]
        };
        if self.version == Version::V1 || axis != 0 {
            let reason = match self.version {
                Version::V1 => "an Akida 1.0 model is a chain without branches",
                Version::V2 => "Akida 2.0 joins maps along their channels only",
            };
            self.violation(id, reason, "leave the Concat out");
        } else if signals.len() == sources.len() && !signals.iter().all(same) {
            self.violation(
                id,
                "its branches count in different units",
                "quantise all branches with the same scale",
            );
        }
        let Some(first) = signals.first().cloned() else { return };
        let name = self.graph[id].name.clone();
        let mut layer = Layer::new(name.clone(), LayerType::Concatenate);
        for signal in &signals {
            layer = layer.after(signal.layer.clone());
        }
        if self.version == Version::V2 {
            self.spec.layers.push(layer);
        }
        let ends = |f: fn(i64, i64) -> i64, of: fn(&Signal) -> i64| {
            signals.iter().map(of).reduce(f).unwrap_or(0)
        };
        let range = (ends(i64::min, |s| s.range.0), ends(i64::max, |s| s.range.1));
        self.signals.insert(id, Signal { layer: name, map, range, ..first });
    }

    /// Whether `id` projects one to one.
    fn is_one_to_one(&self, id: NodeId) -> bool {
        matches!(self.graph[id].as_spiking(), Some(SpikingOp::Projection(p))
            if p.connectivity == snnc_ir::Connectivity::OneToOne)
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
    let parts: Vec<(i64, i64)> = ceilings.iter().map(|&c| ceiling_parts(c)).collect();
    let n = [ceilings.len()];
    layer.array("max_value", &n, &parts.iter().map(|p| p.0).collect::<Vec<_>>()).array(
        "max_value_shift",
        &n,
        &parts.iter().map(|p| p.1).collect::<Vec<_>>(),
    )
}

/// The layer with its weights in Akida's order.
fn weighted_two(layer: Layer, s: &Synapses, rows: &[Vec<i64>], g: &Option<Geometry>) -> Layer {
    let rows = match s.kind {
        Kind::OneToOne => diagonal(rows.iter().map(|r| r.first().copied().unwrap_or(1))),
        Kind::Global => diagonal(vec![1; rows.len()].into_iter()),
        _ => rows.to_vec(),
    };
    let values = rows.concat();
    let (units, [c, x, y]) = (rows.len(), s.signal.map);
    let k = g.as_ref().map_or(1, |g| g.kernel[0]);
    match s.kind {
        Kind::Dense => {
            layer.array("weights", &[c * x * y, units], &dense_to_v2(&values, units, s.signal.map))
        }
        Kind::Depthwise(_) => {
            layer.array("weights", &[k, k, c, 1], &depthwise_to_akida(&values, [c, k, k]))
        }
        _ => {
            let flip = layer.kind != LayerType::InputConv2D;
            let stored = kernel_to_akida(&values, &[units, c, k, k], flip);
            layer.array("weights", &[k, k, c, units], &stored)
        }
    }
}
