//! Bounds on what a file may ask for.

/// Elements of one value; far beyond every network, and small enough that sums and products of a
/// few dimensions stay within 64 bits.
pub const ELEMENTS: usize = 1 << 34;

/// Largest magnitude of an attribute that counts cells, steps or groups.
pub const EXTENT: i64 = 1 << 28;

/// Dimensions of one value.
pub const RANK: usize = 64;

/// Bytes of constants that evaluation may make beyond the size of the file.
pub const FOLDED_BYTES: usize = 4 << 20;

/// Elements up to which reals computed from constants are evaluated during import.
pub const SMALL: usize = 1024;

/// Nesting of calls of functions.
pub const CALLS: usize = 32;

/// Nodes after inlining functions; a function that calls another twice doubles the graph.
pub const NODES: usize = 400_000;

/// Number of elements of a shape if it is within [`ELEMENTS`] and [`RANK`].
pub fn elements(shape: &[usize]) -> Option<usize> {
    if shape.len() > RANK || shape.iter().any(|&d| d > ELEMENTS) {
        return None;
    }
    let product = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d))?;
    (product <= ELEMENTS).then_some(product)
}
