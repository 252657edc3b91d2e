//! How often a layer reads, writes, adds and multiplies: one function for each way of counting.
//!
//! Symbols of the paper: K taps, Nin and Nout neurons, T timesteps, theta_in and theta_out spikes for
//! one sample, F messages of a queue. An addition of a term to a membrane potential is an ACC, a
//! multiplication with addition a MAC.

use super::layer::{Input, Kind, Layer, Memories, Neurons, Payload};
use super::profile::{Counting, Memory, Profile};

/// The terms into which energy is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// Reading and writing membrane potentials.
    Potentials,
    /// Reading weights.
    Weights,
    /// Reading biases.
    Bias,
    /// Reading what arrives and writing what leaves.
    InputOutput,
    /// Additions and multiplications of the neurons' arithmetic.
    Operations,
    /// Those that find addresses.
    Addressing,
}

impl Term {
    /// Every term, in the order of reports.
    pub const ALL: [Term; 6] = [
        Term::Potentials,
        Term::Weights,
        Term::Bias,
        Term::InputOutput,
        Term::Operations,
        Term::Addressing,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Term::Potentials => "potentials",
            Term::Weights => "weights",
            Term::Bias => "bias",
            Term::InputOutput => "io",
            Term::Operations => "operations",
            Term::Addressing => "addressing",
        }
    }
}

/// Accesses of one kind to one memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Access {
    /// The term that it belongs to; not operations or addressing.
    pub term: Term,
    /// How many.
    pub count: f64,
    /// The memory.
    pub memory: Memory,
}

/// What one layer does for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// The rule by which the layer was counted: `formal`, `binary`, `frame`, `graded`, `free`.
    pub rule: &'static str,
    /// Accesses to memories.
    pub accesses: Vec<Access>,
    /// Multiplications with addition.
    pub mac: f64,
    /// Additions.
    pub acc: f64,
    /// Multiplications alone.
    pub multiply: f64,
    /// Multiplications with addition that find addresses.
    pub address_mac: f64,
    /// Additions that find addresses.
    pub address_acc: f64,
    /// Bits of an addition.
    pub adder_bits: f64,
    /// Bits of a multiplication: the geometric mean of both operands'.
    pub multiplier_bits: f64,
    /// Bits of an address.
    pub address_bits: f64,
}

/// Bits that tell `n` things apart.
fn address_bits(n: f64) -> u32 {
    (n.max(2.0).log2().ceil() as u32).max(1)
}

impl Tally {
    fn new(rule: &'static str, layer: &Layer, profile: &Profile) -> Tally {
        let word = f64::from(profile.word_bits);
        let (mut adder_bits, mut multiplier_bits, mut address) = (word, word, word);
        if profile.counting == Counting::Hardware {
            let operand = match layer.input {
                Input::Formal => layer.widths.weight,
                Input::Spikes { payload, .. } => payload.bits,
            };
            adder_bits = f64::from(layer.widths.potential);
            multiplier_bits = (f64::from(layer.widths.weight) * f64::from(operand)).sqrt();
            address = f64::from(address_bits(layer.outputs as f64));
        }
        Tally {
            rule,
            accesses: Vec::new(),
            mac: 0.0,
            acc: 0.0,
            multiply: 0.0,
            address_mac: 0.0,
            address_acc: 0.0,
            adder_bits,
            multiplier_bits,
            address_bits: address,
        }
    }

    fn access(&mut self, term: Term, count: f64, words: f64, bits: u32) {
        self.meet(term, count, Memory { words, bits });
    }

    fn meet(&mut self, term: Term, count: f64, memory: Memory) {
        if count > 0.0 {
            self.accesses.push(Access { term, count, memory });
        }
    }

    /// Counts one layer as `profile` does.
    pub fn of(layer: &Layer, profile: &Profile) -> Tally {
        match (layer.input, profile.counting) {
            (Input::Formal, _) => formal(layer, profile),
            (Input::Spikes { payload, events, presentations }, Counting::Qualia) => {
                qualia(layer, profile, payload, events, presentations)
            }
            (Input::Spikes { payload, events, presentations }, Counting::Paper) => {
                paper(layer, profile, payload, events, presentations)
            }
            (Input::Spikes { payload, events, .. }, Counting::Events | Counting::Hardware) => {
                by_events(layer, profile, payload, events)
            }
        }
    }
}

/// Words of 32 bits, or the layer's own.
fn widths(layer: &Layer, profile: &Profile) -> (u32, u32) {
    if profile.counting == Counting::Hardware {
        (layer.widths.weight, layer.widths.potential)
    } else {
        (profile.word_bits, profile.word_bits)
    }
}

