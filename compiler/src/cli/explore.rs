//! `explore`: one model in many ways, side by side.

use std::path::Path;

use super::args::{Common, ExploreArgs, Format};
use super::commands::resolve_targets;
use super::config::{Config, given};
use super::output::{self, write_file};
use super::{eval, open, progress, render, tables};
use crate::Error;
use crate::calibration::Calibration;
use crate::calibration::QuantiseOptions;
use crate::data::Dataset;
use crate::driver::CompileOptions;
use crate::explore::{self, Exploration, Request};
use crate::inputs;
use crate::report::Cell;

/// `explore`
pub(super) fn explore(args: &ExploreArgs, common: &Common) -> Result<(), Error> {
    let profile = eval::profile(&args.profile)?;
    let targets = resolve_targets(std::slice::from_ref(&args.target))?;
    let Some(&target) = targets.first() else {
        return Err(Error::usage("--target", "no target is named", "write --target spleat"));
    };
    if let Some(folder) = &args.output {
        let files = FILES.map(|name| folder.join(name));
        let outputs = files.iter().map(|file| ("-o", Some(file.as_path())));
        let inputs = [Some(&args.model), Some(&args.samples), args.calibration.as_ref()];
        let inputs: Vec<&Path> = inputs.into_iter().flatten().map(|path| path.as_path()).collect();
        // A folder that is not there yet is made at the end.
        if folder.exists() {
            output::check(&outputs.collect::<Vec<_>>(), &inputs)?;
        }
    }
    let model = open::tensor(&args.model, &args.import)?;
    let data = Dataset::load_for(&inputs::ports(&model.canonical), &args.samples, args.data.limit)?;
    let input = given(&args.data)?;
    let mut options = CompileOptions { input, ..Default::default() };
    options.target.extra = Config::load(args.data.config.as_deref())?.target(target.name());
    let calibration = Calibration {
        data: Some(args.calibration.clone().unwrap_or_else(|| args.samples.clone())),
        statistics: None,
        options: QuantiseOptions {
            weight_bits: args.weight_bits,
            input,
            ..QuantiseOptions::default()
        },
        budget: None,
        candidates: target.capabilities().payload_choices.to_vec(),
    };
    options.thresholds_by.clone_from(&calibration.data);
    let request = Request {
        model: &model,
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
    let found = explore::explore(&request, &|| bar.step());
    bar.finish();
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

/// What is written into the folder of `-o`.
const FILES: [&str; 3] = ["explore.json", "explore.csv", "explore.html"];

fn write(found: &Exploration, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|e| {
        let place = format!("`{}`", folder.display());
        Error::input(place, format!("cannot be made: {e}"), "choose another folder with -o")
    })?;
    let json = serde_json::to_string_pretty(found)
        .map_err(|e| Error::input("answer", e.to_string(), ""))?;
    let [json_file, csv, page] = FILES.map(|name| folder.join(name));
    write_file(&json_file, (json + "\n").as_bytes())?;
    write_file(&csv, found.csv().as_bytes())?;
    write_file(&page, found.page().as_bytes())
}

fn show(found: &Exploration, common: &Common) {
    let header = found.header();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> =
        found.rows().iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
    let energies: Vec<&str> = header
        .iter()
        .copied()
        .filter(|name| name.starts_with("nJ, ") && *name != format!("nJ, {}", found.profile))
        .collect();
    let first_out =
        [&energies[..], &["image bits", "synaptic ops", "cycles", "certificate"]].concat();
    render::line(tables::table_without(&header, &rows, 4, &first_out));
    render::line(format_args!(
        "dominated: another point is no worse in accuracy, latency and energy by profile {}, and better in one; {} samples, cycles over {}",
        found.profile, found.samples, found.cycle_samples
    ));
    if !common.quiet {
        for (name, reason) in &found.left_out {
            render::note(name, &format!("cannot express the network: {reason}"));
        }
        for point in &found.points {
            if let Some(reason) = &point.refused {
                let text = format!("not on {}, measured on reference: {reason}", found.target);
                render::note(&point.name, &text);
            }
        }
    }
}
