//! Several artefacts side by side.

use maud::{Markup, html};
use serde::Serialize;

use super::page::{document, figure_of};
use super::plots::{self, Point};
use crate::artefact::Opened;
use crate::energy::Profile;
use crate::evaluate::Evaluation;

/// One artefact or model of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// The name the user gave it.
    pub name: String,
    /// Its target, or `ONNX`.
    pub target: String,
    /// Its coding, where it has one.
    pub coding: String,
    /// Largest payload of its populations in bits.
    pub payload_bits: Option<u8>,
    /// Bytes of all of its files.
    pub bytes: Option<u64>,
    /// Verdict of its certificate.
    pub certificate: Option<String>,
    /// Its run on data.
    pub evaluation: Option<Evaluation>,
}

/// One line of a comparison: a figure for each column.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is, with its unit.
    pub name: String,
    /// The figure, or the text, of each column.
    pub cells: Vec<Cell>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known.
    Nothing,
    /// A word.
    Text(String),
    /// A number with the digits that are shown.
    Number(f64, usize),
}

impl Cell {
    fn number(x: Option<f64>, digits: usize) -> Cell {
        x.map_or(Cell::Nothing, |x| Cell::Number(x, digits))
    }

    fn text(x: impl Into<String>) -> Cell {
        let x = x.into();
        if x.is_empty() { Cell::Nothing } else { Cell::Text(x) }
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        match self {
            Cell::Nothing => "–".into(),
            Cell::Text(text) => text.clone(),
            Cell::Number(x, digits) => format!("{x:.digits$}"),
        }
    }

    /// As a program reads it: all digits, nothing for what is not known.
    pub fn exact(&self) -> String {
        match self {
            Cell::Nothing => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(x, _) => serde_json::to_string(x).unwrap_or_default(),
        }
    }
}

/// Artefacts side by side.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Comparison {
    /// The artefacts, in the order given.
    pub columns: Vec<Column>,
}

impl Column {
    /// What is compared of an artefact.
    pub fn artefact(name: &str, opened: &Opened, evaluation: Option<Evaluation>) -> Column {
        let manifest = opened.manifest.as_ref();
        let coding = manifest.and_then(|m| m.options.get("code").cloned()).unwrap_or_default();
        let bits = |m: &crate::artefact::Manifest| {
            // A read-out's payload is its potential: not on the wire between populations.
            let sent = m.populations.iter().rev().skip(1);
            sent.map(|p| p.payload_bits).max()
        };
        Column {
            name: name.to_owned(),
            target: opened.target.name().to_owned(),
            coding,
            payload_bits: manifest.and_then(bits),
            bytes: manifest.map(|m| m.files.iter().map(|f| f.bytes).sum()),
            certificate: opened.certificate.as_ref().map(|c| c.verdict.to_string()),
            evaluation,
        }
    }

    /// What is compared of a model.
    pub fn model(name: &str, evaluation: Option<Evaluation>) -> Column {
        Column {
            name: name.to_owned(),
            target: "ONNX".into(),
            coding: "formal".into(),
            payload_bits: None,
            bytes: None,
            certificate: None,
            evaluation,
        }
    }
}

impl Comparison {
    /// The lines, in the order of reports.
    pub fn rows(&self) -> Vec<Row> {
        let row = |name: &str, cell: &dyn Fn(&Column) -> Cell| Row {
            name: name.to_owned(),
            cells: self.columns.iter().map(cell).collect(),
        };
        let run = |get: fn(&Evaluation) -> Option<f64>, digits: usize| {
            move |c: &Column| Cell::number(c.evaluation.as_ref().and_then(get), digits)
        };
        let mut rows = vec![
            row("target", &|c| Cell::text(&c.target)),
            row("code", &|c| Cell::text(&c.coding)),
            row("payload bits", &|c| Cell::number(c.payload_bits.map(f64::from), 0)),
            row("certificate", &|c| Cell::text(c.certificate.clone().unwrap_or_default())),
            row("bytes", &|c| Cell::number(c.bytes.map(|b| b as f64), 0)),
            row("samples", &run(|e| Some(e.samples as f64), 0)),
            row("top-1 %", &run(|e| e.top1, 2)),
            row("top-5 %", &run(|e| e.top5, 2)),
            row("timesteps", &run(|e| Some(e.timesteps as f64), 0)),
            row("latency", &run(|e| Some(e.latency as f64), 0)),
            row("spikes per neuron", &run(|e| Some(e.spikes_per_neuron), 4)),
            row("synaptic operations", &run(|e| Some(e.synaptic_operations), 0)),
        ];
        for profile in Profile::all() {
            rows.push(row(&format!("nJ, {}", profile.name), &|c| {
                let run = c.evaluation.as_ref();
                Cell::number(run.and_then(|e| e.energy_nj.get(&profile.name)).copied(), 2)
            }));
        }
        rows.push(row("other codes", &run(|e| e.mismatches_vs_reference.map(|n| n as f64), 0)));
        rows
    }

