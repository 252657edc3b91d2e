//! A model on integer codes, and the canonical spiking network that it becomes.

use std::path::Path;

use snnc_backends::Note;
use snnc_ir::{Graph, SpikingOp};

use super::verified;
use crate::Error;
use crate::artefact::Source;
use crate::calibration::{self, Calibration, QuantiseOptions};
use crate::frontend::{self, TensorModel};
use crate::import::ImportOptions;
use crate::passes::graded::{self, Conversion, ReadOut};
use crate::passes::{self, Context};

/// A model at each stage up to the canonical spiking network.
#[derive(Clone, Debug)]
pub struct Model {
    /// File name without folders, and digest of the content.
    pub source: Source,
    /// The network in tensor operators.
    pub tensor: Graph,
    /// The network on integer codes.
    pub quantised: Graph,
    /// The canonical graded network.
    pub conversion: Conversion,
    /// Notes of import and passes.
    pub notes: Vec<Note>,
    /// How it was quantised, if the model was unquantised.
    pub quantisation: Option<QuantiseOptions>,
}

/// The network that is run for a model file itself: see [`TensorModel::runnable`].
///
/// # Errors
/// What import and canonicalisation refuse; a spiking network.
pub fn runnable(path: &Path, options: &ImportOptions) -> Result<Graph, Error> {
    Ok(tensor_model(path, options, &mut Context::default())?.runnable())
}

/// The network in tensor operators in a model file.
fn tensor_model(
    path: &Path,
    options: &ImportOptions,
    context: &mut Context,
) -> Result<TensorModel, Error> {
    match frontend::model_with(path, options, context)? {
        frontend::Model::Tensor(model) => Ok(*model),
        frontend::Model::Spiking(_) => Err(Error::usage(
            format!("`{}`", path.display()),
            "spikes already",
            "it has no network on codes",
        )),
    }
}

impl Model {
    /// Imports a quantised model and brings it to the canonical spiking network.
    ///
    /// # Errors
    /// When the file is malformed, or the network cannot be converted.
    pub fn load(
        path: &Path,
        options: &ImportOptions,
        context: &mut Context,
    ) -> Result<Model, Error> {
        Model::load_calibrated(path, options, None, context)
    }

    /// Imports a model and brings it to the canonical spiking network; a float network is quantised
    /// on the way, by what a calibration set shows.
    ///
    /// # Errors
    /// When the file is malformed, the network cannot be converted, or calibration data is missing.
    pub fn load_calibrated(
        path: &Path,
        options: &ImportOptions,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        let model = tensor_model(path, options, context)?;
        Model::of(&model, calibration, context)
    }

    /// Brings a model that was opened to the canonical spiking network, as
    /// [`Model::load_calibrated`] does.
    ///
    /// # Errors
    /// When the network cannot be converted, or calibration data is missing.
    pub fn of(
        model: &TensorModel,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        // A digest takes as long as much of the rest: a second thread computes it.
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                model.digest.sha256();
            });
            Model::converted(model, calibration, context)
        })
    }

    fn converted(
        model: &TensorModel,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        model.convertible()?;
        let tensor = model.canonical.clone();
        let (mut coded, mut quantisation) = (tensor.clone(), None);
        if let Some(calibration) = calibration.filter(|_| model.is_float()) {
            let done = calibration.apply(&tensor, &model.digest)?;
            coded = done.graph;
            quantisation = Some(done.options);
            context.note("the network", done.note);
            context.show(passes::CALIBRATED.name, &coded, true);
        }
        // With a calibration set given, no remedy asks for one.
        let given = calibration.is_some_and(|c| c.data.is_some() || c.statistics.is_some());
        let advised = |error| match given {
            true => calibration::without_advice(error, model.is_float()),
            false => error,
        };
        let quantised = passes::quantised(coded, context).map_err(advised)?;
        let quantised = verified(quantised)?.into_inner();
        let conversion = checked(graded::convert(&quantised)?)?;
        context.show(passes::GRADED.name, &conversion.network, true);
        let source = model.source();
        let notes = model.notes.iter().chain(&context.notes).cloned();
        let notes = notes.map(|(node, text)| Note { node, text }).collect();
        Ok(Model { source, tensor, quantised, conversion, notes, quantisation })
    }
}

/// A conversion whose graphs are verified.
fn checked(conversion: Conversion) -> Result<Conversion, Error> {
    let Conversion { network, correspondence, host } = conversion;
    let (network, host) = (verified(network)?.into_inner(), verified(host)?.into_inner());
    Ok(Conversion { network, correspondence, host })
}

impl Model {
    /// The conversion that reads out potentials where a quantiser is the last, if it is another.
    pub(super) fn reading_potentials(&self) -> Result<Option<Conversion>, Error> {
        let read_outs = |network: &Graph| {
            let accumulates = |op: Option<&SpikingOp>| matches!(op, Some(SpikingOp::Population(p)) if !p.neuron.fires());
            network.ids().filter(|&id| accumulates(network[id].as_spiking())).count()
        };
        let other = checked(graded::convert_reading(&self.quantised, ReadOut::Potentials)?)?;
        let more = read_outs(&other.network) > read_outs(&self.conversion.network);
        Ok(more.then_some(other))
    }

    /// Payload bits of the canonical network's populations, but of what is read out.
    pub fn payload_bits(&self) -> Vec<(String, u8)> {
        let network = &self.conversion.network;
        let bits = |id| match network[id].as_spiking() {
            Some(SpikingOp::Population(p)) if p.neuron.fires() => {
                Some((network[id].name.clone(), p.payload_bits()))
            }
            _ => None,
        };
        network.order().unwrap_or_default().into_iter().filter_map(bits).collect()
    }
}
