//! The control of `rtl/spleat_layer.v`, register by register, without any arithmetic.

use crate::spleat::aer::Word;
use crate::spleat::layer::{Kind, Layer};
use crate::spleat::manifest::{Manifest, Reads};

use super::accumulate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clear,
    Take,
    Sweep,
    Mark,
    Finish,
}

/// A word as a port takes it: how many clocks its taps take, or which end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Spike(u64),
    EndOfTimestep,
    EndOfInference,
}

/// What a layer did in a clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deeds {
    /// Port whose word it took.
    pub(super) taken: Option<usize>,
    /// Whether it handed a word on.
    pub(super) sent: bool,
    /// Whether it ended an inference.
    pub(super) ended: bool,
}

/// A layer.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Words of every port.
    words: Vec<Vec<Taken>>,
    /// Spikes of each group in the order of sweeps, for all sweeps of all inferences.
    spikes: Vec<u32>,
    swept: usize,
    groups: usize,
    steps: usize,
    timesteps: usize,
    barrier: bool,
    totals: bool,
    silent: bool,
    clearing: usize,

    state: State,
    cleared: usize,
    waits: Vec<bool>,
    over: Vec<bool>,
    taken: Vec<usize>,
    /// E: a word and whether it is the end for all ports.
    e: Option<(Taken, bool)>,
    added: bool,
    d: Option<u64>,
    a: u64,
    /// Whether there were taps one to four clocks ago.
    behind: [bool; 4],
    step: usize,
    read: Option<usize>,
    loaded: bool,
    firing: bool,
    phase: usize,
    writes: bool,
    pending: u32,
    pub(super) work: u64,
}

impl Stage {
    pub(super) fn new(
        manifest: &Manifest,
        layer: &Layer,
        ports: &[&[Word]],
        sent: &[Word],
    ) -> Stage {
        let taken = |port: usize, word: &Word| match word {
            Word::Spike(event) => Taken::Spike(accumulate(layer, port, event)),
            Word::EndOfTimestep => Taken::EndOfTimestep,
            Word::EndOfInference => Taken::EndOfInference,
        };
        let words: Vec<Vec<Taken>> = ports
            .iter()
            .enumerate()
            .map(|(port, words)| words.iter().map(|w| taken(port, w)).collect())
            .collect();
        let kind = layer.neuron.kind;
        let reads = |o: &crate::spleat::manifest::OutputEntry| {
            o.source == layer.name && o.reads == Reads::Membrane
        };
        let read_out = manifest.outputs.iter().any(reads);
        let cells = layer.target.h * layer.target.w;
        Stage {
            groups: cells * layer.groups_per_bank(),
            spikes: spikes(layer, sent, read_out),
            swept: 0,
            steps: steps(layer),
            timesteps: layer.timesteps,
            barrier: layer.barrier,
            totals: kind == Kind::RunningMaximum,
            silent: kind == Kind::Accumulate,
            clearing: clearing(layer),
            state: State::Clear,
            cleared: 0,
            waits: vec![false; words.len()],
            over: vec![false; words.len()],
            taken: vec![0; words.len()],
            e: None,
            added: false,
            d: None,
            a: 0,
            behind: [false; 4],
            step: 0,
            read: None,
            loaded: false,
            firing: false,
            phase: 0,
            writes: false,
            pending: 0,
            work: 0,
            words,
        }
    }

    /// One clock, in which these words wait at the ports and there is room behind or not.
    pub(super) fn clock(&mut self, fronts: &[Option<usize>], room: bool) -> Deeds {
        let mut deeds = Deeds::default();
        self.work += u64::from(self.a > 0);
        let a_free = self.a <= 1;
        let d_free = self.d.is_none() || a_free;
        let quiet = self.d.is_none() && self.a == 0 && self.behind == [false; 4];
        let to_d = match self.e {
            Some((Taken::Spike(work), _)) if d_free && (self.added || !self.totals) => Some(work),
            _ => None,
        };
        let e_leaves = match self.e {
            Some((Taken::Spike(_), _)) => to_d.is_some(),
            Some((_, last)) => !last || quiet,
            None => true,
        };
        let closing = self.e.filter(|(_, last)| *last && quiet && self.state == State::Take);
        let starts = matches!(closing, Some((Taken::EndOfTimestep, _)));
        let finishes = matches!(closing, Some((Taken::EndOfInference, _)));
        let goes = room || self.silent;
        let last_sweep = self.step + 1 == self.timesteps;
        let again = self.barrier && !last_sweep;
        let marked = self.state == State::Mark && goes;
        let ends = self.state == State::Finish && goes;
        let emits = self.pending == 0 || (self.pending == 1 && room);
        let done = self.firing && self.phase + 1 == self.steps && emits;
        let advance = !self.firing || done;
        let swept = self.state == State::Sweep
            && !(self.read.is_some()
                || self.loaded
                || self.firing
                || self.writes
                || self.pending > 0);
        let marks = matches!(self.state, State::Mark | State::Finish) && !self.silent;
        deeds.sent = room && (self.pending > 0 || marks);
        deeds.ended = ends;

        // What was taken, where it leads, and its taps.
        self.added = self.totals && matches!(self.e, Some((Taken::Spike(_), _))) && to_d.is_none();
        self.behind.rotate_right(1);
        self.behind[0] = self.a > 0;
        if a_free {
            self.a = self.d.unwrap_or(0);
        } else {
            self.a -= 1;
        }
        if d_free {
            self.d = to_d.filter(|work| *work > 0);
        }
        let before = (self.waits.clone(), self.state);
        if e_leaves {
            self.e = None;
            if before.1 == State::Take {
                deeds.taken = self.take(fronts);
            }
        }
        if marked && !again {
            self.waits.clone_from(&self.over);
        }
        if ends {
            self.waits.fill(false);
            self.over.fill(false);
        }
        self.sweep(starts || (marked && again), advance, done, room);
        self.next(starts, finishes, swept, marked, ends, again, last_sweep);
        deeds
    }

