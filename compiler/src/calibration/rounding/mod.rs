//! Second-order rounding: layer by layer in order of computation, the weights are chosen so that the
//! *quantised* inputs give the outputs of the *float* network.
//!
//! Two networks run side by side on the samples: the float one, and the one that is quantised so far. For
//! a layer with inputs `X` (quantised so far) and float outputs `T`, the weights `W_q` minimise
//! `||X W_q - T||^2` over codes: a ridge solution near the weights, then rounding column by column (Frantar
//! et al. 2022, GPTQ; asymmetric as Li et al. 2025, GPTAQ). Where the layer's outputs meet a skip path in a
//! residual addition, `T` also makes up for what the skip path has lost. Biases bring the mean of each
//! channel to that of `T`, and the step of each population minimises the error against the float network's
//! activations.
//!
//! Sums have a fixed order, so results are equal for every number of threads and instruction set.

mod rows;
mod solve;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use snnc_ir::{Binary, DType, Graph, NodeId, Op, Quantisation, Tensor, TensorOp};
use snnc_runtime::kernels::least_squares::{CHUNK, cross_row, gram_row, pair_errors};
use snnc_runtime::kernels::rounding::LANES;
use snnc_runtime::kernels::{Isa, Kernels};
use snnc_runtime::tensor::Value;

use self::rows::Taps;
use self::solve::Problem;
use super::correct::{self, operations};
use super::sites::{coded, is_on_codes};
use super::sweep::Sweep;
use crate::Error;
use crate::data::Dataset;
use crate::feed::{Feed, Given};

/// Multiplications that may be spent on running each of the two networks.
const OPERATIONS: usize = 48 << 30;
/// Samples that are used in any case, and those that are enough.
const SAMPLES: (usize, usize) = (32, 1024);
/// Bytes that the values of all samples of one network may take together.
const MEMORY: usize = 2 << 30;
/// Rows for each input of an output that say enough.
const ROWS: usize = 64;
/// The least rows in any case.
const LEAST_ROWS: usize = 1 << 14;
/// Inputs of an output above which a Hessian takes too much memory: 8 bytes times its square.
const MOST_INPUTS: usize = 4096;
/// Values by which the step of a population is chosen.
const POINTS: usize = 1 << 18;

/// What is rounded by second order, and what is left.
pub(super) struct Rounding {
    float: Graph,
    inputs: Vec<Value>,
    isa: Isa,
}

/// A quantiser and its inverse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantiser {
    /// The node that makes codes.
    pub(super) codes: NodeId,
    /// The node that makes numbers of them.
    pub(super) reals: NodeId,
    /// Whether its step stays.
    pub(super) fixed: bool,
}

/// Weights of a layer as codes, and the step of each output.
pub(super) type Codes = (Tensor, Vec<f32>);

impl Rounding {
    /// Takes as many samples as there is time and room for. `float` is the network with weights as they
    /// are, channels divided.
    ///
    /// # Errors
    /// When a sample does not fit.
    pub(super) fn new(
        float: &Graph,
        (data, path): (&Dataset, &Path),
        given: Given,
    ) -> Result<Rounding, Error> {
        let input = correct::only_input(float)?;
        let shape = float[input].ty.shape.clone();
        let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
        let layers = layers(float)?;
        let cost: usize = layers.iter().map(|&id| operations(float, id)).sum();
        let memory = Sweep::new(float, &layers, &[]).most_bytes(float).max(1);
        let most = (OPERATIONS / cost.max(1)).min(MEMORY / memory);
        let samples = most.clamp(SAMPLES.0, SAMPLES.1).min(data.len());
        let feed = Feed::of_model(float, given);
        let inputs = (0..samples).map(|i| feed.value(data, i, &shape)).collect::<Result<_, _>>()?;
        // Without kernels the portable ones are the definition.
        let isa = Isa::of(Kernels::chosen()).or(Isa::of(Kernels::Portable));
        let isa = isa.ok_or_else(|| Error::network("has no kernels"))?;
        Ok(Rounding { float: float.clone(), inputs, isa })
    }

