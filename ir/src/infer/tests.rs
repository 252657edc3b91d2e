//! Shapes of windows, broadcasting, and numbers that are too large.

use super::*;

#[test]
fn windows_round_down_or_up() {
    let window = Window { strides: vec![2], ..Window::plain(&[3]) };
    assert_eq!(window_outputs(&window, &[6], false).unwrap(), [2]);
    assert_eq!(window_outputs(&window, &[6], true).unwrap(), [3]);
    let padded = Window { strides: vec![3], after: vec![2], ..Window::plain(&[1]) };
    assert_eq!(window_outputs(&padded, &[4], true).unwrap(), [2], "no window begins in padding");
    assert!(window_outputs(&Window::plain(&[7]), &[6], false).is_err());
}

#[test]
fn foreign_numbers_overflow_into_errors() {
    let ty = |shape: &[usize]| TensorType::new(DType::F32, shape);
    let huge = usize::MAX;
    let far = TensorOp::Slice { start: vec![0], step: vec![isize::MAX] };
    assert!(infer_tensor_output(&far, &[&ty(&[4])], &ty(&[3])).is_err());
    let wide = TensorOp::Upsample { factors: vec![huge] };
    assert!(infer_tensor_output(&wide, &[&ty(&[4])], &ty(&[4])).is_err());
    assert!(infer_tensor_output(&TensorOp::Reshape, &[&ty(&[huge, 2])], &ty(&[2])).is_err());
    let window = Window { strides: vec![huge], ..Window::plain(&[1]) };
    assert_eq!(window_outputs(&window, &[4], true).unwrap(), [1]);
    let op = TensorOp::TransposedConvolution { window: Window::plain(&[3]), groups: 1 };
    let (x, w) = (ty(&[1, 1, 4]), ty(&[1, 1, 2]));
    assert!(infer_tensor_output(&op, &[&x, &w], &ty(&[1, 1, 5])).is_err(), "kernel and weights");
}

#[test]
fn broadcasting_follows_numpy() {
    assert_eq!(broadcast(&[3, 1, 5], &[4, 1]).unwrap(), [3, 4, 5]);
    assert!(broadcast(&[2], &[3]).is_err());
    assert_eq!(matrix_product(&[2, 3, 4], &[4, 5]).unwrap(), [2, 3, 5]);
    assert_eq!(matrix_product(&[4], &[4]).unwrap(), Vec::<usize>::new());
}