    /// Takes the word of the first port that has one and does not wait.
    fn take(&mut self, fronts: &[Option<usize>]) -> Option<usize> {
        let ready = fronts.iter().zip(&self.waits).position(|(f, waits)| f.is_some() && !waits)?;
        let word = fronts.get(ready).copied().flatten()?;
        let word = self.words.get(ready)?.get(word).copied()?;
        let last = match word {
            Taken::Spike(_) => false,
            Taken::EndOfTimestep => {
                self.taken[ready] += 1;
                let ends = !self.barrier || self.taken[ready] == self.timesteps;
                if ends {
                    self.taken[ready] = 0;
                    self.waits[ready] = true;
                }
                ends && self.waits.iter().all(|w| *w)
            }
            Taken::EndOfInference => {
                self.waits[ready] = true;
                self.over[ready] = true;
                self.over.iter().all(|w| *w)
            }
        };
        self.e = Some((word, last));
        Some(ready)
    }

    fn sweep(&mut self, starts: bool, advance: bool, done: bool, room: bool) {
        if done {
            self.pending = self.spikes.get(self.swept).copied().unwrap_or(0);
            self.swept += 1;
        } else if room {
            self.pending = self.pending.saturating_sub(1);
        }
        self.writes = done;
        let read = self.read;
        if self.state == State::Sweep && advance {
            self.firing = self.loaded;
            self.loaded = read.is_some();
            self.read = read.map(|r| r + 1).filter(|r| *r < self.groups);
        }
        if starts {
            self.read = Some(0);
        }
        if advance {
            self.phase = 0;
        } else if self.phase + 1 < self.steps {
            self.phase += 1;
        }
    }

    #[allow(clippy::fn_params_excessive_bools, clippy::too_many_arguments)]
    fn next(
        &mut self,
        starts: bool,
        finishes: bool,
        swept: bool,
        marked: bool,
        ends: bool,
        again: bool,
        last_sweep: bool,
    ) {
        if self.state == State::Clear {
            self.cleared += 1;
            if self.cleared == self.clearing {
                self.state = State::Take;
            }
        } else if starts {
            self.state = State::Sweep;
        } else if finishes {
            self.state = State::Finish;
        } else if swept {
            self.state = State::Mark;
        } else if marked {
            self.state = if again { State::Sweep } else { State::Take };
            self.step = if last_sweep { 0 } else { self.step + 1 };
        } else if ends {
            self.state = if self.totals { State::Clear } else { State::Take };
            self.cleared = 0;
        }
    }
}

/// Clocks in which a layer brings its memories to where an inference begins.
pub(super) fn clearing(layer: &Layer) -> usize {
    let own = layer.target.h * layer.target.w * layer.groups_per_bank();
    let sources = layer.ports.iter().take(1).map(|p| p.geometry.source.neurons()).sum();
    if layer.neuron.kind == Kind::RunningMaximum { own.max(sources) } else { own }
}

/// Clocks in which neurons compare: as many as the levels have bits.
fn steps(layer: &Layer) -> usize {
    let most = layer.neuron.maximum.max(1).unsigned_abs();
    let one = layer.neuron.kind.is_maximum() || layer.neuron.kind == Kind::Accumulate;
    let bits = (most + 1).ilog2() as usize;
    if one { 1 } else { bits + usize::from(most + 1 > 1 << bits) }
}

/// Spikes of each group in the order of sweeps: place after place, group after group.
fn spikes(layer: &Layer, sent: &[Word], read_out: bool) -> Vec<u32> {
    let groups = layer.groups_per_bank();
    let each = layer.target.h * layer.target.w * groups;
    let mut all = Vec::new();
    let mut now = vec![0u32; each];
    let mut step = 0;
    for word in sent {
        match word {
            Word::Spike(e) => {
                let place = (e.y * layer.target.w + e.x) * groups + e.c / layer.npu;
                if let Some(count) =
                    now.get_mut(place).filter(|_| layer.neuron.kind != Kind::Accumulate)
                {
                    *count += 1;
                }
            }
            Word::EndOfTimestep => {
                step += 1;
                if read_out && step == layer.timesteps {
                    // Every potential leaves.
                    for (place, count) in now.iter_mut().enumerate() {
                        let group = place % groups;
                        *count = (layer.target.c - group * layer.npu).min(layer.npu) as u32;
                    }
                }
                all.append(&mut std::mem::replace(&mut now, vec![0; each]));
            }
            Word::EndOfInference => step = 0,
        }
    }
    all
}
