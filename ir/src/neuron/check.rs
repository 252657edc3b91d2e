//! What the verifier asks of a neuron's parameters.

/// Where a population's neurons are, and what is wrong with them.
#[derive(Debug)]
pub struct Checks<'a> {
    /// Channels of the population.
    pub channels: usize,
    /// Neurons of the population.
    pub neurons: usize,
    /// Whether all input of a frame comes before the first answer.
    pub barrier: bool,
    /// Everything that is wrong.
    pub reasons: &'a mut Vec<String>,
}

impl Checks<'_> {
    /// `found` entries must be one for all channels, or one for each.
    pub fn lengths(&mut self, what: &str, found: usize) {
        lengths(what, found, self.channels, false, self.reasons);
    }

    /// As [`Checks::lengths`], or none.
    pub fn optional(&mut self, what: &str, found: usize) {
        lengths(what, found, self.channels, true, self.reasons);
    }

    /// `found` entries must be one for all neurons, or one for each, or none if that is `optional`.
    pub fn of_neurons(&mut self, what: &str, found: usize, optional: bool) {
        lengths(what, found, self.neurons, optional, self.reasons);
    }

    /// Says `reason` unless something holds.
    pub fn require(&mut self, holds: bool, reason: impl Into<String>) {
        if !holds {
            self.reasons.push(reason.into());
        }
    }
}

/// `found` entries must be one, or one for each of `channels`.
pub(crate) fn lengths(
    what: &str,
    found: usize,
    channels: usize,
    optional: bool,
    reasons: &mut Vec<String>,
) {
    if !(found == 1 || found == channels || (optional && found == 0)) {
        reasons.push(format!("{what} has {found} entries for {channels} channels"));
    }
}
