//! `config`: all options of `snnc.yaml`, with their defaults.

use std::fmt::Write as _;

use clap::Args;
use snnc_backends::TARGETS;

use super::args::{Common, Format};
use super::render;
use crate::Error;
use crate::data::Scaling;

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc config --print > snnc.yaml")]
pub(super) struct ConfigArgs {
    /// Print all options with their defaults and meanings
    #[arg(long, required = true)]
    print: bool,
}

/// `config`
pub(super) fn config(_: &ConfigArgs, common: &Common) -> Result<(), Error> {
    if common.format == Format::Json {
        let row = |t: &dyn snnc_backends::Target| {
            let option = |o: &snnc_backends::TargetOption| (o.shown(), o.values.to_string().into());
            let options: serde_json::Map<_, serde_json::Value> =
                t.options().iter().map(option).collect();
            (t.name().to_owned(), options.into())
        };
        let targets: serde_json::Map<_, serde_json::Value> =
            TARGETS.iter().map(|t| row(*t)).collect();
        let Scaling { scale, offset } = Scaling::default();
        return render::json(&serde_json::json!({
            "input": { "scale": scale, "offset": offset }, "thresholds": {}, "targets": targets,
        }));
    }
    render::verbatim(template().trim_end());
    Ok(())
}

/// A configuration file that changes nothing.
pub(super) fn template() -> String {
    let Scaling { scale, offset } = Scaling::default();
    let mut text = format!(
        "# Options of snnc, read with `--config snnc.yaml`. The command line takes precedence.\n\n\
         # How 8-bit data becomes a float input: x * scale + offset.\n\
         input:\n  scale: {scale}\n  offset: {offset}\n\n\
         # Thresholds V_th(t) of populations in the coding atif, in the unit of the activation: one for\n\
         # each timestep, the last one for all later ones.\n\
         thresholds:\n  # conv1: [0.9, 0.8]\n\n\
         # Options of targets, as `--set KEY=VALUE`.\n\
         targets:\n"
    );
    for target in TARGETS.iter().filter(|t| !t.options().is_empty()) {
        let _ = writeln!(text, "  {}:", target.name());
        for option in target.options() {
            let _ = writeln!(text, "    # {}: {}", option.summary, option.values);
            let _ = writeln!(text, "    # {}: ..", option.shown());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    #[test]
    fn what_is_printed_is_a_configuration_that_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snnc.yaml");
        std::fs::write(&file, template()).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        let Scaling { scale, offset } = Scaling::default();
        assert_eq!((config.input.scale, config.input.offset), (Some(scale), Some(offset)));
        assert!(config.thresholds.is_empty());
        for target in TARGETS {
            assert!(config.target(target.name()).is_empty());
            for option in target.options() {
                assert!(template().contains(&format!("# {}: ..", option.shown())));
            }
        }
    }
}
