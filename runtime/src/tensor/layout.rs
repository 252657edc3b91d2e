//! Walking arrays: strides, broadcasting, the channel of an element.

use snnc_ir::Quantisation;

use super::RunError;

/// Distance in elements between neighbours along each dimension, C order.
pub(crate) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i] as isize;
    }
    strides
}

/// Strides with which an array of shape `from` is read in shape `to`, to which it broadcasts:
/// 0 along repeated dimensions.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let missing = to.len() - from.len();
    let mut wide = vec![0; missing];
    wide.extend(strides(from).into_iter().zip(from).map(|(s, &d)| if d == 1 { 0 } else { s }));
    wide
}

/// Offsets of all elements of a `shape` in C order, moving `strides` from `start`.
pub(crate) fn offsets(
    shape: &[usize],
    strides: &[isize],
    start: usize,
) -> impl Iterator<Item = usize> + use<> {
    let (shape, strides) = (shape.to_vec(), strides.to_vec());
    let total: usize = shape.iter().product();
    let mut index = vec![0usize; shape.len()];
    let mut offset = start as isize;
    (0..total).map(move |_| {
        let here = offset as usize;
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            offset += strides[d];
            if index[d] < shape[d] {
                break;
            }
            offset -= strides[d] * shape[d] as isize;
            index[d] = 0;
        }
        here
    })
}

/// An array seen as (outer, axis, inner).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    /// Product of the dimensions before the axis.
    pub outer: usize,
    /// Size of the axis.
    pub axis: usize,
    /// Product of the dimensions after the axis.
    pub inner: usize,
}

impl Split {
    /// The split of `shape` at one of its dimensions.
    pub fn at(shape: &[usize], axis: usize) -> Self {
        Split {
            outer: shape[..axis].iter().product(),
            axis: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }
}

/// For each element of an array, which scale and zero point of a quantisation are its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    split: Split,
}

impl Channels {
    /// Checks that `quantisation` fits an array of that shape.
    ///
    /// # Errors
    /// When the axis is none of the shape, scale or zero point have neither one entry nor one for
    /// each index along it, or the range of codes is empty.
    pub fn new(quantisation: &Quantisation, shape: &[usize]) -> Result<Self, RunError> {
        let misfit = |reason| RunError::Quantisation { shape: shape.to_vec(), reason };
        let split = match quantisation.axis {
            None => Split { outer: 1, axis: 1, inner: shape.iter().product() },
            Some(axis) if axis < shape.len() => Split::at(shape, axis),
            Some(_) => return Err(misfit("its axis is none of the shape")),
        };
        let fits = |n: usize| n == 1 || n == split.axis;
        if !fits(quantisation.scale.len()) || !fits(quantisation.zero_point.len()) {
            return Err(misfit("scale or zero point have another number of channels"));
        }
        if quantisation.minimum > quantisation.maximum {
            return Err(misfit("its range of codes is empty"));
        }
        Ok(Channels { split })
    }

    /// The channel of each run of neighbours, and the length of a run; runs cover the array.
    pub fn runs(self) -> (usize, impl Iterator<Item = usize>) {
        let Split { outer, axis, inner } = self.split;
        (inner, (0..outer).flat_map(move |_| 0..axis))
    }

    /// The channel of every element, in order.
    pub fn each(self) -> impl Iterator<Item = usize> {
        let (inner, channels) = self.runs();
        channels.flat_map(move |channel| std::iter::repeat_n(channel, inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_strides() {
        let transposed: Vec<usize> = offsets(&[3, 2], &[1, 3], 0).collect();
        assert_eq!(transposed, [0, 3, 1, 4, 2, 5]);
        let repeated: Vec<usize> = offsets(&[2, 3], &broadcast_strides(&[3], &[2, 3]), 0).collect();
        assert_eq!(repeated, [0, 1, 2, 0, 1, 2]);
        let backwards: Vec<usize> = offsets(&[3], &[-2], 5).collect();
        assert_eq!(backwards, [5, 3, 1]);
        assert_eq!(offsets(&[], &[], 0).count(), 1, "a scalar has one element");
        assert_eq!(offsets(&[3, 0], &[0, 1], 0).count(), 0);
    }

    #[test]
    fn channels_repeat_along_the_inner_dimensions() {
        let q = Quantisation::per_axis(vec![1.0, 2.0], 1, -8, 7);
        let channels: Vec<usize> = Channels::new(&q, &[2, 2, 2]).unwrap().each().collect();
        assert_eq!(channels, [0, 0, 1, 1, 0, 0, 1, 1]);
        assert!(Channels::new(&q, &[2, 3, 2]).is_err());
        assert!(Channels::new(&q, &[2]).is_err());
        let empty = Quantisation::per_tensor(1.0, 0, 3, 2);
        assert!(Channels::new(&empty, &[2]).is_err());
    }
}
