//! From a graph of real neurons to a plan: weights packed, places met, lists bounded.

use std::collections::HashMap;

use snnc_ir::{Connectivity, FloatNeuron, Graph, Node, NodeId, Projection, SpikingOp, Window};

use super::convolution::{Convolution, Meetings, SpikeConvolution};
use super::plan::{Action, Operand, Plan, Step};
use super::scalar::{met, plane};
use crate::kernels::Isa;
use crate::kernels::reals::Rows;
use crate::kernels::reals::bits::Layout;
use crate::kernels::reals::neurons::Neurons;

/// Timesteps that are run at once, at most.
const CHUNK: usize = 32;

/// Words of bits of a convolution, unless one timestep needs more.
const WORDS: usize = 1 << 16;

/// Entries of the lists of one timestep beyond which a network is left to the scalar interpreter.
const MOST_LISTED: usize = 1 << 26;

/// Bytes of weights of one node that a second-level cache holds no large part of.
const FAR: usize = 4 << 20;

/// Samples that share weights from afar.
const TOGETHER: usize = 8;

/// Numbers in the buffers of one node.
const LARGEST: usize = 1 << 28;

/// The plan of a graph, `None` if it belongs to the scalar interpreter.
pub(super) fn plan(graph: &Graph, order: &[NodeId], isa: Isa) -> Option<Plan> {
    let places: HashMap<NodeId, usize> = order.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    let chunk = chunk(graph, order, &places);
    let mut plan = Plan {
        isa,
        chunk,
        steps: Vec::with_capacity(order.len()),
        together: 1,
        joined: 0,
        outputs: Vec::new(),
        populations: 0,
        lists: [0; 2],
    };
    for &id in order {
        let len = graph[id].ty.len();
        let operands: Option<Vec<Operand>> = graph
            .operands(id)
            .iter()
            .map(|o| Some(Operand { from: *places.get(&o.source)?, delay: o.delay as usize }))
            .collect();
        let users = graph.users(id);
        let delays = users.iter().flat_map(|&u| graph.operands(u));
        let history = delays.filter(|o| o.source == id).map(|o| o.delay as usize).max();
        let mut step = Step {
            id,
            len,
            history: history.unwrap_or(0),
            listed: false,
            binary: false,
            constant: false,
            many: false,
            operands: operands?,
            action: Action::Silence,
        };
        // A node that reads itself would be lent while it is written.
        let alone = step.operands.iter().any(|o| o.from == plan.steps.len());
        if alone || len == 0 || step.history.checked_add(chunk)?.checked_mul(len)? > LARGEST {
            return None;
        }
        action(graph, &mut plan, &mut step)?;
        let later = |u: &NodeId| places.get(u).is_some_and(|&user| user > plan.steps.len());
        step.listed = users.iter().any(|u| match graph[*u].as_spiking() {
            Some(SpikingOp::Projection(p)) => lists(p, step.binary && later(u)),
            _ => false,
        });
        let constant = match &step.action {
            Action::Encode { .. } => true,
            Action::Fire { .. } | Action::Decode { .. } => false,
            _ => step.operands.iter().all(|o| plan.steps.get(o.from).is_some_and(|s| s.constant)),
        };
        // What is read late is 0 before it is what it stays.
        step.constant = constant && step.history == 0;
        plan.steps.push(step);
    }
    join(&mut plan, graph.timing.timesteps);
    Some(plan)
}

/// Lets samples go through the last nodes together, if these have more weights than stay near: they then
/// come from afar once for all of them.
fn join(plan: &mut Plan, timesteps: usize) {
    let far = plan.steps.iter().position(|step| match &step.action {
        Action::Dense { rows } | Action::DenseSpikes { rows, .. } => rows.bytes() > FAR,
        Action::Convolve(c) => c.rows.bytes() > FAR,
        Action::ConvolveSpikes(c) => c.rows.bytes() > FAR,
        _ => false,
    });
    let Some(far) = far.filter(|_| timesteps <= plan.chunk) else { return };
    // A delay may reach back into a sample that has left the buffers.
    let room = LARGEST / (plan.chunk * TOGETHER);
    if plan.steps.iter().any(|step| step.history > 0 || step.len > room) {
        return;
    }
    (plan.together, plan.joined) = (TOGETHER, far);
    let (before, behind) = plan.steps.split_at_mut(far);
    for step in behind {
        step.many = true;
        for o in &step.operands {
            if let Some(read) = before.get_mut(o.from) {
                read.many = true;
            }
        }
    }
}

