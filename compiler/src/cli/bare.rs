//! Target files that stand alone: what a manifest would say of their input and time is asked for.

use snnc_backends::loihi::reset_periodically;
use snnc_ir::query::{delay, layers};
use snnc_ir::{CurrentBasedNeuron, Graph, NodeId, Op, Presentation, SpikingOp};

use super::args::{DataArgs, TimeArgs};
use super::open::Loaded;
use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Runner;

/// Gives a network that is about to run the timesteps and resets that were asked for. Where a file
/// alone takes its input in time, the data says how long that is: then the samples, each a timestep,
/// become one.
///
/// # Errors
/// When what is asked for has no place in the network.
pub(super) fn set_time(
    loaded: &mut Loaded,
    data: Dataset,
    args: &TimeArgs,
) -> Result<Dataset, Error> {
    let Loaded::Artefact(opened) = loaded else {
        if args.timesteps.is_some() || args.reset_interval.is_some() {
            let reason = "a model that is not compiled has no timesteps";
            return Err(Error::usage("--timesteps", reason, "compile it first"));
        }
        return Ok(data);
    };
    if opened.manifest.is_some() && args.timesteps.is_some() {
        let reason =
            "the artefact was compiled for a number of timesteps, which its scores are made for";
        return Err(Error::usage("--timesteps", reason, "compile it with another --timesteps"));
    }
    let network = &mut opened.network;
    if opened.manifest.is_none() && is_sequence(network, &data) {
        take_in_time(network);
    }
    let data = match in_time(network) {
        Some(shape) if data.shape == shape => data.as_one(),
        _ => data,
    };
    if let Some(shape) = in_time(network)
        && data.shape.len() == shape.len() + 1
    {
        // An artefact says how late its outputs are, a file alone has one timestep for each layer.
        let late = match opened.manifest {
            Some(_) => delay(network),
            None => layers(network),
        };
        network.timing.timesteps = data.shape[0] + late;
    }
    if let Some(timesteps) = args.timesteps {
        network.timing.timesteps = timesteps;
    }
    if let Some(interval) = args.reset_interval {
        reset_periodically(network, interval, args.reset_offset);
    }
    Ok(data)
}

/// Whether data for a file alone are the timesteps of one sequence: several whole numbers for each
/// source, as NetX takes them. Bytes are images, reals go through an encoder, and labels count samples.
fn is_sequence(network: &Graph, data: &Dataset) -> bool {
    let shape = network.inputs().first().map(|&input| &network[input].ty.shape);
    let whole = !data.is_bytes() && !data.is_real() && data.labels.is_none();
    whole && data.len() > 1 && shape == Some(&data.shape)
}

/// Lets the input of a network come in time. What an encoder takes off codes and its neurons add again
/// is left out on both sides.
fn take_in_time(network: &mut Graph) {
    let Some(&input) = network.inputs().first() else { return };
    let Op::Spiking(SpikingOp::Encoder(encoder)) = &mut network[input].op else { return };
    encoder.presentation = Presentation::InTime;
    let offset = std::mem::take(&mut encoder.zero_point);
    if offset == 0 {
        return;
    }
    let behind: Vec<NodeId> = network
        .users(input)
        .into_iter()
        .flat_map(|user| [vec![user], network.users(user)].concat())
        .collect();
    for id in behind {
        if let Op::Spiking(SpikingOp::Population(p)) = &mut network[id].op
            && let Some(n) = p.neuron.get::<CurrentBasedNeuron>()
            && n.bias == [offset]
        {
            p.neuron = CurrentBasedNeuron { bias: Vec::new(), ..n.clone() }.into();
        }
    }
}

/// What the output port of a file alone shows in time: the node that sends it, and for how many
/// timesteps it is read.
pub(super) fn shown_in_time(loaded: &Loaded, data: &Dataset) -> Option<(NodeId, usize)> {
    let Loaded::Artefact(opened) = loaded else { return None };
    let network = &opened.network;
    let shape = in_time(network).filter(|_| opened.manifest.is_none())?;
    let source = network.source(*network.outputs().first()?, 0)?;
    let steps = (data.shape.len() == shape.len() + 1).then(|| data.shape[0])?;
    let spare = layers(network);
    // With its timesteps given a network is read for all of them.
    let read = network.timing.timesteps;
    Some((source, if read == steps + spare { steps } else { read }))
}

/// Shape of one timestep of a network's input, if it comes in time.
fn in_time(network: &Graph) -> Option<Vec<usize>> {
    let &input = network.inputs().first()?;
    match &network[input].op {
        Op::Spiking(SpikingOp::Encoder(e)) if e.presentation == Presentation::InTime => {
            Some(network[input].ty.shape.clone())
        }
        _ => None,
    }
}

/// Lets the runner of a file alone take the data as it is: whole numbers are what its encoder would
/// send, reals go through the encoder, and bytes are images, of which only their owner knows how the
/// network sees them.
///
/// # Errors
/// When bytes come without `--input-scale` or `--input-offset`.
pub(super) fn set_input(
    runner: &mut Runner,
    loaded: &Loaded,
    data: &Dataset,
    args: &DataArgs,
) -> Result<(), Error> {
    let Loaded::Artefact(opened) = loaded else { return Ok(()) };
    let in_time_with = |shape: Vec<usize>| data.shape.len() == shape.len() + 1;
    if opened.manifest.is_some() {
        if in_time(&opened.network).is_some_and(in_time_with) {
            runner.input_shape.clone_from(&data.shape);
        }
        return Ok(());
    }
    if in_time(&opened.network).is_some_and(|shape| data.shape.len() == shape.len() + 1) {
        runner.input_shape.clone_from(&data.shape);
        return Ok(());
    }
    let given = args.input_scale.is_some() || args.input_offset.is_some() || args.config.is_some();
    if !given && data.is_bytes() {
        return Err(Error::usage(
            "--input-scale",
            "a file alone does not say how its network sees bytes",
            "say x * SCALE + OFFSET by --input-scale and --input-offset, or give whole numbers (i32)",
        ));
    }
    runner.takes_reals = given || data.is_real();
    Ok(())
}
