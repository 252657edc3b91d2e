//! Reports: a page on one network, or on several side by side.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::compare::{Column, Comparison};
use super::figure::figure_of;
use super::observe::Histograms;
use super::plots::{self, short};
use super::{STYLE, shape};
use crate::artefact::{Manifest, Opened, PopulationRow};
use crate::certificate::Certificate;
use crate::evaluate::Evaluation;

/// What a report is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The name the user gave it.
    pub name: &'a str,
    /// The artefact; none for a model, of which only a run is shown.
    pub artefact: Option<&'a Opened>,
    /// Its run on data, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// What its neurons did in that run.
    pub histograms: &'a [Histograms],
}

impl Subject<'_> {
    fn title(&self) -> String {
        let Some(artefact) = self.artefact else { return format!("{} as ONNX has it", self.name) };
        let name =
            if artefact.network.name.is_empty() { "network" } else { &artefact.network.name };
        format!("{name} on {}", artefact.target.name())
    }

    fn column(&self) -> Column {
        match self.artefact {
            Some(artefact) => Column::artefact(self.name, artefact, self.evaluation.cloned()),
            None => Column::model(self.name, self.evaluation.cloned()),
        }
    }
}

/// A whole page: of several subjects the comparison first. Equal subjects give equal bytes: how long
/// a run took is not told.
pub fn page(subjects: &[Subject<'_>]) -> String {
    if let [one] = subjects {
        let view = View { subject: one, index: 0, level: 2 };
        let manifest = one.artefact.and_then(|a| a.manifest.as_ref());
        let title = one.title();
        return document(
            &title,
            html! {
                header { h1 { (title) } @if one.artefact.is_some() { (provenance(manifest)) } }
                main { (view.sections()) (embedded(subjects)) }
            },
        );
    }
    let comparison = Comparison { columns: subjects.iter().map(Subject::column).collect() };
    let title = format!("{} networks side by side", subjects.len());
    document(
        &title,
        html! {
            header { h1 { (title) } }
            main {
                (comparison.markup())
                h2 { "One by one" }
                ul { @for (i, subject) in subjects.iter().enumerate() {
                    li { a href=(format!("#network-{i}")) { (subject.name) } ": " (subject.title()) }
                } }
                @for (i, subject) in subjects.iter().enumerate() {
                    section.network id=(format!("network-{i}")) {
                        h2 { (subject.name) }
                        p { (subject.title()) }
                        @if let Some(artefact) = subject.artefact { (provenance(artefact.manifest.as_ref())) }
                        (View { subject, index: i, level: 3 }.sections())
                    }
                }
                (embedded(subjects))
            }
        },
    )
}

/// A page around `body`.
pub(super) fn document(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // The browser itself refuses every request and every script.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn provenance(manifest: Option<&Manifest>) -> Markup {
    html! {
        @if let Some(m) = manifest {
            p.soft {
                "Compiled from " b { (m.source.file) } " (SHA-256 " (m.source.sha256) ") by snnc " (m.compiler) ". "
                "Options: "
                @for (i, (key, value)) in m.options.iter().enumerate() {
                    @if i > 0 { ", " } (key) " " (value)
                }
                "."
            }
        } @else {
            p.soft { "A bare file of the target's format: it has no manifest." }
        }
    }
}

/// One subject's place in a page.
pub(super) struct View<'a> {
    pub(super) subject: &'a Subject<'a>,
    /// Its number among the subjects.
    pub(super) index: usize,
    /// Level of the headings of its sections.
    pub(super) level: u8,
}

