//! Whether a target would refuse a model on reals whatever a calibration set shows: found by its shapes alone,
//! before any sample is run.

use snnc_backends::Target;
use snnc_ir::{Graph, verify};

use crate::calibration::{self, Plan, QuantiseOptions, Statistics, ThresholdMethod, sites};
use crate::driver::CompileOptions;
use crate::passes::graded::{self, Conversion, ReadOut};
use crate::passes::{self, Context};
use crate::{Error, codings};

/// How far made-up activations reach, site by site in turn. What is refused in both ways does not hang on
/// how activations relate to each other.
const REACHES: [&[f32]; 2] = [&[1.0], &[1.0, 3.0, 0.4]];

/// A model on reals that was quantised for the sake of its form.
pub(crate) struct Trial {
    /// On codes.
    pub(crate) quantised: Graph,
    /// As spikes.
    pub(crate) conversion: Conversion,
}

impl Trial {
    /// Quantises a canonical network on reals by activations that are made up: from 0, or its negative where
    /// they can be negative, to `reaches` in turn.
    ///
    /// # Errors
    /// What of the network has no form on codes, whatever a calibration set shows.
    pub(crate) fn new(
        canonical: &Graph,
        options: &QuantiseOptions,
        reaches: &[f32],
    ) -> Result<Trial, Error> {
        let sites = sites(canonical);
        let statistics = Statistics::made_up(canonical, &sites, reaches);
        let mut coded = canonical.clone();
        let options = QuantiseOptions { method: ThresholdMethod::Max, ..options.clone() };
        Plan::new(&coded, &sites, &statistics, &options)?.apply(&mut coded, None)?;
        let quantised = passes::quantised(coded, &mut Context::default())
            .map_err(|error| calibration::without_advice(error, true))?;
        let conversion = graded::convert(&quantised)?;
        Ok(Trial { quantised, conversion })
    }

    /// As [`Trial::new`] at the bits that a target has by default.
    ///
    /// # Errors
    /// As [`Trial::new`].
    pub(crate) fn at_bits(canonical: &Graph, bits: (u8, u8)) -> Result<Trial, Error> {
        let (payload_bits, weight_bits) = bits;
        let options = QuantiseOptions { payload_bits, weight_bits, ..QuantiseOptions::default() };
        Trial::new(canonical, &options, REACHES[0])
    }

    /// What the target refuses of it in the coding of `options`, whatever is read out.
    fn refused(&self, target: &dyn Target, options: &CompileOptions) -> Result<(), Error> {
        let refusal = refused(&self.conversion, target, options);
        match graded::convert_reading(&self.quantised, ReadOut::Potentials) {
            Ok(other) if refusal.is_err() && refused(&other, target, options).is_ok() => Ok(()),
            _ => refusal,
        }
    }
}

/// What the target refuses of one form of a network in the coding of `options`.
fn refused(
    conversion: &Conversion,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<(), Error> {
    let coding = options.coding.or_else(|| target.codings().first().copied());
    let own = coding == target.codings().first().copied()
        && options.spikes == codings::Options::default();
    // Whether a coding can carry the thresholds depends on where they lie, and so on real statistics.
    if !own {
        return Ok(());
    }
    // What does not hold together is the compiler's fault, and is said when it compiles.
    let Ok(network) = verify(conversion.network.clone()) else { return Ok(()) };
    match target.legalise(&network, &options.target) {
        Ok(_) => Ok(()),
        Err(violations) => Err(Error::violations(target.name(), violations)),
    }
}

/// What the target refuses of a canonical network on reals, whatever a calibration set shows.
///
/// # Errors
/// All reasons at once.
pub(crate) fn check(
    canonical: &Graph,
    quantise: &QuantiseOptions,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<(), Error> {
    let mut refusal = Ok(());
    for reaches in REACHES {
        let tried = Trial::new(canonical, quantise, reaches)
            .and_then(|trial| trial.refused(target, options));
        match tried {
            Err(error @ Error::Unsupported(_)) => refusal = Err(error),
            // Whatever else it is shows when it is compiled.
            _ => return Ok(()),
        }
    }
    refusal
}
