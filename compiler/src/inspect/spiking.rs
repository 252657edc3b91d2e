//! What a model that spikes already is made of, and what each target makes of it.

use snnc_backends::{TARGETS, Target, TargetOptions};
use snnc_ir::Graph;

use super::{Grade, Inspection, Obstacle, Rating, obstacles, port, rows};
use crate::Error;
use crate::driver::{self, Trained};
use crate::frontend::SpikingModel;
use crate::spiking_integers::Run;

/// Inspects a model whose neurons are written out, as populations and projections.
///
/// # Errors
/// When the graph has no order.
pub(super) fn inspect(model: &SpikingModel) -> Result<Inspection, Error> {
    let graph: &Graph = &model.network;
    let nodes = rows(graph)?;
    // Nothing is run: it is rated for what it is.
    let (alone, run) = (SpikingModel::alone(model.network.clone()), Run::default());
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
        targets: TARGETS.iter().map(|target| rating(*target, &alone, &run)).collect(),
        obstacles: Vec::new(),
        notes: model.notes.iter().map(|n| (n.node.clone(), n.text.clone())).collect(),
    })
}

fn of(target: &dyn Target, rating: Grade, reasons: Vec<Obstacle>) -> Rating {
    Rating { target: target.name().into(), coding: driver::AS_TRAINED.into(), rating, reasons }
}

/// Compiles the network for a target, its input taken as spikes.
fn rating(target: &'static dyn Target, model: &SpikingModel, run: &Run) -> Rating {
    let options = TargetOptions::default();
    let made = Trained::new(model, run)
        .and_then(|trained| driver::compile_trained(&trained, target, &options));
    match made {
        Ok(made) => {
            let reason = |n: &snnc_backends::Note| Obstacle::new(&n.node, &n.text, "");
            of(target, Grade::Approximate, made.manifest.notes.iter().map(reason).collect())
        }
        Err(error) => of(target, Grade::Cannot, obstacles(&error)),
    }
}
