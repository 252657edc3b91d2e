//! Figures on a page.

use maud::{Markup, html};

/// A figure of subject `index`, shown shortened where it has many digits.
pub(super) fn figure_of(index: usize, key: &str, exact: &str, shown: &str) -> Markup {
    html! { data data-key=(format!("{index}.{key}")) value=(exact) { (shown) } }
}
