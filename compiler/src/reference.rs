//! The semantics against which everything is proved: how integer accumulators become codes.
//!
//! `y = clamp(RNE(f32(acc) * f32(M)) + zero, low, high)` with `M = f32(f32(s_x * s_w) / s_y)` is what
//! ONNX Runtime's QLinearConv, QLinearMatMul and QGemm compute.

use snnc_ir::{Graph, NodeId, Quantisation};

/// One requantisation of the quantised graph, as a function of its accumulators. Its results are
/// payloads: codes less the zero point.
#[derive(Clone, Debug)]
pub struct Requantiser {
    inputs: Vec<Quantisation>,
    output: Quantisation,
}

impl Requantiser {
    /// The requantisation of node `id`, `None` if a type has no quantisation.
    pub fn new(graph: &Graph, id: NodeId) -> Option<Self> {
        let output = graph[id].ty.quantisation.clone()?;
        let of = |source: NodeId| graph[source].ty.quantisation.clone();
        let inputs = graph.sources(id).into_iter().map(of).collect::<Option<Vec<_>>>()?;
        Some(Requantiser { inputs, output })
    }

    /// Number of operands.
    pub fn operands(&self) -> usize {
        self.inputs.len()
    }

    /// Payload for accumulators (or codes, their zero points subtracted) of one neuron of `channel`,
    /// one for each operand.
    pub fn payload(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let scale = self.output.scale_at(channel);
        let zero = self.output.zero_at(channel);
        let level = match (self.inputs.as_slice(), accumulators) {
            ([input], [accumulator]) => *accumulator as f32 * (input.scale_at(channel) / scale),
            (inputs, accumulators) => {
                let real = |(q, &a): (&Quantisation, &i64)| a as f32 * q.scale_at(channel);
                let mut reals = inputs.iter().zip(accumulators).map(real);
                let first = reals.next().unwrap_or(0.0);
                reals.fold(first, |sum, x| sum + x) / scale
            }
        };
        let code = (level.round_ties_even() as i64).saturating_add(zero);
        code.clamp(self.output.minimum, self.output.maximum) - zero
    }

    /// Smallest payload.
    pub fn minimum(&self) -> i64 {
        self.output.minimum - self.output.zero_at(0)
    }

    /// Largest payload.
    pub fn maximum(&self) -> i64 {
        self.output.maximum - self.output.zero_at(0)
    }

    /// Real value of one unit of payload.
    pub fn output_scale(&self) -> f32 {
        self.output.scale_at(0)
    }

    /// Units of payload that one unit of operand `port` is worth.
    pub fn ratio(&self, port: usize, channel: usize) -> f64 {
        f64::from(self.inputs[port].scale_at(channel)) / f64::from(self.output.scale_at(channel))
    }

    /// The ratio as an integer with `bits` bits after the binary point.
    pub fn gain(&self, port: usize, channel: usize, bits: u32) -> i64 {
        (self.ratio(port, channel) * (1i64 << bits) as f64).round() as i64
    }
}
