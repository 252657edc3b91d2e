//! `report`: one page on one artefact.

use std::path::Path;

use super::args::{Common, DataArgs, ReportArgs};
use super::commands::{Loaded, load, runner, write_file};
use super::{progress, render};
use crate::Error;
use crate::artefact::Opened;
use crate::data::Dataset;
use crate::evaluate::Evaluation;
use crate::report::{self, Histograms, Subject};

/// `report`
pub(super) fn report(args: &ReportArgs, common: &Common) -> Result<(), Error> {
    let loaded = load(&args.artefact, &args.import)?;
    let Loaded::Artefact(opened) = &loaded else {
        let place = format!("`{}`", args.artefact.display());
        return Err(Error::usage(place, "is a model, not an artefact", "compile it first"));
    };
    let run = match &args.samples {
        Some(path) => Some(observed(&loaded, opened, &args.data, path, common)?),
        None => None,
    };
    let (evaluation, histograms) = match &run {
        Some((evaluation, histograms)) => (Some(evaluation), histograms.as_slice()),
        None => (None, &[][..]),
    };
    let page = report::page(&Subject { artefact: opened, evaluation, histograms });
    write_file(&args.output, page.as_bytes())?;
    if !common.quiet {
        render::note("report", &format!("written to {}", args.output.display()));
    }
    Ok(())
}

/// Runs an artefact on data with a bar.
fn observed(
    loaded: &Loaded,
    opened: &Opened,
    args: &DataArgs,
    path: &Path,
    common: &Common,
) -> Result<(Evaluation, Vec<Histograms>), Error> {
    let runner = runner(loaded, args, true)?;
    let data = Dataset::load(path, args.limit)?;
    let bar = progress::bar(common, "running samples", data.len());
    let result = report::observe(&runner, &opened.network, &data, path, &|| bar.inc(1));
    bar.finish_and_clear();
    result
}
