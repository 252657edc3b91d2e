//! The scalar interpreter of networks of real neurons: one timestep after the other, as slow and plain as
//! a specification should be.

use std::collections::HashMap;

use snnc_ir::{Connectivity, NodeId, Op, Readout, RealState, SpikingOp, Window};

use super::super::RunError;
use super::{FloatNetwork, FloatObserver};

/// A run of a network of real neurons, its state kept from one timestep to the next.
pub struct FloatStream<'a> {
    network: &'a FloatNetwork,
    weights: &'a HashMap<NodeId, Vec<f32>>,
    states: HashMap<NodeId, RealState<'a>>,
    /// Values of the last timesteps, newest first.
    history: HashMap<NodeId, Vec<Vec<f32>>>,
    sums: HashMap<NodeId, Vec<f32>>,
    timesteps: usize,
}

impl<'a> FloatStream<'a> {
    /// Every neuron at rest.
    pub(super) fn new(network: &'a FloatNetwork, weights: &'a HashMap<NodeId, Vec<f32>>) -> Self {
        let mut states = HashMap::new();
        for &id in &network.order {
            let ty = &network.graph[id].ty;
            if let Op::Spiking(SpikingOp::Population(p)) = &network.graph[id].op
                && let channels = ty.shape.first().copied().unwrap_or(1)
                && let Some(own) = p.neuron.real_states(ty.len(), channels)
            {
                states.insert(id, own);
            }
        }
        let (history, sums) = (HashMap::new(), HashMap::new());
        FloatStream { network, weights, states, history, sums, timesteps: 0 }
    }

    /// Runs one timestep with `row` at the first input; other inputs are silent.
    ///
    /// # Errors
    /// When the row does not fit.
    pub fn step(&mut self, row: &[f32], observe: &mut FloatObserver<'_>) -> Result<(), RunError> {
        let network = self.network;
        let graph = &network.graph;
        let inputs = graph.inputs();
        network.check(row)?;
        let mut now: HashMap<NodeId, Vec<f32>> = HashMap::with_capacity(network.order.len());
        for &id in &network.order {
            let Op::Spiking(op) = &graph[id].op else { continue };
            let operands: Vec<Vec<f32>> =
                graph.operands(id).iter().map(|o| self.operand(&now, o.source, o.delay)).collect();
            let shape = |port| graph.source(id, port).map_or(&[][..], |s| &graph[s].ty.shape);
            let value = match op {
                SpikingOp::Encoder(e) if inputs.first() == Some(&id) => {
                    row.iter().map(|x| if e.scale == 1.0 { *x } else { x / e.scale }).collect()
                }
                SpikingOp::Encoder(_) => vec![0.0; graph[id].ty.len()],
                SpikingOp::Projection(p) => {
                    let weights = self.weights.get(&id).map_or(&[][..], Vec::as_slice);
                    let Some(x) = operands.first() else { continue };
                    sums(&p.connectivity, weights, (x, shape(0)), &graph[id].ty.shape)
                }
                SpikingOp::Population(_) => self.fire(id, &operands),
                SpikingOp::MaxPool { window } | SpikingOp::RunningMaxPool { window } => {
                    let Some(x) = operands.first() else { continue };
                    maxima(window, (x, shape(0)), &graph[id].ty.shape)
                }
                SpikingOp::Concatenate { axis } => {
                    let shapes: Vec<&[usize]> = (0..operands.len()).map(shape).collect();
                    joined(*axis, &operands, &shapes)
                }
                SpikingOp::Decoder(d) => {
                    let value = operands.into_iter().next().unwrap_or_default();
                    self.show(id, d.readout, &value);
                    value
                }
            };
            observe(id, self.timesteps, &value);
            now.insert(id, value);
        }
        for (id, value) in now {
            let keep = network.longest.get(&id).copied().unwrap_or(0);
            let history = self.history.entry(id).or_default();
            history.insert(0, value);
            history.truncate(keep.max(1));
        }
        self.timesteps += 1;
        Ok(())
    }

    /// What each output shows after the timesteps so far.
    pub fn finish(mut self) -> Vec<Vec<f32>> {
        let outputs = self.network.graph.outputs().into_iter();
        let raw = outputs.map(|id| self.sums.remove(&id).unwrap_or_default()).collect();
        self.network.decoded(raw)
    }

    fn operand(&self, now: &HashMap<NodeId, Vec<f32>>, source: NodeId, delay: u32) -> Vec<f32> {
        let value = match (delay as usize).checked_sub(1) {
            None => now.get(&source),
            Some(back) => self.history.get(&source).and_then(|h| h.get(back)),
        };
        value.cloned().unwrap_or_else(|| vec![0.0; self.network.graph[source].ty.len()])
    }

    fn fire(&mut self, id: NodeId, operands: &[Vec<f32>]) -> Vec<f32> {
        let Some(states) = self.states.get_mut(&id) else { return Vec::new() };
        let arriving = |i: usize| operands.iter().filter_map(|o| o.get(i)).sum();
        let neurons = self.network.graph[id].ty.len();
        states.step(self.timesteps, (0..neurons).map(arriving))
    }

