//! Convolutions and dense layers whose weights are constants, made ready once for all runs.
//!
//! Sums are made in the order of [`super::convolution`] and [`super::product`], which are the twins of
//! what is here: reals come out to the last bit as theirs. Cells of the padding are zeros instead of
//! left out, which is the same where no weight is infinite: a sum that began at +0 is never -0.

use snnc_ir::{TensorOp, TensorType, Window};

use super::codes::centred;
use super::convolution::within;
use super::value::element_count;
use super::window::Geometry;
use super::{Data, RunError, Value};
use crate::kernels::Isa;
use crate::kernels::ordered::Ordered;

/// A padded map may be so many times as large as the map itself.
const MAX_PADDING: usize = 16;

/// A layer with its weights packed.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    isa: Isa,
    layout: Layout,
    numbers: Numbers,
}

/// Where the elements of a sample lie.
#[derive(Clone, Debug)]
struct Layout {
    batch: usize,
    groups: usize,
    /// Elements of one sample.
    sample: usize,
    /// Elements of one group of a padded sample.
    padded: usize,
    /// For each row of the map, in order, where it lies in the padded sample; empty where nothing is
    /// padded.
    places: Vec<usize>,
    /// Elements of such a row.
    row: usize,
    /// Where each window begins in a group of the padded sample.
    windows: Vec<usize>,
    /// Outputs of one group.
    filters: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    Reals { groups: Vec<Ordered<f32>>, bias: Vec<f32> },
    Integers { groups: Vec<Ordered<i32>>, bias: Vec<i64>, bounds: Bounds },
}

/// What tells beforehand that no sum overflows.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Largest magnitude of a weight times the number of products of a sum.
    weights: i128,
    /// Largest magnitude of a bias.
    bias: i128,
}

impl Packed {
    /// Packs the weights of `op`; `None` for other operators, and for what is left to the twins:
    /// weights that are not finite, or integers beyond 32 bits.
    pub fn new(
        isa: Isa,
        op: &TensorOp,
        x: &TensorType,
        (w, w_type): (&Value, &TensorType),
        bias: Option<(&Value, &TensorType)>,
        ty: &TensorType,
    ) -> Option<Packed> {
        let (layout, taps) = match op {
            TensorOp::Convolution { window, groups } => {
                Layout::convolution(window, *groups, &x.shape, w.shape(), &ty.shape)?
            }
            TensorOp::Dense => Layout::dense(&x.shape, w.shape()),
            _ => return None,
        };
        let outputs = layout.groups * layout.filters;
        let elements = |shape: &[usize]| shape.iter().product::<usize>();
        if elements(&x.shape) != layout.batch * layout.sample
            || elements(&ty.shape) != layout.batch * outputs * layout.windows.len()
            || w.len() != outputs * taps.len()
            || bias.is_some_and(|b| b.0.len() != outputs)
        {
            return None;
        }
        let numbers = match (w.data(), bias.map(|b| b.0.data())) {
            (Data::F32(w), None | Some(Data::F32(_))) => {
                let bias = bias.map_or_else(Vec::new, |b| b.0.to_f32());
                if w.iter().any(|w| !w.is_finite()) {
                    return None;
                }
                Numbers::Reals { groups: layout.packed(&taps, w), bias }
            }
            (Data::Int(_), None | Some(Data::Int(_))) => {
                let codes = centred(w, w_type).ok()?;
                let bias = bias.map(|(value, ty)| centred(value, ty)).transpose().ok()?;
                let bias = bias.unwrap_or_default();
                let narrow: Vec<i32> =
                    codes.iter().map(|&w| i32::try_from(w).ok()).collect::<Option<_>>()?;
                let bounds =
                    Bounds { weights: largest(&codes) * taps.len() as i128, bias: largest(&bias) };
                Numbers::Integers { groups: layout.packed(&taps, &narrow), bias, bounds }
            }
            _ => return None,
        };
        Some(Packed { isa, layout, numbers })
    }

    /// Whether [`Packed::run`] has a result for every value of reals, so that nobody else needs the
    /// weights.
    pub fn is_complete(&self) -> bool {
        matches!(self.numbers, Numbers::Reals { .. })
    }

    /// Runs the layer; `None` where the sums of these codes may not fit 32 bits, or the value is not of
    /// the kind that the weights are for.
    pub fn run(
        &self,
        x: &Value,
        x_type: &TensorType,
        ty: &TensorType,
    ) -> Option<Result<Value, RunError>> {
        let layout = &self.layout;
        match (&self.numbers, x.data()) {
            (Numbers::Reals { groups, bias }, Data::F32(x)) => {
                let mut y = layout.run(x, |group, x, windows, y| {
                    groups[group].run(self.isa, x, windows, y);
                });
                layout.each_filter(&mut y, bias, |y, bias| *y += bias);
                Some(Value::from_f32(&ty.shape, y))
            }
            (Numbers::Integers { groups, bias, bounds }, Data::Int(_)) => {
                let x = bounds.narrow(x, x_type)?;
                let sums = layout.run(&x, |group, x, windows, y| {
                    groups[group].run(self.isa, x, windows, y);
                });
                let mut y: Vec<i64> = sums.into_iter().map(i64::from).collect();
                layout.each_filter(&mut y, bias, |y, bias| *y += bias);
                Some(within(y, ty.dtype).and_then(|y| Value::from_i64(&ty.shape, y)))
            }
            _ => None,
        }
    }
}

