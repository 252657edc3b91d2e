//! Tables of the text form: as wide as the terminal in a terminal, and as wide as their content elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width,
};

/// Characters of a line; 0 is no limit.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Blanks of a column, one on each side.
const PADDING: usize = 2;
/// A column of text is not made narrower than this before columns are left out.
const NARROW: usize = 16;
/// A terminal narrower than this is taken to be this wide.
const LEAST: usize = 40;

/// The style of all tables: one rule, under the header.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('═'));

/// Fits the tables of this process to the terminal, unless all columns are asked for. `COLUMNS` overrides
/// the terminal's own width.
pub(super) fn fit_to_terminal(wide: bool) {
    if wide || !std::io::stdout().is_terminal() {
        return;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|&n| n > 0);
    let own = terminal_size::terminal_size_of(std::io::stdout()).map(|(w, _)| usize::from(w.0));
    if let Some(columns) = said.or(own) {
        LIMIT.store(columns.max(LEAST), Ordering::Relaxed);
    }
}

/// A table with a header; columns from `numbers` on are right-aligned.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], numbers: usize) -> String {
    table_without(header, rows, numbers, &[])
}

/// A table that leaves out the columns `first_out`, in that order, where the terminal is too narrow, and then
/// columns from the right.
pub(super) fn table_without(
    header: &[&str],
    rows: &[Vec<String>],
    numbers: usize,
    first_out: &[&str],
) -> String {
    let limit = Some(LIMIT.load(Ordering::Relaxed)).filter(|&n| n > 0);
    Content { header, rows, numbers, first_out }.drawn(limit)
}

/// What a table shows.
struct Content<'a> {
    header: &'a [&'a str],
    rows: &'a [Vec<String>],
    numbers: usize,
    first_out: &'a [&'a str],
}

/// Columns that are shown, and the characters of each.
struct Layout {
    widths: Vec<Option<usize>>,
}

fn length(text: &str) -> usize {
    text.chars().count()
}

impl Content<'_> {
    fn drawn(&self, limit: Option<usize>) -> String {
        let layout = limit.map(|limit| (limit, self.laid_out(limit)));
        let is_kept = |i: usize| layout.as_ref().is_none_or(|(_, l)| l.widths[i].is_some());
        let kept: Vec<usize> = (0..self.header.len()).filter(|&i| is_kept(i)).collect();
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(kept.iter().map(|&i| self.header[i]));
        for row in self.rows {
            table.add_row(kept.iter().map(|&i| row.get(i).map_or("", String::as_str)));
        }
        for (column, &i) in table.column_iter_mut().zip(&kept) {
            if i >= self.numbers {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let Some((limit, layout)) = &layout else { return trimmed(&table) };
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(*limit).unwrap_or(u16::MAX));
        for (column, &i) in table.column_iter_mut().zip(&kept) {
            let width = layout.widths[i].unwrap_or_default() + PADDING;
            let width = Width::Fixed(u16::try_from(width).unwrap_or(u16::MAX));
            column.set_constraint(ColumnConstraint::Absolute(width));
        }
        let mut text = trimmed(&table);
        let out: Vec<&str> =
            (0..self.header.len()).filter(|&i| !is_kept(i)).map(|i| self.header[i]).collect();
        if !out.is_empty() {
            let line = format!("not shown: {} (--wide shows all columns)", out.join(", "));
            text.push('\n');
            text.push_str(&wrapped(&line, *limit));
        }
        text
    }

    /// Characters of a column where nothing is wrapped.
    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let cells = cells.flat_map(|cell| cell.lines().map(length));
        cells.chain([length(self.header[column])]).max().unwrap_or_default()
    }

    /// Characters that a column keeps: numbers are not wrapped, their header is.
    fn least(&self, column: usize) -> usize {
        let natural = self.natural(column);
        if (1..self.numbers).contains(&column) {
            return natural.min(NARROW);
        }
        if column == 0 {
            return natural;
        }
        let words = self.header[column].split_whitespace().map(length);
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell));
        cells.chain(words).max().unwrap_or_default()
    }

    /// Wraps what can be wrapped, the widest first; where that is not enough, leaves out columns.
    fn laid_out(&self, limit: usize) -> Layout {
        let columns = self.header.len();
        let named =
            self.first_out.iter().filter_map(|name| self.header.iter().position(|h| h == name));
        let mut order = named.chain((1..columns).rev());
        let mut widths: Vec<Option<usize>> = vec![Some(0); columns];
        loop {
            for (i, width) in widths.iter_mut().enumerate() {
                *width = width.map(|_| self.natural(i));
            }
            let total = |widths: &[Option<usize>]| {
                widths.iter().flatten().map(|w| w + PADDING).sum::<usize>()
            };
            while total(&widths) > limit {
                let wide = (0..columns).filter(|&i| widths[i].is_some_and(|w| w > self.least(i)));
                let Some(widest) = wide.max_by_key(|&i| widths[i]) else { break };
                widths[widest] = widths[widest].map(|w| w - 1);
            }
            if total(&widths) <= limit {
                return Layout { widths };
            }
            let shown = widths.iter().flatten().count();
            match order.find(|&i| widths[i].is_some()).filter(|_| shown > 1) {
                Some(i) => widths[i] = None,
                // One column that is too wide is cut into lines.
                None => {
                    let cut = |w: &mut usize| *w = (*w).min(limit.saturating_sub(PADDING));
                    widths.iter_mut().flatten().for_each(cut);
                    return Layout { widths };
                }
            }
        }
    }
}