/// A layer of an ordinary network: every input read for every weight, every output written once.
fn formal(layer: &Layer, profile: &Profile) -> Tally {
    let mut t = Tally::new("formal", layer, profile);
    let (inputs, outputs) = (layer.inputs as f64, layer.outputs as f64);
    if let Kind::OneToOne { shape } = &layer.kind {
        return added(t, layer, profile, shape);
    }
    let (weight_bits, word) = widths(layer, profile);
    let operations = layer.formal_operations();
    let reads = if layer.kind == Kind::Dense { inputs } else { operations };
    t.access(Term::InputOutput, reads, inputs, word);
    t.access(Term::InputOutput, outputs, outputs, word);
    let biased = layer.bias || profile.counting != Counting::Paper;
    let bias_reads = if biased && layer.neurons != Neurons::Shared { outputs } else { 0.0 };
    if profile.counting == Counting::Paper {
        let words = layer.weights() + if layer.bias { layer.biases() } else { 0.0 };
        t.access(Term::Weights, operations, words, weight_bits);
        t.access(Term::Bias, bias_reads, words, weight_bits);
    } else {
        t.access(Term::Weights, operations, layer.weights(), weight_bits);
        t.access(Term::Bias, bias_reads, layer.biases(), word);
    }
    (t.mac, t.acc) = (operations, bias_reads);
    t.address_acc = match (&layer.kind, profile.counting) {
        (Kind::Dense, Counting::Qualia) => inputs * outputs,
        (Kind::Dense, _) => inputs + outputs,
        _ => inputs + outputs + layer.output_channels as f64 * layer.taps(),
    };
    t
}

/// An addition of two maps of an ordinary network. Qualia adds the extents of a shape where it would
/// multiply them, and writes as many results as there are channels.
fn added(mut t: Tally, layer: &Layer, profile: &Profile, shape: &[usize]) -> Tally {
    let n = layer.outputs as f64;
    let (count, written) = match profile.counting {
        Counting::Paper => return Tally { rule: "free", ..t },
        Counting::Qualia => (shape.iter().sum::<usize>() as f64, layer.output_channels as f64),
        Counting::Events | Counting::Hardware => (n, n),
    };
    let (_, word) = widths(layer, profile);
    t.access(Term::InputOutput, 2.0 * count, n, word);
    t.access(Term::InputOutput, written, n, word);
    (t.acc, t.address_acc) = (count, count);
    t
}

/// Updates of neurons for one sample, and spikes that leave; none where another layer counts them.
fn sweeps(layer: &Layer) -> (f64, f64) {
    match layer.neurons {
        Neurons::Shared => (0.0, 0.0),
        Neurons::ReadOut => (layer.timesteps * layer.outputs as f64, 0.0),
        Neurons::Fire | Neurons::Leak => (layer.timesteps * layer.outputs as f64, layer.events_out),
    }
}

/// As Qualia 2.6.0 counts, with its deviations from the paper: a frame's accesses and operations are
/// counted for one timestep only, the addresses of a dense layer by the input's rate where its count
/// is meant, and additions of maps are free.
fn qualia(
    layer: &Layer,
    profile: &Profile,
    payload: Payload,
    events: f64,
    presentations: f64,
) -> Tally {
    if matches!(layer.kind, Kind::OneToOne { .. }) {
        return Tally::new("free", layer, profile);
    }
    let binary = payload.is_binary();
    let mut t = Tally::new(if binary { "binary" } else { "frame" }, layer, profile);
    let word = profile.word_bits;
    let outputs = layer.outputs as f64;
    let (swept, sent) = sweeps(layer);
    // Events of the accesses: one frame of a network with dense input.
    let seen = if binary { events } else { events / presentations.max(1.0) };
    let rate = seen / (layer.inputs as f64).max(1.0);
    let fan_out = layer.fan_out();
    t.access(Term::Potentials, 2.0 * (events * fan_out + swept), outputs, word);
    t.access(Term::Weights, seen * fan_out, layer.weights(), word);
    t.access(Term::Bias, swept, layer.biases(), word);
    t.access(Term::InputOutput, seen + sent, profile.fifo as f64, word);
    let leaks = layer.neurons == Neurons::Leak;
    let counted = layer.neurons != Neurons::Shared;
    if binary {
        t.acc = events * layer.strided_fan_out() + swept + sent;
        t.mac = if leaks { swept } else { 0.0 };
    } else {
        t.mac = layer.formal_operations() * rate;
        t.acc = if counted { outputs } else { 0.0 } + sent;
        t.multiply = if leaks { outputs } else { 0.0 };
    }
    if layer.kind == Kind::Dense {
        t.address_acc = rate * outputs;
    } else {
        (t.address_mac, t.address_acc) = (2.0 * seen, seen * layer.taps());
    }
    t
}