    /// The lines as comma-separated values (RFC 4180), one column for each artefact.
    pub fn csv(&self) -> String {
        let quoted = |text: &str| {
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let names = self.columns.iter().map(|c| quoted(&c.name));
        let mut lines = vec![std::iter::once("figure".to_owned()).chain(names).collect::<Vec<_>>()];
        for row in self.rows() {
            let cells = row.cells.iter().map(|c| quoted(&c.exact()));
            lines.push(std::iter::once(quoted(&row.name)).chain(cells).collect());
        }
        lines.into_iter().map(|l| l.join(",") + "\r\n").collect()
    }

    /// A page with the lines, and accuracy against energy for each profile.
    pub fn page(&self) -> String {
        let title = "Comparison";
        document(
            title,
            html! {
                header { h1 { (title) } }
                main {
                    (self.table())
                    @for profile in Profile::all() { (self.front(&profile.name)) }
                }
            },
        )
    }

    fn table(&self) -> Markup {
        html! {
            div.scroll { table {
                thead { tr {
                    th scope="col" { "figure" }
                    @for c in &self.columns { th.n scope="col" { (c.name) } }
                } }
                tbody { @for row in self.rows() { tr {
                    th scope="row" { (row.name) }
                    @for (i, cell) in row.cells.iter().enumerate() {
                        td.n { @match cell {
                            Cell::Number(x, _) => (figure_of(&format!("{i}.{}", row.name), *x, &cell.shown())),
                            other => (other.shown()),
                        } }
                    }
                } } }
            } }
        }
    }

    fn front(&self, profile: &str) -> Markup {
        let point = |(series, c): (usize, &Column)| {
            let e = c.evaluation.as_ref()?;
            let (x, y) = (*e.energy_nj.get(profile)?, e.top1?);
            Some(Point { x, y, name: c.name.clone(), dominated: false, series })
        };
        let mut points: Vec<Point> = self.columns.iter().enumerate().filter_map(point).collect();
        mark_dominated(&mut points);
        html! { @if points.len() > 1 {
            h2 { "Accuracy against energy, profile " (profile) }
            figure { (plots::front(&points, &format!("nJ a sample, {profile}"), "top-1 %").finish()) }
        } }
    }
}

/// Marks every point that another one beats: no dearer, no worse, and one of both strictly.
pub(crate) fn mark_dominated(points: &mut [Point]) {
    let all: Vec<(f64, f64)> = points.iter().map(|p| (p.x, p.y)).collect();
    for p in points {
        let beats = |&(x, y): &(f64, f64)| x <= p.x && y >= p.y && (x < p.x || y > p.y);
        p.dominated = all.iter().any(beats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_dominated_by_a_better_one_only() {
        let point = |x, y| Point { x, y, name: String::new(), dominated: false, series: 0 };
        let mut points = vec![
            point(1.0, 90.0),
            point(2.0, 90.0),
            point(2.0, 95.0),
            point(1.0, 90.0),
            point(0.5, 10.0),
        ];
        mark_dominated(&mut points);
        let marks: Vec<bool> = points.iter().map(|p| p.dominated).collect();
        assert_eq!(marks, [false, true, false, false, false]);
    }

    #[test]
    fn csv_quotes_and_keeps_all_digits() {
        let column =
            Column { name: "a,\"b\"".into(), payload_bits: Some(4), ..Column::model("", None) };
        let csv = Comparison { columns: vec![column] }.csv();
        assert!(csv.starts_with("figure,\"a,\"\"b\"\"\"\r\ntarget,ONNX\r\n"), "{csv}");
        assert!(csv.contains("\r\npayload bits,4.0\r\n"), "{csv}");
        assert_eq!(Cell::Number(0.1 + 0.2, 1).exact(), "0.30000000000000004");
    }
}
