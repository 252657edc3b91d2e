//! The semantics against which everything is proved: how integer accumulators become codes.
//!
//! `y = clamp(RNE(f32(acc) * f32(M)) + zero, low, high)` with `M = f32(f32(s_x * s_w) / s_y)` is what
//! ONNX Runtime's QLinearConv, QLinearMatMul and QGemm compute. Two other readings can be asked for:
//! the same in exact rationals, and the multiply-and-shift of integer hardware.

use snnc_ir::{Graph, NodeId, Quantisation, TensorOp};

/// How accumulators become codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantics {
    /// `RNE(f32(acc) * f32(f32(s_x * s_w) / s_y))`, as ONNX Runtime.
    #[default]
    Ort,
    /// `RNE(acc * s_x * s_w / s_y)` in exact rationals, the scales being the f32 numbers of the model.
    Real,
    /// `(acc * m + 2^(s-1)) >> s` with the nearest m of at most 31 bits, as integer hardware.
    Fixed,
}

impl Semantics {
    /// Every reading.
    pub const ALL: [Semantics; 3] = [Semantics::Ort, Semantics::Real, Semantics::Fixed];

    /// The name users write.
    pub const fn name(self) -> &'static str {
        match self {
            Semantics::Ort => "ort",
            Semantics::Real => "real",
            Semantics::Fixed => "fixed",
        }
    }

    /// The reading of that name.
    pub fn from_name(name: &str) -> Option<Semantics> {
        Semantics::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// One requantisation of the quantised graph, as a function of its accumulators. Its results are
/// payloads: codes less the zero point.
#[derive(Clone, Debug)]
pub struct Requantiser {
    semantics: Semantics,
    inputs: Vec<Quantisation>,
    /// For each operand what its scale is the product of, in the model.
    factors: Vec<Vec<Quantisation>>,
    output: Quantisation,
}

impl Requantiser {
    /// The requantisation of node `id` as ONNX Runtime reads it, `None` if a type has no quantisation.
    pub fn new(graph: &Graph, id: NodeId) -> Option<Self> {
        Requantiser::with(Semantics::Ort, graph, id)
    }

    /// The requantisation of node `id`, `None` if a type has no quantisation.
    pub fn with(semantics: Semantics, graph: &Graph, id: NodeId) -> Option<Self> {
        let output = graph[id].ty.quantisation.clone()?;
        let of = |source: NodeId| graph[source].ty.quantisation.clone();
        let sources = graph.sources(id);
        let inputs = sources.iter().map(|&s| of(s)).collect::<Option<Vec<_>>>()?;
        let parts = |(&source, own): (&NodeId, &Quantisation)| match graph[source].as_tensor() {
            Some(TensorOp::Convolution { .. } | TensorOp::Dense) => {
                let operands = graph.sources(source);
                let product: Option<Vec<_>> = operands.into_iter().take(2).map(of).collect();
                product.unwrap_or_else(|| vec![own.clone()])
            }
            _ => vec![own.clone()],
        };
        let factors = sources.iter().zip(&inputs).map(parts).collect();
        Some(Requantiser { semantics, inputs, factors, output })
    }

    /// Number of operands.
    pub fn operands(&self) -> usize {
        self.inputs.len()
    }

    /// Payload for accumulators (or codes, their zero points subtracted) of one neuron of `channel`,
    /// one for each operand.
    pub fn payload(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let zero = self.output.zero_at(channel);
        let level = match self.semantics {
            Semantics::Ort => self.ort(channel, accumulators).round_ties_even() as i64,
            Semantics::Real => self.real(channel, accumulators),
            Semantics::Fixed => self.fixed(channel, accumulators),
        };
        let code = level.saturating_add(zero);
        code.clamp(self.output.minimum, self.output.maximum) - zero
    }

    fn ort(&self, channel: usize, accumulators: &[i64]) -> f32 {
        let scale = self.output.scale_at(channel);
        match (self.inputs.as_slice(), accumulators) {
            ([input], [accumulator]) => *accumulator as f32 * (input.scale_at(channel) / scale),
            (inputs, accumulators) => {
                let real = |(q, &a): (&Quantisation, &i64)| a as f32 * q.scale_at(channel);
                let mut reals = inputs.iter().zip(accumulators).map(real);
                let first = reals.next().unwrap_or(0.0);
                reals.fold(first, |sum, x| sum + x) / scale
            }
        }
    }

    fn real(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let term = |(factors, &a): (&Vec<Quantisation>, &i64)| {
            factors.iter().fold((i128::from(a), 0), |(product, exponent), q| {
                let (mantissa, e) = parts(q.scale_at(channel));
                (product.saturating_mul(mantissa), exponent + e)
            })
        };
        let terms: Vec<(i128, i32)> = self.factors.iter().zip(accumulators).map(term).collect();
        let least = terms.iter().filter(|t| t.0 != 0).map(|t| t.1).min().unwrap_or(0);
        let sum = terms
            .iter()
            .filter(|t| t.0 != 0)
            .fold(0i128, |sum, &(product, e)| sum.saturating_add(scaled(product, e - least)));
        let (mantissa, e) = parts(self.output.scale_at(channel));
        match least - e {
            up @ 0.. => rounded(scaled(sum, up), mantissa),
            down => rounded(sum, scaled(mantissa, -down)),
        }
    }

    fn fixed(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let largest = (0..self.inputs.len()).map(|p| self.ratio(p, channel)).fold(0.0, f64::max);
        let shift = (30 - largest.log2().floor() as i64).clamp(1, 62) as u32;
        let product = |(port, &a): (usize, &i64)| {
            i128::from(a) * (self.ratio(port, channel) * (1i64 << shift) as f64).round() as i128
        };
        let sum: i128 = accumulators.iter().enumerate().map(product).sum();
        let level = (sum + (1i128 << (shift - 1))) >> shift;
        level.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
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

/// Mantissa and exponent: `x = mantissa * 2^exponent`, for a positive x.
fn parts(x: f32) -> (i128, i32) {
    let bits = x.to_bits();
    let (fraction, exponent) = (i128::from(bits & 0x7f_ffff), (bits >> 23 & 0xff) as i32);
    if exponent == 0 { (fraction, -149) } else { (fraction | 1 << 23, exponent - 150) }
}

/// `x * 2^shift`, at most the largest integer.
fn scaled(x: i128, shift: i32) -> i128 {
    let room = x.unsigned_abs().leading_zeros() as i32 - 1;
    if x == 0 || shift < room { x << shift.clamp(0, 126) } else { x.signum() * (i128::MAX / 4) }
}

/// `numerator / denominator` to the nearest integer, ties to even; the denominator is positive.
fn rounded(numerator: i128, denominator: i128) -> i64 {
    let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let up = match (rest).cmp(&(denominator - rest)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => floor & 1,
    };
    (floor + up).clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_integer() {
        let found = [-5, -3, -1, 1, 3, 5, 6].map(|n| rounded(n, 2));
        assert_eq!(found, [-2, -2, 0, 0, 2, 2, 3]);
    }

    #[test]
    fn a_float_is_its_parts() {
        for x in [0.1f32, 1.0, 3.5e-20, 7.0e12, f32::MIN_POSITIVE / 8.0] {
            let (mantissa, exponent) = parts(x);
            assert_eq!(mantissa as f64 * f64::from(exponent).exp2(), f64::from(x));
        }
    }

    #[test]
    fn what_does_not_fit_is_as_large_as_can_be() {
        assert_eq!(scaled(3, 4), 48);
        assert_eq!(scaled(-1, 200), -(i128::MAX / 4));
        assert_eq!(scaled(0, 200), 0);
    }
}
