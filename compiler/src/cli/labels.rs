//! `eval --certify-labels`: of which samples the class cannot change, without running the artefact.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;
use snnc_ir::NodeId;

use super::args::EvalArgs;
use super::open::{Loaded, runner};
use super::render;
use crate::Error;
use crate::certificate::{Label, Labels};
use crate::data::Dataset;
use crate::evaluate::{Evaluation, Runner};
use crate::passes::graded;

/// What is known of all samples.
#[derive(Debug, Serialize)]
pub(super) struct Certified {
    stable: usize,
    unknown: usize,
    changed: usize,
    /// Why nothing is known of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    samples: Vec<Label>,
}

/// An evaluation with labels.
#[derive(Serialize)]
pub(super) struct Beside<'a> {
    #[serde(flatten)]
    pub(super) evaluation: &'a Evaluation,
    pub(super) labels: &'a Certified,
}

impl Certified {
    fn of(samples: Vec<Label>, reason: Option<String>) -> Certified {
        let count = |label| samples.iter().filter(|&&l| l == label).count();
        let (stable, unknown) = (count(Label::Stable), count(Label::Unknown));
        Certified { stable, unknown, changed: count(Label::Changed), reason, samples }
    }

    pub(super) fn show(&self) {
        render::line(format_args!(
            "class by the certificate: {} of {} stable, {} unknown, {} changed",
            self.stable,
            self.samples.len(),
            self.unknown,
            self.changed
        ));
        if let Some(reason) = &self.reason {
            render::note("labels", reason);
        }
    }
}

/// The label of each sample.
pub(super) fn certified(
    args: &EvalArgs,
    loaded: &Loaded,
    data: &Dataset,
) -> Result<Certified, Error> {
    let place = format!("`{}`", args.network.display());
    let refused = |reason: &str| {
        Error::usage(
            &place,
            reason.to_owned(),
            "name the folder of an artefact that `snnc compile` wrote",
        )
    };
    let Loaded::Artefact(opened) = loaded else {
        return Err(refused("is no artefact, and has no certificate"));
    };
    let (Some(source), Some(certificate)) = (&opened.source, &opened.certificate) else {
        return Err(refused("holds no quantised network or no certificate"));
    };
    let nothing = |reason: String| Certified::of(vec![Label::Unknown; data.len()], Some(reason));
    if opened.host.is_some() {
        return Ok(nothing("what the host makes of the scores is not followed".into()));
    }
    let canonical = graded::convert(source)?;
    let labels = match Labels::new(source, &canonical, &opened.network, certificate) {
        Ok(labels) => labels,
        Err(reason) => return Ok(nothing(reason)),
    };
    let fed = runner(loaded, &args.data, false)?;
    let reference = Runner::spiking(&canonical.network, None, fed.takes_reals, fed.scaling)?;
    let data = data.fitted(&reference.input_shape, &args.samples)?;
    let judged = |i: usize| -> Result<Label, Error> {
        let mut values: HashMap<NodeId, Vec<i64>> = HashMap::new();
        reference.answer_showing(&data, i, None, &mut |id, _, value| {
            values.insert(id, value.to_vec());
        })?;
        Ok(labels.judge(&values))
    };
    let samples = (0..data.len()).into_par_iter().map(judged).collect::<Result<Vec<_>, _>>()?;
    Ok(Certified::of(samples, None))
}
