//! What an exploration found: one line for each point, and the front of those that nothing beats.

use maud::{Markup, html};

use super::compare::{Cell, quoted};
use super::page::document;
use super::plots;
use crate::energy::Profile;
use crate::explore::{Exploration, Point};

impl Exploration {
    /// The names of the columns, with their units.
    pub fn header(&self) -> Vec<String> {
        let before = ["setting", "coding", "certificate", "payload bits", "top-1 %", "latency"];
        let mut names: Vec<String> = before.map(String::from).into();
        names.extend(["spikes/neuron", "synaptic ops"].map(String::from));
        names.extend(Profile::all().iter().map(|p| format!("nJ, {}", p.name)));
        names.push("image bits".into());
        names.push("cycles".into());
        names.push("cycles between".into());
        names.push("dominated".into());
        names
    }

    /// One line for each point, in the columns of [`Exploration::header`].
    pub fn rows(&self) -> Vec<Vec<Cell>> {
        self.points.iter().map(row).collect()
    }

    /// The lines as comma-separated values (RFC 4180), every digit of them.
    pub fn csv(&self) -> String {
        let line = |cells: Vec<String>| cells.join(",") + "\r\n";
        let header = line(self.header().iter().map(|name| quoted(name)).collect());
        let rows = self.rows();
        let rows = rows.iter().map(|row| line(row.iter().map(|c| quoted(&c.exact())).collect()));
        header + &rows.collect::<String>()
    }

    /// A page with the lines, and accuracy against energy by each profile.
    pub fn page(&self) -> String {
        let title = format!("{} explored for {}", self.model, self.target);
        document(
            &title,
            html! {
                header {
                    h1 { (title) }
                    p.soft {
                        (self.samples) " samples; cycles of the image's core are means over " (self.cycle_samples) " of them, from the first event of a sample to its answer, and between answers when samples follow each other. "
                        "A point is dominated if another is no worse in accuracy, latency and energy by profile " (self.profile) ", and better in one of them."
                    }
                }
                main {
                    (self.table())
                    @let refused: Vec<&Point> = self.points.iter().filter(|p| p.refused.is_some()).collect();
                    @if !refused.is_empty() {
                        h2 { "What " (self.target) " does not hold" }
                        p.soft { "Measured as the target reference has it: there is no image, and no cycles." }
                        ul { @for p in refused { li { b { (p.name) } ": " (p.refused.as_deref().unwrap_or_default()) } } }
                    }
                    @for profile in Profile::all() { (self.front(&profile.name)) }
                    (self.bits())
                }
            },
        )
    }

    fn table(&self) -> Markup {
        let header = self.header();
        html! {
            div.scroll { table {
                thead { tr { @for (i, name) in header.iter().enumerate() {
                    th.n[i > 3].head[i > 3] scope="col" { (name) }
                } } }
                tbody { @for (row, point) in self.rows().iter().zip(&self.points) { tr.beaten[point.dominated] {
                    @for (i, cell) in row.iter().enumerate() {
                        @if i == 0 { th scope="row" { (cell.shown()) } } @else {
                            td.n[i > 3] { @match cell {
                                Cell::Number(..) | Cell::Count(_) => data value=(cell.exact()) { (cell.shown()) },
                                other => (other.shown()),
                            } }
                        }
                    }
                } } }
            } }
        }
    }

    fn front(&self, profile: &str) -> Markup {
        let point = |p: &Point| {
            let (x, y) = (*p.energy_nj.get(profile)?, p.top1?);
            // A colour for each family: streaming, layer by layer, multi-level.
            let series = match p.code {
                "rate" => 0,
                "rate-sync" => 3,
                _ => 1,
            };
            Some(plots::Point { x, y, name: p.name.clone(), dominated: false, series })
        };
        let mut points: Vec<plots::Point> = self.points.iter().filter_map(point).collect();
        super::compare::mark_dominated(&mut points);
        html! {
            h2 { "Accuracy against energy, profile " (profile) }
            figure.scroll { (plots::front(&points, &format!("nJ a sample, {profile}"), "top-1 %").finish()) }
        }
    }

    fn bits(&self) -> Markup {
        html! {
            h2 { "Payload bits by population" }
            ul { @for p in &self.points { li {
                b { (p.name) } ": "
                @for (i, (name, bits)) in p.payload_bits.iter().enumerate() {
                    @if i > 0 { ", " } (name) " " (bits)
                }
            } } }
        }
    }
}

fn row(p: &Point) -> Vec<Cell> {
    let code = if p.refused.is_some() { format!("{} (not held)", p.code) } else { p.code.into() };
    let bits = p.payload_bits.iter().map(|(_, b)| *b);
    let bits = match (bits.clone().min(), bits.max()) {
        (Some(low), Some(high)) if low < high => Cell::Text(format!("{low} to {high}")),
        (Some(low), _) => Cell::Text(low.to_string()),
        _ => Cell::Nothing,
    };
    let mut row = vec![
        Cell::Text(p.name.clone()),
        Cell::Text(code),
        Cell::Text(p.certificate.clone()),
        bits,
        Cell::number(p.top1, 2),
        Cell::Count(p.latency as u64),
        Cell::Number(p.spikes_per_neuron, 4),
        Cell::Number(p.synaptic_operations, 0),
    ];
    let energy = |profile: &Profile| p.energy_nj.get(&profile.name).copied();
    row.extend(Profile::all().iter().map(|profile| Cell::number(energy(profile), 1)));
    row.push(Cell::count(p.image_bits));
    row.push(Cell::number(p.cycles, 0));
    row.push(Cell::number(p.cycles_between, 0));
    row.push(if p.dominated { Cell::Text("dominated".into()) } else { Cell::Nothing });
    row
}
