//! What a neuron model says of itself.

use std::fmt::Debug;

use super::Neuron;
use super::check::Checks;
use crate::interval::Interval;

/// A number that neurons of a network take and send.
pub trait Value: Copy + Debug + Default + PartialEq {
    /// Whether it is a real number. A network is of one kind throughout.
    const REAL: bool;
}

impl Value for i64 {
    const REAL: bool = false;
}

impl Value for f32 {
    const REAL: bool = true;
}

/// Which neuron of a population is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, in (C, H, W) order.
    pub neuron: usize,
    /// Its channel.
    pub channel: usize,
    /// How many neurons the population has.
    pub neurons: usize,
}

/// What updating a neuron costs beside adding up its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnergyClass {
    /// It never fires: what it has added up is read out.
    ReadOut,
    /// It compares, fires and resets.
    Firing,
    /// It decays in each timestep too.
    Leaking,
}

/// A sum within a neuron, and the bits that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerSum {
    /// Which sum, in words.
    pub what: &'static str,
    /// What it can come to.
    pub reach: Interval,
    /// Bits of two's complement that hold it.
    pub bits: u8,
}

/// A neuron model: parameters (the type itself), state, arithmetic, and all that the compiler may know of it.
///
/// Methods without a body must be answered by every model. The others' bodies say that nothing is known, which is
/// always sound: such neurons are run one by one, and nothing is proved of them.
pub trait NeuronModel: Clone + Debug + PartialEq + Sized + 'static {
    /// What one neuron keeps from one timestep to the next.
    type State: Copy + Debug + PartialEq;
    /// What its projections bring, and what it sends.
    type Value: Value;

    /// What the model is called in the wire form, as `sigma-delta`.
    const WORD: &'static str;
    /// What several of them are called in messages, as `sigma-delta neurons`.
    const NAME: &'static str;

    /// The state before the first timestep.
    fn rest(&self, place: Place) -> Self::State;

    /// One timestep: what is sent when the projections and the population's bias bring `input`.
    fn step(
        &self,
        place: Place,
        timestep: usize,
        state: &mut Self::State,
        input: Self::Value,
    ) -> Self::Value;

    /// What is sent in timestep `timestep` of `timesteps` behind a barrier, which lets neurons begin once all
    /// timesteps have brought their input, `total` together. The state is at rest before the first.
    ///
    /// Most models answer once, in the last timestep.
    fn step_behind_barrier(
        &self,
        place: Place,
        (timestep, timesteps): (usize, usize),
        state: &mut Self::State,
        total: Self::Value,
    ) -> Self::Value {
        if timestep + 1 == timesteps {
            self.step(place, timestep, state, total)
        } else {
            Self::Value::default()
        }
    }

    /// The membrane potential.
    fn potential(state: &Self::State) -> Self::Value;

    /// What updating it costs.
    fn energy_class(&self) -> EnergyClass;

    /// Whether all parameters are in their ranges and of the right lengths.
    fn check(&self, checks: &mut Checks<'_>);

    /// Whether it sends spikes; of others the potential itself is read.
    fn fires(&self) -> bool {
        self.energy_class() != EnergyClass::ReadOut
    }

    /// Whether what it sends are changes of a value, so that all that was sent adds up to it.
    fn sends_changes(&self) -> bool {
        false
    }

    /// Whether it only turns the input into spikes, so that its population stands for the encoder.
    fn encodes(&self) -> bool {
        false
    }

    /// The payload sent after a fresh neuron of `channel` got `v` in one timestep, where the answer depends on
    /// that alone.
    fn single_shot(&self, _channel: usize, _v: i64) -> Option<i64> {
        None
    }

    /// Whether there is a [`NeuronModel::single_shot`] which never falls as `v` grows, in any channel.
    fn rises(&self) -> bool {
        false
    }

    /// The least `v` with a single-shot payload of at least `level`, where a formula or a table has it.
    fn least_potential(&self, _channel: usize, _level: i64) -> Option<i64> {
        None
    }

    /// The least and the largest payload of the single-shot answer, where parameters name them.
    fn levels(&self) -> Option<Interval> {
        None
    }

    /// What can be sent at all in one timestep, as far as parameters say; 0 is always possible beside it.
    fn payloads(&self) -> Option<Interval> {
        self.levels()
    }

    /// What a spike can count for on the wire, where it is not the payload itself: a value that only depends on
    /// the timestep is known to the receiver.
    fn wire(&self) -> Option<Interval> {
        None
    }

    /// What can be sent in one of `timesteps` timesteps if `v` is all that can arrive in each; the population's
    /// declared range holds otherwise.
    fn sent(&self, _channel: usize, _v: Interval, _timesteps: usize) -> Option<Interval> {
        None
    }

    /// Thresholds among which the least and the largest of all are.
    fn thresholds(&self, _channels: usize) -> Vec<i64> {
        Vec::new()
    }

    /// The bias that lies in the neuron itself, beside that of its population.
    fn bias(&self) -> &[i64] {
        &[]
    }

    /// Sums within the neuron that saturate, when `v` arrives.
    fn inner_sums(&self, _channel: usize, _v: Interval) -> Vec<InnerSum> {
        Vec::new()
    }
}

