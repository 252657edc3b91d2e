//! Errors of snnc as exceptions of the package, one class for each exit code.

use pyo3::prelude::*;
use snnc::Error;

/// The exception for an error: an instance of the class that `snnc._errors` has for its exit code.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let problems: Vec<(&str, &str, &str)> = error
        .problems()
        .iter()
        .map(|p| (p.place.as_str(), p.reason.as_str(), p.remedy.as_str()))
        .collect();
    let made = py
        .import("snnc._errors")
        .and_then(|module| module.getattr("of_exit_code"))
        .and_then(|of| of.call1((error.exit_code(), problems)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}
