//! Layers of Akida 2.0.

use snnc_ir::{
    Accumulator, AkidaTwoNeuron, Connectivity, LookupNeuron, Neuron, Node, NodeId, Overflow,
    Population, Projection, SpikingOp, Tensor,
};

use super::{Lowering, Pooling, SYNAPSES, graded, padding, zero_bias};
use crate::akida::layer::{Layer, LayerError, LayerType};
use crate::akida::layout::{
    dense_from_v2, depthwise_from_akida, kernel_from_akida, sources_from_v2,
};

/// Output bits of an inner stage that does not limit what it sends.
pub const UNLIMITED: u8 = 64;

/// Entries of an activation's table, the first for the index -1024.
pub const TABLE: usize = 2048;

/// Value of an unbounded rectifier's limit.
pub const UNBOUNDED: i64 = i32::MAX as i64;

impl Lowering<'_> {
    pub(super) fn convolution_two(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let is_input = layer.kind == LayerType::InputConv2D;
        let depthwise = layer.kind == LayerType::DepthwiseConv2D;
        let kernel = layer.size("kernel_size")?;
        let stride = layer.size("kernel_stride")?;
        let (source, zero) = if is_input {
            let channels = layer.size("input_channels")?;
            let map = [channels, layer.size("input_x")?, layer.size("input_y")?];
            let padding = layer.vector("padding_value", channels, 0)?;
            if padding.iter().any(|&p| p != padding[0]) {
                return Err(layer.unsupported("a padding value for each channel"));
            }
            self.pixels(layer, map, padding[0])?
        } else {
            (self.inbound(layer, 0)?, 0)
        };
        let [c, x, y] = self.map(layer, source)?;
        let (shape, values) = if depthwise {
            let stored = layer.tensor("weights", &[kernel, kernel, c, 1])?;
            ([c, 1, kernel, kernel], depthwise_from_akida(&stored, [c, kernel, kernel]))
        } else {
            let filters = layer.size("filters")?;
            let stored = layer.tensor("weights", &[kernel, kernel, c, filters])?;
            let shape = [filters, c, kernel, kernel];
            (shape, kernel_from_akida(&stored, &shape, !is_input))
        };
        let padding = padding(layer)?;
        let window = padding
            .window([x, y], [kernel; 2], [stride; 2])
            .ok_or_else(|| layer.error("the kernel does not fit into the map"))?;
        let groups = if depthwise { c } else { 1 };
        let connectivity = Connectivity::Convolution { window, groups };
        let projection = if is_input {
            Projection::exact(connectivity)
        } else {
            Projection {
                input_shift: shifts(layer, layer.vector("input_shift", c, 0)?)?,
                ..buffered(layer, connectivity)?
            }
        };
        let bias = zero_bias(&values, shape[0], zero);
        let data = Tensor::from_integers(&shape, &values);
        let sums = self.project(layer, SYNAPSES, source, projection, data)?;
        let pooling =
            match layer.within("pool_type", 0, 2)? {
                0 => Pooling::None,
                2 => Pooling::Global,
                _ => {
                    let size = layer.size("pool_size")?;
                    let stride = match layer.parameter("pool_stride")? {
                        -1 => size,
                        _ => layer.size("pool_stride")?,
                    };
                    let [_, x, y] = self.map(layer, sums)?;
                    let window = padding.window([x, y], [size; 2], [stride; 2]);
                    Pooling::Max(window.ok_or_else(|| {
                        layer.error("the pooling window does not fit into the map")
                    })?)
                }
            };
        self.activate_two(layer, sums, pooling, shape[0], bias)
    }

    pub(super) fn dense_two(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let units = layer.size("units")?;
        let source = self.inbound(layer, 0)?;
        let map = self.map(layer, source)?;
        let inputs = map.iter().product();
        let values = dense_from_v2(&layer.tensor("weights", &[inputs, units])?, units, map);
        let stored = sources_from_v2(&layer.vector("input_shift", inputs, 0)?, map);
        let projection = Projection {
            input_shift: shifts(layer, stored)?,
            ..buffered(layer, Connectivity::Dense)?
        };
        let data = Tensor::from_integers(&[units, inputs], &values);
        let sums = self.project(layer, SYNAPSES, source, projection, data)?;
        self.activate_two(layer, sums, Pooling::None, units, Vec::new())
    }

    pub(super) fn add(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        if layer.inbounds.len() != 2 {
            return Err(layer.error("takes two inbound layers"));
        }
        let mut sums = Vec::new();
        for (port, (name, inner)) in [("a_shift", "a"), ("b_shift", "b")].into_iter().enumerate() {
            let source = self.inbound(layer, port)?;
            let [c, ..] = self.map(layer, source)?;
            let projection = Projection {
                input_shift: shifts(layer, layer.vector(name, c, 0)?)?,
                ..buffered(layer, Connectivity::OneToOne)?
            };
            let ones = Tensor::from_integers(&[c], &vec![1; c]);
            sums.push(self.project(layer, inner, source, projection, ones)?);
        }
        if self.graph[sums[0]].ty.shape != self.graph[sums[1]].ty.shape {
            return Err(layer.error("its two inputs differ in shape"));
        }
        let [c, ..] = self.map(layer, sums[0])?;
        let output_bits = layer.within("output_bits", 1, 32)? as u8;
        let neuron = AkidaTwoNeuron {
            post_bits: layer.within("buffer_bits", 1, 32)? as u8,
            shift: layer.vector("output_shift", c, 0)?,
            ..passing(c, output_bits)
        };
        let (low, high) = output_range(output_bits, false);
        Ok(self.populate(layer.name.clone(), &sums, graded(Neuron::AkidaTwo(neuron), low, high)))
    }

    pub(super) fn concatenate(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let sources: Vec<NodeId> =
            (0..layer.inbounds.len()).map(|p| self.inbound(layer, p)).collect::<Result<_, _>>()?;
        let mut channels = 0;
        let [_, x, y] = self.map(layer, sources[0])?;
        for &source in &sources {
            let map = self.map(layer, source)?;
            if map[1..] != [x, y] {
                return Err(layer.error("its inputs differ in rows or columns"));
            }
            channels += map[0];
        }
        let shape = match self.graph[sources[0]].ty.shape.len() {
            1 => vec![channels],
            _ => vec![channels, x, y],
        };
        let node = Node::spiking(layer.name.clone(), SpikingOp::Concatenate { axis: 0 }, shape);
        Ok(self.graph.add(node, &sources))
    }

    pub(super) fn dequantizer(&mut self, layer: &Layer, last: bool) -> Result<NodeId, LayerError> {
        if !last {
            return Err(layer.unsupported("a Dequantizer before the end"));
        }
        let source = self.inbound(layer, 0)?;
        let [c, ..] = self.map(layer, source)?;
        self.scores = Some(layer.real_vector("scales", c, 1.0)?);
        Ok(source)
    }

    /// Bias, pooling, activation, output scale.
    fn activate_two(
        &mut self,
        layer: &Layer,
        sums: NodeId,
        pooling: Pooling,
        channels: usize,
        bias: Vec<i64>,
    ) -> Result<NodeId, LayerError> {
        let post_bits = layer.within("post_op_buffer_bits", 1, 32)? as u8;
        let output_bits = layer.within("output_bits", 1, 32)? as u8;
        let activation = layer.within("activation", 0, 2)?;
        let drive = match &pooling {
            Pooling::Max(window) => self.pool(layer, sums, window.clone())?,
            _ => sums,
        };
        let biased = AkidaTwoNeuron {
            bias: layer.vector("bias", channels, 0)?,
            bias_shift: small_shifts(layer, "bias_shift", channels)?,
            fused_bits: match layer.kind {
                LayerType::InputConv2D => Some(layer.within("buffer_bits", 1, 32)? as u8),
                _ => None,
            },
            post_bits,
            ceiling: if activation == 1 { Some(ceilings(layer, channels)?) } else { None },
            ..passing(channels, UNLIMITED)
        };
        let scaled = AkidaTwoNeuron {
            post_bits,
            scale: layer.vector("output_scales", channels, 1)?,
            shift: layer.vector("output_shift", channels, 0)?,
            ..passing(channels, output_bits)
        };
        let range = output_range(output_bits, activation == 1);
        let stage = |neuron, (low, high)| graded(Neuron::AkidaTwo(neuron), low, high);
        let global = matches!(pooling, Pooling::Global);
        if activation != 2 && !global {
            if let Some(bias) = read_out(layer, &biased, &scaled) {
                let population = Population {
                    bias,
                    ..graded(Neuron::Accumulate, i32::MIN.into(), i32::MAX.into())
                };
                return Ok(self.populate(layer.name.clone(), &[drive], population));
            }
            let neuron =
                AkidaTwoNeuron { scale: scaled.scale, shift: scaled.shift, output_bits, ..biased };
            let population = Population { bias, ..stage(neuron, range) };
            return Ok(self.populate(layer.name.clone(), &[drive], population));
        }
        let wide = output_range(32, activation == 1);
        let mut inner = if activation == 2 {
            self.table(layer, drive, biased, bias, channels)?
        } else {
            let name = self.inner_name(layer, "map");
            self.populate(name, &[drive], Population { bias, ..stage(biased, wide) })
        };
        inner = if global {
            let half = 1i64 << (post_bits - 1);
            let table = layer.variables.get("lut_values").filter(|_| activation == 2);
            let table = table.and_then(|t| t.to_i64().ok()).unwrap_or_default();
            if table.iter().any(|v| !(-half..half).contains(v)) {
                return Err(layer.unsupported("a sum of table entries beyond the buffer's bits"));
            }
            self.global_sum(layer, inner, post_bits)?
        } else {
            self.relay(layer, "level", inner, channels)?
        };
        let range = output_range(output_bits, activation == 1);
        Ok(self.populate(layer.name.clone(), &[inner], stage(scaled, range)))
    }

    /// `lut[sat_11(shift(sat_pb(acc * activation_scales), activation_shift)) + 1024]`.
    fn table(
        &mut self,
        layer: &Layer,
        drive: NodeId,
        biased: AkidaTwoNeuron,
        bias: Vec<i64>,
        channels: usize,
    ) -> Result<NodeId, LayerError> {
        let index = AkidaTwoNeuron {
            scale: layer.vector("activation_scales", channels, 1)?,
            shift: layer.vector("activation_shift", channels, 0)?,
            output_bits: 11,
            ..biased
        };
        let (low, high) = output_range(11, false);
        let name = self.inner_name(layer, "index");
        let population = Population { bias, ..graded(Neuron::AkidaTwo(index), low, high) };
        let index = self.populate(name, &[drive], population);
        let relayed = self.relay(layer, "look-up", index, channels)?;
        let table = layer.tensor("lut_values", &[TABLE])?;
        let minimum = table.iter().copied().min().unwrap_or(0).min(0);
        let maximum = table.iter().copied().max().unwrap_or(0).max(0);
        let name = self.inner_name(layer, "map");
        let lookup = Neuron::Lookup(LookupNeuron { minimum: low, table });
        Ok(self.populate(name, &[relayed], graded(lookup, minimum, maximum)))
    }

    /// Hands payloads on, one to one.
    fn relay(
        &mut self,
        layer: &Layer,
        inner: &str,
        source: NodeId,
        channels: usize,
    ) -> Result<NodeId, LayerError> {
        let ones = Tensor::from_integers(&[channels], &vec![1; channels]);
        self.project(layer, inner, source, Projection::exact(Connectivity::OneToOne), ones)
    }
}

