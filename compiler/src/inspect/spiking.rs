//! What a model that spikes already is made of, and what each target makes of it.

use snnc_backends::{TARGETS, Target, TargetOptions};
use snnc_ir::{Graph, Verified};

use super::{Grade, Inspection, Obstacle, Rating, obstacles, port, rows};
use crate::Error;
use crate::frontend::SpikingModel;
use crate::spiking_float::{self, Written};
use crate::spiking_integers::Run;

/// Inspects a model whose neurons are written out, as populations and projections.
///
/// # Errors
/// When the graph has no order.
pub(super) fn inspect(model: &SpikingModel) -> Result<Inspection, Error> {
    let graph: &Graph = &model.network;
    let nodes = rows(graph)?;
    Ok(Inspection {
        name: graph.name.clone(),
        producer: model.producer.clone(),
        opsets: model.opsets.clone(),
        inputs: graph.inputs().into_iter().map(|id| port(graph, id)).collect(),
        outputs: graph.outputs().into_iter().map(|id| port(graph, id)).collect(),
        parameters: nodes.iter().map(|r| r.parameters).sum(),
        operations: nodes.iter().map(|r| r.operations).sum(),
        quantised: false,
        calibrated: false,
        nodes,
        targets: TARGETS.iter().map(|target| rating(*target, &model.network)).collect(),
        obstacles: Vec::new(),
        notes: model.notes.iter().map(|n| (n.node.clone(), n.text.clone())).collect(),
    })
}

fn of(target: &dyn Target, rating: Grade, reasons: Vec<Obstacle>) -> Rating {
    Rating { target: target.name().into(), coding: "as trained".into(), rating, reasons }
}

/// Compiles the network for a target, its input taken as spikes.
fn rating(target: &'static dyn Target, network: &Verified) -> Rating {
    let source = SpikingModel::alone(network.clone());
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