/// As many timesteps as a cycle takes, at most [`CHUNK`].
fn chunk(graph: &Graph, order: &[NodeId], places: &HashMap<NodeId, usize>) -> usize {
    let mut chunk = graph.timing.timesteps.clamp(1, CHUNK);
    for (place, &id) in order.iter().enumerate() {
        for o in graph.operands(id) {
            if places.get(&o.source).is_none_or(|&source| source >= place) {
                chunk = chunk.min((o.delay as usize).max(1));
            }
        }
    }
    chunk
}

/// Whether a node reads lists of what its source sends; one whose `spikes` are known to be no more than
/// that has bits instead, where they fit.
fn lists(p: &Projection, spikes: bool) -> bool {
    match &p.connectivity {
        Connectivity::OneToOne => false,
        Connectivity::Dense => !spikes,
        Connectivity::Convolution { window, groups } => {
            let taps = window.kernel.iter().product();
            !(spikes && *groups == 1 && Layout::new(1, taps).is_some())
        }
    }
}

fn action(graph: &Graph, plan: &mut Plan, step: &mut Step) -> Option<()> {
    let node = &graph[step.id];
    let first = graph.inputs().first() == Some(&step.id);
    let sources: Vec<&Node> = graph.sources(step.id).into_iter().map(|s| &graph[s]).collect();
    let operand = |port: usize| sources.get(port).copied();
    // Of what is computed later it is not known yet.
    let binary = |o: &Operand| plan.steps.get(o.from).is_some_and(|s| s.binary);
    step.action = match node.as_spiking()? {
        SpikingOp::Encoder(e) if first => Action::Encode { scale: e.scale },
        SpikingOp::Encoder(_) => Action::Silence,
        SpikingOp::Projection(p) => {
            let source = operand(0)?;
            let binary = step.operands.first().is_some_and(binary);
            projection(node, p, source, plan, binary)?
        }
        SpikingOp::Population(p) => {
            let neuron = p.neuron.get::<FloatNeuron>()?;
            if sources.iter().any(|s| s.ty.len() != step.len) {
                return None;
            }
            let neurons = Neurons::new(neuron, step.len)?;
            step.binary = neurons.is_binary();
            plan.populations += 1;
            Action::Fire { neurons: Box::new(neurons), state: plan.populations - 1 }
        }
        SpikingOp::MaxPool { window } => {
            step.binary = step.operands.first().is_some_and(binary);
            let from = &operand(0)?.ty.shape;
            let (cells, width) = pool(window, from, &node.ty.shape)?;
            match fours(window, from) {
                Some(width) => Action::PoolFours { width },
                None => Action::Pool { cells, width },
            }
        }
        SpikingOp::RunningMaxPool { .. } => return None,
        SpikingOp::Concatenate { axis } => {
            step.binary = step.operands.iter().all(binary);
            let shapes: Vec<&[usize]> = sources.iter().map(|s| s.ty.shape.as_slice()).collect();
            Action::Concatenate { runs: runs(*axis, &shapes, step.len)? }
        }
        SpikingOp::Decoder(d) => {
            if operand(0)?.ty.len() != step.len {
                return None;
            }
            let output = graph.outputs().iter().position(|&o| o == step.id)?;
            plan.outputs.resize(plan.outputs.len().max(output + 1), 0);
            plan.outputs[output] = step.len;
            Action::Decode { readout: d.readout, output }
        }
    };
    Some(())
}

fn projection(
    node: &Node,
    p: &Projection,
    source: &Node,
    plan: &mut Plan,
    binary: bool,
) -> Option<Action> {
    let weights = node.data.as_ref()?.to_f32();
    let (sources, targets) = (source.ty.len(), node.ty.len());
    // Nothing times infinity is not a number, whether or not it is left out.
    if weights.iter().any(|w| !w.is_finite()) || u32::try_from(sources).is_err() {
        return None;
    }
    match &p.connectivity {
        Connectivity::Dense => {
            if weights.len() != sources.checked_mul(targets)? {
                return None;
            }
            let rows = Rows::new(sources, targets, |t, s| weights[t * sources + s]);
            Some(match lists(p, binary) {
                true => Action::Dense { rows },
                false => Action::DenseSpikes { rows, sources },
            })
        }
        Connectivity::OneToOne => {
            let channels = source.ty.shape.first().copied().unwrap_or(1).max(1);
            let plane = (sources / channels).max(1);
            if targets != sources || weights.is_empty() {
                return None;
            }
            let weight = |i: usize| match weights.as_slice() {
                [w] => *w,
                many => many.get(i / plane).copied().unwrap_or(0.0),
            };
            Some(Action::OneToOne { weights: (0..sources).map(weight).collect() })
        }
        Connectivity::Convolution { window, groups } => {
            let (from, to) = (source.ty.shape.as_slice(), node.ty.shape.as_slice());
            let meetings = meetings(window, from, to)?;
            let taps = meetings.taps;
            let (inputs, outputs) = (from[0].checked_div(*groups)?, to[0].checked_div(*groups)?);
            if weights.len() != to[0] * inputs * taps
                || inputs * groups != from[0]
                || outputs * groups != to[0]
            {
                return None;
            }
            if *groups > 1 {
                return Some(Action::Scatter { weights, meetings, inputs, outputs });
            }
            // A list holds at most every tap of every channel.
            let (longest, each) = (inputs * taps, inputs * taps * meetings.planes[1]);
            if each > MOST_LISTED || u32::try_from(longest).is_err() {
                return None;
            }
            let rows = Rows::new(longest, outputs, |t, s| weights[t * longest + s]);
            let layout = Layout::new(inputs, taps).filter(|_| !lists(p, binary));
            let Some(layout) = layout else {
                plan.lists[0] = plan.lists[0].max(each);
                plan.lists[1] = plan.lists[1].max(meetings.planes[1]);
                return Some(Action::Convolve(Convolution { rows, meetings, channels: inputs }));
            };
            let words = layout.stride() * meetings.planes[1];
            let together = (WORDS / words.max(1)).clamp(1, plan.chunk);
            let convolution = SpikeConvolution::new(rows, layout, &meetings, together);
            Some(Action::ConvolveSpikes(convolution))
        }
    }
}

