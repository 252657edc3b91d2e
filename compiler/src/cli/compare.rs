//! `compare`: several artefacts and models side by side.

use super::args::{Common, CompareArgs, Format};
use super::commands::{Loaded, load, runner, write_file};
use super::{progress, render, tables};
use crate::Error;
use crate::data::Dataset;
use crate::report::{Column, Comparison};

/// `compare`
pub(super) fn compare(args: &CompareArgs, common: &Common) -> Result<(), Error> {
    let data = match &args.samples {
        Some(path) => Some((Dataset::load(path, args.data.limit)?, path)),
        None => None,
    };
    let bar = progress::bar(common, "running", args.networks.len());
    let mut columns = Vec::with_capacity(args.networks.len());
    for path in &args.networks {
        let loaded = load(path, &args.import)?;
        let evaluation = match &data {
            Some((data, source)) => {
                Some(runner(&loaded, &args.data, true)?.evaluate(data, source)?)
            }
            None => None,
        };
        let name = path.display().to_string();
        columns.push(match &loaded {
            Loaded::Artefact(opened) => Column::artefact(&name, opened, evaluation),
            Loaded::Model(_) => Column::model(&name, evaluation),
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let comparison = Comparison { columns };
    if let Some(path) = &args.output {
        write_file(path, comparison.page().as_bytes())?;
    }
    if let Some(path) = &args.csv {
        write_file(path, comparison.csv().as_bytes())?;
    }
    if common.format == Format::Json {
        return render::json(&comparison);
    }
    let header: Vec<&str> =
        std::iter::once("").chain(comparison.columns.iter().map(|c| c.name.as_str())).collect();
    let rows: Vec<Vec<String>> = comparison
        .rows()
        .into_iter()
        .map(|r| std::iter::once(r.name).chain(r.cells.iter().map(|c| c.shown())).collect())
        .collect();
    render::line(tables::table(&header, &rows, 1));
    Ok(())
}