/// The bias of a layer that only adds up: no activation, no scale, and 32 bits that what its narrower
/// accumulator and its bias make together cannot leave.
fn read_out(layer: &Layer, biased: &AkidaTwoNeuron, scaled: &AkidaTwoNeuron) -> Option<Vec<i64>> {
    let narrow = layer.parameter("buffer_bits").is_ok_and(|b| b <= 30);
    let plain = biased.ceiling.is_none()
        && biased.fused_bits.is_none()
        && scaled.post_bits == 32
        && scaled.output_bits == 32
        && scaled.scale.iter().all(|&s| s == 1)
        && scaled.shift.iter().all(|&s| s == 0);
    let bias: Vec<i64> = biased.bias.iter().zip(&biased.bias_shift).map(|(b, s)| b << s).collect();
    (narrow && plain && bias.iter().all(|b| b.abs() <= 1 << 30)).then_some(bias)
}

/// A stage that changes nothing but saturates its output.
pub fn passing(channels: usize, output_bits: u8) -> AkidaTwoNeuron {
    AkidaTwoNeuron {
        bias: vec![0; channels],
        bias_shift: vec![0; channels],
        fused_bits: None,
        post_bits: 32,
        ceiling: None,
        scale: vec![1; channels],
        shift: vec![0; channels],
        output_bits,
    }
}