/// Which places meet in a window, tap by tap.
fn meetings(window: &Window, from: &[usize], to: &[usize]) -> Option<Meetings> {
    let ([height, width], [rows, columns]) = (plane(from.get(1..)?, 1), plane(to.get(1..)?, 1));
    let [taps_y, taps_x] = plane(&window.kernel, 1);
    let planes = [height * width, rows * columns];
    let mut each: Vec<Vec<(u32, u32)>> = vec![Vec::new(); planes[0]];
    for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        for (ky, kx) in (0..taps_y).flat_map(|y| (0..taps_x).map(move |x| (y, x))) {
            if let (Some(y), Some(x)) =
                (met(window, 0, row, ky, height), met(window, 1, column, kx, width))
            {
                let (tap, target) = (ky * taps_x + kx, row * columns + column);
                each.get_mut(y * width + x)?.push((tap as u32, target as u32));
            }
        }
    }
    let mut starts = vec![0];
    for met in &each {
        starts.push(starts.last()? + u32::try_from(met.len()).ok()?);
    }
    Some(Meetings { planes, taps: taps_y * taps_x, starts, met: each.concat() })
}

/// Cells of every window, all windows with the same number: where one has fewer its first is repeated,
/// which changes no maximum. `None` where a window lies in the padding alone.
fn pool(window: &Window, from: &[usize], to: &[usize]) -> Option<(Vec<u32>, usize)> {
    let whole = meetings(window, from, to)?;
    let [source, target] = whole.planes;
    let mut windows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); target];
    for place in 0..source {
        for &(tap, at) in whole.of(place) {
            windows.get_mut(at as usize)?.push((tap, place as u32));
        }
    }
    let width = windows.iter().map(Vec::len).max().unwrap_or(0);
    let mut cells = Vec::with_capacity(to[0] * target * width);
    for channel in 0..to[0] {
        for window in &mut windows {
            window.sort_unstable();
            let first = window.first()?.1;
            let own = window.iter().map(|w| w.1).chain(std::iter::repeat(first)).take(width);
            cells.extend(own.map(|place| (channel * source) as u32 + place));
        }
    }
    let inside = |&c: &u32| (c as usize) < from.iter().product::<usize>();
    cells.iter().all(inside).then_some((cells, width))
}

/// Windows in a row, where they are two by two in steps of two and cover the map.
fn fours(window: &Window, from: &[usize]) -> Option<usize> {
    let [_, height, width] = from else { return None };
    let even = height.is_multiple_of(2) && width.is_multiple_of(2);
    let fours = Window { strides: vec![2, 2], ..Window::plain(&[2, 2]) };
    (even && *window == fours).then_some(width / 2)
}

/// What is copied from where, in order of what is written.
fn runs(axis: usize, shapes: &[&[usize]], len: usize) -> Option<Vec<(usize, usize, usize)>> {
    let outer: usize = shapes.first()?.get(..axis)?.iter().product();
    let mut runs = Vec::with_capacity(outer * shapes.len());
    for i in 0..outer {
        for (operand, shape) in shapes.iter().enumerate() {
            let run: usize = shape.get(axis..)?.iter().product();
            if (i + 1) * run > shape.iter().product() {
                return None;
            }
            runs.push((operand, i * run, run));
        }
    }
    (runs.iter().map(|r| r.2).sum::<usize>() == len).then_some(runs)
}
