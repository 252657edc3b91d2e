//! Options of `compile` whose names or files depend on targets and passes.

use snnc_backends::{TARGETS, Target, TargetOption};

use super::args::CompileArgs;
use super::passes;
use crate::{Error, Problem, nearest};

/// Whether a target takes an option of that key.
pub(super) fn takes(target: &dyn Target, key: &str) -> bool {
    target.options().iter().any(|known| known.takes(key))
}

/// The keys as users write them.
fn shown(targets: &[&dyn Target]) -> Vec<String> {
    let options = targets.iter().flat_map(|t| t.options());
    let mut all: Vec<String> = options.map(TargetOption::shown).collect();
    all.sort();
    all.dedup();
    all
}

/// That keys of `--set`, names of passes and a hardware description have a target or a place.
///
/// # Errors
/// All that have none.
pub(super) fn check(args: &CompileArgs, targets: &[&'static dyn Target]) -> Result<(), Error> {
    let mut problems = Vec::new();
    for (key, _) in &args.set {
        if !targets.iter().any(|target| takes(*target, key)) {
            let names: Vec<&str> = targets.iter().map(|t| t.name()).collect();
            let reason = format!("{} has no option `{key}`", names.join(", "));
            let known = shown(targets);
            let help = nearest::advice(key, known.iter().map(String::as_str));
            problems.push(Problem::new("--set", reason, help));
        }
    }
    if let Some(name) = &args.print_after {
        problems.extend(passes::step("--print-after", name).err());
    }
    if args.hw.is_some() && targets.iter().all(|t| t.check_hardware("").is_none()) {
        let reason = "none of the targets takes a hardware description";
        let takes = TARGETS.iter().filter(|t| t.check_hardware("").is_some());
        let takes: Vec<&str> = takes.map(|t| t.name()).collect();
        let help = format!("leave it out, or add --target {}", takes.join(" or --target "));
        problems.push(Problem::new("--hw", reason, help));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Usage(problems)) }
}

/// The content of the file of `--hw` for a target; `None` for targets that take none.
///
/// # Errors
/// When it cannot be read, and all that is wrong with it.
pub(super) fn hardware(args: &CompileArgs, target: &dyn Target) -> Result<Option<String>, Error> {
    let Some(path) = &args.hw else { return Ok(None) };
    let place = format!("`{}`", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::input(&place, format!("cannot be read: {e}"), "check the path"))?;
    match target.check_hardware(&text) {
        None => Ok(None),
        Some(Ok(())) => Ok(Some(text)),
        Some(Err(reasons)) => {
            let help =
                format!("see `snnc targets {}` for the keys of a description", target.name());
            let problem = |reason: String| Problem::new(&place, reason, &help);
            Err(Error::Input(reasons.into_iter().map(problem).collect()))
        }
    }
}
