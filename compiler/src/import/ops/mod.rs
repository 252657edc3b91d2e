//! The operators, a file for each family. Each function imports one ONNX operator in all the
//! versions that [`super::registry`] lists for it.

pub(crate) mod activation;
pub(crate) mod arithmetic;
pub(crate) mod contrib;
pub(crate) mod layout;
pub(crate) mod linear;
pub(crate) mod normalise;
pub(crate) mod qonnx;
pub(crate) mod qoperator;
pub(crate) mod quantise;
pub(crate) mod reduce;
pub(crate) mod scatter;
pub(crate) mod shape;
pub(crate) mod window;

use snnc_ir::NodeId;

use super::call::Failure;

/// What an operator's import gives: the nodes of its outputs.
pub(crate) type Outputs = Result<Vec<NodeId>, Failure>;
