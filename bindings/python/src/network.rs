//! Networks that stay loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use numpy::PyUntypedArray;
use pyo3::prelude::*;
use snnc::Error;
use snnc::data::Dataset;
use snnc::evaluate::{Answer, Runner, prediction};
use snnc::feed::Given;
use snnc::import::ImportOptions;
use snnc::loaded::answers::{is_vector, outputs, traced};
use snnc::loaded::{Arrays, Loaded};
use snnc_backends::format::npy::NpyArray;

use crate::arrays::{Raw, dataset, raw};
use crate::errors::raised;
use crate::wait::wait;

/// Up to this many samples run on the calling thread.
const FEW: usize = 1;

/// What arrays are called in errors.
const SAMPLES: &str = "x";

struct Inner {
    loaded: Loaded,
    given: Given,
    runner: Runner,
}

/// A network that is opened once and answers many times.
#[pyclass(frozen, module = "snnc._native")]
pub(crate) struct Network(Arc<Inner>);

impl Network {
    fn data(&self, x: &Bound<'_, PyUntypedArray>, y: Option<Vec<i64>>) -> Result<Dataset, Error> {
        let data = dataset(x, y)?;
        Ok(data.fitted(&self.0.runner.input_shape, Path::new(SAMPLES))?.into_owned())
    }
}

#[pymethods]
impl Network {
    /// Opens an artefact's folder or an ONNX model; none where it has to be run by the command `run`.
    #[staticmethod]
    #[pyo3(signature = (path, dims, shapes, scale=None, offset=None))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        dims: BTreeMap<String, usize>,
        shapes: BTreeMap<String, Vec<usize>>,
        scale: Option<f64>,
        offset: Option<f64>,
    ) -> PyResult<Option<Network>> {
        let open = move || {
            let options = ImportOptions { dims, shapes, ..ImportOptions::default() };
            let Some(loaded) = Loaded::open(&path, &options)? else { return Ok(None) };
            let given = Given { scale, offset };
            let runner = loaded.runner(given, false)?;
            Ok(Some(Network(Arc::new(Inner { loaded, given, runner }))))
        };
        wait(py, None, None, open)?.map_err(|e: Error| raised(py, &e))
    }

    /// Shape of one sample.
    #[getter]
    fn input_shape(&self) -> Vec<usize> {
        self.0.runner.input_shape.clone()
    }

    /// Names of the inputs.
    #[getter]
    fn inputs(&self) -> Vec<String> {
        self.0.runner.ports().iter().map(|port| port.name.clone()).collect()
    }

    /// Answers all samples: the arrays that `run -o` writes, and after how many timesteps each came to rest.
    fn answer<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyUntypedArray>,
    ) -> PyResult<(Vec<Raw<'py>>, Vec<usize>)> {
        let data = self.data(x, None).map_err(|e| raised(py, &e))?;
        let answered = if data.len() <= FEW {
            py.detach(|| self.0.answer_few(&data))
        } else {
            let inner = Arc::clone(&self.0);
            wait(py, None, None, move || inner.answer_all(&data))?
        };
        let (arrays, timesteps) = answered.map_err(|e| raised(py, &e))?;
        Ok((arrays.into_iter().map(|array| raw(py, array)).collect(), timesteps))
    }

    /// What every encoder and population sent, each an array (N, T, ..).
    fn trace<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyUntypedArray>,
    ) -> PyResult<Vec<Raw<'py>>> {
        let data = self.data(x, None).map_err(|e| raised(py, &e))?;
        let inner = Arc::clone(&self.0);
        let traced = wait(py, None, None, move || match &inner.loaded {
            Loaded::Artefact(opened) => traced(&inner.runner, &opened.network, &data),
            Loaded::Model(_) => Err(Error::usage(
                "trace",
                "only spiking networks have spikes to trace",
                "compile the model first",
            )),
        })?;
        let (_, traced) = traced.map_err(|e| raised(py, &e))?;
        Ok(traced.into_iter().map(|t| raw(py, (t.population, t.sent))).collect())
    }

    /// What `eval --format json` says of the samples.
    #[pyo3(signature = (x, y, reference, jobs=None, progress=None))]
    fn evaluate(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyUntypedArray>,
        y: Option<Vec<i64>>,
        reference: bool,
        jobs: Option<usize>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let data = self.data(x, y).map_err(|e| raised(py, &e))?;
        let inner = Arc::clone(&self.0);
        let evaluated = wait(py, jobs, progress, move || {
            let judged = match reference {
                true => Some(inner.loaded.runner(inner.given, true)?),
                false => None,
            };
            let runner = judged.as_ref().unwrap_or(&inner.runner);
            let evaluation = runner.evaluate(&data, Path::new(SAMPLES))?;
            serde_json::to_string(&evaluation).map_err(|e| Error::internal("answer", e))
        })?;
        evaluated.map_err(|e| raised(py, &e))
    }

    /// Seconds that the library alone takes to answer `x` that often: one sample on this thread, more on all.
    fn time(&self, py: Python<'_>, x: &Bound<'_, PyUntypedArray>, times: usize) -> PyResult<f64> {
        let data = self.data(x, None).map_err(|e| raised(py, &e))?;
        let inner = Arc::clone(&self.0);
        let run = move || {
            let start = Instant::now();
            for _ in 0..times {
                match data.len() <= FEW {
                    true => drop(inner.runner.answer(&data, 0)?),
                    false => drop(inner.runner.answers(&data, Path::new(SAMPLES))?),
                }
            }
            Ok(start.elapsed().as_secs_f64())
        };
        wait(py, None, None, run)?.map_err(|e: Error| raised(py, &e))
    }
}