/// What a layer can send: up to 4 bits are unsigned.
pub fn output_range(bits: u8, rectified: bool) -> (i64, i64) {
    if bits <= 4 {
        (0, (1 << bits) - 1)
    } else {
        let half = 1i64 << (bits - 1);
        (if rectified { 0 } else { -half }, half - 1)
    }
}

fn buffered(layer: &Layer, connectivity: Connectivity) -> Result<Projection, LayerError> {
    let bits = layer.within("buffer_bits", 1, 32)? as u8;
    let accumulator = Accumulator { bits, overflow: Overflow::Saturate };
    Ok(Projection { accumulator, ..Projection::exact(connectivity) })
}

/// Left shifts of what comes in; none where all are 0.
fn shifts(layer: &Layer, values: Vec<i64>) -> Result<Vec<u8>, LayerError> {
    if values.iter().all(|&s| s == 0) {
        return Ok(Vec::new());
    }
    let small = |&s: &i64| u8::try_from(s).ok().filter(|&s| s <= 31);
    values
        .iter()
        .map(small)
        .collect::<Option<_>>()
        .ok_or_else(|| layer.error("an input shift is beyond 31"))
}

/// The vendor's software crashes on larger shifts, so they cannot mean anything.
fn small_shifts(layer: &Layer, name: &str, channels: usize) -> Result<Vec<i64>, LayerError> {
    let values = layer.vector(name, channels, 0)?;
    match values.iter().find(|&&s| s > 31) {
        None => Ok(values),
        Some(s) => Err(layer.error(format!("`{name}` holds {s}, beyond 31"))),
    }
}

/// `min(max_value << max_value_shift, 2^31 - 1)`.
fn ceilings(layer: &Layer, channels: usize) -> Result<Vec<i64>, LayerError> {
    let values = layer.vector("max_value", channels, 127)?;
    let shifts = layer.vector("max_value_shift", channels, 31)?;
    Ok(values.iter().zip(shifts).map(|(v, s)| (v << s.min(40)).min(UNBOUNDED)).collect())
}
