//! Networks whose layers run in different forms, and such as run until they settle.

use snnc_ir::{
    Comparison, CurrentBasedNeuron, GradedNeuron, Graph, IntegrateAndFire, Leak, NegativeSpikes,
    Neuron, Node, Op, Operand, Reset, Schedule, SigmaDeltaNeuron, SigmaDeltaRole, SpikingOp, Stage,
    TimeTable, Timing,
};

use super::networks::{Dice, Maker};

/// A network of neurons that take back what was too much, which runs until nothing is sent any more.
pub fn settling_network(seed: u64) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("settling", Stage::Spiking), dice: Dice(seed), count: 0 };
    let timesteps = m.dice.range(1, 7) as usize;
    m.graph.timing = Timing { timesteps, schedule: Schedule::UntilSettled };
    let shape: Vec<usize> =
        vec![m.dice.range(1, 5) as usize, m.dice.range(2, 6) as usize, m.dice.range(2, 6) as usize];
    let mut at = m.encoder(shape.clone());
    for _ in 0..m.dice.range(1, 3) {
        let mut p = m.convolution(at);
        if m.graph[p].ty.shape.iter().all(|&extent| extent > 1) && m.dice.one_in(4) {
            p = m.pool(p, false);
        }
        at = m.population(&[p], 1);
        let channels = m.graph[at].ty.shape[0];
        let neuron = IntegrateAndFire {
            threshold: TimeTable::per_channel(m.dice.many(channels, 30, 9000)),
            reset: Reset::Soft,
            initial: m.dice.many(channels, -9, 900),
            leak: Leak::None,
            maximum: if m.dice.one_in(4) { 3 } else { 1 },
            comparison: if m.dice.one_in(3) { Comparison::Above } else { Comparison::AtLeast },
            signed_limit: Some(NegativeSpikes::Retracting {
                minimum: m.dice.range(-2, 0),
                maximum: m.dice.range(1, 9),
            }),
            decode: None,
        };
        let Op::Spiking(SpikingOp::Population(own)) = &mut m.graph[at].op else { unreachable!() };
        own.neuron = Neuron::IntegrateAndFire(neuron);
        if m.dice.one_in(3) && m.graph[at].ty.shape[2] > 1 {
            let running = m.dice.one_in(2);
            at = m.pool(at, running);
        }
    }
    m.read_out(at);
    (m.graph, shape.iter().product())
}

/// Neurons that keep a state of their own, or send more than a byte.
fn other_neuron(dice: &mut Dice, channels: usize) -> Neuron {
    match dice.range(0, 3) {
        0 => Neuron::CurrentBased(CurrentBasedNeuron {
            current_decay: dice.range(0, 4096),
            voltage_decay: dice.range(0, 4096),
            threshold: dice.range(5, 90),
            bias: Vec::new(),
            bias_exponent: 0,
            fires: true,
            reset: None,
        }),
        1 => Neuron::Graded(GradedNeuron {
            multiplier: vec![1],
            offset: vec![0],
            divisor: vec![dice.range(1, 3)],
            minimum: -9000,
            maximum: 20_000,
        }),
        2 => Neuron::Accumulate,
        _ => Neuron::SigmaDelta(SigmaDeltaNeuron {
            role: SigmaDeltaRole::SigmaDelta,
            threshold: dice.range(0, 3),
            bias: if dice.one_in(2) { Vec::new() } else { dice.many(channels, -20, 20) },
            spike_exponent: dice.range(0, 6) as u8,
            state_exponent: dice.range(0, 6) as u8,
        }),
    }
}

/// A network of layers on bytes and on numbers of any size, pools on sums, delays and encoders of many bits; with its
/// input's length.
pub fn mixed_network(seed: u64) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("mixed", Stage::Spiking), dice: Dice(seed), count: 0 };
    m.dice.many(5, 0, 1);
    let steps = m.dice.range(1, 5) as usize;
    let schedule = if m.dice.one_in(4) { Schedule::LayerSynchronous } else { Schedule::Streaming };
    m.graph.timing = Timing { timesteps: steps, schedule };
    let shape: Vec<usize> =
        vec![m.dice.range(1, 5) as usize, m.dice.range(2, 5) as usize, m.dice.range(2, 5) as usize];
    let mut at = m.encoder(shape.clone());
    let (delta, wide) = (m.dice.one_in(2), m.dice.one_in(4));
    if let (true, Op::Spiking(SpikingOp::Encoder(e))) = (wide, &mut m.graph[at].op) {
        (e.minimum, e.maximum) = (-3000, 3000);
    }
    if delta {
        let neuron = SigmaDeltaNeuron {
            role: SigmaDeltaRole::Delta,
            threshold: m.dice.range(0, 2),
            bias: Vec::new(),
            spike_exponent: m.dice.range(0, 6) as u8,
            state_exponent: m.dice.range(0, 6) as u8,
        };
        at = m.population_of(&[at], Neuron::SigmaDelta(neuron));
    }
    for _ in 0..m.dice.range(1, 3) {
        let mut p = m.convolution(at);
        let pooled = m.graph[p].ty.shape.iter().all(|&extent| extent > 1) && m.dice.one_in(4);
        if pooled {
            let running = m.dice.one_in(3);
            p = m.pool(p, running);
        }
        at = m.population(&[p], steps);
        let channels = m.graph[at].ty.shape[0];
        if m.dice.one_in(2) {
            let neuron = other_neuron(&mut m.dice, channels);
            let plain = m.dice.one_in(2);
            let Op::Spiking(SpikingOp::Population(own)) = &mut m.graph[at].op else {
                unreachable!()
            };
            own.neuron = neuron;
            if plain {
                own.bias.clear();
            }
        }
        if schedule == Schedule::Streaming && m.dice.one_in(2) {
            let late = if m.dice.one_in(2) { p } else { at };
            let delay = m.dice.range(1, 2) as u32;
            let source = m.graph.source(late, 0).unwrap();
            m.graph.set_operands(late, &[Operand { source, delay }]);
        }
        if m.dice.one_in(4) && m.graph[at].ty.shape[2] > 1 {
            let running = m.dice.one_in(2);
            at = m.pool(at, running);
        }
        if m.dice.one_in(5) {
            let mut shape = m.graph[at].ty.shape.clone();
            let axis = m.dice.range(0, 2) as usize;
            shape[axis] *= 2;
            let name = m.name("c");
            let join = SpikingOp::Concatenate { axis };
            at = m.graph.add(Node::spiking(name, join, shape), &[at, at]);
        }
    }
    m.read_out(at);
    (m.graph, shape.iter().product())
}
