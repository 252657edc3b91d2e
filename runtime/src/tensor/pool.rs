//! Pooling over windows.

use snnc_ir::{Pool, PoolKind, TensorType};

use super::codes::centred;
use super::convolution::within;
use super::sums::sum;
use super::window::Geometry;
use super::{Data, RunError, Value};

/// Pools every map of (N, C, spatial..).
///
/// A sum of codes leaves their zero point out, as a convolution does, so that it is an accumulator
/// in units of their scale.
pub(super) fn pool(
    pool: &Pool,
    x: &Value,
    ty: &TensorType,
    own: &TensorType,
) -> Result<Value, RunError> {
    let geometry = Geometry::new(&pool.window, &x.shape()[2..], &own.shape[2..])?;
    match (x.data(), pool.kind) {
        (Data::F32(v), PoolKind::Max) => {
            let largest = |cells: Cells<'_, f32>| {
                let larger = |a, b: f32| if b > a || b.is_nan() { b } else { a };
                cells.values.fold(f32::NEG_INFINITY, larger)
            };
            Value::from_f32(&own.shape, pooled(&geometry, v, largest))
        }
        (Data::Int(v), PoolKind::Max) => {
            let lowest = own.dtype.integer_range().map_or(i64::MIN, |(low, _)| low);
            let largest = |cells: Cells<'_, i64>| cells.values.fold(lowest, i64::max);
            Value::from_i64(&own.shape, pooled(&geometry, v, largest))
        }
        (Data::F32(v), PoolKind::Average | PoolKind::AverageWithPadding) => {
            let all = pool.kind == PoolKind::AverageWithPadding;
            let mut window = Vec::with_capacity(geometry.kernel_cells());
            let mean = |cells: Cells<'_, f32>| {
                window.clear();
                window.extend(cells.values);
                let sum = sum(&window, cells.columns, cells.first, pool.order);
                let count = if all { cells.covered } else { window.len() };
                if count == 0 { 0.0 } else { sum / count as f32 }
            };
            Value::from_f32(&own.shape, pooled(&geometry, v, mean))
        }
        (Data::Int(_), PoolKind::Sum) => {
            let cells = centred(x, ty)?;
            let total = |cells: Cells<'_, i64>| cells.values.fold(0, i64::saturating_add);
            Value::from_i64(&own.shape, within(pooled(&geometry, &cells, total), own.dtype)?)
        }
        (Data::Int(_), PoolKind::EvenSum { .. }) => {
            let cells = centred(x, ty)?;
            let total = |cells: Cells<'_, i64>| cells.values.fold(0, i64::saturating_add);
            let mut sums = pooled(&geometry, &cells, total);
            let (map, outputs) = (&x.shape()[2..], &own.shape[2..]);
            let common = pool.common(map, outputs);
            let common =
                common.ok_or(RunError::Unsupported("means of too many kinds of windows"))?;
            let counts = pool.counts(map, outputs);
            for (sum, count) in sums.iter_mut().zip(counts.iter().cycle()) {
                *sum = sum.saturating_mul((common / count) as i64);
            }
            Value::from_i64(&own.shape, within(sums, own.dtype)?)
        }
        (Data::F32(_), PoolKind::Sum | PoolKind::EvenSum { .. }) => {
            Err(RunError::Elements(own.dtype))
        }
        (Data::Int(_), _) => {
            Err(RunError::Unsupported("a mean of codes is a sum that is requantised"))
        }
    }
}

/// The cells of a window.
struct Cells<'a, T> {
    /// Those in the map, the last dimension fastest.
    values: &'a mut dyn Iterator<Item = T>,
    /// How many of them lie beside each other in the last dimension.
    columns: usize,
    /// Number of those in the map or its padding.
    covered: usize,
    /// Place in the whole tensor of the map's first cell.
    first: usize,
}

/// Applies `reduce` to the cells of every window.
fn pooled<T: Copy>(
    geometry: &Geometry,
    x: &[T],
    mut reduce: impl FnMut(Cells<'_, T>) -> T,
) -> Vec<T> {
    let [d, h, w] = &geometry.axes;
    let windows = |axis: &super::window::Axis| -> Vec<(Vec<usize>, usize)> {
        let cells = |o| (0..axis.kernel).filter_map(|k| axis.cell(o, k)).collect();
        (0..axis.output).map(|o| (cells(o), axis.covered(o))).collect()
    };
    let (depths, heights, widths) = (windows(d), windows(h), windows(w));
    let mut y = Vec::new();
    let plane = geometry.input_cells().max(1);
    for (index, map) in x.chunks_exact(plane).enumerate() {
        for (depth, covered_d) in &depths {
            for (height, covered_h) in &heights {
                for (width, covered_w) in &widths {
                    let mut cells = depth.iter().flat_map(|z| {
                        height.iter().flat_map(move |y| {
                            let row = (z * h.input + y) * w.input;
                            width.iter().map(move |x| map[row + x])
                        })
                    });
                    let covered = covered_d.saturating_mul(*covered_h).saturating_mul(*covered_w);
                    y.push(reduce(Cells {
                        values: &mut cells,
                        columns: width.len(),
                        covered,
                        first: index * plane,
                    }));
                }
            }
        }
    }
    y
}
