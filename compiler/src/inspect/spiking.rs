//! What a model that spikes already is made of, and what each target makes of it.

use snnc_backends::{TARGETS, Target, TargetOptions};
use snnc_ir::{Graph, Verified};

use super::{Grade, Inspection, Obstacle, Rating, obstacles, port, rows};
use crate::Error;
use crate::artefact::Source;
use crate::import::{Imported, spiking};
use crate::spiking_float::{self, SpikingSource, Written};
use crate::spiking_integers::Run;

/// Inspects a model whose neurons are written out, as populations and projections where all of it is
/// recognised.
///
/// # Errors
/// When the graph has no order.
pub(super) fn inspect(imported: &Imported) -> Result<Inspection, Error> {
    let recognised =
        spiking::recognise(&imported.graph).and_then(|found| spiking::verified(found.network));
    let graph: &Graph = match &recognised {
        Ok(network) => network,
        Err(_) => &imported.graph,
    };
    let nodes = rows(graph)?;
    let stopped = recognised.as_ref().err().map(obstacles).unwrap_or_default();
    let rate = |target: &&'static dyn Target| match &recognised {
        Ok(network) => rating(*target, network),
        Err(_) => of(*target, Grade::Cannot, stopped.clone()),
    };
    Ok(Inspection {
        name: graph.name.clone(),
        producer: imported.producer.clone(),
        opsets: imported.opsets.clone(),
        inputs: graph.inputs().into_iter().map(|id| port(graph, id)).collect(),
        outputs: graph.outputs().into_iter().map(|id| port(graph, id)).collect(),
        parameters: nodes.iter().map(|r| r.parameters).sum(),
        operations: nodes.iter().map(|r| r.operations).sum(),
        quantised: false,
        calibrated: false,
        nodes,
        targets: TARGETS.iter().map(rate).collect(),
        obstacles: stopped,
        notes: imported.notes.clone(),
    })
}

fn of(target: &dyn Target, rating: Grade, reasons: Vec<Obstacle>) -> Rating {
    Rating { target: target.name().into(), coding: "as trained".into(), rating, reasons }
}

/// Compiles the network for a target, its input taken as spikes.
fn rating(target: &'static dyn Target, network: &Verified) -> Rating {
    let source = SpikingSource {
        source: Source { file: String::new(), sha256: String::new() },
        network: network.clone(),
        notes: Vec::new(),
        model: None,
    };
    let targets = [(target, TargetOptions::default())];
    let made = spiking_float::compile(&source, &targets, &Run::default());
    let written = made.and_then(|all| all.into_iter().map(|(_, written)| written).collect());
    match written {
        Ok(written) => {
            let written: Vec<Written> = written;
            let notes = written.iter().flat_map(|w| &w.manifest.notes);
            let reason = |n: &snnc_backends::Note| Obstacle::new(&n.node, &n.text, "");
            of(target, Grade::Approximate, notes.map(reason).collect())
        }
        Err(error) => of(target, Grade::Cannot, obstacles(&error)),
    }
}
