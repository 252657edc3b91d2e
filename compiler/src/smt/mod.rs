//! The certificate's statements as SMT-LIB 2, for solvers that know nothing of this project.
//!
//! Each obligation is about one channel of one population and is a file of its own in QF_LIA: an integer is
//! declared, its range asserted, both sides defined, and their difference asserted. It is `unsat` if the
//! statement is true; a model of it is the witness. Integers are unbounded, so nothing overflows unseen.

mod neuron;
mod rule;
mod term;
mod width;

use serde::Serialize;
use snnc_ir::analysis::{Interval, Intervals, intervals};
use snnc_ir::{Connectivity, Graph, NodeId, Op, Population, Presentation, Schedule, SpikingOp};

use crate::Error;
use crate::passes::graded::{self, Conversion};
use term::{Script, number};

/// What an obligation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The requantisation of the reference against the emitted neuron.
    Rule,
    /// The graded neuron against the same population in the artefact's coding.
    Coding,
    /// Sums against the width of an accumulator.
    Width,
}

/// One obligation.
#[derive(Clone, Debug, Serialize)]
pub struct Obligation {
    /// Name of the file.
    pub file: String,
    /// The population.
    pub population: String,
    /// The channel.
    pub channel: usize,
    /// What it is about.
    pub kind: Kind,
    /// The emitted neuron model.
    pub neuron: String,
    /// The script.
    #[serde(skip)]
    pub script: String,
}

/// Populations of which nothing is written, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// The population.
    pub population: String,
    /// The reason.
    pub reason: String,
}

/// What was made of an artefact.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Obligations {
    /// In order of computation, then of channels.
    pub files: Vec<Obligation>,
    /// The rest.
    pub skipped: Vec<Skipped>,
}

/// Which obligations are wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Populations; all if empty.
    pub populations: &'a [String],
    /// The first so many channels of each.
    pub channels: usize,
}

/// The obligations of `emitted`, compiled from the quantised graph `source`.
///
/// # Errors
/// When the quantised graph has no canonical form, or a population that is wanted is not there.
pub fn obligations(
    source: &Graph,
    emitted: &Graph,
    wanted: &Wanted<'_>,
) -> Result<Obligations, Error> {
    let canonical = graded::convert(source)?;
    let unknown = wanted.populations.iter().find(|n| emitted.find(n).is_none());
    if let Some(name) = unknown {
        let reason = format!("there is no population `{name}`");
        return Err(Error::usage("--population", reason, "`snnc inspect` lists them"));
    }
    let fault = |e: snnc_ir::GraphError| Error::input("artefact", e.to_string(), "");
    let own = intervals(&canonical.network).map_err(fault)?;
    let theirs = intervals(emitted).map_err(fault)?;
    let writer = Writer { source, canonical: &canonical, emitted, own, theirs };
    let mut all = Obligations::default();
    for &(reference, of) in &canonical.correspondence {
        let node = &canonical.network[reference];
        let chosen = wanted.populations.is_empty() || wanted.populations.contains(&node.name);
        if let (Some(SpikingOp::Population(p)), true) = (node.as_spiking(), chosen) {
            let channels = wanted.channels.min(node.ty.shape.first().copied().unwrap_or(1));
            match writer.population(reference, of, p, channels) {
                Ok(files) => all.files.extend(files),
                Err(reason) => {
                    all.skipped.push(Skipped { population: node.name.clone(), reason });
                }
            }
        }
    }
    for (i, obligation) in all.files.iter_mut().enumerate() {
        obligation.file = format!("{i:04}-{}.smt2", obligation.file);
    }
    Ok(all)
}

struct Writer<'a> {
    source: &'a Graph,
    canonical: &'a Conversion,
    emitted: &'a Graph,
    own: Intervals,
    theirs: Intervals,
}

