//! Models and data for tests, brought to the canonical network.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};

use snnc::codings::{self, Options};
use snnc::data::{Dataset, Scaling};
use snnc::evaluate::{Evaluation, Runner, takes_reals};
use snnc::import::{self, ImportOptions};
use snnc::passes::graded::{self, Conversion};
use snnc::passes::{self, Context};
use snnc_ir::{Coding, Graph};
use snnc_runtime::spiking::Sample;

/// A model on its way to spikes.
pub struct Model {
    pub name: String,
    pub quantised: Graph,
    pub conversion: Conversion,
    data: PathBuf,
    takes_reals: bool,
}

pub fn load(model: &Path, data: &Path) -> Model {
    let imported = import::load(model, &ImportOptions::default()).unwrap();
    let mut context = Context::default();
    let tensor = passes::canonicalise(imported.graph, &mut context).unwrap();
    let takes_reals = takes_reals(&tensor);
    let quantised = passes::quantised(tensor, &mut context).unwrap();
    let conversion = graded::convert(&quantised).unwrap();
    let name = model.file_stem().unwrap().to_string_lossy().into_owned();
    Model { name, quantised, conversion, data: data.to_owned(), takes_reals }
}

/// A model of the repository, with its 360 test images.
pub fn digits(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
    load(&folder.join(format!("{name}.onnx")), &folder.join("digits-test-360.npz"))
}

/// A model beside the repository, with images to measure it on.
pub fn shared(model: &str, data: &str) -> Model {
    let folder = snnc_testsuite::beside();
    load(&folder.join("models").join(model), &folder.join("data").join(data))
}

/// Number of images: all that the full run asks for, else few.
pub fn images(few: usize) -> usize {
    if std::env::var_os("SNNC_FULL").is_some() { 1000 } else { few }
}

impl Model {
    pub fn coded(&self, coding: Coding, options: &Options) -> Graph {
        codings::apply(coding, options, &self.conversion)
            .unwrap_or_else(|e| panic!("{} as {coding}: {e}", self.name))
    }

    pub fn samples(&self, images: usize) -> Vec<Sample> {
        let data = Dataset::load(&self.data, Some(images)).unwrap();
        (0..data.len()).map(|i| Sample::Real(data.reals(i, Scaling::default()))).collect()
    }

    pub fn evaluate(&self, network: &Graph, images: usize) -> Evaluation {
        let data = Dataset::load(&self.data, Some(images)).unwrap();
        let scaling = Scaling::default();
        let runner =
            Runner::spiking(network, Some(&self.quantised), self.takes_reals, scaling).unwrap();
        runner.evaluate(&data, &self.data).unwrap()
    }
}
