//! The semantics against which everything is proved: how integer accumulators become codes.
//!
//! `y = clamp(RNE(f32(acc) * f32(M)) + zero, low, high)` with `M = f32(f32(s_x * s_w) / s_y)` is what
//! ONNX Runtime's QLinearConv, QLinearMatMul and QGemm compute. Two other readings can be asked for:
//! the same in exact rationals, and the multiply-and-shift of integer hardware.

use snnc_ir::{Graph, NodeId, Quantisation, Rounding, TensorOp};

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
/// payloads: codes less the zero point. Operands that are constants, the biases of layers, belong to
/// the function and are no arguments of it.
#[derive(Clone, Debug)]
pub struct Requantiser {
    semantics: Semantics,
    /// In the order in which they are added.
    terms: Vec<Term>,
    output: Quantisation,
}

/// What is added before rounding.
#[derive(Clone, Debug)]
struct Term {
    input: Quantisation,
    /// What its scale is the product of, in the model.
    factors: Vec<Quantisation>,
    /// The codes of a constant, one for each channel.
    constant: Option<Vec<i64>>,
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
        let term = |source: NodeId| {
            let input = of(source)?;
            let factors = match graph[source].as_tensor() {
                Some(TensorOp::Convolution { .. } | TensorOp::Dense) => {
                    let operands = graph.sources(source);
                    let product: Option<Vec<_>> = operands.into_iter().take(2).map(of).collect();
                    product.unwrap_or_else(|| vec![input.clone()])
                }
                _ => vec![input.clone()],
            };
            let constant = match graph[source].as_tensor() {
                Some(TensorOp::Constant) => Some(graph[source].data.as_ref()?.to_i64().ok()?),
                _ => None,
            };
            Some(Term { input, factors, constant })
        };
        let terms = graph.sources(id).into_iter().map(term).collect::<Option<Vec<_>>>()?;
        Some(Requantiser { semantics, terms, output })
    }

    /// Number of operands that are no constants.
    pub fn operands(&self) -> usize {
        self.arguments().count()
    }

    fn arguments(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(|t| t.constant.is_none())
    }

    /// Every term with its integer.
    fn summands<'a>(
        &'a self,
        channel: usize,
        accumulators: &'a [i64],
    ) -> impl Iterator<Item = (&'a Term, i64)> {
        let mut given = accumulators.iter().copied();
        self.terms.iter().map(move |t| match &t.constant {
            Some(codes) => (t, codes.get(channel).or(codes.first()).copied().unwrap_or(0)),
            None => (t, given.next().unwrap_or(0)),
        })
    }

    /// Payload for accumulators (or codes, their zero points subtracted) of one neuron of `channel`,
    /// one for each operand that is no constant.
    pub fn payload(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let zero = self.output.zero_at(channel);
        let level = match self.semantics {
            Semantics::Ort => {
                return self.output.code_of_units(self.ort(channel, accumulators), channel) - zero;
            }
            Semantics::Real => self.real(channel, accumulators),
            Semantics::Fixed => self.fixed(channel, accumulators),
        };
        let code = level.saturating_add(zero);
        code.clamp(self.output.minimum, self.output.maximum) - zero
    }

    fn ort(&self, channel: usize, accumulators: &[i64]) -> f32 {
        let scale = self.output.scale_at(channel);
        if let ([term], [accumulator]) = (self.terms.as_slice(), accumulators) {
            return *accumulator as f32 * (term.input.scale_at(channel) / scale);
        }
        let real = |(term, a): (&Term, i64)| a as f32 * term.input.scale_at(channel);
        let mut reals = self.summands(channel, accumulators).map(real);
        let first = reals.next().unwrap_or(0.0);
        reals.fold(first, |sum, x| sum + x) / scale
    }

    fn real(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let term = |(term, a): (&Term, i64)| {
            term.factors.iter().fold((i128::from(a), 0), |(product, exponent), q| {
                let (mantissa, e) = parts(q.scale_at(channel));
                (product.saturating_mul(mantissa), exponent + e)
            })
        };
        let terms: Vec<(i128, i32)> = self.summands(channel, accumulators).map(term).collect();
        let least = terms.iter().filter(|t| t.0 != 0).map(|t| t.1).min().unwrap_or(0);
        let sum = terms
            .iter()
            .filter(|t| t.0 != 0)
            .fold(0i128, |sum, &(product, e)| sum.saturating_add(scaled(product, e - least)));
        let (mantissa, e) = parts(self.output.scale_at(channel));
        let (numerator, denominator) = match least - e {
            up @ 0.. => (scaled(sum, up), mantissa),
            down => (sum, scaled(mantissa, -down)),
        };
        let Some(offset) = self.output.offset_at(channel) else {
            return rounded(numerator, denominator, self.output.rounding);
        };
        let (numerator, denominator) = plus(numerator, denominator, offset);
        rounded(numerator, denominator, self.output.rounding) - self.output.zero_at(channel)
    }

    fn fixed(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let ratio = |term: &Term| {
            f64::from(term.input.scale_at(channel)) / f64::from(self.output.scale_at(channel))
        };
        let largest = self.arguments().map(ratio).fold(f64::MIN_POSITIVE, f64::max);
        let shift = (30 - largest.log2().floor() as i64).clamp(1, 62) as u32;
        let one = (1i64 << shift) as f64;
        let product = |(term, a): (&Term, i64)| match term.constant {
            // A bias is one integer in units of the product.
            Some(_) => (a as f64 * ratio(term) * one).round() as i128,
            None => i128::from(a) * (ratio(term) * one).round() as i128,
        };
        let sum: i128 = self.summands(channel, accumulators).map(product).sum();
        to_i32((sum + i128::from(self.added(shift))) >> shift)
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

    /// Units of payload that one unit of operand `port` is worth, constants not counted.
    pub fn ratio(&self, port: usize, channel: usize) -> f64 {
        let scale = self.arguments().nth(port).map_or(1.0, |t| t.input.scale_at(channel));
        f64::from(scale) / f64::from(self.output.scale_at(channel))
    }

    /// What integer hardware adds before it drops `shift` bits: one half, or what the quantiser's own
    /// direction asks for, and what an offset has beyond the zero point.
    pub fn added(&self, shift: u32) -> i64 {
        let direction = match self.output.rounding {
            Rounding::Floor | Rounding::Down => 0,
            Rounding::Ceil | Rounding::Up => (1 << shift) - 1,
            _ => 1 << (shift - 1),
        };
        let beyond =
            self.output.offset_at(0).map_or(0.0, |o| f64::from(o) - self.output.zero_at(0) as f64);
        direction + (beyond * (1i64 << shift) as f64).round() as i64
    }

    /// The ratio as an integer with `bits` bits after the binary point.
    pub fn gain(&self, port: usize, channel: usize, bits: u32) -> i64 {
        (self.ratio(port, channel) * (1i64 << bits) as f64).round() as i64
    }

    /// The whole units of a single operand that the constants stand for, as a population adds them to
    /// its membrane potential; what is left of them is in its thresholds. At most 30 bits: beside a
    /// larger constant the operand hardly matters.
    pub fn whole_bias(&self, channel: usize) -> i64 {
        let mut arguments = self.arguments();
        let (Some(operand), None) = (arguments.next(), arguments.next()) else { return 0 };
        let real = |(term, a): (&Term, i64)| a as f64 * f64::from(term.input.scale_at(channel));
        let sum: f64 = self.summands(channel, &[0]).map(real).sum();
        let most = f64::from(1u32 << 30);
        (sum / f64::from(operand.input.scale_at(channel))).round().clamp(-most, most) as i64
    }

    /// The sum of the constants in units of payload, as an integer with `bits` bits after the binary
    /// point.
    pub fn offset(&self, channel: usize, bits: u32) -> i64 {
        let zeros = vec![0; self.operands()];
        let real = |(term, a): (&Term, i64)| a as f64 * f64::from(term.input.scale_at(channel));
        let sum: f64 = self.summands(channel, &zeros).map(real).sum();
        (sum / f64::from(self.output.scale_at(channel)) * (1i64 << bits) as f64).round() as i64
    }
}

