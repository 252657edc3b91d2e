//! `calibrate`, and the options by which a float model is quantised.

use std::path::{Path, PathBuf};

use snnc_backends::Target;

use super::args::{CalibrateArgs, Common, Format, Granularity, QuantiseArgs};
use super::config::given;
use super::eval::profile;
use super::output::{self, write_file};
use super::{open, progress, render, tables};
use crate::Error;
use crate::calibration::allocate::{self, SiteChoices};
use crate::calibration::{
    Budget, Calibration, Cost, Part, QuantiseOptions, RoundingMethod, SiteErrors, Statistics,
    ThresholdMethod, site_errors, sites,
};
use crate::data::Dataset;
use crate::feed::Given;
use crate::inputs;
use crate::mmap;

/// The calibration that the arguments ask for; bits default to what suits the target, levels to the
/// timesteps of `binary` spikes.
pub(super) fn calibration(
    args: &QuantiseArgs,
    data: Option<PathBuf>,
    input: Given,
    target: &dyn Target,
    binary: Option<usize>,
) -> Result<Calibration, Error> {
    let method = ThresholdMethod::from_name(&args.threshold).ok_or_else(|| {
        let reason = format!("there is no method `{}`", args.threshold);
        Error::usage(
            "--threshold",
            reason,
            "there are mmse, max, percentile and percentile:P with P up to 100",
        )
    })?;
    let made_for = target.capabilities();
    let payload_bits = match args.payload_bits.as_deref() {
        None | Some("auto") => made_for.payload_bits,
        Some(text) => text.parse().map_err(|_| {
            Error::usage(
                "--payload-bits",
                format!("`{text}` is no number of bits"),
                "write --payload-bits 4, or auto",
            )
        })?,
    };
    let budget = budget(args)?;
    let site_bits = args.site_bits.iter().map(site_bits).collect::<Result<_, _>>()?;
    let layer_bits = args.layer_bits.iter().map(layer_bits).collect::<Result<_, _>>()?;
    let rounding = RoundingMethod::from_name(&args.rounding).ok_or_else(|| {
        let reason = format!("there is no method `{}`", args.rounding);
        Error::usage("--rounding", reason, "there are second-order and nearest")
    })?;
    let weight_bits = args.weight_bits.unwrap_or(made_for.weight_bits);
    let options = QuantiseOptions {
        method,
        each_channel: match args.granularity {
            Some(granularity) => granularity == Granularity::Channel,
            // Few bits of weights leave none for what separates the channels.
            None => weight_bits >= 6,
        },
        correct_biases: !args.no_bias_correction,
        payload_bits,
        levels: match args.payload_bits {
            None => binary.and_then(|timesteps| i64::try_from(timesteps).ok()),
            Some(_) => None,
        },
        site_bits,
        weight_bits,
        layer_bits,
        rounding,
        input,
    };
    let data = args.calibration.clone().or(data);
    let candidates = made_for.payload_choices.to_vec();
    Ok(Calibration { data, statistics: args.statistics.clone(), options, budget, candidates })
}

/// `NAME=BITS` of a population.
fn site_bits((name, bits): &(String, String)) -> Result<(String, u8), Error> {
    let possible = bits.parse().ok().filter(|b| (1..=16).contains(b));
    possible.map(|b| (name.clone(), b)).ok_or_else(|| {
        let reason = format!("`{bits}` bits are not possible for `{name}`");
        Error::usage("--site-bits", reason, "write a number of bits from 1 to 16")
    })
}

/// `NAME=BITS` of a layer's weights.
fn layer_bits((name, bits): &(String, String)) -> Result<(String, u8), Error> {
    let possible = bits.parse().ok().filter(|b| (2..=16).contains(b));
    possible.map(|b| (name.clone(), b)).ok_or_else(|| {
        let reason = format!("`{bits}` bits are not possible for the weights of `{name}`");
        Error::usage("--layer-bits", reason, "write a number of bits from 2 to 16")
    })
}

