//! Populations on which two operands meet: the pairs of accumulators for which they differ are counted.
//!
//! A level is a half-plane of pairs on either side. Where the reference is an exact sum, the pairs
//! between two such lines are counted by [`super::lattice`], however many there are; where it adds in
//! f32, each pair is tried.

use std::collections::HashMap;

use snnc_ir::analysis::{Interval, Intervals, bisect_thresholds};
use snnc_ir::exact::{Line, gcd};
use snnc_ir::{Graph, NodeId, PerChannel, TensorOp};

use super::inputs::{Inputs, factor, rows};
use super::lattice::{HalfPlane, Rectangle, count, find};
use super::{PairDifference, PopulationCertificate, Verdict};
use crate::reference::Requantiser;

/// Pairs that are tried one by one.
const TRIED: u128 = 1 << 20;

/// A sum of two operands, and the neuron that is held against it.
pub(super) struct Join<'a> {
    pub(super) requantiser: &'a Requantiser,
    pub(super) quantised: &'a Graph,
    /// The requantisation in `quantised`.
    pub(super) source: NodeId,
    pub(super) canonical: &'a Graph,
    /// The population in `canonical`.
    pub(super) reference: NodeId,
    /// What its accumulators can be.
    pub(super) values: &'a Intervals,
    /// Synapses of the canonical population and of the one that is held against it.
    pub(super) inputs: (&'a Inputs<'a>, &'a Inputs<'a>),
    /// Bias of each channel of the latter.
    pub(super) bias: &'a [i64],
    /// What the latter sends for a channel and potential, bias included; it never falls.
    pub(super) answer: &'a dyn Fn(usize, i64) -> i64,
}

/// One operand of one channel: accumulators are multiples of `step`, of which each counts `weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Side {
    step: i64,
    weight: i64,
    multiples: Interval,
    /// Bias of the layer, in units of the accumulator.
    bias: i64,
}

impl Side {
    fn accumulator(&self, multiple: i64) -> i64 {
        multiple * self.step + self.bias
    }
}

/// What came out for one channel.
#[derive(Clone, Debug, Default)]
struct Counted {
    pairs: u128,
    differing: u128,
    witness: Option<(i64, i64)>,
}

/// What the count of a channel hangs on: reference, operands, bias and thresholds.
type Key = (Vec<i64>, [Side; 2], i64, Vec<i64>);

