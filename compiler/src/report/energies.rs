//! Energy by profile, layer and term.

use maud::{Markup, html};

use super::page::View;
use super::plots::{self, short};
use crate::energy::{NetworkEnergy, Profile, Term};
use crate::evaluate::Evaluation;

impl View<'_> {
    pub(super) fn energies(&self, e: &Evaluation) -> Markup {
        html! {
            (self.heading("Energy"))
            p.soft {
                "Energy of one sample by the metric of Lemaire et al. (ICONIP 2022), in nJ. It depends on the profile by which it is reckoned; "
                "formal is the same network with dense numbers instead of spikes, by the same profile."
            }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "profile" }
                    @for name in ["nJ", "formal nJ", "MAC", "ACC", "memory accesses"] { th.n scope="col" { (name) } }
                } }
                tbody { @for (i, p) in e.energy.iter().enumerate() { (self.profile_row(i, p, e)) } }
            } }
            (legend())
            @for (i, p) in e.energy.iter().enumerate() { (self.profile(i, p)) }
        }
    }

    fn profile_row(&self, i: usize, p: &NetworkEnergy, e: &Evaluation) -> Markup {
        let operations = [
            ("mac", p.operations.mac),
            ("acc", p.operations.acc),
            ("memory_accesses", p.operations.memory_accesses),
        ];
        html! { tr {
            th scope="row" { (p.profile) }
            td.n { (self.figure(&format!("energy_nj.{}", p.profile), p.total_nj, &format!("{:.2}", p.total_nj))) }
            td.n { @if let Some(x) = e.formal_energy_nj.get(&p.profile) {
                (self.figure(&format!("formal_energy_nj.{}", p.profile), *x, &format!("{x:.2}")))
            } }
            @for (name, n) in operations {
                td.n { (self.figure(&format!("energy.{i}.operations.{name}"), n, &short(n))) }
            }
        } }
    }

    fn profile(&self, index: usize, energy: &NetworkEnergy) -> Markup {
        let summary =
            Profile::named(&energy.profile).map(|p| p.summary.as_str()).unwrap_or_default();
        let title = format!("Profile {}: {} nJ", energy.profile, short(energy.total_nj));
        html! {
            section {
                (self.subheading(&title))
                p.soft { (summary) "." }
                figure.scroll { (plots::energy_by_layer(energy)) }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "layer" } th scope="col" { "counted as" }
                        @for term in Term::ALL { th.n scope="col" { (term.name()) } }
                        th.n scope="col" { "nJ" } th.n scope="col" { "MAC" } th.n scope="col" { "ACC" }
                    } }
                    tbody { @for (i, layer) in energy.layers.iter().enumerate() { tr {
                        @let key = |name: &str| format!("energy.{index}.layers.{i}.{name}");
                        @let shown = |name: &str, value: f64| self.figure(&key(name), value, &short(value));
                        th scope="row" { (layer.name) }
                        td { (layer.rule) }
                        @for term in Term::ALL {
                            td.n { (shown(&format!("terms_nj.{}", term.name()), layer.terms_nj.get(term))) }
                        }
                        td.n { (shown("total_nj", layer.total_nj)) }
                        td.n { (shown("operations.mac", layer.operations.mac)) }
                        td.n { (shown("operations.acc", layer.operations.acc)) }
                    } } }
                } }
            }
        }
    }
}

/// What the colours of the bars mean.
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