    /// Chooses weights, biases and steps of `coded`, which has every node of the float network and
    /// quantisers between them. `quantisers` are named by the node behind which they stand; `bits` are those of each layer's weights; `put` stores the codes of a layer.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub(super) fn apply(
        self,
        coded: &mut Graph,
        quantisers: &HashMap<NodeId, Quantiser>,
        bits: &dyn Fn(&Graph, NodeId) -> u8,
        put: &mut dyn FnMut(&mut Graph, NodeId, Option<Codes>),
    ) -> Result<(), Error> {
        let layers = layers(&self.float)?;
        let originals: HashSet<NodeId> = self.float.ids().collect();
        let behind: HashMap<NodeId, NodeId> =
            quantisers.iter().map(|(&node, q)| (q.reals, node)).collect();
        let site_of: HashMap<NodeId, NodeId> =
            quantisers.iter().map(|(&node, q)| (q.codes, node)).collect();
        let mut float = Sweep::new(&self.float, &layers, &self.inputs);
        let mut sweep = Sweep::new(coded, &layers, &self.inputs);
        let mut ahead = float.order().to_vec().into_iter();
        for id in sweep.order().to_vec() {
            // The float network has got as far as this one.
            let original = originals.contains(&id);
            while original && float.values(id).is_empty() {
                let Some(next) = ahead.next() else { break };
                float.compute(&self.float, next).map_err(Error::network)?;
            }
            if layers.contains(&id) {
                let skip = skip_path(&self.float, coded, id, &behind);
                if let Some((skip, original)) = skip {
                    let open = |node: NodeId| site_of.contains_key(&node) || layers.contains(&node);
                    complete(&mut sweep, coded, skip, &open)?;
                    complete(&mut float, &self.float, original, &|node| layers.contains(&node))?;
                }
                let targets = targets(id, skip, (&float, &sweep));
                let found = self.layer(coded, id, &sweep, &targets, bits(coded, id));
                put(coded, id, found);
                let wanted =
                    correct::mean(targets.par_iter().map(correct::channel_means).collect());
                correct::correct(coded, id, &wanted, &mut sweep)?;
            } else {
                if let Some(&site) = site_of.get(&id) {
                    self.step(coded, site, &quantisers[&site], (&float, &sweep));
                }
                sweep.compute(coded, id).map_err(Error::network)?;
            }
            sweep.release(coded, id);
            if original {
                float.release(&self.float, id);
            }
        }
        Ok(())
    }

    /// Chooses the codes of a layer's weights; `None` where its inputs are no codes of one step, or too
    /// many.
    fn layer(
        &self,
        coded: &Graph,
        layer: NodeId,
        sweep: &Sweep<'_>,
        targets: &[Value],
        bits: u8,
    ) -> Option<Codes> {
        let (source, weights) = (coded.source(layer, 0)?, coded.source(layer, 1)?);
        let weights = coded[weights].data.as_ref().filter(|d| d.dtype().is_float())?;
        let grid = grid_of(coded, source)?;
        let shape = &coded[layer].ty.shape;
        let (taps, groups) = match coded[layer].as_tensor()? {
            TensorOp::Convolution { window, groups } => {
                let input = coded[source].ty.shape.get(2..)?;
                (Taps::of_window(window, input, shape.get(2..)?), *groups)
            }
            TensorOp::Dense if shape.len() == 2 => (Taps::dense(), 1),
            _ => return None,
        };
        let outputs = *weights.shape().first()?;
        let k = weights.len() / outputs.max(1);
        if k == 0 || k > MOST_INPUTS || outputs % groups.max(1) != 0 {
            return None;
        }
        let codes: Vec<Vec<i16>> =
            sweep.values(source).par_iter().map(|v| codes(v, &grid)).collect();
        let levels = f64::from((1i32 << (bits - 1)) - 1);
        let reals = weights.to_f32();
        let each = outputs / groups;
        let part = |group: usize| {
            let problem =
                self.sums(&taps, (&codes, targets), group, (k, each), f64::from(grid.scale_at(0)));
            let weights = &reals[group * each * k..(group + 1) * each * k];
            let weights = weights.iter().map(|&w| f64::from(w)).collect();
            solve::round(self.isa, Problem { weights, ..problem }, levels)
        };
        // Groups side by side where they are many; the sums of one are made side by side otherwise.
        let found: Option<Vec<Vec<solve::Rounded>>> = match groups {
            1 => part(0).map(|one| vec![one]),
            _ => (0..groups).into_par_iter().map(part).collect(),
        };
        let found: Vec<solve::Rounded> = found?.into_iter().flatten().collect();
        let scale = found.iter().map(|r| r.step).collect();
        let codes: Vec<i64> =
            found.iter().flat_map(|r| r.codes.iter().map(|&c| c.into())).collect();
        let dtype = if bits <= 8 { DType::I8 } else { DType::I16 };
        Some((Tensor::from_i64(dtype, weights.shape(), &codes), scale))
    }

    /// The centred sums of a group, from as many rows as say enough.
    fn sums(
        &self,
        taps: &Taps,
        (codes, targets): (&[Vec<i16>], &[Value]),
        group: usize,
        (k, outputs): (usize, usize),
        step: f64,
    ) -> Problem {
        let all = taps.positions * codes.len();
        let stride = all.div_ceil((ROWS * k).max(LEAST_ROWS)).max(1);
        let rows: Vec<(usize, usize)> =
            (0..all).step_by(stride).map(|r| (r / taps.positions, r % taps.positions)).collect();
        let mut gram = vec![0i64; k * k];
        let (mut cross, mut sum_x, mut sum_t) =
            (vec![0.0; k * outputs], vec![0i64; k], vec![0.0; outputs]);
        for rows in rows.chunks(CHUNK) {
            let n = rows.len();
            let mut columns = vec![0i16; k * n];
            columns.par_chunks_mut(n).enumerate().for_each(|(column, cells)| {
                let place = (group * (k / taps.taps) + column / taps.taps, column % taps.taps);
                gather(taps, codes, place, rows, cells);
            });
            let mut wanted = vec![0f32; outputs * n];
            for (o, (cells, sum)) in wanted.chunks_mut(n).zip(&mut sum_t).enumerate() {
                let channel = group * outputs + o;
                for (cell, &(sample, position)) in cells.iter_mut().zip(rows) {
                    let values = targets[sample].as_f32().unwrap_or_default();
                    *cell = values.get(channel * taps.positions + position).copied().unwrap_or(0.0);
                    *sum += f64::from(*cell);
                }
            }
            gram.par_chunks_mut(k).enumerate().for_each(|(row, sums)| {
                gram_row(self.isa, &columns, n, row, sums);
            });
            let crossed = cross.par_chunks_mut(outputs).zip(sum_x.par_iter_mut()).enumerate();
            crossed.for_each(|(row, (sums, sum))| {
                let column = &columns[row * n..(row + 1) * n];
                *sum += column.iter().map(|&c| i64::from(c)).sum::<i64>();
                let column: Vec<f32> = column.iter().map(|&c| f32::from(c)).collect();
                cross_row(self.isa, &column, &wanted, sums);
            });
        }
        let n = rows.len().max(1) as f64;
        let mut hessian = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..=i {
                let centred = gram[i * k + j] as f64 - sum_x[i] as f64 * sum_x[j] as f64 / n;
                hessian[i * k + j] = step * step * centred;
                hessian[j * k + i] = step * step * centred;
            }
        }
        let mut products = vec![0.0; k * outputs];
        for i in 0..k {
            for o in 0..outputs {
                let centred = cross[i * outputs + o] - sum_x[i] as f64 * sum_t[o] / n;
                products[o * k + i] = step * centred;
            }
        }
        Problem { k, hessian, products, weights: Vec::new() }
    }

    /// Chooses the step of a population: the least squared error of its payloads against the float
    /// network's values. Inputs keep theirs.
    fn step(
        &self,
        coded: &mut Graph,
        site: NodeId,
        &Quantiser { codes, reals, fixed }: &Quantiser,
        (float, sweep): (&Sweep<'_>, &Sweep<'_>),
    ) {
        let Some(TensorOp::Quantise(q)) = coded[codes].as_tensor() else { return };
        if fixed || q.scale.len() != 1 {
            return;
        }
        let mut q = q.clone();
        let (found, wanted) = (sweep.values(site), float.values(site));
        let all: usize = found.iter().map(Value::len).sum();
        let stride = all.div_ceil(POINTS).max(1);
        let pairs = found.iter().zip(wanted).flat_map(|(f, w)| {
            let (f, w) = (f.as_f32().unwrap_or_default(), w.as_f32().unwrap_or_default());
            f.iter().copied().zip(w.iter().copied())
        });
        let points: Vec<(f32, f32)> = pairs.step_by(stride).collect();
        let ends = (q.minimum as f64, q.maximum as f64);
        if let Some(step) = best_step(self.isa, &points, f64::from(q.scale_at(0)), ends) {
            q.scale = vec![step];
            coded[codes].ty.quantisation = Some(q.clone());
            coded[codes].op = Op::Tensor(TensorOp::Quantise(q.clone()));
            coded[reals].op = Op::Tensor(TensorOp::Dequantise(q));
        }
    }
}

