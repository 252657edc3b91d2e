//! Several artefacts side by side.

use maud::{Markup, html};
use serde::Serialize;
use snnc_ir::{Graph, SpikingOp};

use super::figure::figure_of;
use super::plots::{self, Point};
use crate::artefact::{Manifest, Opened};
use crate::energy::{Operations, Profile};
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
    /// Weights of all projections.
    pub parameters: Option<u64>,
    /// Bits of the memories that the device needs, where the target has an image of them.
    pub image_bits: Option<u64>,
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
    /// Where `eval --format json` has it, members joined by dots; none for what it does not state.
    pub key: Option<String>,
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
    /// A whole number.
    Count(u64),
    /// A number with the digits that are shown.
    Number(f64, usize),
}

impl Cell {
    pub(super) fn number(x: Option<f64>, digits: usize) -> Cell {
        x.map_or(Cell::Nothing, |x| Cell::Number(x, digits))
    }

    pub(super) fn count(x: Option<u64>) -> Cell {
        x.map_or(Cell::Nothing, Cell::Count)
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
            Cell::Count(n) => n.to_string(),
            Cell::Number(x, digits) => format!("{x:.digits$}"),
        }
    }

    /// As a program reads it: all digits, nothing for what is not known.
    pub fn exact(&self) -> String {
        match self {
            Cell::Nothing => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Count(n) => n.to_string(),
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
        Column {
            name: name.to_owned(),
            target: opened.target.name().to_owned(),
            coding,
            payload_bits: sent_bits(&opened.network),
            parameters: manifest.map(|m| m.populations.iter().map(|p| p.parameters as u64).sum()),
            image_bits: manifest.and_then(Manifest::image_bits),
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
            parameters: None,
            image_bits: None,
            bytes: None,
            certificate: None,
            evaluation,
        }
    }
}

/// Bits of the largest payload between populations; what is read out is not on the wire.
fn sent_bits(network: &Graph) -> Option<u8> {
    let sent = |id| match network[id].as_spiking() {
        Some(SpikingOp::Population(p)) if p.neuron.fires() => Some(p.payload_bits()),
        _ => None,
    };
    network.ids().filter_map(sent).max()
}

/// What a column says of its run.
type Figure = fn(&Evaluation) -> Cell;

/// The lines that `eval` states, but energy: name, key, figure.
const STATED: [(&str, &str, Figure); 8] = [
    ("samples", "samples", |e| Cell::Count(e.samples as u64)),
    ("top-1 %", "top1", |e| Cell::number(e.top1, 2)),
    ("top-5 %", "top5", |e| Cell::number(e.top5, 2)),
    ("timesteps", "timesteps", |e| Cell::Count(e.timesteps as u64)),
    ("latency", "latency", |e| Cell::Count(e.latency as u64)),
    ("spikes per neuron", "spikes_per_neuron", |e| {
        spiking(e, Cell::Number(e.spikes_per_neuron, 4))
    }),
    ("synaptic operations", "synaptic_operations", |e| {
        spiking(e, Cell::Number(e.synaptic_operations, 0))
    }),
    ("differing codes", "mismatches_vs_reference", |e| Cell::count(e.mismatches_vs_reference)),
];

/// One of a profile's counts.
type Count = fn(&Operations) -> f64;

/// Operations beside each profile's energy: name, key, count.
const COUNTED: [(&str, &str, Count); 2] = [("MAC", "mac", |o| o.mac), ("ACC", "acc", |o| o.acc)];

/// A figure that only networks with spikes have.
fn spiking(e: &Evaluation, cell: Cell) -> Cell {
    if e.per_layer.is_empty() { Cell::Nothing } else { cell }
}

impl Comparison {
    fn row(&self, name: &str, key: Option<String>, cell: impl Fn(&Column) -> Cell) -> Row {
        Row { name: name.to_owned(), key, cells: self.columns.iter().map(cell).collect() }
    }

    /// A line of runs; nothing for a column without one.
    fn stated(&self, name: &str, key: &str, cell: impl Fn(&Evaluation) -> Cell) -> Row {
        let of = |c: &Column| c.evaluation.as_ref().map_or(Cell::Nothing, &cell);
        self.row(name, Some(key.to_owned()), of)
    }

    /// The lines, in the order of reports; what no column knows has none.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            self.row("target", None, |c| Cell::text(&c.target)),
            self.row("code", None, |c| Cell::text(&c.coding)),
            self.row("payload bits", None, |c| Cell::count(c.payload_bits.map(u64::from))),
            self.row("certificate", None, |c| {
                Cell::text(c.certificate.clone().unwrap_or_default())
            }),
            self.row("parameters", None, |c| Cell::count(c.parameters)),
            self.row("image bits", None, |c| Cell::count(c.image_bits)),
            self.row("bytes", None, |c| Cell::count(c.bytes)),
        ];
        rows.extend(STATED.iter().map(|(name, key, figure)| self.stated(name, key, figure)));
        for (i, Profile { name, .. }) in Profile::all().iter().enumerate() {
            rows.push(self.stated(&format!("nJ, {name}"), &format!("energy_nj.{name}"), |e| {
                Cell::number(e.energy_nj.get(name).copied(), 2)
            }));
            for (shown, key, count) in COUNTED {
                let key = format!("energy.{i}.operations.{key}");
                rows.push(self.stated(&format!("{shown}, {name}"), &key, |e| {
                    let own = e.energy.iter().find(|e| e.profile == *name);
                    Cell::number(own.map(|e| count(&e.operations)), 0)
                }));
            }
        }
        rows.retain(|row| row.cells.iter().any(|c| *c != Cell::Nothing));
        rows
    }

    /// The lines as comma-separated values (RFC 4180), one column for each artefact.
    pub fn csv(&self) -> String {
        let names = self.columns.iter().map(|c| quoted(&c.name));
        let mut lines = vec![std::iter::once("figure".to_owned()).chain(names).collect::<Vec<_>>()];
        for row in self.rows() {
            let cells = row.cells.iter().map(|c| quoted(&c.exact()));
            lines.push(std::iter::once(quoted(&row.name)).chain(cells).collect());
        }
        lines.into_iter().map(|l| l.join(",") + "\r\n").collect()
    }

    /// The lines, and accuracy against energy for each profile.
    pub(super) fn markup(&self) -> Markup {
        html! {
            (self.table())
            @for profile in Profile::all() { (self.front(&profile.name)) }
        }
    }

    fn table(&self) -> Markup {
        html! {
            div.scroll { table {
                thead { tr {
                    th scope="col" { "figure" }
                    @for c in &self.columns { th.n.head scope="col" { (c.name) } }
                } }
                tbody { @for row in self.rows() { tr {
                    th scope="row" { (row.name) }
                    @for (i, cell) in row.cells.iter().enumerate() { td.n { (figure(i, &row, cell)) } }
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
            figure.scroll { (plots::front(&points, &format!("nJ a sample, {profile}"), "top-1 %").finish()) }
        } }
    }
}

/// A cell, with its exact value and place in `eval --format json` where it has them.
fn figure(index: usize, row: &Row, cell: &Cell) -> Markup {
    match (&row.key, cell) {
        (Some(key), Cell::Count(_) | Cell::Number(..)) => {
            figure_of(index, key, &cell.exact(), &cell.shown())
        }
        _ => html! { (cell.shown()) },
    }
}

/// A value of a file of comma-separated values (RFC 4180).
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
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
        assert!(csv.contains("\r\npayload bits,4\r\n"), "{csv}");
        assert_eq!(Cell::Number(0.1 + 0.2, 1).exact(), "0.30000000000000004");
    }
}
