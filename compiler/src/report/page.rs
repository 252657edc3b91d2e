//! The report on one artefact.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::observe::{Histograms, RATE_BINS};
use super::plots::{self, short};
use super::{STYLE, shape};
use crate::artefact::{Manifest, Opened, PopulationRow};
use crate::certificate::Certificate;
use crate::energy::{NetworkEnergy, Profile, Term};
use crate::evaluate::Evaluation;

/// What a report is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The artefact.
    pub artefact: &'a Opened,
    /// Its run on data, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// What its neurons did in that run.
    pub histograms: &'a [Histograms],
}

/// A whole page. Equal subjects give equal bytes: how long a run took is not told.
pub fn page(subject: &Subject<'_>) -> String {
    let network = &subject.artefact.network;
    let name = if network.name.is_empty() { "network" } else { &network.name };
    let target = subject.artefact.target.name();
    let title = format!("{name} on {target}");
    document(
        &title,
        html! {
            header { h1 { (title) } (provenance(subject.artefact.manifest.as_ref())) }
            main {
                @if let Some(evaluation) = subject.evaluation { (figures(evaluation)) }
                h2 { "Network" }
                figure { (plots::network(network)) }
                @if let Some(manifest) = &subject.artefact.manifest { (populations(&manifest.populations)) }
                @if let Some(evaluation) = subject.evaluation { (activity(evaluation, subject.histograms)) }
                @if let Some(evaluation) = subject.evaluation { (energies(evaluation)) }
                @if let Some(certificate) = &subject.artefact.certificate { (certified(certificate)) }
                @if let Some(manifest) = &subject.artefact.manifest { (fit(manifest)) }
                @if let Some(evaluation) = subject.evaluation { (embedded(evaluation)) }
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

/// A figure under the name that `eval --format json` gives it, with the same value.
pub(super) fn figure_of(key: &str, value: f64, shown: &str) -> Markup {
    let exact = serde_json::to_string(&value).unwrap_or_default();
    html! { data data-key=(key) value=(exact) { (shown) } }
}

fn count_of(key: &str, value: u64) -> Markup {
    html! { data data-key=(key) value=(value) { (value) } }
}

fn figures(e: &Evaluation) -> Markup {
    html! {
        h2 { "In short" }
        ul.tiles {
            @if let Some(x) = e.top1 { li { (figure_of("top1", x, &format!("{x:.2} %"))) "top-1" } }
            @if let Some(x) = e.top5 { li { (figure_of("top5", x, &format!("{x:.2} %"))) "top-5" } }
            li { (count_of("samples", e.samples as u64)) "samples" }
            li { (count_of("timesteps", e.timesteps as u64)) "timesteps" }
            li { (count_of("latency", e.latency as u64)) "timesteps of latency" }
            li { (figure_of("spikes_per_neuron", e.spikes_per_neuron, &short(e.spikes_per_neuron))) "spikes per neuron" }
            li { (figure_of("sparsity", e.sparsity, &short(e.sparsity))) "per neuron and timestep" }
            li { (figure_of("synaptic_operations", e.synaptic_operations, &short(e.synaptic_operations))) "synaptic operations" }
            @if let Some(n) = e.mismatches_vs_reference {
                li {
                    (count_of("mismatches_vs_reference", n))
                    @if let Some(all) = e.activations_compared { "other codes of " (short(all as f64)) }
                }
            }
        }
        p.soft { "Spikes, synaptic operations and energy are means of one sample." }
    }
}

fn populations(rows: &[PopulationRow]) -> Markup {
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
        h2 { "Populations" }
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

fn activity(e: &Evaluation, histograms: &[Histograms]) -> Markup {
    html! {
        h2 { "Activity" }
        div.scroll { table {
            thead { tr {
                th scope="col" { "population" }
                @for name in ["neurons", "spikes per neuron", "mean payload", "synaptic operations", "other codes"] {
                    th.n scope="col" { (name) }
                }
            } }
            tbody { @for (i, row) in e.per_layer.iter().enumerate() { tr {
                th scope="row" { (row.name) }
                td.n { (count_of(&format!("per_layer.{i}.neurons"), row.neurons as u64)) }
                td.n { (figure_of(&format!("per_layer.{i}.spikes_per_neuron"), row.spikes_per_neuron, &short(row.spikes_per_neuron))) }
                td.n { (figure_of(&format!("per_layer.{i}.mean_payload"), row.mean_payload, &short(row.mean_payload))) }
                td.n { (figure_of(&format!("per_layer.{i}.synaptic_operations"), row.synaptic_operations, &short(row.synaptic_operations))) }
                td.n { @if let Some(n) = row.mismatches_vs_reference { (count_of(&format!("per_layer.{i}.mismatches_vs_reference"), n)) } @else { "–" } }
            } } }
        } }
        div.grid { @for h in histograms { (histogram(h)) } }
    }
}

fn histogram(h: &Histograms) -> Markup {
    let bin = |i: usize| format!("{:.2}", i as f64 / RATE_BINS as f64);
    let rates: Vec<(String, u64)> = h
        .rates
        .iter()
        .enumerate()
        .map(|(i, &n)| (format!("{} to {}", bin(i), bin(i + 1)), n))
        .collect();
    html! {
        section {
            h3 { (h.name) }
            figure {
                (plots::histogram(&rates, &format!("Neurons of {} by spikes per timestep", h.name)))
                figcaption { "neurons by spikes per timestep; " (h.silent) " never fired" }
            }
            figure {
                (plots::histogram(&payload_bars(&h.payloads), &format!("Spikes of {} by payload", h.name)))
                figcaption { "spikes by payload" }
            }
        }
    }
}

/// At most 64 bars of equal width over the payloads that occurred.
fn payload_bars(payloads: &[(i64, u64)]) -> Vec<(String, u64)> {
    const MOST: i128 = 64;
    let (Some((low, _)), Some((high, _))) = (payloads.first(), payloads.last()) else {
        return Vec::new();
    };
    let (low, high) = (i128::from(*low), i128::from(*high));
    let width = (high - low) / MOST + 1;
    let bars = (high - low) / width + 1;
    let mut counts = vec![0; bars as usize];
    for &(payload, n) in payloads {
        if let Some(count) = counts.get_mut(((i128::from(payload) - low) / width) as usize) {
            *count += n;
        }
    }
    let name = |i: usize| {
        let from = low + i as i128 * width;
        if width == 1 {
            from.to_string()
        } else {
            format!("{from} to {}", (from + width - 1).min(high))
        }
    };
    counts.into_iter().enumerate().map(|(i, n)| (name(i), n)).collect()
}

fn legend() -> Markup {
    html! {
        ul.legend { @for (k, term) in Term::ALL.into_iter().enumerate() {
            li {
                svg width="12" height="12" aria-hidden="true" { rect class={ "term" (k) } width="12" height="12" {} }
                " " (term.name())
            }
        } }
    }
}

fn energies(e: &Evaluation) -> Markup {
    html! {
        h2 { "Energy" }
        p.soft {
            "Energy of one sample by the metric of Lemaire et al. (ICONIP 2022), in nJ. It depends on the profile by which it is reckoned; "
            "formal is the same network with dense numbers instead of spikes, by the same profile."
        }
        div.scroll { table {
            thead { tr {
                th scope="col" { "profile" }
                @for name in ["nJ", "formal nJ", "MAC", "ACC", "memory accesses"] { th.n scope="col" { (name) } }
            } }
            tbody { @for p in &e.energy { tr {
                th scope="row" { (p.profile) }
                td.n { (figure_of(&format!("energy_nj.{}", p.profile), p.total_nj, &format!("{:.2}", p.total_nj))) }
                td.n { @if let Some(x) = e.formal_energy_nj.get(&p.profile) {
                    (figure_of(&format!("formal_energy_nj.{}", p.profile), *x, &format!("{x:.2}")))
                } }
                td.n { (short(p.operations.mac)) }
                td.n { (short(p.operations.acc)) }
                td.n { (short(p.operations.memory_accesses)) }
            } } }
        } }
        (legend())
        @for (i, p) in e.energy.iter().enumerate() { (profile(i, p)) }
    }
}

fn profile(index: usize, energy: &NetworkEnergy) -> Markup {
    let summary = Profile::named(&energy.profile).map(|p| p.summary.as_str()).unwrap_or_default();
    html! {
        section {
            h3 { "Profile " (energy.profile) ": " (short(energy.total_nj)) " nJ" }
            p.soft { (summary) "." }
            figure { (plots::energy_by_layer(energy)) }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "layer" } th scope="col" { "counted as" }
                    @for term in Term::ALL { th.n scope="col" { (term.name()) } }
                    th.n scope="col" { "nJ" }
                } }
                tbody { @for (i, layer) in energy.layers.iter().enumerate() { tr {
                    th scope="row" { (layer.name) }
                    td { (layer.rule) }
                    @for term in Term::ALL {
                        @let key = format!("energy.{index}.layers.{i}.terms_nj.{}", term.name());
                        td.n { (figure_of(&key, layer.terms_nj.get(term), &short(layer.terms_nj.get(term)))) }
                    }
                    td.n { (figure_of(&format!("energy.{index}.layers.{i}.total_nj"), layer.total_nj, &short(layer.total_nj))) }
                } } }
            } }
        }
    }
}