impl Inner {
    fn answer_few(&self, data: &Dataset) -> Result<(Arrays, Vec<usize>), Error> {
        let answers = (0..data.len()).map(|i| self.runner.answer(data, i));
        self.arrays(&answers.collect::<Result<Vec<_>, _>>()?)
    }

    fn answer_all(&self, data: &Dataset) -> Result<(Arrays, Vec<usize>), Error> {
        self.arrays(&self.runner.answers(data, Path::new(SAMPLES))?)
    }

    fn arrays(&self, answers: &[Answer]) -> Result<(Arrays, Vec<usize>), Error> {
        let mut arrays = outputs(&self.runner, answers)?;
        let vector = answers.first().is_some_and(|a| is_vector(&a.outputs));
        if vector && arrays.iter().all(|(name, _)| name != "prediction") {
            let predictions: Vec<i64> = answers.iter().map(|a| prediction(&a.scores)).collect();
            let array = NpyArray::from_i64([predictions.len()], &predictions);
            arrays.push(("prediction".into(), array.map_err(|e| Error::internal("answer", e))?));
        }
        Ok((arrays, answers.iter().map(|a| a.timesteps).collect()))
    }
}

/// The network of an artefact's folder as a NIR file: what NIR cannot express is in its metadata.
#[pyfunction]
pub(crate) fn nir_of(py: Python<'_>, path: PathBuf) -> PyResult<Vec<u8>> {
    let written = wait(py, None, None, move || {
        let place = format!("`{}`", path.display());
        let none =
            || Error::usage(&place, "is no artefact", "name a folder that `snnc compile` wrote");
        let opened = snnc::artefact::open(&path)?.ok_or_else(none)?;
        let network =
            snnc_ir::verify(opened.network).map_err(|e| Error::unverified("network", &e))?;
        let target = snnc_backends::target("nir").ok_or_else(none)?;
        let options = snnc_backends::TargetOptions::default();
        let legal = target.legalise(&network, &options);
        let legal = legal.map_err(|v| Error::violations(target.name(), v))?;
        let emitted = target.emit(&legal, &options).map_err(|e| Error::internal("nir", e))?;
        let entry = emitted.files.into_iter().next();
        entry
            .map(|file| file.content.to_vec())
            .ok_or_else(|| Error::internal("nir", "wrote nothing"))
    })?;
    written.map_err(|e| raised(py, &e))
}