impl Join<'_> {
    /// The statement on the population that `base` names.
    pub(super) fn certify(&self, base: PopulationCertificate) -> PopulationCertificate {
        let approximate = |method: &str, bound| PopulationCertificate {
            verdict: Verdict::Approximate,
            method: method.into(),
            bound,
            ..base.clone()
        };
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let mut known: HashMap<Key, Counted> = HashMap::new();
        let (mut total, mut first) = (Counted::default(), None);
        let (mut tried, mut thresholds) = (true, 0);
        for c in 0..channels {
            let Some(sides) = self.sides(c, channels) else {
                return approximate("its weights are not the quantised ones times constants", None);
            };
            let emitted = self.thresholds(c, sides);
            thresholds += emitted.1.len() as u64;
            let line = self.requantiser.line(c);
            tried &= line.is_none();
            let key = (self.requantiser.signature(c), sides, self.bias[c], emitted.1.clone());
            let found = match known.get(&key) {
                Some(found) => found.clone(),
                None => {
                    let found = match line {
                        Some(line) => self.count(c, &line, sides, &emitted),
                        None => self.tried(c, sides),
                    };
                    let Some(found) = found else {
                        let method = "its operands have more pairs than can be tried";
                        return approximate(method, Some(self.bound(c, sides)));
                    };
                    known.insert(key, found.clone());
                    found
                }
            };
            total.pairs = total.pairs.saturating_add(found.pairs);
            total.differing = total.differing.saturating_add(found.differing);
            first = first.or_else(|| found.witness.map(|pair| self.witness(c, sides, pair)));
        }
        let number = |x: u128| u64::try_from(x).unwrap_or(u64::MAX);
        PopulationCertificate {
            verdict: if total.differing == 0 { Verdict::Proved } else { Verdict::Differs },
            method: match tried {
                true => "every pair of payloads was tried".into(),
                false => {
                    "the pairs of accumulators between each two thresholds were counted".into()
                }
            },
            thresholds,
            reachable: number(total.pairs),
            differing: number(total.differing),
            witness: first,
            ..base
        }
    }

    /// Both operands of a channel.
    fn sides(&self, c: usize, channels: usize) -> Option<[Side; 2]> {
        let side = |port: usize| {
            let [theirs, own] = rows((self.inputs.1, self.inputs.0), port, c, channels);
            let (n, d) = factor(&theirs, &own)?;
            let gain = self.inputs.0.ports[port].projection.gain_at(c);
            let weight = i128::from(n) * i128::from(gain);
            let common = gcd(weight, d.into()).max(1);
            let (weight, step) = (weight / common, i128::from(d) / common);
            let projection = self.canonical.sources(self.reference)[port];
            let sums = self.values.values(projection).get(c)?;
            let step = i64::try_from(step).ok()?;
            let low = sums.low / gain.max(1);
            let high = sums.high / gain.max(1);
            let multiples = Interval::new(-(-low).div_euclid(step), high.div_euclid(step));
            let bias = self.bias_of(port, c);
            Some(Side { step, weight: i64::try_from(weight).ok()?, multiples, bias })
        };
        Some([side(0)?, side(1)?])
    }

    /// What the layer of operand `port` adds to its sums.
    fn bias_of(&self, port: usize, c: usize) -> i64 {
        let operands = self.quantised.sources(self.source).into_iter();
        let is_constant =
            |&id: &NodeId| matches!(self.quantised[id].as_tensor(), Some(TensorOp::Constant));
        let Some(layer) = operands.filter(|id| !is_constant(id)).nth(port) else { return 0 };
        // Layers may be reshaped on their way to the sum.
        let mut layer = layer;
        while let Some(TensorOp::Reshape) = self.quantised[layer].as_tensor() {
            let Some(source) = self.quantised.source(layer, 0) else { return 0 };
            layer = source;
        }
        let linear = matches!(
            self.quantised[layer].as_tensor(),
            Some(TensorOp::Convolution { .. } | TensorOp::Dense)
        );
        let bias = self.quantised.source(layer, 2).filter(|_| linear);
        let values = bias.and_then(|b| self.quantised[b].data.as_ref()?.to_i64().ok());
        values.and_then(|v| PerChannel::of(&v).get(c).copied()).unwrap_or(0)
    }

    fn potential(&self, c: usize, sides: [Side; 2], pair: (i64, i64)) -> i64 {
        let sum = i128::from(sides[0].weight) * i128::from(pair.0)
            + i128::from(sides[1].weight) * i128::from(pair.1)
            + i128::from(self.bias[c]);
        sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Levels of the emitted neuron and the least potential of each above the smallest.
    fn thresholds(&self, c: usize, sides: [Side; 2]) -> ((i64, i64), Vec<i64>) {
        let ends = |low: bool| {
            let of = |side: Side| if low { side.multiples.low } else { side.multiples.high };
            self.potential(c, sides, (of(sides[0]), of(sides[1])))
        };
        let (low, high) = (ends(true), ends(false));
        let answer = |v: i64| (self.answer)(c, v);
        let levels = (
            answer(low).min(self.requantiser.minimum()),
            answer(high).max(self.requantiser.maximum()),
        );
        (levels, bisect_thresholds(answer, (low, high), levels))
    }

    /// Every pair, one by one.
    fn tried(&self, c: usize, sides: [Side; 2]) -> Option<Counted> {
        let [a, b] = sides;
        let pairs = rectangle(sides).count();
        if pairs > TRIED {
            return None;
        }
        let mut counted = Counted { pairs, ..Counted::default() };
        for x in a.multiples.low..=a.multiples.high {
            for y in b.multiples.low..=b.multiples.high {
                let sent = (self.answer)(c, self.potential(c, sides, (x, y)));
                if sent != self.expected(c, sides, (x, y)) {
                    counted.differing += 1;
                    counted.witness = counted.witness.or(Some((x, y)));
                }
            }
        }
        Some(counted)
    }

    fn expected(&self, c: usize, [a, b]: [Side; 2], pair: (i64, i64)) -> i64 {
        self.requantiser.payload(c, &[a.accumulator(pair.0), b.accumulator(pair.1)])
    }

    /// The pairs between the lines of each level.
    ///
    /// A pair whose payloads are n levels apart lies between the lines of n levels, and between those of
    /// n - 1 neighbouring ones, so that it is counted once.
    fn count(
        &self,
        c: usize,
        line: &Line,
        sides: [Side; 2],
        (levels, emitted): &((i64, i64), Vec<i64>),
    ) -> Option<Counted> {
        let [a, b] = sides;
        let own = [0, 1].map(|p| line.coefficients[p] * i128::from(sides[p].step));
        let moved =
            line.coefficients[0] * i128::from(a.bias) + line.coefficients[1] * i128::from(b.bias);
        let rectangle = rectangle(sides);
        let (minimum, maximum) = (self.requantiser.minimum(), self.requantiser.maximum());
        let all = HalfPlane { p: 1, q: 1, t: rectangle.a.0 + rectangle.b.0 };
        let none = HalfPlane { t: rectangle.a.1 + rectangle.b.1 + 1, ..all };
        let wanted = |level: i64| match level {
            _ if level <= minimum => all,
            _ if level > maximum => none,
            _ => HalfPlane { p: own[0], q: own[1], t: line.threshold(level) - moved },
        };
        let sent = |level: i64| match usize::try_from(level - levels.0 - 1) {
            Err(_) => all,
            Ok(index) => emitted.get(index).map_or(none, |&t| HalfPlane {
                p: a.weight.into(),
                q: b.weight.into(),
                t: i128::from(t) - i128::from(self.bias[c]),
            }),
        };
        let mut counted = Counted { pairs: rectangle.count(), ..Counted::default() };
        let mut doubly = 0u128;
        for level in levels.0 + 1..=levels.1 {
            let (x, y) = (wanted(level), sent(level));
            if !x.is_small() || !y.is_small() {
                return None;
            }
            let here = [(x, y), (y, x)];
            let found: u128 = here.iter().map(|&(i, o)| count(i, o, rectangle)).sum();
            if found == 0 {
                continue;
            }
            counted.differing = counted.differing.saturating_add(found);
            if counted.witness.is_none() {
                let pair = here.iter().find_map(|&(i, o)| find(i, o, rectangle))?;
                counted.witness = Some((pair.0 as i64, pair.1 as i64));
            }
            let (up, more) = (wanted(level + 1), sent(level + 1));
            doubly = doubly
                .saturating_add(count(up, y, rectangle))
                .saturating_add(count(more, x, rectangle));
        }
        counted.differing = counted.differing.saturating_sub(doubly);
        Some(counted)
    }

    fn witness(&self, c: usize, sides: [Side; 2], pair: (i64, i64)) -> PairDifference {
        PairDifference {
            channel: c,
            accumulators: [sides[0].accumulator(pair.0), sides[1].accumulator(pair.1)],
            reference: self.expected(c, sides, pair),
            emitted: (self.answer)(c, self.potential(c, sides, pair)),
        }
    }

    /// Largest distance, in units of payload, between the potential and the reference's f32 sum before
    /// rounding: the weights' rounding, and four roundings of f32 for each operand. Thresholds are taken
    /// to be half a unit of payload apart from the levels, as [`super::frame`] has them.
    fn bound(&self, c: usize, sides: [Side; 2]) -> f64 {
        let size = |p: usize| sides[p].multiples.magnitude() as f64 * sides[p].step as f64;
        let real = |p: usize| self.requantiser.ratio(p, c);
        let ratio = real(1) * sides[0].weight as f64 * sides[1].step as f64
            / (sides[1].weight as f64 * sides[0].step as f64);
        let error = size(0) * (real(0) - ratio).abs();
        let magnitude = size(0) * real(0) + size(1) * real(1);
        error + 8.0 * magnitude * f64::from(f32::EPSILON)
    }
}

