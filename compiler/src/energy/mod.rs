//! Energy of a network by the metric of Lemaire et al. (ICONIP 2022, arXiv 2210.13107), in named
//! profiles.
//!
//! A joule means nothing without the way it was reckoned: two public computations of this one paper
//! differ by a factor of 2.5 on the same network. So every figure carries the name of its [`Profile`],
//! and counts of operations stand beside it. What a profile counts is in `tally.rs`, what it pays for
//! it in `profile.rs` and `profiles.yaml`; sources are named there.
//!
//! All energies given out are in nJ for one sample.

mod layer;
mod network;
mod profile;
mod tally;

use serde::Serialize;

pub use layer::{Input, Kind, Layer, Memories, Neurons, Payload, Widths};
pub use network::{
    Counts, formal_layers, lay_out, layers, layers_of, tensor_layers, tensor_layers_of,
};
pub use profile::{Arithmetic, Counting, Memory, Operation, Profile, Sram};
pub use tally::{Access, Tally, Term};

/// Energy by term, in nJ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Terms {
    /// Reading and writing membrane potentials.
    pub potentials: f64,
    /// Reading weights.
    pub weights: f64,
    /// Reading biases.
    pub bias: f64,
    /// Reading what arrives and writing what leaves.
    pub io: f64,
    /// Additions and multiplications.
    pub operations: f64,
    /// Those that find addresses.
    pub addressing: f64,
}

impl Terms {
    /// The sum.
    pub fn total(&self) -> f64 {
        Term::ALL.iter().map(|&t| self.get(t)).sum()
    }

    /// One term.
    pub fn get(&self, term: Term) -> f64 {
        match term {
            Term::Potentials => self.potentials,
            Term::Weights => self.weights,
            Term::Bias => self.bias,
            Term::InputOutput => self.io,
            Term::Operations => self.operations,
            Term::Addressing => self.addressing,
        }
    }

    fn get_mut(&mut self, term: Term) -> &mut f64 {
        match term {
            Term::Potentials => &mut self.potentials,
            Term::Weights => &mut self.weights,
            Term::Bias => &mut self.bias,
            Term::InputOutput => &mut self.io,
            Term::Operations => &mut self.operations,
            Term::Addressing => &mut self.addressing,
        }
    }

    /// Term by term.
    pub fn plus(mut self, other: Terms) -> Terms {
        for term in Term::ALL {
            *self.get_mut(term) += other.get(term);
        }
        self
    }
}

/// Operations of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Operations {
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
    /// Reads and writes of all memories.
    pub memory_accesses: f64,
}

impl Operations {
    /// Count by count.
    pub fn plus(self, other: Operations) -> Operations {
        Operations {
            mac: self.mac + other.mac,
            acc: self.acc + other.acc,
            multiply: self.multiply + other.multiply,
            address_mac: self.address_mac + other.address_mac,
            address_acc: self.address_acc + other.address_acc,
            memory_accesses: self.memory_accesses + other.memory_accesses,
        }
    }
}

/// One layer's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerEnergy {
    /// Name of the layer.
    pub name: String,
    /// The rule by which it was counted ([`Tally::rule`]).
    pub rule: &'static str,
    /// Sum of the terms, in nJ.
    pub total_nj: f64,
    /// Energy by term.
    pub terms_nj: Terms,
    /// Operations.
    pub operations: Operations,
}

/// What the layers that end in one population come to for one sample, by one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PopulationEnergy {
    /// Sum of the terms, in nJ.
    pub total_nj: f64,
    /// Energy by term.
    pub terms_nj: Terms,
    /// Operations.
    pub operations: Operations,
}

impl PopulationEnergy {
    /// With one more layer.
    pub fn plus(self, layer: &LayerEnergy) -> PopulationEnergy {
        let terms_nj = self.terms_nj.plus(layer.terms_nj);
        let operations = self.operations.plus(layer.operations);
        PopulationEnergy { total_nj: terms_nj.total(), terms_nj, operations }
    }
}

/// Energy of a network for one sample, by one profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkEnergy {
    /// Name of the profile.
    pub profile: String,
    /// Sum of the layers, in nJ.
    pub total_nj: f64,
    /// Energy by term.
    pub terms_nj: Terms,
    /// Operations.
    pub operations: Operations,
    /// Layer by layer.
    pub layers: Vec<LayerEnergy>,
}

/// Energy of one layer for one sample, by `profile`.
pub fn layer_energy(layer: &Layer, profile: &Profile) -> LayerEnergy {
    let tally = Tally::of(layer, profile);
    let (add, multiply) = (profile.add(tally.adder_bits), profile.multiply(tally.multiplier_bits));
    let address_add = profile.add(tally.address_bits);
    let address_multiply = profile.multiply(tally.address_bits);
    // In pJ until the end.
    let mut terms = Terms {
        operations: tally.mac * (multiply + add) + tally.acc * add + tally.multiply * multiply,
        addressing: tally.address_mac * (address_multiply + address_add)
            + tally.address_acc * address_add,
        ..Terms::default()
    };
    for access in &tally.accesses {
        *terms.get_mut(access.term) += access.count * profile.sram.access(access.memory);
    }
    for term in Term::ALL {
        *terms.get_mut(term) /= 1000.0;
    }
    let operations = Operations {
        mac: tally.mac,
        acc: tally.acc,
        multiply: tally.multiply,
        address_mac: tally.address_mac,
        address_acc: tally.address_acc,
        memory_accesses: tally.accesses.iter().map(|a| a.count).sum(),
    };
    LayerEnergy {
        name: layer.name.clone(),
        rule: tally.rule,
        total_nj: terms.total(),
        terms_nj: terms,
        operations,
    }
}

/// Energy of a network for one sample, by `profile`.
pub fn energy(layers: &[Layer], profile: &Profile) -> NetworkEnergy {
    let layers: Vec<LayerEnergy> = layers.iter().map(|l| layer_energy(l, profile)).collect();
    let terms = layers.iter().fold(Terms::default(), |sum, l| sum.plus(l.terms_nj));
    NetworkEnergy {
        profile: profile.name.clone(),
        total_nj: terms.total(),
        terms_nj: terms,
        operations: layers.iter().fold(Operations::default(), |sum, l| sum.plus(l.operations)),
        layers,
    }
}

/// Energy of a network for one sample, by every profile in the order of [`Profile::all`].
pub fn all_profiles(layers: &[Layer]) -> Vec<NetworkEnergy> {
    Profile::all().iter().map(|p| energy(layers, p)).collect()
}