/// Mantissa and exponent: `x = mantissa * 2^exponent`, for a positive x.
fn parts(x: f32) -> (i128, i32) {
    let bits = x.to_bits();
    let (fraction, exponent) = (i128::from(bits & 0x7f_ffff), (bits >> 23 & 0xff) as i32);
    if exponent == 0 { (fraction, -149) } else { (fraction | 1 << 23, exponent - 150) }
}

/// `numerator / denominator + x` as a fraction.
fn plus(numerator: i128, denominator: i128, x: f32) -> (i128, i128) {
    if x == 0.0 {
        return (numerator, denominator);
    }
    let (mantissa, exponent) = parts(x.abs());
    let twos = mantissa.trailing_zeros().min(23);
    let (mantissa, exponent) = (mantissa >> twos, exponent + twos as i32);
    let mantissa = if x < 0.0 { -mantissa } else { mantissa };
    let (whole, down) = (scaled(mantissa, exponent.max(0)), (-exponent).max(0));
    let added = whole.saturating_mul(denominator);
    (scaled(numerator, down).saturating_add(added), scaled(denominator, down))
}

/// `x * 2^shift`, at most the largest integer.
fn scaled(x: i128, shift: i32) -> i128 {
    let room = x.unsigned_abs().leading_zeros() as i32 - 1;
    if x == 0 || shift < room { x << shift.clamp(0, 126) } else { x.signum() * (i128::MAX / 4) }
}

