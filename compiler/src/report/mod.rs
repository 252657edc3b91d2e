//! Reports for people: one HTML file that needs nothing but itself, and comparisons of several
//! artefacts.
//!
//! Pages load nothing, run no script, and follow the reader's choice of light or dark. Every figure of
//! an evaluation stands in a `data` element whose value is written as `eval --format json` writes it,
//! and the whole objects are kept in the page.

mod activity;
mod compare;
mod energies;
mod explored;
mod figure;
mod labels;
mod observe;
mod page;
mod plots;
mod svg;

pub use compare::{Cell, Column, Comparison, Row};
pub use observe::{Histograms, RATE_BINS, observe};
pub use page::{Subject, page};
pub use plots::{Point, front};
pub use svg::{Anchor, Svg};

/// The style of pages, and of plots in files of their own.
pub const STYLE: &str = include_str!("style.css");

/// A shape as `16x8x8`.
pub(crate) fn shape(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}
