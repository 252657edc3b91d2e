//! `explore`: one model in many ways, side by side.

use std::path::Path;

use super::args::{Common, ExploreArgs, Format};
use super::commands::{resolve_targets, write_file};
use super::config::{Config, import_options, scaling};
use super::{eval, progress, render, tables};
use crate::calibration::QuantiseOptions;
use crate::data::{Dataset, Scaling};
use crate::explore::{self, Exploration, Request};
use crate::inputs;
use crate::pipeline::{Calibration, CompileOptions};
use crate::report::Cell;
use crate::{Error, import};

/// `explore`
pub(super) fn explore(args: &ExploreArgs, common: &Common) -> Result<(), Error> {
    let profile = eval::profile(&args.profile)?;
    let targets = resolve_targets(std::slice::from_ref(&args.target))?;
    let Some(&target) = targets.first() else {
        return Err(Error::usage("--target", "no target is named", "write --target spleat"));
    };
    let imported = import::load(&args.model, &import_options(&args.import)?)?;
    let data = Dataset::load_for(&inputs::ports(&imported.graph), &args.samples, args.data.limit)?;
    drop(imported);
    let scaling = scaling(&args.data, Scaling::default())?;
    let import = import_options(&args.import)?;
    let mut options = CompileOptions { scaling, import: import.clone(), ..Default::default() };
    options.target.extra = Config::load(args.data.config.as_deref())?.target(target.name());
    let calibration = Calibration {
        data: Some(args.calibration.clone().unwrap_or_else(|| args.samples.clone())),
        statistics: None,
        options: QuantiseOptions {
            weight_bits: args.weight_bits,
            scaling,
            ..QuantiseOptions::default()
        },
        budget: None,
        candidates: (1..=8).collect(),
    };
    options.thresholds_by.clone_from(&calibration.data);
    let request = Request {
        model: &args.model,
        import,
        target,
        options,
        calibration,
        data: (&data, &args.samples),
        cycle_samples: args.cycle_samples,
        profile: profile.name.clone(),
    };
    let bar = progress::bar(
        common,
        "running samples",
        data.len() * explore::settings(target, true).len(),
    );
    let found = explore::explore(&request, &|| bar.inc(1));
    bar.finish_and_clear();
    let found = found?;
    if let Some(folder) = &args.output {
        write(&found, folder)?;
    }
    if common.format == Format::Json {
        return render::json(&found);
    }
    show(&found, common);
    Ok(())
}

fn write(found: &Exploration, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|e| {
        let place = format!("`{}`", folder.display());
        Error::input(place, format!("cannot be made: {e}"), "choose another folder with -o")
    })?;
    let json = serde_json::to_string_pretty(found)
        .map_err(|e| Error::input("answer", e.to_string(), ""))?;
    write_file(&folder.join("explore.json"), (json + "\n").as_bytes())?;
    write_file(&folder.join("explore.csv"), found.csv().as_bytes())?;
    write_file(&folder.join("explore.html"), found.page().as_bytes())
}

fn show(found: &Exploration, common: &Common) {
    let header = found.header();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> =
        found.rows().iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
    render::line(tables::table(&header, &rows, 4));
    render::line(format_args!(
        "dominated: another point is no worse in accuracy, latency and energy by profile {}, and better in one; {} samples, cycles over {}",
        found.profile, found.samples, found.cycle_samples
    ));
    if !common.quiet {
        for point in &found.points {
            if let Some(reason) = &point.refused {
                let text = format!("not on {}, measured on reference: {reason}", found.target);
                render::note(&point.name, &text);
            }
        }
    }
}