/// As SpikingJelly 2.0.0 reads the paper: weights and biases in one memory, biases only where there
/// are some, potentials swept only by neurons that fire, layers with non-binary input formal in every
/// timestep.
fn paper(
    layer: &Layer,
    profile: &Profile,
    payload: Payload,
    events: f64,
    presentations: f64,
) -> Tally {
    let word = profile.word_bits;
    let (inputs, outputs) = (layer.inputs as f64, layer.outputs as f64);
    let binary = payload.is_binary();
    let free = matches!(layer.kind, Kind::OneToOne { .. });
    let rule = if free {
        "free"
    } else if binary {
        "binary"
    } else {
        "formal"
    };
    let mut t = Tally::new(rule, layer, profile);
    let words = layer.weights() + if layer.bias { layer.biases() } else { 0.0 };
    if free {
        // The paper has no term for additions of maps.
    } else if binary {
        let met = events * layer.fan_out();
        t.access(Term::InputOutput, events, profile.fifo as f64, word);
        t.access(Term::Weights, met, words, word);
        t.access(Term::Potentials, 2.0 * met, outputs, word);
        t.acc = events * layer.strided_fan_out();
        t.address_acc = met;
        t.address_mac = if layer.kind == Kind::Dense { 0.0 } else { 2.0 * events };
    } else {
        let steps = presentations.max(1.0);
        let operations = steps * layer.formal_operations();
        let reads = if layer.kind == Kind::Dense { steps * inputs } else { operations };
        t.access(Term::InputOutput, reads, inputs, word);
        t.access(Term::Weights, operations, words, word);
        t.mac = operations;
        let kernel = layer.output_channels as f64 * layer.taps();
        let kernel = if layer.kind == Kind::Dense { 0.0 } else { kernel };
        t.address_acc = steps * (inputs + outputs + kernel);
    }
    let (swept, sent) = sweeps(layer);
    if layer.bias && !free {
        t.access(Term::Bias, swept, words, word);
        t.acc += swept;
    }
    if matches!(layer.neurons, Neurons::Fire | Neurons::Leak) {
        t.access(Term::Potentials, 2.0 * swept, outputs, word);
        t.access(Term::InputOutput, sent, profile.fifo as f64, word);
        t.acc += sent;
        t.mac += if layer.neurons == Neurons::Leak { swept } else { 0.0 };
    }
    t
}

/// Every spike is one event. Where its magnitude can exceed 1, each of its synaptic operations is a MAC
/// instead of an ACC, and so is the soft reset of a neuron that sends such spikes; queues hold words
/// wider by the payload's bits. Addresses as the paper has them: two MACs an event and an ACC for
/// each tap of a convolution, an ACC for each target of a dense layer.
fn by_events(layer: &Layer, profile: &Profile, payload: Payload, events: f64) -> Tally {
    let own = profile.counting == Counting::Hardware;
    let mut t = Tally::new(if payload.is_binary() { "binary" } else { "graded" }, layer, profile);
    let (weight_bits, word) = widths(layer, profile);
    let outputs = layer.outputs as f64;
    let (swept, sent) = sweeps(layer);
    let measured = layer.synaptic_operations.filter(|_| own);
    let met = measured.unwrap_or(events * layer.fan_out());
    let operations = measured.unwrap_or(events * layer.strided_fan_out());
    let biased = layer.bias || !own;
    let queue = |sources: f64, payload: Payload| {
        let carried = if payload.is_binary() { 0 } else { payload.bits };
        let bits = if own { address_bits(sources) + carried } else { word + carried };
        Memory { words: profile.fifo as f64, bits }
    };
    let memories = layer.memories.filter(|_| own).unwrap_or_else(|| Memories {
        weights: Memory { words: layer.weights(), bits: weight_bits },
        bias: Memory { words: layer.biases(), bits: word },
        potentials: Memory { words: outputs, bits: word },
        queue_in: queue(layer.inputs as f64, payload),
        queue_out: queue(outputs, layer.sends),
    });
    t.meet(Term::Potentials, 2.0 * (met + swept), memories.potentials);
    t.meet(Term::Weights, met, memories.weights);
    t.meet(Term::Bias, if biased { swept } else { 0.0 }, memories.bias);
    t.meet(Term::InputOutput, events, memories.queue_in);
    t.meet(Term::InputOutput, sent, memories.queue_out);
    let share = |count: f64, payload: Payload| {
        if payload.magnitude > 1 { (count, 0.0) } else { (0.0, count) }
    };
    let (synaptic_mac, synaptic_acc) = share(operations, payload);
    let (reset_mac, reset_acc) = share(sent, layer.sends);
    t.mac = synaptic_mac + reset_mac + if layer.neurons == Neurons::Leak { swept } else { 0.0 };
    t.acc = synaptic_acc + reset_acc + if biased { swept } else { 0.0 };
    if layer.kind == Kind::Dense {
        t.address_acc = met;
    } else {
        t.address_mac = 2.0 * events;
        t.address_acc = if own { met / layer.reached().max(1.0) } else { events * layer.taps() };
    }
    t
}