fn certified(c: &Certificate) -> Markup {
    let verdict = c.verdict.to_string();
    html! {
        h2 { "Certificate" }
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

fn fit(m: &Manifest) -> Markup {
    html! {
        h2 { "Fit and files" }
        @if !m.fit.is_empty() {
            div.scroll { table {
                thead { tr { th scope="col" { "resource" } @for name in ["used", "available", "share"] { th.n scope="col" { (name) } } } }
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

/// The object of `eval --format json`, but for the time it took.
fn embedded(e: &Evaluation) -> Markup {
    let mut value = serde_json::to_value(e).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("seconds");
        object.shift_remove("samples_per_second");
    }
    // Nothing in a name may end the element.
    let text = value.to_string().replace('<', "\\u003c");
    html! { script type="application/json" id="evaluation" { (PreEscaped(text)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_binned_without_loss() {
        let few: Vec<(i64, u64)> = vec![(-2, 3), (1, 4), (3, 5)];
        let bars = payload_bars(&few);
        assert_eq!(bars.len(), 6);
        assert_eq!((bars[0].clone(), bars[5].clone()), (("-2".into(), 3), ("3".into(), 5)));
        let wide: Vec<(i64, u64)> = vec![(i64::MIN, 1), (0, 2), (i64::MAX, 3)];
        let bars = payload_bars(&wide);
        assert!(bars.len() <= 64);
        assert_eq!(bars.iter().map(|b| b.1).sum::<u64>(), 6);
        assert!(payload_bars(&[]).is_empty());
    }
}
