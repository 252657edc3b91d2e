//! Layers without neurons between them become one: integers have no neurons that pass a sum on.
//!
//! Two convolutions (a pool is one) are one convolution with a larger kernel where the padding of the second
//! reads nothing of the first's; all else becomes a weight for each pair of neurons.

use snnc_ir::{
    Connectivity, Graph, Neuron, NodeId, Op, Operand, PerChannel, Projection, SpikingOp, Tensor,
    Window,
};

/// Most weights of a projection from each neuron to each, and most products that make it.
const MOST: usize = 1 << 22;
/// Most products that make one.
const WORK: usize = 1 << 28;

/// The network without neurons that only pass sums on, as far as projections can be joined.
pub fn composed(network: &Graph) -> Graph {
    let mut graph = network.clone();
    for id in network.order().unwrap_or_default() {
        let Some(step) = step(&graph, id) else { continue };
        apply(&mut graph, id, step);
    }
    graph.remove_dead();
    graph
}

/// Weights, connectivity and delay between two nodes.
struct Joined {
    into: NodeId,
    old: NodeId,
    from: NodeId,
    delay: u32,
    connectivity: Connectivity,
    weights: Tensor,
}

/// What takes the place of a population that only passes sums on.
struct Step {
    joined: Vec<Joined>,
    /// Constants that reach populations.
    constants: Vec<(NodeId, Vec<f64>)>,
}

/// A projection between maps.
struct Synapses<'a> {
    connectivity: &'a Connectivity,
    weights: Vec<f32>,
    from: &'a [usize],
    to: &'a [usize],
}