/// The step of least error around `start`; `None` without values.
fn best_step(isa: Isa, points: &[(f32, f32)], start: f64, ends: (f64, f64)) -> Option<f32> {
    let mut best = (f64::INFINITY, start as f32);
    let mut try_all = |steps: [f64; LANES]| {
        let steps = steps.map(|s| f64::from((s as f32).max(f32::MIN_POSITIVE)));
        let mut errors = [0.0; LANES];
        pair_errors(isa, points, &steps, ends, &mut errors);
        for (error, step) in errors.into_iter().zip(steps) {
            if error < best.0 {
                best = (error, step as f32);
            }
        }
        f64::from(best.1)
    };
    if points.is_empty() {
        return None;
    }
    // By a quarter of an octave over two octaves on either side, then finer and finer around the best.
    let around = |middle: f64, factor: f64| -> [f64; LANES] {
        std::array::from_fn(|i| middle * factor.powi(i as i32 - LANES as i32 / 2))
    };
    let mut middle = start;
    for factor in [1.19, 1.04, 1.008] {
        middle = try_all(around(middle, factor));
    }
    Some(middle as f32)
}

/// The codes of a column at the rows given, which are in order of samples.
fn gather(
    taps: &Taps,
    codes: &[Vec<i16>],
    place: (usize, usize),
    rows: &[(usize, usize)],
    cells: &mut [i16],
) {
    let mut rest = cells;
    for of_sample in rows.chunk_by(|a, b| a.0 == b.0) {
        let (own, next) = rest.split_at_mut(of_sample.len());
        let positions: Vec<usize> = of_sample.iter().map(|r| r.1).collect();
        taps.gather(&codes[of_sample[0].0], place, &positions, own);
        rest = next;
    }
}

