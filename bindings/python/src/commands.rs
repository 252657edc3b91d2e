//! The command line, in this process.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use snnc::artefact::Manifest;
use snnc::cli;

use crate::errors::raised;
use crate::wait::wait;

/// The command line with its arguments, the name of the program first; its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cli::main_with(arguments))
}

/// Runs a command: what it printed, and its notes as (place, text).
#[pyfunction]
#[pyo3(signature = (arguments, jobs=None, progress=None))]
pub(crate) fn execute(
    py: Python<'_>,
    arguments: Vec<OsString>,
    jobs: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(String, Vec<(String, String)>)> {
    let executed = wait(py, jobs, progress, move || cli::execute(arguments))?;
    match executed.result {
        Ok(()) => Ok((executed.answer, executed.notes)),
        Err(error) => {
            let exception = raised(py, &error);
            exception.value(py).setattr("answer", executed.answer)?;
            Err(exception)
        }
    }
}

/// The options of a command, as the command line has them.
#[pyfunction]
pub(crate) fn options<'py>(py: Python<'py>, command: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let rows = cli::options(command).unwrap_or_default();
    let described = |row: cli::OptionRow| {
        let dict = PyDict::new(py);
        dict.set_item("name", row.name)?;
        dict.set_item("positional", row.positional)?;
        dict.set_item("takes_value", row.takes_value)?;
        dict.set_item("many", row.many)?;
        dict.set_item("value", row.value)?;
        dict.set_item("choices", row.choices)?;
        dict.set_item("help", row.help)?;
        Ok(dict)
    };
    rows.into_iter().map(described).collect()
}

/// What may have been meant by a name that is not among those known.
#[pyfunction]
pub(crate) fn advice(name: &str, known: Vec<String>) -> String {
    cli::advice(name, known.iter().map(String::as_str))
}

/// The manifest in an artefact's folder, as JSON.
#[pyfunction]
pub(crate) fn manifest(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let place = format!("`{}`", path.display());
    let text = std::fs::read_to_string(&path).map_err(|e| {
        let reason = format!("cannot be read: {e}");
        raised(py, &snnc::Error::input(&place, reason, "name a folder that `snnc compile` wrote"))
    })?;
    let manifest = Manifest::parse(&text, &place).map_err(|e| raised(py, &e))?;
    serde_json::to_string(&manifest).map_err(|e| raised(py, &snnc::Error::internal(place, e)))
}