impl<'a> Synapses<'a> {
    fn of(graph: &'a Graph, id: NodeId) -> Option<Synapses<'a>> {
        let Some(SpikingOp::Projection(Projection { connectivity, delays, .. })) =
            graph[id].as_spiking()
        else {
            return None;
        };
        if !delays.is_empty() {
            return None;
        }
        let from = graph.source(id, 0)?;
        let weights = graph[id].data.as_ref()?.to_f32();
        let (from, to) = (&graph[from].ty.shape, &graph[id].ty.shape);
        Some(Synapses { connectivity, weights, from, to })
    }

    /// Calls `add` with target, source and weight of each synapse.
    fn each(&self, mut add: impl FnMut(usize, usize, f64)) {
        let plane = |s: &[usize]| s.get(1..).map_or(1, |s| s.iter().product::<usize>()).max(1);
        match self.connectivity {
            Connectivity::Dense => {
                let sources = self.from.iter().product::<usize>().max(1);
                for (i, &w) in self.weights.iter().enumerate() {
                    add(i / sources, i % sources, w.into());
                }
            }
            Connectivity::OneToOne => {
                for i in 0..self.from.iter().product() {
                    let w = PerChannel::of(&self.weights).at(i / plane(self.from));
                    add(i, i, (*w).into());
                }
            }
            Connectivity::Convolution { window, groups } => {
                let taps: usize = window.kernel.iter().product();
                let (inputs, outputs) = (self.from[0] / groups, self.to[0] / groups);
                for place in 0..plane(self.to) {
                    for tap in 0..taps {
                        let Some(cell) = cell(window, &self.from[1..], &self.to[1..], place, tap)
                        else {
                            continue;
                        };
                        for feature in 0..self.to[0] {
                            for channel in 0..inputs {
                                let source =
                                    (feature / outputs * inputs + channel) * plane(self.from);
                                let w = self.weights[(feature * inputs + channel) * taps + tap];
                                add(feature * plane(self.to) + place, source + cell, w.into());
                            }
                        }
                    }
                }
            }
        }
    }

    fn count(&self) -> usize {
        match self.connectivity {
            Connectivity::Convolution { .. } => {
                let plane: usize = self.to[1..].iter().product();
                self.weights.len().saturating_mul(plane)
            }
            Connectivity::OneToOne => self.from.iter().product(),
            Connectivity::Dense => self.weights.len(),
        }
    }
}

/// The cell under a tap at a place; `None` in the padding.
fn cell(window: &Window, from: &[usize], to: &[usize], place: usize, tap: usize) -> Option<usize> {
    let (mut place, mut tap, mut cell, mut run) = (place, tap, 0, 1);
    for axis in (0..from.len()).rev() {
        let at = place % to[axis] * window.strides[axis]
            + tap % window.kernel[axis] * window.dilations[axis];
        cell += at.checked_sub(window.before[axis]).filter(|&c| c < from[axis])? * run;
        run *= from[axis];
        place /= to[axis];
        tap /= window.kernel[axis];
    }
    Some(cell)
}

/// How to do without a population, if it only passes sums on to synapses and all can be joined.
fn step(graph: &Graph, id: NodeId) -> Option<Step> {
    let Some(SpikingOp::Population(p)) = graph[id].as_spiking() else { return None };
    let Neuron::Float(n) = &p.neuron else { return None };
    let passes = n.firing.is_none() && n.current.is_none() && n.initial.is_empty();
    let users = graph.users(id);
    if !passes || n.decay.iter().any(|&d| d != 0.0) || users.is_empty() {
        return None;
    }
    let neurons = graph[id].ty.len();
    let entry = |values: &[f32], i: usize, absent: f64| match values {
        [] => absent,
        [one] => f64::from(*one),
        many => many.get(i).copied().map_or(absent, f64::from),
    };
    let gain: Vec<f64> = (0..neurons).map(|i| entry(&n.gain, i, 1.0)).collect();
    let offset = |i: usize| gain[i] * entry(&n.input_bias, i, 0.0) + entry(&n.drive, i, 0.0);
    let offset: Vec<f64> = (0..neurons).map(offset).collect();
    let (mut joined, mut constants) = (Vec::new(), Vec::new());
    for user in users {
        let behind = Synapses::of(graph, user)?;
        let &[into] = graph.users(user).as_slice() else { return None };
        let late = graph.operands(user).first()?.delay;
        // A constant would be late too.
        if late > 0 && offset.iter().any(|&o| o != 0.0) {
            return None;
        }
        let targets: usize = behind.to.iter().product();
        let mut sums = vec![0.0; targets];
        behind.each(|t, s, w| sums[t] += w * offset[s]);
        constants.push((into, sums));
        for before in graph.sources(id) {
            let front = Synapses::of(graph, before)?;
            let from = graph.operands(before).first().copied()?;
            let (connectivity, weights) = join(&front, &gain, &behind)?;
            joined.push(Joined {
                into,
                old: user,
                from: from.source,
                delay: from.delay + late,
                connectivity,
                weights,
            });
        }
    }
    Some(Step { joined, constants })
}

fn apply(graph: &mut Graph, id: NodeId, step: Step) {
    for (into, sums) in step.constants {
        if sums.iter().all(|&s| s == 0.0) {
            continue;
        }
        if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[into].op
            && let Neuron::Float(n) = &mut p.neuron
        {
            let bias = std::mem::take(&mut n.input_bias);
            let own = |i: usize| f64::from(*bias.get(i).or(bias.first()).unwrap_or(&0.0));
            n.input_bias = sums.iter().enumerate().map(|(i, s)| (own(i) + s) as f32).collect();
        }
    }
    for new in step.joined {
        let mut node = graph[new.old].clone();
        node.name = graph.fresh_name(&node.name);
        node.op = Op::Spiking(SpikingOp::Projection(Projection::exact(new.connectivity)));
        node.data = Some(new.weights);
        let projection = graph.add(node, &[]);
        graph.connect(new.from, projection, new.delay);
        graph.connect(projection, new.into, 0);
    }
    for user in graph.users(id) {
        for into in graph.users(user) {
            let kept: Vec<Operand> =
                graph.operands(into).into_iter().filter(|o| o.source != user).collect();
            graph.set_operands(into, &kept);
        }
    }
}

/// Two projections as one.
fn join(
    front: &Synapses<'_>,
    gain: &[f64],
    behind: &Synapses<'_>,
) -> Option<(Connectivity, Tensor)> {
    if let Some(joined) = convolutions(front, gain, behind) {
        return Some(joined);
    }
    let (sources, targets) = (front.from.iter().product(), behind.to.iter().product::<usize>());
    let between = gain.len();
    let fan = front.count() / between.max(1) + 1;
    if targets.checked_mul(sources)? > MOST || behind.count().checked_mul(fan)? > WORK {
        return None;
    }
    let mut rows: Vec<Vec<(usize, f64)>> = vec![Vec::new(); between];
    front.each(|t, s, w| rows[t].push((s, w * gain[t])));
    let mut weights = vec![0.0f64; targets * sources];
    behind.each(|t, r, w| {
        for &(s, v) in &rows[r] {
            weights[t * sources + s] += w * v;
        }
    });
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    Some((Connectivity::Dense, Tensor::from_f32(&[targets, sources], &weights)))
}

/// One entry for each channel, where all of its neurons have one.
fn by_channel(gain: &[f64], channels: usize) -> Option<Vec<f64>> {
    let rows = gain.chunks((gain.len() / channels.max(1)).max(1));
    rows.map(|row| row.iter().all(|g| *g == row[0]).then_some(row[0])).collect()
}

fn convolutions(
    front: &Synapses<'_>,
    gain: &[f64],
    behind: &Synapses<'_>,
) -> Option<(Connectivity, Tensor)> {
    let (a, b) = (windowed(front)?, windowed(behind)?);
    let gain = by_channel(gain, front.to[0])?;
    let window =
        joined_window(&a.window, &b.window, (&front.from[1..], &front.to[1..]), &behind.to[1..])?;
    let depthwise = a.groups == front.from[0]
        && b.groups == a.groups
        && front.to[0] == a.groups
        && behind.to[0] == a.groups;
    let groups = if depthwise { a.groups } else { 1 };
    let inputs = front.from[0] / groups;
    let cells: usize = window.kernel.iter().product();
    let [taps_a, taps_b] = [&a.window, &b.window].map(|w| w.kernel.iter().product::<usize>());
    let (inputs_a, outputs_a) = (front.from[0] / a.groups, front.to[0] / a.groups);
    let (inputs_b, outputs_b) = (behind.from[0] / b.groups, behind.to[0] / b.groups);
    let mut weights = vec![0.0f64; behind.to[0] * inputs * cells];
    for feature in 0..behind.to[0] {
        for via in 0..inputs_b {
            let middle = feature / outputs_b * inputs_b + via;
            for channel in 0..inputs_a {
                let source = middle / outputs_a * inputs_a + channel;
                let row = feature * inputs + if groups == 1 { source } else { 0 };
                for (tap_b, tap_a) in (0..taps_b).flat_map(|y| (0..taps_a).map(move |x| (y, x))) {
                    let at = reach(&window, (&a.window, tap_a), (&b.window, tap_b));
                    let w = f64::from(b.weights[(feature * inputs_b + via) * taps_b + tap_b]);
                    let v = f64::from(a.weights[(middle * inputs_a + channel) * taps_a + tap_a]);
                    weights[row * cells + at] += w * gain[middle] * v;
                }
            }
        }
    }
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let shape = [&[behind.to[0], inputs], window.kernel.as_slice()].concat();
    let weights = Tensor::from_f32(&shape, &weights);
    Some((Connectivity::Convolution { window, groups }, weights))
}

struct Windowed {
    window: Window,
    groups: usize,
    weights: Vec<f32>,
}

/// A convolution, or a factor for each channel as one.
fn windowed(s: &Synapses<'_>) -> Option<Windowed> {
    match s.connectivity {
        Connectivity::Convolution { window, groups } => {
            Some(Windowed { window: window.clone(), groups: *groups, weights: s.weights.clone() })
        }
        Connectivity::OneToOne if s.from.len() > 1 => {
            let (groups, kernel) = (s.from[0], vec![1; s.from.len() - 1]);
            let weight = |c: usize| *PerChannel::of(&s.weights).at(c);
            let weights = (0..groups).map(weight).collect();
            Some(Windowed { window: Window::plain(&kernel), groups, weights })
        }
        _ => None,
    }
}

/// The window of both; `None` where the padding of the second would read of the first.
fn joined_window(
    a: &Window,
    b: &Window,
    (from, middle): (&[usize], &[usize]),
    to: &[usize],
) -> Option<Window> {
    let mut window = Window::plain(&vec![1; a.rank()]);
    for axis in 0..a.rank() {
        let extent = (a.kernel[axis] - 1) * a.dilations[axis] + 1;
        let step = a.strides[axis];
        // Cell -1 of the middle map would end before the map begins, and cell n begin behind its end.
        if b.before[axis] > 0 && extent > step + a.before[axis] {
            return None;
        }
        let wide = (b.kernel[axis] - 1) * b.dilations[axis];
        let furthest =
            (to[axis].checked_sub(1)? * b.strides[axis] + wide).checked_sub(b.before[axis]);
        let padded = furthest.is_some_and(|f| f >= middle[axis]);
        if padded && middle[axis] * step < from[axis] + a.before[axis] {
            return None;
        }
        window.kernel[axis] = wide * step + extent;
        window.strides[axis] = b.strides[axis] * step;
        window.before[axis] = a.before[axis] + b.before[axis] * step;
        let end = (to[axis] - 1) * window.strides[axis] + window.kernel[axis];
        let inside = from[axis] + window.before[axis];
        window.after[axis] = end.saturating_sub(inside);
        // One window more would fit.
        if end + window.strides[axis] <= inside {
            return None;
        }
    }
    Some(window)
}

/// The cell of the joined kernel under two taps.
fn reach(window: &Window, (a, tap_a): (&Window, usize), (b, tap_b): (&Window, usize)) -> usize {
    let (mut tap_a, mut tap_b, mut at, mut run) = (tap_a, tap_b, 0, 1);
    for axis in (0..window.rank()).rev() {
        let [x, y] =
            [(a, tap_a), (b, tap_b)].map(|(w, tap)| tap % w.kernel[axis] * w.dilations[axis]);
        at += (x + y * a.strides[axis]) * run;
        run *= window.kernel[axis];
        tap_a /= a.kernel[axis];
        tap_b /= b.kernel[axis];
    }
    at
}