impl Writer<'_> {
    /// The obligations of one population; `Err` says why it has none.
    fn population(
        &self,
        reference: NodeId,
        of: NodeId,
        own: &Population,
        channels: usize,
    ) -> Result<Vec<Obligation>, String> {
        let name = &self.canonical.network[reference].name;
        let id = self.emitted.find(name).ok_or("it is missing in the artefact")?;
        let Some(SpikingOp::Population(theirs)) = self.emitted[id].as_spiking() else {
            return Err("it is no population in the artefact".into());
        };
        if self.emitted[id].ty.shape.first() != self.canonical.network[reference].ty.shape.first() {
            return Err("its channels are laid out several times".into());
        }
        let mut files = Vec::new();
        let mut add = |channel: usize, kind: Kind, script: Script| {
            files.push(Obligation {
                file: format!("{}-c{channel}-{}", plain(name), stem(kind)),
                population: name.clone(),
                channel,
                kind,
                neuron: theirs.neuron.word().to_owned(),
                script: script.finish(),
            });
        };
        for channel in 0..channels {
            for port in self.emitted.sources(id) {
                if let Some(script) = width::script(self.emitted, port, &self.theirs, channel) {
                    add(channel, Kind::Width, script);
                }
            }
        }
        let staircase = own.neuron.fires();
        let pairs =
            (0..channels).map(|c| self.pair(reference, id, c)).collect::<Result<Vec<_>, _>>();
        let pairs = match pairs {
            Ok(pairs) if staircase => pairs,
            Ok(_) => return Ok(files),
            Err(reason) if files.is_empty() => return Err(reason),
            Err(_) => return Ok(files),
        };
        for (channel, pair) in pairs.into_iter().enumerate() {
            let range = self.own.potentials(reference)[channel];
            let frame = neuron::Frame { timing: self.emitted.timing, population: theirs };
            let mut write = |kind, left: &dyn Fn(&mut Script) -> Result<String, String>| {
                let mut script = Script::new(&title(name, channel, kind));
                script.variable("acc", range);
                let wanted = left(&mut script)?;
                script.define("reference", &wanted);
                let potential = pair.potential(&mut script, own.bias_at(channel), channel, &frame);
                script.define("potential", &potential);
                let answer = frame.answer(&mut script, channel)?;
                script.define("emitted", &answer);
                script.assert("(not (= reference emitted))");
                add(channel, kind, script);
                Ok::<(), String>(())
            };
            if let Some(rule) = rule::Rule::of(self.source, of, channel) {
                write(Kind::Rule, &|_| rule.term("acc", range))?;
            }
            if theirs.neuron.word() != own.neuron.word() {
                let graded =
                    neuron::Frame { timing: self.canonical.network.timing, population: own };
                write(Kind::Coding, &|script| {
                    script.define("canonical", "acc");
                    graded.single("canonical", channel)
                })?;
            }
        }
        Ok(files)
    }

    /// By which fraction a channel's synapses are those of the canonical network.
    fn pair(&self, reference: NodeId, id: NodeId, channel: usize) -> Result<Factor, String> {
        let own = row(&self.canonical.network, reference, channel)?;
        let theirs = row(self.emitted, id, channel)?;
        if own.len() != theirs.len() {
            return Err("it has other synapses".into());
        }
        let lead = own.iter().zip(&theirs).find(|(a, _)| **a != 0);
        let (d, n) = lead.map_or((1, 1), |(&a, &b)| (i128::from(a), i128::from(b)));
        let same = own.iter().zip(&theirs).all(|(&a, &b)| i128::from(a) * n == i128::from(b) * d);
        if !same || n == 0 {
            return Err("its weights are not the quantised ones times a constant".into());
        }
        Ok(Factor { numerator: n * d.signum(), denominator: d.abs() })
    }
}

/// A fraction with a positive denominator.
struct Factor {
    numerator: i128,
    denominator: i128,
}

impl Factor {
    /// The emitted potential for accumulator `acc`, the canonical bias within: a fraction that is whole.
    fn potential(
        &self,
        script: &mut Script,
        own_bias: i64,
        channel: usize,
        frame: &neuron::Frame<'_>,
    ) -> String {
        let (n, d) = (self.numerator, self.denominator);
        let bias = i128::from(frame.bias(channel));
        let scaled = format!("(* {} (- acc {}))", number(n), number(i128::from(own_bias)));
        if n % d == 0 {
            let scaled = format!("(* {} (- acc {}))", number(n / d), number(i128::from(own_bias)));
            return format!("(+ {scaled} {})", number(bias));
        }
        script.declare("whole");
        script.assert(&format!("(= (* {} whole) {scaled})", number(d)));
        format!("(+ whole {})", number(bias))
    }
}

/// What a frame's payload brings `channel` through each synapse.
fn row(graph: &Graph, population: NodeId, channel: usize) -> Result<Vec<i64>, String> {
    let &[port] = graph.sources(population).as_slice() else {
        return Err("it adds up several operands".into());
    };
    let (id, p) = projection(graph, port).ok_or("its input are no synapses")?;
    let times = match graph.source(id, 0).and_then(|s| graph[s].as_spiking()) {
        Some(SpikingOp::Encoder(e)) if e.presentation == Presentation::EveryTimestep => {
            graph.timing.timesteps as i64
        }
        _ => 1,
    };
    let weights = graph[id].data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
    let channels = graph[id].ty.shape.first().copied().unwrap_or(1);
    let length = weights.len() / channels.max(1);
    let row = match p.connectivity {
        Connectivity::OneToOne if weights.len() == 1 => &weights[..],
        _ => &weights[channel * length..(channel + 1) * length],
    };
    let gain = p.gain_at(channel) * times;
    let shift = |i: usize| match p.input_shift.len() {
        0 => 0,
        n => p.input_shift[i * n / row.len().max(1)],
    };
    Ok(row.iter().enumerate().map(|(i, w)| (w * gain) << shift(i)).collect())
}

/// The projection at or before `id`, through pools of potentials.
fn projection(graph: &Graph, mut id: NodeId) -> Option<(NodeId, &snnc_ir::Projection)> {
    loop {
        match &graph[id].op {
            Op::Spiking(SpikingOp::MaxPool { .. }) => id = graph.source(id, 0)?,
            Op::Spiking(SpikingOp::Projection(p)) => return Some((id, p)),
            _ => return None,
        }
    }
}

fn stem(kind: Kind) -> &'static str {
    match kind {
        Kind::Rule => "rule",
        Kind::Coding => "coding",
        Kind::Width => "width",
    }
}

fn title(name: &str, channel: usize, kind: Kind) -> String {
    let what = match kind {
        Kind::Rule => "the reference's payload is the emitted neuron's, for every accumulator",
        Kind::Coding => "the graded payload is what all spikes of a frame are worth",
        Kind::Width => "every sum fits the accumulator",
    };
    format!("{name}, channel {channel}: {what}")
}

/// A name for a file.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    name.chars().map(kept).take(40).collect()
}

/// Whether a whole frame has arrived before a neuron of this network answers.
fn waits(schedule: Schedule, timesteps: usize) -> bool {
    timesteps == 1 || schedule != Schedule::Streaming
}

/// An interval around both ends.
fn hull(a: Interval, b: i64) -> Interval {
    Interval::new(a.low.min(b), a.high.max(b))
}