/// A table without blanks at the ends of lines.
fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A text whose lines the terminal holds.
pub(super) fn fitted(text: &str) -> String {
    match LIMIT.load(Ordering::Relaxed) {
        0 => text.to_owned(),
        limit => text.split('\n').map(|l| wrapped(l, limit)).collect::<Vec<_>>().join("\n"),
    }
}

/// A line as lines of at most `limit` characters, the later ones indented by two more; longer words stay whole.
fn wrapped(line: &str, limit: usize) -> String {
    if length(line) <= limit {
        return line.to_owned();
    }
    let words = line.trim_start();
    let indent = " ".repeat(line.len() - words.len());
    let mut lines = vec![indent.clone()];
    let mut is_empty = true;
    for word in words.split_whitespace() {
        let Some(last) = lines.last_mut() else { continue };
        if !is_empty && length(last) + 1 + length(word) > limit {
            lines.push(format!("{indent}  {word}"));
            continue;
        }
        if !is_empty {
            last.push(' ');
        }
        last.push_str(word);
        is_empty = false;
    }
    lines.join("\n")
}

/// A shape as `16x8x8`.
pub(super) fn shape(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    fn widest(text: &str) -> usize {
        text.lines().map(length).max().unwrap_or_default()
    }

    #[test]
    fn without_a_limit_everything_is_on_one_line() {
        let rows = [row(&["a", "1"]), row(&["b", "22"])];
        let content = Content { header: &["name", "n"], rows: &rows, numbers: 1, first_out: &[] };
        assert_eq!(content.drawn(None), " name   n\n══════════\n a      1\n b     22");
    }

    #[test]
    fn texts_are_wrapped_before_columns_are_left_out() {
        let long = "a text of some words that is longer than a line";
        let rows = [row(&["first", long, "7"])];
        let header = ["name", "what", "number of them"];
        let content = Content { header: &header, rows: &rows, numbers: 2, first_out: &[] };
        let text = content.drawn(Some(40));
        assert!(widest(&text) <= 40 && !text.contains("not shown"), "{text}");
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn columns_are_left_out_in_the_order_of_the_table_and_named() {
        let header = ["name", "one", "two", "three"];
        let rows = [row(&["first", "1111111111", "2222222222", "3333333333"])];
        let content = Content { header: &header, rows: &rows, numbers: 1, first_out: &["two"] };
        let text = content.drawn(Some(40));
        assert!(text.contains("not shown: two (--wide"), "{text}");
        assert!(text.contains("one") && text.contains("three"), "{text}");
        for limit in 12..60 {
            assert!(widest(&content.drawn(Some(limit)).replace("(--wide", "")) <= limit.max(13));
        }
    }

    #[test]
    fn long_lines_are_wrapped_and_short_ones_stay() {
        assert_eq!(wrapped("  a  b", 8), "  a  b");
        assert_eq!(wrapped("  aaa bbb ccc", 9), "  aaa bbb\n    ccc");
        assert_eq!(wrapped("abcdefgh ij", 4), "abcdefgh\n  ij");
    }

    #[test]
    fn a_name_that_is_too_long_for_the_line_is_cut_into_lines() {
        let name = "x".repeat(100);
        let rows = [row(&[&name, "1"])];
        let content = Content { header: &["name", "n"], rows: &rows, numbers: 1, first_out: &[] };
        assert!(widest(&content.drawn(Some(40))) <= 40);
    }
}