/// A model on the list of [`Neuron`].
pub trait Listed: NeuronModel {
    /// The model of a neuron, if it is this one.
    fn of(neuron: &Neuron) -> Option<&Self>;
}

/// The neurons of one population: their model, and the state of each.
#[derive(Clone, Debug)]
pub struct States<'a, M: NeuronModel> {
    model: &'a M,
    states: Vec<M::State>,
    /// Neurons to a channel.
    plane: usize,
}

impl<'a, M: NeuronModel> States<'a, M> {
    /// Neurons at rest.
    pub fn new(model: &'a M, neurons: usize, channels: usize) -> Self {
        let plane = (neurons / channels.max(1)).max(1);
        let place = |neuron| Place { neuron, channel: neuron / plane, neurons };
        let states = (0..neurons).map(|i| model.rest(place(i))).collect();
        States { model, states, plane }
    }

    /// The model.
    pub fn model(&self) -> &'a M {
        self.model
    }

    /// The state of each neuron.
    pub fn states(&self) -> &[M::State] {
        &self.states
    }

    /// The membrane potential of each neuron.
    pub fn potentials(&self) -> Vec<M::Value> {
        self.states.iter().map(M::potential).collect()
    }

    /// What each neuron sends in one timestep in which `input` arrives, one number for each.
    pub fn step(
        &mut self,
        timestep: usize,
        input: impl IntoIterator<Item = M::Value>,
    ) -> Vec<M::Value> {
        let model = self.model;
        self.each(input, |place, state, x| model.step(place, timestep, state, x))
    }

    /// What each neuron sends in one timestep behind a barrier, before which `total` has arrived; see
    /// [`NeuronModel::step_behind_barrier`].
    pub fn step_behind_barrier(
        &mut self,
        timestep: (usize, usize),
        total: impl IntoIterator<Item = M::Value>,
    ) -> Vec<M::Value> {
        let model = self.model;
        self.each(total, |place, state, x| model.step_behind_barrier(place, timestep, state, x))
    }

    #[inline]
    fn each(
        &mut self,
        input: impl IntoIterator<Item = M::Value>,
        mut step: impl FnMut(Place, &mut M::State, M::Value) -> M::Value,
    ) -> Vec<M::Value> {
        let neurons = self.states.len();
        let (mut sent, mut input) = (Vec::with_capacity(neurons), input.into_iter());
        for (channel, states) in self.states.chunks_mut(self.plane).enumerate() {
            let first = channel * self.plane;
            sent.extend(states.iter_mut().zip(input.by_ref()).enumerate().map(
                |(i, (state, x))| step(Place { neuron: first + i, channel, neurons }, state, x),
            ));
        }
        sent
    }
}
