//! Neuron models: one file each, and the list of all.
//!
//! A model is a type that implements [`NeuronModel`]: its parameters, the state of a neuron, one timestep, and
//! what the verifier, the analyses and the measurements ask of it. Nothing but targets and kernels written for
//! certain models needs to know which there are; whoever does asks for one by [`Neuron::get`].

// What is added to an enum here must be thought of in every match on it.
#![deny(clippy::wildcard_enum_match_arm)]

#[macro_use]
mod list;

mod accumulate;
mod akida_two;
mod check;
mod current_based;
mod float;
mod graded;
mod integrate_fire;
mod lookup;
mod model;
mod sigma_delta;
#[cfg(test)]
mod tests;
mod thresholds;
mod time_table;

use crate::PerChannel;
use serde::{Deserialize, Serialize};

pub use check::Checks;
pub(crate) use check::lengths;
pub use model::{EnergyClass, InnerSum, Listed, NeuronModel, Place, States, Value};
pub use time_table::TimeTable;

use crate::interval::Interval;

/// When the bias of a population is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasPlacement {
    /// In every timestep in which the neuron integrates.
    #[default]
    EveryTimestep,
    /// In the first of them.
    FirstTimestep,
    /// Once after the last of them, before the first comparison.
    AfterLastTimestep,
}

neurons! {
    $
    integers {
        Graded(graded::GradedNeuron),
        Thresholds(thresholds::ThresholdTable),
        IntegrateAndFire(integrate_fire::IntegrateAndFire),
        SigmaDelta(sigma_delta::SigmaDeltaNeuron),
        CurrentBased(current_based::CurrentBasedNeuron),
        AkidaTwo(akida_two::AkidaTwoNeuron),
        Accumulate = accumulate::AccumulateNeuron,
        Lookup(lookup::LookupNeuron),
    }
    reals {
        Float(float::FloatNeuron),
    }
}

impl Neuron {
    /// The model, if it is that one.
    pub fn get<M: Listed>(&self) -> Option<&M> {
        M::of(self)
    }

    /// What the model is called in the wire form, as `sigma-delta`.
    pub fn word(&self) -> &'static str {
        fn of<M: NeuronModel>(_: &M) -> &'static str {
            M::WORD
        }
        each!(self, n => of(n))
    }

    /// What several of them are called, as `sigma-delta neurons`.
    pub fn name(&self) -> &'static str {
        fn of<M: NeuronModel>(_: &M) -> &'static str {
            M::NAME
        }
        each!(self, n => of(n))
    }

    /// Whether it takes and sends real numbers, as all neurons of its network then do.
    pub fn is_real(&self) -> bool {
        fn of<M: NeuronModel>(_: &M) -> bool {
            M::Value::REAL
        }
        each!(self, n => of(n))
    }

    /// Whether it sends spikes; of others the potential itself is read.
    pub fn fires(&self) -> bool {
        each!(self, n => n.fires())
    }

    /// Whether what it sends are changes of a value, so that all that was sent adds up to it.
    pub fn sends_changes(&self) -> bool {
        each!(self, n => n.sends_changes())
    }

    /// Whether it only turns the input into spikes, so that its population stands for the encoder.
    pub fn encodes(&self) -> bool {
        each!(self, n => n.encodes())
    }

    /// What updating it costs.
    pub fn energy_class(&self) -> EnergyClass {
        each!(self, n => n.energy_class())
    }

    /// The payload sent after a fresh neuron of `channel` got `v` in one timestep, for the neurons
    /// whose answer depends on that alone; `None` for the others. [`Neuron::staircase`] says whether it
    /// never falls as `v` grows.
    #[inline]
    pub fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        each!(self, n => n.single_shot(channel, v))
    }

    /// The single-shot answer of neurons for which it never falls; `None` for the others.
    pub fn staircase(&self) -> Option<Staircase<'_>> {
        each!(self, n => n.rises()).then_some(Staircase(self))
    }

    /// The least and the largest payload of the single-shot answer, where parameters name them.
    pub fn levels(&self) -> Option<Interval> {
        each!(self, n => n.levels())
    }

    /// What can be sent at all in one timestep, as far as parameters say, 0 included.
    pub fn payloads(&self) -> Option<Interval> {
        each!(self, n => n.payloads()).map(Interval::with_zero)
    }

    /// What a spike can count for on the wire, where it is not the payload itself: a value that only depends on
    /// the timestep is known to the receiver.
    pub fn wire(&self) -> Option<Interval> {
        each!(self, n => n.wire())
    }

    /// What can be sent in one of `timesteps` timesteps if `v` is all that can arrive in each; `None` where
    /// nothing is known but the population's declared range.
    pub fn sent(&self, channel: usize, v: Interval, timesteps: usize) -> Option<Interval> {
        each!(self, n => n.sent(channel, v, timesteps))
    }

    /// The least and the largest threshold of `channels` channels.
    pub fn threshold_range(&self, channels: usize) -> Option<Interval> {
        let all = each!(self, n => n.thresholds(channels));
        Some(Interval::new(all.iter().copied().min()?, all.iter().copied().max()?))
    }

    /// The bias that lies in the neuron itself, beside that of its population.
    pub fn bias(&self) -> &[i64] {
        each!(self, n => n.bias())
    }

    /// Sums within the neuron that saturate, when `v` arrives.
    pub fn inner_sums(&self, channel: usize, v: Interval) -> Vec<InnerSum> {
        each!(self, n => n.inner_sums(channel, v))
    }

    /// Asks whether all parameters are in their ranges and of the right lengths.
    pub fn check(&self, checks: &mut Checks<'_>) {
        each!(self, n => n.check(checks));
    }
}

/// The answer of neurons for which it depends on what arrives in one timestep alone, and never falls as that
/// grows. It is therefore described by its thresholds (staircase lemma; Umuroglu et al., "FINN", FPGA 2017,
/// section 4.1.2).
#[derive(Clone, Copy, Debug)]
pub struct Staircase<'a>(&'a Neuron);

impl<'a> Staircase<'a> {
    /// The affine map with this answer, where it is one.
    pub fn line(self) -> Option<&'a GradedNeuron> {
        self.0.get()
    }

    /// The payload sent after `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        // Every model that rises has an answer.
        self.0.single_shot(channel, v).unwrap_or_default()
    }

    /// The least `v` with a payload of at least `level`, where a formula or a table has it.
    pub fn threshold(&self, channel: usize, level: i64) -> Option<i64> {
        each!(self.0, n => n.least_potential(channel, level))
    }
}

/// The value of `channel` where one entry may serve all.
fn at(values: &[i64], channel: usize) -> i64 {
    *PerChannel::of(values).at(channel)
}

/// The same where there may be none, which means 0.
fn at_or_zero(values: &[i64], channel: usize) -> i64 {
    if values.is_empty() { 0 } else { at(values, channel) }
}