fn rectangle([a, b]: [Side; 2]) -> Rectangle {
    let ends = |side: Side| (side.multiples.low.into(), side.multiples.high.into());
    Rectangle { a: ends(a), b: ends(b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snnc_ir::analysis::intervals;
    use snnc_ir::{DType, Node, Op, Quantisation, SpikingOp, Stage, Tensor, TensorType};

    use super::*;
    use crate::certificate::certify;
    use crate::passes::graded::{Conversion, convert};

    const WHOLE: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);

    /// Two channels of a dense layer with bias, its codes added to the accumulators (or, requantised
    /// first, to the codes).
    fn network(scales: [f32; 4], weights: [i64; 4], bias: i64, levels: i64, codes: bool) -> Graph {
        let [s_x, s_w, s_h, s_y] = scales;
        let mut graph = Graph::new("join", Stage::Quantised);
        let code = |scale: f32| {
            TensorType::new(DType::U8, [1, 2])
                .quantised(Quantisation::per_tensor(scale, 0, 0, levels))
        };
        let acc = Quantisation::per_tensor(s_x * s_w, 0, WHOLE.0, WHOLE.1);
        let x = graph.add(Node::tensor("x", TensorOp::Input, code(s_x)), &[]);
        let mut constant = |name: &str, value: Tensor, q: Quantisation| {
            let ty = value.tensor_type().quantised(q);
            graph.add(Node::tensor(name, TensorOp::Constant, ty).with_data(value), &[])
        };
        let w = Tensor::from_i64(DType::I8, &[2, 2], &weights);
        let w = constant("w", w, Quantisation::per_tensor(s_w, 0, -128, 127));
        let b = constant("b", Tensor::from_i64(DType::I32, &[2], &[bias, -bias]), acc.clone());
        let ty = TensorType::new(DType::I32, [1, 2]).quantised(acc);
        let fc = graph.add(Node::tensor("fc", TensorOp::Dense, ty), &[x, w, b]);
        let sum = if codes {
            let h = graph.add(Node::tensor("h", TensorOp::Requantise, code(s_h)), &[fc]);
            graph.add(Node::tensor("add", TensorOp::Requantise, code(s_y)), &[h, x])
        } else {
            graph.add(Node::tensor("add", TensorOp::RequantiseSum, code(s_y)), &[fc, x])
        };
        graph.add(Node::tensor("y", TensorOp::Output, code(s_y)), &[sum]);
        graph
    }

    /// Differing pairs, one by one: the slow twin.
    fn differing(quantised: &Graph, conversion: &Conversion, emitted: &Graph) -> u64 {
        let canonical = &conversion.network;
        let own = canonical.find("add").unwrap();
        let theirs = emitted.find("add").unwrap();
        let r = Requantiser::new(quantised, quantised.find("add").unwrap()).unwrap();
        let values = intervals(canonical).unwrap();
        let Some(SpikingOp::Population(p)) = emitted[theirs].as_spiking() else { panic!() };
        let bias = quantised[quantised.find("b").unwrap()].data.as_ref().unwrap().to_i64().unwrap();
        let gain = |id: NodeId, c: usize| match canonical[id].as_spiking() {
            Some(SpikingOp::Projection(p)) => p.gain_at(c),
            _ => panic!(),
        };
        let direct = matches!(
            quantised[quantised.find("add").unwrap()].as_tensor(),
            Some(TensorOp::RequantiseSum)
        );
        let mut count = 0;
        for (c, own_bias) in bias.iter().enumerate() {
            let ports = canonical.sources(own);
            let range = |p: usize| {
                let sums = values.values(ports[p])[c];
                sums.low / gain(ports[p], c)..=sums.high / gain(ports[p], c)
            };
            for a in range(0) {
                for b in range(1) {
                    let v = gain(ports[0], c) * a + gain(ports[1], c) * b + p.bias_at(c);
                    let a = if direct { a + own_bias } else { a };
                    count += u64::from(p.neuron.single_shot(c, v) != Some(r.payload(c, &[a, b])));
                }
            }
        }
        count
    }

    fn moved(network: &Graph, by: i64) -> Graph {
        let mut network = network.clone();
        let id = network.find("add").unwrap();
        let Op::Spiking(SpikingOp::Population(p)) = &mut network[id].op else { panic!() };
        p.bias = (0..2).map(|c| p.bias_at(c) + by).collect();
        network
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn counts_are_those_of_all_pairs(
            s_x in 0.01f32..0.2, s_w in 0.01f32..0.5, s_h in 0.01f32..0.5, s_y in 0.05f32..1.0,
            weights in proptest::array::uniform4(-9i64..10), bias in -40i64..40,
            levels in 1i64..16, by in -1000i64..1000, codes in any::<bool>(), nice in any::<bool>(),
        ) {
            let scales = if nice { [0.25, 0.5, 0.25, 0.5] } else { [s_x, s_w, s_h, s_y] };
            let quantised = network(scales, weights, bias, levels, codes);
            let conversion = convert(&quantised).unwrap();
            for by in [0, 1, by] {
                let emitted = moved(&conversion.network, by);
                let certificate = certify(&quantised, &conversion, &emitted);
                let found = certificate.population("add").unwrap();
                prop_assert_eq!(found.differing, differing(&quantised, &conversion, &emitted));
                let equal = found.verdict == Verdict::Proved;
                prop_assert_eq!(equal, found.differing == 0, "{:?}", found);
                prop_assert_eq!(found.witness.is_some(), found.differing > 0);
                if let Some(w) = found.witness {
                    prop_assert!(w.reference != w.emitted);
                }
                if by == 0 && !codes {
                    prop_assert!(equal, "an exact sum has exact thresholds: {:?}", found);
                    // Without ties these lie evenly, which codings of several timesteps need.
                    let add = &emitted[emitted.find("add").unwrap()];
                    let Some(SpikingOp::Population(p)) = add.as_spiking() else { panic!() };
                    prop_assert!(nice || p.neuron.get::<snnc_ir::GradedNeuron>().is_some(), "{:?}", p);
                }
            }
        }
    }

    #[test]
    fn powers_of_two_are_divided_out() {
        let quantised = network([0.25, 0.5, 0.25, 0.5], [1, 2, 3, 4], 0, 15, true);
        let conversion = convert(&quantised).unwrap();
        let add = conversion.network.find("add").unwrap();
        for projection in conversion.network.sources(add) {
            let Some(SpikingOp::Projection(p)) = conversion.network[projection].as_spiking() else {
                panic!()
            };
            assert!(p.gain.is_empty(), "{:?}", p.gain);
        }
        let certificate = certify(&quantised, &conversion, &conversion.network);
        assert_eq!(certificate.population("add").unwrap().verdict, Verdict::Proved);
    }
}