impl View<'_> {
    fn sections(&self) -> Markup {
        let artefact = self.subject.artefact;
        let manifest = artefact.and_then(|a| a.manifest.as_ref());
        html! {
            @if let Some(evaluation) = self.subject.evaluation { (self.figures(evaluation)) }
            @if let Some(artefact) = artefact {
                (self.heading("Network"))
                figure { (plots::network(&artefact.network)) }
            }
            @if let Some(manifest) = manifest { (self.populations(&manifest.populations)) }
            @if let Some(evaluation) = self.subject.evaluation {
                @if !evaluation.per_layer.is_empty() { (self.activity(evaluation, self.subject.histograms)) }
                (self.energies(evaluation))
            }
            @if let Some(certificate) = artefact.and_then(|a| a.certificate.as_ref()) {
                (self.certified(certificate))
            }
            @if let Some(manifest) = manifest { (self.fit(manifest)) }
        }
    }

    /// The heading of a section.
    pub(super) fn heading(&self, text: &str) -> Markup {
        html! { @if self.level == 2 { h2 { (text) } } @else { h3 { (text) } } }
    }

    /// The heading of a part of a section.
    pub(super) fn subheading(&self, text: &str) -> Markup {
        html! { @if self.level == 2 { h3 { (text) } } @else { h4 { (text) } } }
    }

    /// A figure under the name that `eval --format json` gives it, with the same value.
    pub(super) fn figure(&self, key: &str, value: f64, shown: &str) -> Markup {
        figure_of(self.index, key, &serde_json::to_string(&value).unwrap_or_default(), shown)
    }

    /// As [`View::figure`], for a whole number.
    pub(super) fn count(&self, key: &str, value: u64) -> Markup {
        figure_of(self.index, key, &value.to_string(), &value.to_string())
    }

    fn figures(&self, e: &Evaluation) -> Markup {
        let real = |key, value| self.figure(key, value, &short(value));
        html! {
            (self.heading("In short"))
            ul.tiles {
                @if let Some(x) = e.top1 { li { (self.figure("top1", x, &format!("{x:.2} %"))) "top-1" } }
                @for warning in e.warnings() { li { (warning) } }
                @if let Some(x) = e.top5 { li { (self.figure("top5", x, &format!("{x:.2} %"))) "top-5" } }
                li { (self.count("samples", e.samples as u64)) "samples" }
                li { (self.count("timesteps", e.timesteps as u64)) "timesteps" }
                li { (self.count("latency", e.latency as u64)) "timesteps of latency" }
                @if !e.per_layer.is_empty() {
                    li { (real("spikes_per_neuron", e.spikes_per_neuron)) "spikes per neuron" }
                    li { (real("sparsity", e.sparsity)) "per neuron and timestep" }
                    li { (real("synaptic_operations", e.synaptic_operations)) "synaptic operations" }
                }
                @if let Some(n) = e.mismatches_vs_reference {
                    li {
                        (self.count("mismatches_vs_reference", n))
                        @if let Some(all) = e.activations_compared { "differing codes of " (short(all as f64)) }
                    }
                }
            }
            p.soft { "Spikes, synaptic operations and energy are means of one sample." }
        }
    }

    fn populations(&self, rows: &[PopulationRow]) -> Markup {
        let header = [
            "population",
            "ONNX nodes",
            "shape",
            "code",
            "payload bits",
            "thresholds",
            "weight bits",
            "fan-in",
            "parameters",
        ];
        html! {
            (self.heading("Populations"))
            div.scroll { table {
                thead { tr { @for (i, name) in header.iter().enumerate() { th.n[i > 3] scope="col" { (name) } } } }
                tbody { @for row in rows { tr {
                    th scope="row" { (row.name) }
                    td.wrap { @for (i, o) in row.origins.iter().enumerate() { @if i > 0 { ", " } (o.op) " " (o.node) } }
                    td { (shape(&row.shape)) }
                    td { (row.coding) }
                    td.n { (row.payload_bits) }
                    td.n { @if let Some((low, high)) = row.thresholds { (low) " to " (high) } @else { "none" } }
                    td.n { (row.weight_bits) }
                    td.n { (row.fan_in) }
                    td.n { (row.parameters) }
                } } }
            } }
        }
    }

    fn certified(&self, c: &Certificate) -> Markup {
        let verdict = c.verdict.to_string();
        html! {
            (self.heading("Certificate"))
            p { "The network is " b class=(verdict) { (verdict) } " against the quantised ONNX network (reference " (c.reference) ")." }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "population" } th scope="col" { "verdict" }
                    @for name in ["thresholds", "reachable values", "differing", "mean error", "largest error"] { th.n scope="col" { (name) } }
                    th scope="col" { "method" }
                } }
                tbody { @for p in &c.populations { tr {
                    @let verdict = p.verdict.to_string();
                    th scope="row" { (p.population) }
                    td class=(verdict) { (verdict) }
                    td.n { (p.thresholds) }
                    td.n { (p.reachable) }
                    td.n { (p.differing) }
                    td.n { @if let Some(m) = &p.measured { (short(m.mean_error)) } @else { "–" } }
                    td.n { @if let Some(m) = &p.measured { (m.maximum_error) } @else { "–" } }
                    td.wrap { (p.method) }
                } } }
            } }
            @let broken: Vec<_> = c.obligations.iter().filter(|o| !o.holds).collect();
            p.soft {
                (c.obligations.len()) " obligations checked, " (broken.len()) " do not hold."
            }
            @if !broken.is_empty() { ul { @for o in broken { li.failed { (o.subject) ": " (o.claim) } } } }
        }
    }

    fn fit(&self, m: &Manifest) -> Markup {
        html! {
            (self.heading("Fit and files"))
            @if !m.fit.is_empty() {
                div.scroll { table {
                    thead { tr { th scope="col" { "resource of " (m.target) } @for name in ["used", "available", "share"] { th.n scope="col" { (name) } } } }
                    tbody { @for row in &m.fit { tr {
                        th scope="row" { (row.resource) }
                        td.n { (row.used) }
                        @match row.available {
                            Some(all) => { td.n { (all) } td.n { (format!("{:.1} %", 100.0 * row.used as f64 / all.max(1) as f64)) } }
                            None => { td.n { "not known" } td.n { "–" } }
                        }
                    } } }
                } }
            }
            p.soft { (m.files.len()) " files, " (m.files.iter().map(|f| f.bytes).sum::<u64>()) " bytes." }
            @if !m.notes.is_empty() { ul { @for note in &m.notes { li { b { (note.node) } ": " (note.text) } } } }
        }
    }
}

/// The objects of `eval --format json` in the order of the subjects, but for the time they took; a
/// subject without a run is null.
fn embedded(subjects: &[Subject<'_>]) -> Markup {
    let object = |subject: &Subject<'_>| {
        let mut value = serde_json::to_value(subject.evaluation).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("seconds");
            object.shift_remove("samples_per_second");
        }
        value
    };
    let values: Vec<serde_json::Value> = subjects.iter().map(object).collect();
    if values.iter().all(serde_json::Value::is_null) {
        return html! {};
    }
    // Nothing in a name may end the element.
    let text = serde_json::Value::Array(values).to_string().replace('<', "\\u003c");
    html! { script type="application/json" id="evaluations" { (PreEscaped(text)) } }
}
