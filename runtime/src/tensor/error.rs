//! What can stop a run.

use snnc_ir::{DType, GraphError, InferError};

/// Why a graph cannot be run, or an operator not be applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// An operator failed within a graph.
    #[error("{node}: {source}")]
    Node {
        /// The node, as messages name it.
        node: String,
        /// What failed.
        #[source]
        source: Box<RunError>,
    },
    /// The graph has no order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Operands do not fit the operator.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The operator's type is not the one that its operands give.
    #[error("the operands make {inferred:?}, not {stated:?}")]
    Type {
        /// Shape stated.
        stated: Vec<usize>,
        /// Shape inferred.
        inferred: Vec<usize>,
    },
    /// An array has more elements than a run may hold.
    #[error("an array of shape {0:?} is too large to run")]
    TooLarge(Vec<usize>),
    /// A value is not of the type stated for it.
    #[error("a value of {found} is given for {expected}")]
    Value {
        /// Type stated.
        expected: String,
        /// What the value is.
        found: String,
    },
    /// Not as many inputs as the graph has.
    #[error("the network has {expected} inputs, but {found} are given")]
    Inputs {
        /// Inputs of the graph.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The operator does not exist for these elements.
    #[error("is not defined on {0} elements")]
    Elements(DType),
    /// Operands mix integers and reals.
    #[error("mixes integers and reals")]
    Mixed,
    /// Quantisation is missing where codes are needed.
    #[error("operand {0} has no quantisation")]
    NotQuantised(usize),
    /// Quantisation does not fit the shape.
    #[error("the quantisation does not fit {shape:?}: {reason}")]
    Quantisation {
        /// Shape of the array.
        shape: Vec<usize>,
        /// What does not fit.
        reason: &'static str,
    },
    /// A sum of products leaves the accumulator.
    #[error("an accumulator of {dtype} would hold {value}")]
    Accumulator {
        /// Type of the accumulator.
        dtype: DType,
        /// The sum, or the bound that it may reach.
        value: i128,
    },
    /// An index or a code is outside the range it may have.
    #[error("index {index} is outside {low}..={high}")]
    Index {
        /// The index or code.
        index: i64,
        /// Smallest allowed.
        low: i64,
        /// Largest allowed.
        high: i64,
    },
    /// The operator cannot be run in a tensor graph.
    #[error("{0}")]
    Unsupported(&'static str),
}
