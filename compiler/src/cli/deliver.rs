//! What `compile` hands over: artefacts of the targets that can, reasons of those that cannot.

use std::path::Path;

use snnc_backends::File;

use super::args::CompileArgs;
use super::render;
use crate::artefact::{check_free, write_all};
use crate::certificate::{Certificate, Verdict};
use crate::{Error, Problem, mmap};

/// What became of the artefacts that were made.
pub(super) struct Delivery {
    /// Targets whose folders were written.
    pub(super) written: Vec<String>,
    /// What kept the others from it, and checks that failed.
    pub(super) errors: Vec<(String, Error)>,
}

/// That nothing is in the way in the folders of these targets, and that no input lies in one of them.
///
/// # Errors
/// All that is in the way.
pub(super) fn check_output(args: &CompileArgs, targets: &[&str]) -> Result<(), Error> {
    check_free(&args.output, targets.iter().copied())?;
    let inputs = [Some(&args.model), args.data.as_ref(), args.quantise.calibration.as_ref()];
    let mut problems = Vec::new();
    for input in inputs.into_iter().flatten() {
        for target in targets {
            if lies_in(input, &args.output.join(target)) {
                let reason = "lies in a folder that would be replaced";
                let help = "choose another folder with -o";
                problems.push(Problem::new(format!("`{}`", input.display()), reason, help));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Usage(problems)) }
}

fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

/// What a certificate that failed says; `None` for every other.
pub(super) fn failed(target: &str, certificate: &Certificate, force: bool) -> Option<Error> {
    if certificate.verdict != Verdict::Failed {
        return None;
    }
    let help = if force {
        "it is written all the same, as --force asks for"
    } else {
        "nothing is written for this target; --force writes it all the same"
    };
    let populations = certificate.populations.iter().filter(|p| p.verdict == Verdict::Failed);
    let populations = populations.map(|p| {
        let place = format!("{} on {target}", p.node);
        Problem::new(place, format!("its certificate failed: {}", p.method), help)
    });
    let obligations = certificate.obligations.iter().filter(|o| !o.holds).map(|o| {
        let place = format!("`{}` on {target}", o.subject);
        Problem::new(place, format!("its certificate failed: not shown: {}", o.claim), help)
    });
    let mut problems: Vec<Problem> = populations.chain(obligations).collect();
    if problems.is_empty() {
        problems.push(Problem::new(target, "its certificate failed: nothing is known", help));
    }
    Some(Error::Check(problems))
}

/// Writes the folders of the targets that can be delivered: with `--all-or-nothing` none where there is an
/// error. Checks that failed are errors too, of targets that are not among `folders` unless forced.
///
/// # Errors
/// When the folders cannot be written; all of them are then as they were.
pub(super) fn deliver(
    args: &CompileArgs,
    mut folders: Vec<(String, Vec<File>)>,
    errors: Vec<(String, Error)>,
) -> Result<Delivery, Error> {
    if args.all_or_nothing && errors.iter().any(|(target, e)| refuses(args, target, e)) {
        folders.clear();
    }
    if !folders.is_empty() {
        mmap::unchanged()?;
        write_all(&args.output, &folders)?;
    }
    let written = folders.into_iter().map(|(name, _)| name).collect();
    Ok(Delivery { written, errors })
}

/// Whether an error keeps a target from being written.
fn refuses(args: &CompileArgs, _: &str, error: &Error) -> bool {
    !(args.force && matches!(error, Error::Check(_)))
}

impl Delivery {
    /// Says in text what was written, and what was not.
    pub(super) fn show(&self, output: &Path, targets: &[&str]) {
        if !self.written.is_empty() {
            let names = if self.written.len() == targets.len() {
                String::new()
            } else {
                format!(" ({})", self.written.join(", "))
            };
            render::line(format_args!("written to {}{names}", output.display()));
        }
        for target in targets.iter().filter(|t| !self.written.iter().any(|w| w == *t)) {
            let kept = output.join(target).exists();
            let kept = if kept { ", and keeps its old folder" } else { "" };
            render::line(format_args!("{target} is not written{kept}"));
        }
    }

    /// The errors as one for each kind, the gravest returned, the others shown.
    ///
    /// # Errors
    /// When there are any.
    pub(super) fn conclude(self) -> Result<(), Error> {
        let errors = self.errors.into_iter().map(|(_, error)| error);
        let mut joined = Error::joined(errors);
        let Some(gravest) = joined.pop() else { return Ok(()) };
        joined.iter().for_each(render::error);
        Err(gravest)
    }

    /// Problems of one target, for JSON.
    pub(super) fn problems(&self, target: &str) -> Vec<serde_json::Value> {
        let own = self.errors.iter().filter(|(name, _)| name == target);
        let problem = |p: &Problem| serde_json::json!({ "place": p.place, "reason": p.reason, "remedy": p.remedy });
        own.flat_map(|(_, e)| e.problems()).map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Obligation, PopulationCertificate};

    fn certificate(verdict: Verdict) -> Certificate {
        let node = "Conv `conv`".into();
        let population =
            PopulationCertificate::new("conv", node, verdict, "its windows are others");
        let holds = verdict != Verdict::Failed;
        let obligation = Obligation { subject: "conv".into(), claim: "sums fit".into(), holds };
        let (populations, obligations) = (vec![population], vec![obligation]);
        Certificate { verdict, reference: "ort".into(), populations, obligations }
    }

    #[test]
    fn a_certificate_that_failed_is_a_check_that_failed_with_all_its_reasons() {
        for verdict in [Verdict::Proved, Verdict::Differs, Verdict::Approximate] {
            assert!(failed("akida2", &certificate(verdict), false).is_none());
        }
        let error = failed("akida2", &certificate(Verdict::Failed), false).unwrap();
        assert_eq!((error.exit_code(), error.problems().len()), (1, 2));
        assert!(error.problems().iter().all(|p| p.place.contains("on akida2")), "{error}");
        assert!(error.to_string().contains("its windows are others"), "{error}");
        assert!(error.to_string().contains("--force"), "{error}");
        // An error without a reason would be none.
        let empty = Certificate {
            populations: Vec::new(),
            obligations: Vec::new(),
            ..certificate(Verdict::Failed)
        };
        assert_eq!(failed("x", &empty, true).unwrap().problems().len(), 1);
    }
}
