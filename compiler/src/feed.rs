//! How samples become a network's input: decided here, for everything that runs a network, so that equal
//! data is equal input for all of it.

use snnc_ir::Graph;
use snnc_runtime::tensor::Value;

use crate::Error;
use crate::artefact::InputRow;
use crate::data::{Dataset, Scaling};
use crate::inputs::Cut;

/// What a user says of the input; what is left open follows from the network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Given {
    /// Factor for integer data.
    pub scale: Option<f64>,
    /// Added to integer data after the factor.
    pub offset: Option<f64>,
}

impl Given {
    /// What is given, over what holds otherwise.
    pub fn over(self, otherwise: Scaling) -> Scaling {
        Scaling {
            scale: self.scale.unwrap_or(otherwise.scale),
            offset: self.offset.unwrap_or(otherwise.offset),
        }
    }
}

/// How samples become the input of one network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feed {
    /// Whether the input takes reals; else it takes integers, which are its codes.
    pub takes_reals: bool,
    /// How integer data becomes the input.
    pub scaling: Scaling,
    /// Smallest and largest integer that an input of integers takes; samples are clipped to them.
    pub codes: (i64, i64),
}

/// All integers.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// Smallest and largest integer of an input's element type.
pub(crate) fn codes(graph: &Graph) -> (i64, i64) {
    match graph.inputs().as_slice() {
        [only] => graph[*only].ty.dtype.integer_range().unwrap_or(ALL),
        // Of several each clips its own.
        _ => ALL,
    }
}

impl Feed {
    /// For a graph of a tensor stage. Integer data for an input of reals is taken for 8-bit images, with
    /// values from 0 to 1; integer data for an input of integers is taken as it is.
    pub fn of_model(graph: &Graph, given: Given) -> Feed {
        let takes_reals = Cut::of(graph).takes_reals();
        let usual = if takes_reals { Scaling::default() } else { Scaling::AS_IS };
        Feed { takes_reals, scaling: given.over(usual), codes: codes(graph) }
    }

    /// For an artefact whose manifest has that row; for a file without a manifest integers are taken as
    /// they are.
    pub fn of_artefact(input: Option<&InputRow>, given: Given) -> Feed {
        let (takes_reals, recorded) = match input {
            Some(row) => (
                row.dtype.starts_with('f') || row.dtype.starts_with("bf"),
                Scaling { scale: row.data_scale, offset: row.data_offset },
            ),
            None => (false, Scaling::AS_IS),
        };
        let codes = input.map_or(ALL, |row| (row.minimum, row.maximum));
        Feed { takes_reals, scaling: given.over(recorded), codes }
    }

    /// Sample `index` as a tensor of that shape.
    ///
    /// # Errors
    /// When the sample has another number of elements.
    pub fn value(self, data: &Dataset, index: usize, shape: &[usize]) -> Result<Value, Error> {
        if self.takes_reals {
            Value::from_f32(shape, data.reals(index, self.scaling)).map_err(Error::network)
        } else {
            let (low, high) = self.codes;
            let clipped =
                data.integers(index, self.scaling).into_iter().map(|v| v.clamp(low, high));
            Value::from_i64(shape, clipped.collect()).map_err(Error::network)
        }
    }
}
