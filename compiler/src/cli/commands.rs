//! What commands share: targets and references by name.

use snnc_backends::{TARGETS, Target, TargetOption, target};

use super::args::{Common, Format, TargetsArgs};
use super::{render, tables};
use crate::reference::Semantics;
use crate::{Error, Problem, nearest};

/// Resolves names of targets; all unknown ones at once.
pub(super) fn resolve_targets(names: &[String]) -> Result<Vec<&'static dyn Target>, Error> {
    let known = || TARGETS.iter().map(|t| t.name()).chain(["all"]);
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    if names.contains(&"all") {
        return Ok(TARGETS.to_vec());
    }
    for name in names {
        match target(name) {
            Some(t) if found.iter().any(|f: &&dyn Target| f.name() == t.name()) => {}
            Some(t) => found.push(t),
            None => problems.push(Problem::new(
                "--target",
                format!("there is no target `{name}`"),
                nearest::advice(name, known()),
            )),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Error::Usage(problems)) }
}

pub(super) fn semantics(name: &str) -> Result<Semantics, Error> {
    Semantics::from_name(name).ok_or_else(|| {
        let reason = format!("there is no reference `{name}`");
        Error::usage("--reference", reason, "there are ort, real, fixed")
    })
}

/// `targets`
pub(super) fn targets(args: &TargetsArgs, common: &Common) -> Result<(), Error> {
    let chosen = match &args.name {
        Some(name) => resolve_targets(std::slice::from_ref(name))?,
        None => TARGETS.to_vec(),
    };
    if args.image_format {
        for t in &chosen {
            let text = t.image_format().ok_or_else(|| {
                let reason = format!("the format of `{}` is not this project's own", t.name());
                Error::usage(
                    "--image-format",
                    reason,
                    "see `snnc targets` for what each target writes",
                )
            })?;
            render::verbatim(text.trim_end());
        }
        return Ok(());
    }
    let codings = |t: &dyn Target| t.codings().iter().map(|c| c.name()).collect::<Vec<_>>();
    let options = |t: &dyn Target| {
        let row = |o: &TargetOption| serde_json::json!({ "key": o.shown(), "values": o.values.to_string(), "summary": o.summary });
        t.options().iter().map(row).collect::<Vec<_>>()
    };
    if common.format == Format::Json {
        let row = |t: &&dyn Target| serde_json::json!({ "name": t.name(), "summary": t.summary(), "codings": codings(*t), "devices": t.devices(), "options": options(*t), "description": t.description() });
        return render::json(&chosen.iter().map(row).collect::<Vec<_>>());
    }
    if args.name.is_some() {
        for t in chosen {
            render::line(format_args!("{}: {}\n\n{}", t.name(), t.summary(), t.description()));
            render::line(format_args!("\ncodings: {}", codings(t).join(", ")));
            if !t.devices().is_empty() {
                render::line(format_args!("devices: {}", t.devices().join(", ")));
            }
            for option in t.options() {
                let (key, values) = (option.shown(), option.values);
                render::line(format_args!("--set {key}=..: {}; {values}", option.summary));
            }
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|t| vec![t.name().to_owned(), t.summary().to_owned(), codings(*t).join(", ")])
        .collect();
    render::line(tables::table(&["target", "what it is", "codings, the default first"], &rows, 3));
    Ok(())
}