/// The profile by which `--budget energy=` counts.
const USUAL_PROFILE: &str = "hardware";

/// The budget of `--payload-bits auto`.
fn budget(args: &QuantiseArgs) -> Result<Option<Budget>, Error> {
    let auto = args.payload_bits.as_deref() == Some("auto");
    let (key, value) = match (auto, args.budget.as_slice()) {
        (false, []) => return Ok(None),
        (true, [one]) => one,
        (true, []) => {
            return Err(Error::usage(
                "--payload-bits",
                "auto needs a budget",
                "add --budget avg-bits=3",
            ));
        }
        (true, _) => {
            return Err(Error::usage("--budget", "one budget is enough", "leave the others out"));
        }
        (false, _) => {
            return Err(Error::usage(
                "--budget",
                "is for --payload-bits auto",
                "add --payload-bits auto",
            ));
        }
    };
    let number: f64 =
        value.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0).ok_or_else(|| {
            Error::usage(
                "--budget",
                format!("`{value}` is no amount"),
                "write --budget avg-bits=2.25",
            )
        })?;
    let cost = match key.as_str() {
        "avg-bits" => Cost::AverageBits,
        "wire-bits" => Cost::WireBits,
        "spikes" => Cost::Spikes,
        "synaptic-operations" => Cost::SynapticOperations,
        "max-drop" => return Ok(Some(Budget::MaxDrop(number))),
        "energy" => Cost::Energy(profile(USUAL_PROFILE)?),
        _ => match key.strip_prefix("energy:") {
            Some(name) => Cost::Energy(profile(name)?),
            None => {
                let reason = format!("there is no budget `{key}`");
                let remedy = "there are avg-bits, wire-bits, spikes, synaptic-operations, energy, \
                              energy:PROFILE and max-drop";
                return Err(Error::usage("--budget", reason, remedy));
            }
        },
    };
    Ok(Some(Budget::Cost(cost, number)))
}

/// Payload bits for which errors are shown.
const SHOWN_BITS: [u8; 4] = [2, 3, 4, 8];
/// Samples on which sensitivities are measured.
const SENSITIVITY_SAMPLES: usize = 64;

/// `calibrate`
pub(super) fn calibrate(args: &CalibrateArgs, common: &Common) -> Result<(), Error> {
    let inputs = [args.model.as_deref(), args.samples.as_deref()].into_iter().flatten();
    let inputs: Vec<&Path> = inputs.chain(args.merge.iter().map(PathBuf::as_path)).collect();
    output::check(&[("-o", Some(&args.output))], &inputs)?;
    let (statistics, rows) =
        if args.merge.is_empty() { gather(args, common)? } else { (merge(args)?, Vec::new()) };
    write_file(&args.output, &statistics.to_bytes())?;
    let errors = site_errors(&statistics, ThresholdMethod::LeastSquares, &SHOWN_BITS);
    if common.format == Format::Json {
        return render::json(&serde_json::json!({
            "model": statistics.model, "samples": statistics.samples, "sites": statistics.sites.len(),
            "bits": SHOWN_BITS, "errors": errors, "sensitivities": rows,
        }));
    }
    if !common.quiet {
        render::line(format_args!("{}", table_of(&errors, &rows)));
    }
    render::line(format_args!(
        "{} sites over {} samples, written to {}",
        statistics.sites.len(),
        statistics.samples,
        args.output.display()
    ));
    Ok(())
}

