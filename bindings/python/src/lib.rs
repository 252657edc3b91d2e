//! `snnc._native`: what the Python package `snnc` is made on. It is private; the package's functions are
//! in Python beside it, and say what they take and give.
//!
//! Commands run as on the command line, in this process; networks that are loaded stay loaded and answer
//! NumPy arrays. Both run without the lock of the interpreter.

mod arrays;
mod commands;
mod errors;
mod network;
mod wait;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("optimised", !cfg!(debug_assertions))?;
    module.add_function(wrap_pyfunction!(commands::advice, module)?)?;
    module.add_function(wrap_pyfunction!(commands::execute, module)?)?;
    module.add_function(wrap_pyfunction!(commands::main, module)?)?;
    module.add_function(wrap_pyfunction!(commands::manifest, module)?)?;
    module.add_function(wrap_pyfunction!(commands::options, module)?)?;
    module.add_function(wrap_pyfunction!(network::nir_of, module)?)?;
    module.add_class::<network::Network>()
}