impl Bounds {
    /// The codes without their zero points in 32 bits; `None` where sums may need more.
    fn narrow(&self, x: &Value, ty: &TensorType) -> Option<Vec<i32>> {
        let fits = |largest: i128| {
            let bound = self.weights.saturating_mul(largest).saturating_add(self.bias);
            bound.max(largest) <= i128::from(i32::MAX)
        };
        let zero = match &ty.quantisation {
            None => 0,
            Some(q) => match q.zero_point.as_slice() {
                [zero] => *zero,
                zeros if zeros.iter().all(|&z| z == 0) => 0,
                _ => {
                    let x = centred(x, ty).ok()?;
                    return fits(largest(&x)).then(|| x.iter().map(|&x| x as i32).collect());
                }
            },
        };
        let codes = x.as_i64()?;
        let least = codes.iter().copied().min().unwrap_or(zero).saturating_sub(zero);
        let most = codes.iter().copied().max().unwrap_or(zero).saturating_sub(zero);
        fits(largest(&[least, most])).then(|| codes.iter().map(|&c| (c - zero) as i32).collect())
    }
}

fn largest(values: &[i64]) -> i128 {
    values.iter().map(|v| i128::from(v.unsigned_abs())).max().unwrap_or(0)
}

impl Layout {
    /// Of a convolution, with the distances of the cells under a window from its beginning in the order
    /// (channel, kernel cell).
    fn convolution(
        window: &Window,
        groups: usize,
        x: &[usize],
        w: &[usize],
        y: &[usize],
    ) -> Option<(Layout, Vec<usize>)> {
        let geometry = Geometry::new(window, x.get(2..)?, y.get(2..)?).ok()?;
        let (channels, filters) = (*w.get(1)?, w.first()?.checked_div(groups)?);
        let axes = &geometry.axes;
        let extent = axes.map(|a| {
            let last =
                a.output.saturating_sub(1) * a.stride + a.kernel.saturating_sub(1) * a.dilation;
            (a.before + a.input).max(last + 1)
        });
        let [_, height, width] = extent;
        let plane: usize = element_count(&extent).ok()?;
        let cells = geometry.input_cells();
        if plane > cells.checked_mul(MAX_PADDING)? {
            return None;
        }
        element_count(&[groups, channels, plane]).ok()?;
        let offset = |d: usize, h: usize, w: usize| (d * height + h) * width + w;
        let [d, h, v] = axes;
        let mut places = Vec::new();
        if extent != axes.map(|a| a.input) {
            for channel in 0..groups * channels {
                for z in 0..d.input {
                    let row = |y| channel * plane + offset(d.before + z, h.before + y, v.before);
                    places.extend((0..h.input).map(row));
                }
            }
        }
        let mut windows = Vec::with_capacity(geometry.output_cells());
        for z in 0..d.output {
            for y in 0..h.output {
                let row = |x| offset(z * d.stride, y * h.stride, x * v.stride);
                windows.extend((0..v.output).map(row));
            }
        }
        let mut taps = Vec::with_capacity(channels * geometry.kernel_cells());
        for channel in 0..channels {
            for z in 0..d.kernel {
                for y in 0..h.kernel {
                    let tap = |x| {
                        channel * plane + offset(z * d.dilation, y * h.dilation, x * v.dilation)
                    };
                    taps.extend((0..v.kernel).map(tap));
                }
            }
        }
        let layout = Layout {
            batch: x[0],
            groups,
            sample: groups * channels * cells,
            padded: channels * plane,
            places,
            row: v.input,
            windows,
            filters,
        };
        Some((layout, taps))
    }

    fn dense(x: &[usize], w: &[usize]) -> (Layout, Vec<usize>) {
        let [filters, inputs] = [0, 1].map(|i| w.get(i).copied().unwrap_or(0));
        let layout = Layout {
            batch: x.first().copied().unwrap_or(0),
            groups: 1,
            sample: inputs,
            padded: inputs,
            places: Vec::new(),
            row: inputs,
            windows: vec![0],
            filters,
        };
        (layout, (0..inputs).collect())
    }

    /// The weights of each group.
    fn packed<T: Copy + Default>(&self, taps: &[usize], weights: &[T]) -> Vec<Ordered<T>> {
        let each = self.filters * taps.len();
        let group = |g: usize| &weights[g * each..(g + 1) * each];
        (0..self.groups).map(|g| Ordered::new(taps.to_vec(), self.filters, group(g))).collect()
    }

    /// Calls `product` with each group of each sample, padded, and its part of the result.
    fn run<T: Copy + Default>(
        &self,
        x: &[T],
        product: impl Fn(usize, &[T], &[usize], &mut [T]),
    ) -> Vec<T> {
        let each = self.filters * self.windows.len();
        let mut y = vec![T::default(); self.batch * self.groups * each];
        if y.is_empty() {
            return y;
        }
        let mut buffer =
            vec![T::default(); if self.places.is_empty() { 0 } else { self.groups * self.padded }];
        for (s, y) in y.chunks_exact_mut(self.groups * each).enumerate() {
            let sample = &x[s * self.sample..][..self.sample];
            let padded = if self.places.is_empty() {
                sample
            } else {
                for (row, &place) in sample.chunks_exact(self.row.max(1)).zip(&self.places) {
                    buffer[place..][..self.row].copy_from_slice(row);
                }
                &buffer
            };
            for (g, y) in y.chunks_exact_mut(each).enumerate() {
                product(g, &padded[g * self.padded..][..self.padded], &self.windows, y);
            }
        }
        y
    }

    /// Calls `f` with every element of the result and what its filter has in `values`, if it has any.
    fn each_filter<T, B: Copy>(&self, y: &mut [T], values: &[B], f: impl Fn(&mut T, B)) {
        if values.is_empty() || self.windows.is_empty() {
            return;
        }
        let filters = values.iter().cycle();
        for (map, &value) in y.chunks_exact_mut(self.windows.len()).zip(filters) {
            map.iter_mut().for_each(|y| f(y, value));
        }
    }
}