/// The layers of a network that are not on codes by the model itself, in order of computation.
fn layers(graph: &Graph) -> Result<Vec<NodeId>, Error> {
    let coded = coded(graph);
    let layer = |id: &NodeId| {
        matches!(graph[*id].as_tensor(), Some(TensorOp::Convolution { .. } | TensorOp::Dense))
            && !is_on_codes(graph, &coded, *id)
    };
    Ok(graph.order().map_err(Error::network)?.into_iter().filter(layer).collect())
}

/// The grid on which a value lies, through what keeps it; `None` if there is none, or one with several
/// steps.
fn grid_of(graph: &Graph, mut id: NodeId) -> Option<Quantisation> {
    loop {
        match graph[id].as_tensor()? {
            TensorOp::Dequantise(q) if q.scale.len() == 1 && q.zero_point.len() <= 1 => {
                return Some(q.clone());
            }
            op if snnc_ir::query::keeps_grid(op) => id = graph.source(id, 0)?,
            _ => return None,
        }
    }
}

/// The codes of a value less the zero, which is what padding is.
fn codes(value: &Value, grid: &Quantisation) -> Vec<i16> {
    let step = grid.scale_at(0);
    let reals = value.as_f32().unwrap_or_default();
    reals.iter().map(|&x| (x / step).round_ties_even() as i16).collect()
}

