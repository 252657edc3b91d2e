//! Runs spiking graphs.
