//! `report` and `compare`: what networks are and do, on a page and in a table.

use super::args::{Common, CompareArgs, DataArgs, Format, ImportArgs, ReportArgs, TimeArgs};
use super::open::{Loaded, artefacts_in, load, runner};
use super::output::{self, write_file, write_file_and_folder};
use super::{bare, progress, render, tables};
use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Evaluation;
use crate::report::{self, Column, Comparison, Histograms, Subject};
use std::path::{Path, PathBuf};

/// A network with its run.
struct Seen {
    name: String,
    loaded: Loaded,
    run: Option<(Evaluation, Vec<Histograms>)>,
}

impl Seen {
    fn evaluation(&self) -> Option<&Evaluation> {
        self.run.as_ref().map(|(evaluation, _)| evaluation)
    }

    fn column(&self) -> Column {
        let evaluation = self.evaluation().cloned();
        match &self.loaded {
            Loaded::Artefact(opened) => Column::artefact(&self.name, opened, evaluation),
            Loaded::Model(_) => Column::model(&self.name, evaluation),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            artefact: match &self.loaded {
                Loaded::Artefact(opened) => Some(opened),
                Loaded::Model(_) => None,
            },
            evaluation: self.evaluation(),
            histograms: self.run.as_ref().map_or(&[], |(_, histograms)| histograms),
        }
    }
}

/// Opens all networks, then runs each on the data if there is any.
fn see(
    networks: &[PathBuf],
    samples: Option<&Path>,
    args: &DataArgs,
    import: &ImportArgs,
    common: &Common,
) -> Result<Vec<Seen>, Error> {
    let mut seen = Vec::with_capacity(networks.len());
    for path in networks {
        let name = path.display().to_string();
        seen.push(Seen { name, loaded: load(path, import)?, run: None });
    }
    let Some(path) = samples else { return Ok(seen) };
    // Networks that are compared have the same inputs.
    let ports = seen.first().map(|one| one.loaded.ports()).unwrap_or_default();
    let data = Dataset::load_for(&ports, path, args.limit)?;
    let bar = progress::bar(common, "running samples", data.len() * seen.len());
    for one in &mut seen {
        let data = bare::set_time(&mut one.loaded, data.clone(), &TimeArgs::default())?;
        let mut runner = runner(&one.loaded, args, true)?;
        bare::set_input(&mut runner, &one.loaded, &data, args)?;
        let tick = || bar.step();
        one.run = Some(match &one.loaded {
            Loaded::Artefact(opened) => {
                report::observe(&runner, &opened.network, &data, path, &tick)?
            }
            Loaded::Model(_) => (runner.evaluate_with(&data, path, &tick)?, Vec::new()),
        });
    }
    bar.finish();
    for one in &seen {
        for warning in one.evaluation().into_iter().flat_map(Evaluation::warnings) {
            render::warning(&one.name, &warning);
        }
    }
    Ok(seen)
}

/// What is named, and in the place of a folder above artefacts these.
fn artefacts_in_all(networks: &[PathBuf]) -> Vec<PathBuf> {
    networks
        .iter()
        .flat_map(|path| artefacts_in(path).unwrap_or_else(|| vec![path.clone()]))
        .collect()
}

fn inputs<'a>(networks: &'a [PathBuf], samples: Option<&'a Path>) -> Vec<&'a Path> {
    networks.iter().map(PathBuf::as_path).chain(samples).collect()
}

/// `report`
pub(super) fn report(args: &ReportArgs, common: &Common) -> Result<(), Error> {
    let outputs = [("-o", Some(args.output.as_path())), ("--csv", args.csv.as_deref())];
    let networks = artefacts_in_all(&args.networks);
    output::check_making_folders(&outputs, &inputs(&networks, args.samples.as_deref()))?;
    let seen = see(&networks, args.samples.as_deref(), &args.data, &args.import, common)?;
    let subjects: Vec<Subject<'_>> = seen.iter().map(Seen::subject).collect();
    let page = report::page(&subjects);
    let comparison = Comparison { columns: seen.iter().map(Seen::column).collect() };
    write_file_and_folder(&args.output, page.as_bytes())?;
    if let Some(path) = &args.csv {
        write_file_and_folder(path, comparison.csv().as_bytes())?;
    }
    if common.format == Format::Json {
        return render::json(&comparison);
    }
    if !common.quiet {
        render::note("report", &format!("written to {}", args.output.display()));
    }
    Ok(())
}

/// `compare`
pub(super) fn compare(args: &CompareArgs, common: &Common) -> Result<(), Error> {
    let networks = artefacts_in_all(&args.networks);
    let inputs = inputs(&networks, args.samples.as_deref());
    output::check(&[("--csv", args.csv.as_deref())], &inputs)?;
    let seen = see(&networks, args.samples.as_deref(), &args.data, &args.import, common)?;
    let comparison = Comparison { columns: seen.iter().map(Seen::column).collect() };
    if let Some(path) = &args.csv {
        write_file(path, comparison.csv().as_bytes())?;
    }
    if common.format == Format::Json {
        return render::json(&comparison);
    }
    let names = comparison.columns.iter().map(|c| c.name.as_str());
    let header: Vec<&str> = std::iter::once("").chain(names).collect();
    let line = |row: report::Row| {
        std::iter::once(row.name).chain(row.cells.iter().map(report::Cell::shown)).collect()
    };
    let rows: Vec<Vec<String>> = comparison.rows().into_iter().map(line).collect();
    render::line(tables::table(&header, &rows, 1));
    Ok(())
}
