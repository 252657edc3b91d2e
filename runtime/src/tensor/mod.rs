//! Runs tensor graphs.
