//! The semantics against which everything is proved: how integer accumulators become codes.
//!
//! `y = clamp(RNE(f32(acc) * f32(M)) + zero, low, high)` with `M = f32(f32(s_x * s_w) / s_y)` is what
//! ONNX Runtime's QLinearConv, QLinearMatMul and QGemm compute. Sums of codes are those of its Add in
//! f32; sums with accumulators in them are exact ([`TensorOp::RequantiseSum`]). Two other readings can be
//! asked for: the same in exact rationals, and the multiply-and-shift of integer hardware.

use snnc_ir::exact::{Line, parts, rounded, scaled, to_i32};
use snnc_ir::{Graph, NodeId, PoolKind, Quantisation, Rounding, TensorOp, Thresholds};

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
    /// Whether the terms are added as rationals rather than in f32.
    exact: bool,
    /// What the model states in place of a rounding, the same in every reading.
    thresholds: Option<Thresholds>,
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
                    // Scales of an operand's channels are in the weights.
                    let whole = |p: &Vec<Quantisation>| p.first().is_some_and(|x| x.axis.is_none());
                    product.filter(whole).unwrap_or_else(|| vec![input.clone()])
                }
                _ => vec![input.clone()],
            };
            let constant = match graph[source].as_tensor() {
                Some(TensorOp::Constant) => Some(graph[source].data.as_ref()?.to_i64().ok()?),
                _ => None,
            };
            Some(Term { input, factors, constant })
        };
        let thresholds = match graph[id].as_tensor() {
            Some(TensorOp::Threshold(t)) => Some(t.clone()),
            _ => None,
        };
        let terms = match graph[id].as_tensor() {
            // A sum that is sent as it is stands for itself.
            Some(TensorOp::Pool(pool)) if pool.kind != PoolKind::Max => {
                let input = output.clone();
                vec![Term { factors: vec![input.clone()], input, constant: None }]
            }
            _ => graph.sources(id).into_iter().map(term).collect::<Option<Vec<_>>>()?,
        };
        // An offset is added in f32, and so is all that is added before it.
        let exact = output.offset.is_empty()
            && matches!(graph[id].as_tensor(), Some(TensorOp::RequantiseSum));
        Some(Requantiser { semantics, terms, output, exact, thresholds })
    }

    /// Whether all channels have the same thresholds, if their constants are the same.
    pub fn is_uniform(&self) -> bool {
        let one = |q: &Quantisation| q.scale.len() == 1 && q.zero_point.len() == 1;
        let rows = self.thresholds.as_ref().map_or(1, |t| t.rows.len());
        let alone = |t: &Term| one(&t.input) && t.constant.as_ref().is_none_or(|c| c.len() == 1);
        rows == 1 && one(&self.output) && self.terms.iter().all(alone)
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
        if let (Some(thresholds), Some(&v)) = (&self.thresholds, accumulators.first()) {
            return thresholds.of_integer(channel, v).unwrap_or(zero) - zero;
        }
        let level = match self.semantics {
            Semantics::Ort if self.exact => self.exact(channel, accumulators),
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

    fn exact(&self, channel: usize, accumulators: &[i64]) -> i64 {
        let term = |(t, a): (&Term, i64)| (a, t.input.scale_at(channel));
        let terms: Vec<(i64, f32)> = self.summands(channel, accumulators).map(term).collect();
        self.output.level_of_sum(&terms, channel)
    }

    /// The sum that is rounded, in integers, where the reading is exact: what a unit of each operand
    /// counts, what the constants do, and what a unit of the payload does.
    pub fn line(&self, channel: usize) -> Option<Line> {
        let exact = match self.semantics {
            Semantics::Ort => self.exact,
            Semantics::Real => true,
            Semantics::Fixed => false,
        };
        // An offset between two codes is no whole number of units.
        if !exact || self.output.offset_at(channel).is_some() {
            return None;
        }
        let factor = |t: &Term| -> (i128, i32) {
            let scales: Vec<f32> = match self.semantics {
                Semantics::Real => t.factors.iter().map(|q| q.scale_at(channel)).collect(),
                _ => vec![t.input.scale_at(channel)],
            };
            let product = |(m, e): (i128, i32), s: f32| {
                let (mantissa, exponent) = parts(s);
                (m.saturating_mul(mantissa), e + exponent)
            };
            scales.into_iter().fold((1, 0), product)
        };
        let zeros = vec![0; self.operands()];
        let constants = self.summands(channel, &zeros).filter(|(t, _)| t.constant.is_some());
        let constants = constants.map(|(t, code)| {
            let (m, e) = factor(t);
            (m.saturating_mul(code.into()), e)
        });
        let operands: Vec<(i128, i32)> = self.arguments().map(factor).collect();
        let rounding = self.output.rounding;
        Line::new(
            &operands,
            &constants.collect::<Vec<_>>(),
            self.output.scale_at(channel),
            rounding,
        )
    }

    /// Real value of one unit of operand `port`, in f32.
    pub fn scale(&self, port: usize, channel: usize) -> f32 {
        self.arguments().nth(port).map_or(1.0, |t| t.input.scale_at(channel))
    }

    /// All that the payload of a channel hangs on beside its accumulators: channels of which it is equal
    /// are one function.
    pub fn signature(&self, channel: usize) -> Vec<i64> {
        let bits = |s: f32| i64::from(s.to_bits());
        let mut all = vec![bits(self.output.scale_at(channel)), self.output.zero_at(channel)];
        all.extend(self.output.offset_at(channel).map(bits));
        for (term, code) in self.summands(channel, &vec![0; self.operands()]) {
            all.extend([bits(term.input.scale_at(channel)), code]);
            all.extend(term.factors.iter().map(|q| bits(q.scale_at(channel))));
        }
        all
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

    /// Smallest payload of any channel.
    pub fn minimum(&self) -> i64 {
        let zero = self.output.zero_point.iter().copied().max().unwrap_or(0);
        self.output.minimum - zero
    }

    /// Largest payload of any channel.
    pub fn maximum(&self) -> i64 {
        let zero = self.output.zero_point.iter().copied().min().unwrap_or(0);
        self.output.maximum - zero
    }

    /// Real value of one unit of payload, for each channel or one for all.
    pub fn output_scale(&self) -> Vec<f32> {
        self.output.scale.clone()
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
    /// its membrane potential; what is left of them is in its thresholds. At most 28 bits: beside a
    /// larger constant the operand hardly matters.
    pub fn whole_bias(&self, channel: usize) -> i64 {
        let mut arguments = self.arguments();
        let (Some(operand), None) = (arguments.next(), arguments.next()) else { return 0 };
        let real = |(term, a): (&Term, i64)| a as f64 * f64::from(term.input.scale_at(channel));
        let sum: f64 = self.summands(channel, &[0]).map(real).sum();
        let most = f64::from(1u32 << 28);
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

#[cfg(test)]
mod tests {
    use super::*;

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
        Requantiser { semantics, terms, output, exact: false, thresholds: None }
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
    fn a_real_is_added_to_a_fraction() {
        for x in [0.0f32, 3.0, -2.5, 0.375, 1e6] {
            let (n, d) = plus(-7, 3, x);
            assert_eq!(n as f64 / d as f64, (f64::from(x) * 3.0 - 7.0) / 3.0, "{x}");
        }
    }
}
