//! What `verify` and `run` look at besides the certificate: peers, and what saturates.

use super::args::{Common, VerifyArgs};
use super::open::{Loaded, runner};
use super::render;
use crate::data::Dataset;
use crate::evaluate::{Runner, clipping_text};
use crate::saturation::SaturationLog;
use crate::{Error, artefact, peers};

/// Runs the artefact in the tools that `--peer` names.
pub(super) fn ask_peers(args: &VerifyArgs, opened: &artefact::Opened) -> Result<(), Error> {
    if args.peer.is_empty() {
        return Ok(());
    }
    let target = opened.target.name();
    // They show what the network does, without the host.
    let bare = artefact::Opened { host: None, ..opened.clone() };
    let loaded = Loaded::Artefact(Box::new(bare));
    let runner = runner(&loaded, &args.data, false)?;
    let samples = args.samples.as_ref().map(|p| Dataset::load(p, args.data.limit)).transpose()?;
    let device = opened.manifest.as_ref().and_then(|m| m.options.get("device"));
    let case = peers::Case {
        folder: &args.artefact,
        target,
        device: device.map(String::as_str),
        network: &opened.network,
        runner: &runner,
        samples: samples.as_ref(),
    };
    let mut problems = Vec::new();
    for name in &args.peer {
        match peers::peer(name, target)?.check(&case)? {
            peers::Outcome::Skipped(why) => {
                render::line(format_args!("skipped: peer {name}: {why}"));
            }
            peers::Outcome::Agrees(what) => {
                render::line(format_args!("peer {name} agrees: {what}"));
            }
            peers::Outcome::Differs(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Check(problems)) }
}

/// Says where samples are clipped.
pub(super) fn warn_of_clipping(runner: &Runner, data: &Dataset) {
    if let Some(share) = runner.clipped(data) {
        render::warning("samples", &clipping_text(share));
    }
}

/// Says what saturated; where it is proved that nothing can, nothing is run.
pub(super) fn report_saturation(
    network: &snnc_ir::Graph,
    runner: &Runner,
    data: &Dataset,
    common: &Common,
) -> Result<(), Error> {
    let mut log = SaturationLog::of(network);
    if log.is_idle() || common.quiet {
        return Ok(());
    }
    for i in 0..data.len() {
        let see = &mut |id, _, values: &[i64]| log.observe(network, id, values);
        runner.answer_showing(data, i, None, see)?;
    }
    for (id, count) in log.saturated() {
        let text = format!("{count} values saturated in {} samples", data.len());
        render::note(&network[id].describe(), &text);
    }
    Ok(())
}