/// Computes a value ahead of its turn, with all before it that have not had theirs; leaves it where one
/// of these is still to be chosen.
fn complete(
    sweep: &mut Sweep<'_>,
    graph: &Graph,
    id: NodeId,
    open: &dyn Fn(NodeId) -> bool,
) -> Result<(), Error> {
    let (mut missing, mut pending) = (Vec::new(), vec![id]);
    while let Some(at) = pending.pop() {
        if sweep.varies(at) && sweep.values(at).is_empty() && !missing.contains(&at) {
            if open(at) || sweep.is_done(at) {
                return Ok(());
            }
            missing.push(at);
            pending.extend(graph.sources(at));
        }
    }
    let order = sweep.order().to_vec();
    for at in order.into_iter().filter(|at| missing.contains(at)) {
        sweep.compute(graph, at).map_err(Error::network)?;
    }
    Ok(())
}

/// What a layer's outputs should be: those of the float network, and where they meet a skip path that is
/// computed already, what that has lost.
fn targets(
    layer: NodeId,
    skip: Option<(NodeId, NodeId)>,
    (float, sweep): (&Sweep<'_>, &Sweep<'_>),
) -> Vec<Value> {
    let wanted = float.values(layer).to_vec();
    let Some((skip, original)) = skip else { return wanted };
    let (found, ideal) = (sweep.values(skip), float.values(original));
    if found.len() != wanted.len() || ideal.len() != wanted.len() {
        return wanted;
    }
    let shifted = |((t, found), ideal): ((&Value, &Value), &Value)| {
        let (a, v, f) = (t.as_f32()?, found.as_f32()?, ideal.as_f32()?);
        if v.len() != a.len() || f.len() != a.len() {
            return None;
        }
        let sums = a.iter().zip(f).zip(v).map(|((t, f), v)| t + (f - v)).collect();
        Value::from_f32(t.shape(), sums).ok()
    };
    let all: Option<Vec<Value>> =
        wanted.par_iter().zip(found.par_iter()).zip(ideal.par_iter()).map(shifted).collect();
    all.unwrap_or(wanted)
}

/// The other operand of the addition that alone reads a layer, in the coded and in the float network.
fn skip_path(
    float: &Graph,
    coded: &Graph,
    layer: NodeId,
    behind: &HashMap<NodeId, NodeId>,
) -> Option<(NodeId, NodeId)> {
    let mut at = layer;
    loop {
        let users = coded.users(at);
        let [user] = users.as_slice() else { return None };
        match coded[*user].as_tensor()? {
            // The layer has a quantiser of its own in front of the addition.
            TensorOp::Quantise(_) | TensorOp::Dequantise(_) => at = *user,
            TensorOp::Binary(Binary::Add) => {
                let other = coded.sources(*user).into_iter().find(|&s| s != at)?;
                let original = behind.get(&other).copied().unwrap_or(other);
                return float.ids().any(|id| id == original).then_some((other, original));
            }
            _ => return None,
        }
    }
}
