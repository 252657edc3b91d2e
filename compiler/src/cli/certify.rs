//! `certify`: the certificate's statements for solvers.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::args::{Common, Format};
use super::numbers::positive;
use super::output::write_file;
use super::{open, render};
use crate::Error;
use crate::smt::{Obligation, Obligations, Skipped, Wanted, obligations};

/// Arguments of `certify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  snnc certify out/spleat --smt obligations; z3 obligations/*.smt2"
)]
pub(super) struct CertifyArgs {
    /// An artefact's folder
    #[arg(value_name = "ARTEFACT")]
    pub(super) artefact: PathBuf,
    /// Folder for the obligations as SMT-LIB 2, each of which must be unsat
    #[arg(long, value_name = "DIR")]
    pub(super) smt: PathBuf,
    /// A population; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) population: Vec<String>,
    /// The first N channels of each population
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = positive)]
    pub(super) channels: usize,
}

/// `certify`
pub(super) fn certify(args: &CertifyArgs, common: &Common) -> Result<(), Error> {
    let place = format!("`{}`", args.artefact.display());
    let missing = |reason: &str| {
        Error::usage(&place, reason.to_owned(), "name a folder that `snnc compile` wrote")
    };
    let opened = open::artefact(&args.artefact)?;
    let source = opened.source.as_ref();
    let source = source.ok_or_else(|| missing("holds no quantised network"))?;
    let wanted = Wanted { populations: &args.population, channels: args.channels };
    let found = obligations(source, &opened.network, &wanted)?;
    let fail = |e: std::io::Error| {
        let shown = format!("`{}`", args.smt.display());
        Error::input(shown, format!("cannot be written: {e}"), "choose another folder")
    };
    std::fs::create_dir_all(&args.smt).map_err(fail)?;
    for obligation in &found.files {
        write_file(&args.smt.join(&obligation.file), obligation.script.as_bytes())?;
    }
    let index = Index::of(&found, opened.target.name());
    let text = serde_json::to_string_pretty(&index).map_err(|e| fail(e.into()))? + "\n";
    write_file(&args.smt.join("index.json"), text.as_bytes())?;
    if common.format == Format::Json {
        return render::json(&index);
    }
    render::line(format_args!("{} obligations in {}", found.files.len(), args.smt.display()));
    if !common.quiet {
        for skipped in &found.skipped {
            render::note(&format!("`{}`", skipped.population), &skipped.reason);
        }
    }
    Ok(())
}

/// `index.json`: what each file is about.
#[derive(Serialize)]
struct Index<'a> {
    format_version: u32,
    target: &'a str,
    /// What a solver must answer for every file.
    expected: &'static str,
    files: &'a [Obligation],
    skipped: &'a [Skipped],
}

impl<'a> Index<'a> {
    fn of(found: &'a Obligations, target: &'a str) -> Self {
        let (files, skipped) = (&found.files, &found.skipped);
        Index { format_version: 1, target, expected: "unsat", files, skipped }
    }
}