/// What each population loses by few bits: signal to noise of its own values, and how far the
/// network's answer moves by it.
fn table_of(errors: &[SiteErrors], rows: &[SiteChoices]) -> String {
    let mut header = vec!["population".to_owned(), "largest".into()];
    header.extend(SHOWN_BITS.map(|b| format!("SQNR at {b} bits")));
    if !rows.is_empty() {
        header.extend(SHOWN_BITS.map(|b| format!("KL at {b} bits")));
    }
    let row = |e: &SiteErrors| {
        let mut cells = vec![e.site.clone(), format!("{:.3}", e.largest)];
        let db = |x: &Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.1} dB"));
        cells.extend(e.sqnr_db.iter().map(db));
        let own = rows.iter().find(|r| r.site == e.site);
        let moved = |b: u8| {
            let choice = own.and_then(|r| r.choices.iter().find(|c| c.bits == b));
            choice.map_or("-".to_owned(), |c| format!("{:.4}", c.sensitivity))
        };
        if !rows.is_empty() {
            cells.extend(SHOWN_BITS.map(moved));
        }
        cells
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    tables::table(&header, &errors.iter().map(row).collect::<Vec<_>>(), 1)
}

fn gather(args: &CalibrateArgs, common: &Common) -> Result<(Statistics, Vec<SiteChoices>), Error> {
    let (Some(model), Some(path)) = (&args.model, &args.samples) else {
        return Err(Error::usage("calibrate", "a model and --data, or --merge is needed", ""));
    };
    let opened = open::tensor(model, &args.import)?;
    let tensor = &opened.canonical;
    if !opened.is_float() {
        let place = format!("`{}`", model.display());
        return Err(Error::usage(place, "is quantised already", "compile it without calibration"));
    }
    let data = Dataset::load_for(&inputs::ports(tensor), path, args.data.limit)?;
    let range = match &args.shard {
        None => 0..data.len(),
        Some(text) => shard(text, data.len())?,
    };
    let input = given(&args.data)?;
    let sites = sites(tensor);
    let (first, last) = (range.start as u64, range.end as u64);
    let bar = progress::bar(common, "running samples", range.len());
    let found = Statistics::gather(tensor, &sites, (&data, path), range, input, &|| bar.step());
    bar.finish();
    let mut statistics = found?;
    statistics.model = opened.digest.sha256().to_owned();
    let digest = mmap::sha256(path).map_err(|e| {
        Error::input(format!("`{}`", path.display()), format!("cannot be read: {e}"), "")
    })?;
    statistics.parts = vec![Part { data: digest, from: first, to: last }];
    let rows = if args.sensitivity {
        let options = QuantiseOptions { input, ..QuantiseOptions::default() };
        let spread = (SENSITIVITY_SAMPLES, SHOWN_BITS.as_slice(), Cost::AverageBits);
        allocate::measure(tensor, &sites, &statistics, &options, (&data, path), spread)?
    } else {
        Vec::new()
    };
    Ok((statistics, rows))
}

/// Samples of shard `I/N`.
fn shard(text: &str, samples: usize) -> Result<std::ops::Range<usize>, Error> {
    let number = |s: &str| s.parse::<usize>().ok();
    let parts = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
    match parts {
        Some((i, n)) if (1..=n).contains(&i) => Ok(samples * (i - 1) / n..samples * i / n),
        _ => Err(Error::usage(
            "--shard",
            format!("`{text}` is no I/N"),
            "write --shard 1/4 to --shard 4/4",
        )),
    }
}

fn merge(args: &CalibrateArgs) -> Result<Statistics, Error> {
    let mut merged: Option<Statistics> = None;
    for path in &args.merge {
        let place = format!("`{}`", path.display());
        let bytes = std::fs::read(path)
            .map_err(|e| Error::input(&place, format!("cannot be read: {e}"), "check the path"))?;
        let fail = |e: crate::calibration::StatisticsError| {
            Error::input(&place, e.to_string(), "gather it again, and name each shard once")
        };
        let part = Statistics::from_bytes(&bytes).map_err(fail)?;
        match &mut merged {
            None => merged = Some(part),
            Some(all) => all.merge(&part).map_err(fail)?,
        }
    }
    merged.ok_or_else(|| Error::usage("--merge", "no statistics are named", ""))
}