    fn show(&mut self, id: NodeId, readout: Readout, value: &[f32]) {
        let shown = self.sums.entry(id).or_insert_with(|| vec![0.0; value.len()]);
        for (s, v) in shown.iter_mut().zip(value) {
            *s = if readout == Readout::Sum { *s + v } else { *v };
        }
    }
}

/// What the synapses bring to each target, summed in the order of the sources.
fn sums(
    connectivity: &Connectivity,
    weights: &[f32],
    (x, source): (&[f32], &[usize]),
    target: &[usize],
) -> Vec<f32> {
    let targets: usize = target.iter().product();
    let row = |i: usize| weights.get(i * x.len()..(i + 1) * x.len()).unwrap_or_default();
    match connectivity {
        Connectivity::Dense => {
            (0..targets).map(|i| row(i).iter().zip(x).map(|(w, x)| w * x).sum()).collect()
        }
        Connectivity::OneToOne => {
            let plane = (x.len() / source.first().copied().unwrap_or(1).max(1)).max(1);
            let weight = |i: usize| match weights {
                [w] => *w,
                many => many.get(i / plane).copied().unwrap_or(0.0),
            };
            x.iter().enumerate().map(|(i, x)| weight(i) * x).collect()
        }
        Connectivity::Convolution { window, groups } => {
            convolved(window, *groups, weights, (x, source), target)
        }
    }
}

/// `[rows, columns]` of a plane; a line has one row.
pub(super) fn plane(dims: &[usize], fill: usize) -> [usize; 2] {
    match *dims {
        [x] => [fill, x],
        [y, x] => [y, x],
        _ => [fill, fill],
    }
}

/// The position along one axis that tap `k` of the window at `i` meets.
pub(super) fn met(
    window: &Window,
    axis: usize,
    i: usize,
    k: usize,
    extent: usize,
) -> Option<usize> {
    let (strides, dilations) = (plane(&window.strides, 1), plane(&window.dilations, 1));
    let along = i * strides[axis] + k * dilations[axis];
    along.checked_sub(plane(&window.before, 0)[axis]).filter(|&p| p < extent)
}

fn convolved(
    window: &Window,
    groups: usize,
    weights: &[f32],
    (x, source): (&[f32], &[usize]),
    target: &[usize],
) -> Vec<f32> {
    let ([height, width], [rows, columns]) = (plane(&source[1..], 1), plane(&target[1..], 1));
    let [taps_y, taps_x] = plane(&window.kernel, 1);
    let (inputs, outputs) = (source[0] / groups.max(1), target[0] / groups.max(1));
    let mut sums = Vec::with_capacity(target.iter().product());
    for channel in 0..target[0] {
        let first = channel / outputs.max(1) * inputs;
        for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let mut sum = 0.0;
            for (c, ky, kx) in (0..inputs).flat_map(|c| {
                (0..taps_y).flat_map(move |ky| (0..taps_x).map(move |kx| (c, ky, kx)))
            }) {
                let (Some(y), Some(at)) =
                    (met(window, 0, row, ky, height), met(window, 1, column, kx, width))
                else {
                    continue;
                };
                let tap = ((channel * inputs + c) * taps_y + ky) * taps_x + kx;
                sum += weights[tap] * x[((first + c) * height + y) * width + at];
            }
            sums.push(sum);
        }
    }
    sums
}

/// Largest value of each window; padding never wins.
fn maxima(window: &Window, (x, source): (&[f32], &[usize]), target: &[usize]) -> Vec<f32> {
    let ([height, width], [rows, columns]) = (plane(&source[1..], 1), plane(&target[1..], 1));
    let [taps_y, taps_x] = plane(&window.kernel, 1);
    let mut out = Vec::with_capacity(target.iter().product());
    for channel in 0..target[0] {
        for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let cells = (0..taps_y).flat_map(|ky| (0..taps_x).map(move |kx| (ky, kx)));
            let inside = cells.filter_map(|(ky, kx)| {
                let (y, at) =
                    (met(window, 0, row, ky, height)?, met(window, 1, column, kx, width)?);
                Some(x[(channel * height + y) * width + at])
            });
            out.push(inside.reduce(f32::max).unwrap_or(0.0));
        }
    }
    out
}

fn joined(axis: usize, operands: &[Vec<f32>], shapes: &[&[usize]]) -> Vec<f32> {
    let outer: usize = shapes.first().map_or(1, |s| s[..axis].iter().product());
    let mut out = Vec::with_capacity(operands.iter().map(Vec::len).sum());
    for i in 0..outer {
        for (operand, shape) in operands.iter().zip(shapes) {
            let run: usize = shape[axis..].iter().product();
            out.extend_from_slice(&operand[i * run..(i + 1) * run]);
        }
    }
    out
}