/// `numerator / denominator` as an integer; the denominator is positive.
fn rounded(numerator: i128, denominator: i128, rounding: Rounding) -> i64 {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let half = rest.cmp(&(denominator - rest));
    let negative = numerator < 0;
    let up = rest != 0
        && match (rounding, half) {
            (Rounding::Floor, _) => false,
            (Rounding::Ceil, _) => true,
            (Rounding::Up, _) => !negative,
            (Rounding::Down, _) => negative,
            (_, Less) => false,
            (_, Greater) => true,
            (Rounding::HalfAway, Equal) => !negative,
            (Rounding::HalfTowardZero, Equal) => negative,
            (Rounding::HalfEven, Equal) => floor & 1 == 1,
        };
    to_i32(floor + i128::from(up))
}

fn to_i32(level: i128) -> i64 {
    level.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_integer() {
        let found = [-5, -3, -1, 1, 3, 5, 6].map(|n| rounded(n, 2, Rounding::HalfEven));
        assert_eq!(found, [-2, -2, 0, 0, 2, 2, 3]);
    }

    #[test]
    fn fractions_round_as_their_floats_do() {
        use Rounding::*;
        for rounding in [HalfEven, Floor, Ceil, HalfAway, HalfTowardZero, Up, Down] {
            for n in -17i128..=17 {
                let float = rounding.round(n as f32 / 4.0) as i64;
                assert_eq!(rounded(n, 4, rounding), float, "{n} / 4, {rounding:?}");
            }
        }
    }

    /// A sign: `floor(acc * 0.5 + 0.35 + 1)`, clamped to 0 and 1.
    fn sign(semantics: Semantics) -> Requantiser {
        let whole = (i64::from(i32::MIN), i64::from(i32::MAX));
        let term = |scale: f32, constant| {
            let input = Quantisation::per_tensor(scale, 0, whole.0, whole.1);
            Term { factors: vec![input.clone()], input, constant }
        };
        let mut output = Quantisation::per_tensor(1.0, 1, 0, 1);
        output.rounding = Rounding::Floor;
        let terms = vec![term(0.5, None), term(0.05, Some(vec![7]))];
        Requantiser { semantics, terms, output }
    }

    #[test]
    fn a_bias_between_two_units_and_the_direction_of_rounding_count() {
        for semantics in Semantics::ALL {
            let sign = sign(semantics);
            assert_eq!(sign.operands(), 1);
            let found = [-2, -1, 0, 1].map(|acc| sign.payload(0, &[acc]));
            assert_eq!(found, [-1, -1, 0, 0], "{semantics:?}: a unit below 0 is silent");
        }
    }

    #[test]
    fn a_float_is_its_parts() {
        for x in [0.1f32, 1.0, 3.5e-20, 7.0e12, f32::MIN_POSITIVE / 8.0] {
            let (mantissa, exponent) = parts(x);
            assert_eq!(mantissa as f64 * f64::from(exponent).exp2(), f64::from(x));
        }
    }

    #[test]
    fn a_real_is_added_to_a_fraction() {
        for x in [0.0f32, 3.0, -2.5, 0.375, 1e6] {
            let (n, d) = plus(-7, 3, x);
            assert_eq!(n as f64 / d as f64, (f64::from(x) * 3.0 - 7.0) / 3.0, "{x}");
        }
    }

    #[test]
    fn what_does_not_fit_is_as_large_as_can_be() {
        assert_eq!(scaled(3, 4), 48);
        assert_eq!(scaled(-1, 200), -(i128::MAX / 4));
        assert_eq!(scaled(0, 200), 0);
    }
}
