//! The plots of reports.

use maud::Markup;
use snnc_ir::{Connectivity, Graph, NodeId, SpikingOp};

use super::labels;
use super::svg::{Anchor, Svg};
use crate::energy::{NetworkEnergy, Term};

/// Text of a count in few characters: 950, 12.3k, 4.1M.
pub fn short(x: f64) -> String {
    match x.abs() {
        a if a >= 1e9 => format!("{:.1}G", x / 1e9),
        a if a >= 1e6 => format!("{:.1}M", x / 1e6),
        a if a >= 1e4 => format!("{:.1}k", x / 1e3),
        a if a >= 100.0 || x == x.trunc() => format!("{x:.0}"),
        a if a >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// A text cut to `n` characters.
fn cut(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    let kept: String = text.chars().take(n.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Bars of counts, labelled at both ends.
pub fn histogram(bars: &[(String, u64)], label: &str) -> Markup {
    let (width, height) = (220.0, 84.0);
    let mut svg = Svg::new(width, height, label);
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1) as f64;
    let step = width / bars.len().max(1) as f64;
    for (i, (name, n)) in bars.iter().enumerate() {
        let tall = 62.0 * *n as f64 / most;
        let gap = if step > 3.0 { 1.0 } else { 0.0 };
        let at = (i as f64 * step, 66.0 - tall);
        svg.rect(at, (step - gap, tall), "bar", &format!("{name}: {n}"));
    }
    svg.line((0.0, 66.5), (width, 66.5), "axis");
    if let (Some((first, _)), Some((last, _))) = (bars.first(), bars.last()) {
        svg.text((0.0, 80.0), Anchor::Start, "tick", first);
        if bars.len() > 1 {
            svg.text((width, 80.0), Anchor::End, "tick", last);
        }
    }
    svg.finish()
}

/// Energy of each layer, split into terms.
pub fn energy_by_layer(energy: &NetworkEnergy) -> Markup {
    let (name_width, width, row) = (150.0, 640.0, 22.0);
    let height = row * energy.layers.len() as f64 + 4.0;
    let label = format!("Energy by layer and term, profile {}", energy.profile);
    let mut svg = Svg::new(width, height, label);
    let most = energy.layers.iter().map(|l| l.total_nj).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    for (i, layer) in energy.layers.iter().enumerate() {
        let y = row * i as f64;
        let middle = y + 15.0;
        svg.text((name_width - 8.0, middle), Anchor::End, "tick", &cut(&layer.name, 22));
        let mut x = name_width;
        for (k, term) in Term::ALL.into_iter().enumerate() {
            let nj = layer.terms_nj.get(term);
            let w = (width - name_width - 70.0) * nj / most;
            let title = format!("{}, {}: {} nJ", layer.name, term.name(), short(nj));
            svg.rect((x, y + 3.0), (w, row - 6.0), &format!("term{k}"), &title);
            x += w;
        }
        svg.text(
            (x + 6.0, middle),
            Anchor::Start,
            "tick",
            &format!("{} nJ", short(layer.total_nj)),
        );
    }
    svg.finish()
}

/// One point of a front.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What is paid, on a logarithmic axis.
    pub x: f64,
    /// What is gained.
    pub y: f64,
    /// Its name.
    pub name: String,
    /// Whether another point is no worse in anything and better in something.
    pub dominated: bool,
    /// Index of the series, for the colour.
    pub series: usize,
}

/// Points by cost and gain; those that are not dominated are joined.
pub fn front(points: &[Point], x_label: &str, y_label: &str) -> Svg {
    let (width, height) = (640.0, 380.0);
    let (left, right, top, bottom) = (56.0, 620.0, 20.0, 330.0);
    let mut svg = Svg::new(width, height, format!("{y_label} against {x_label}"));
    let usable = |p: &&Point| p.x > 0.0 && p.x.is_finite() && p.y.is_finite();
    let mut shown: Vec<&Point> = points.iter().filter(usable).collect();
    let bounds = |values: &mut dyn Iterator<Item = f64>, least: f64| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        let room = ((high - low) * 0.08).max(least);
        (low - room, high + room)
    };
    let (x0, x1) = bounds(&mut shown.iter().map(|p| p.x.log10()), 0.02);
    let (y0, y1) = bounds(&mut shown.iter().map(|p| p.y), 0.5);
    let at = |p: &Point| {
        let x = left + (p.x.log10() - x0) / (x1 - x0) * (right - left);
        (x, bottom - (p.y - y0) / (y1 - y0) * (bottom - top))
    };
    svg.line((left, bottom), (right, bottom), "axis");
    svg.line((left, top), (left, bottom), "axis");
    if !shown.is_empty() {
        for i in 0..=4 {
            let part = f64::from(i) / 4.0;
            let (x, y) = (left + part * (right - left), bottom - part * (bottom - top));
            let value = 10f64.powf(x0 + part * (x1 - x0));
            svg.text((x, bottom + 16.0), Anchor::Middle, "tick", &short(value));
            let value = format!("{:.1}", y0 + part * (y1 - y0));
            svg.text((left - 6.0, y + 4.0), Anchor::End, "tick", &value);
        }
    }
    svg.text(((left + right) / 2.0, bottom + 38.0), Anchor::Middle, "tick", x_label);
    svg.text((left, 12.0), Anchor::Start, "tick", y_label);
    let mut best: Vec<&&Point> = shown.iter().filter(|p| !p.dominated).collect();
    best.sort_by(|a, b| a.x.total_cmp(&b.x));
    for pair in best.windows(2) {
        if let [a, b] = pair {
            svg.line(at(a), at(b), "joined");
        }
    }
    // The front's points are named first: they have the first choice.
    shown.sort_by_key(|p| p.dominated);
    let names: Vec<String> = shown.iter().map(|p| cut(&p.name, 40)).collect();
    let named: Vec<((f64, f64), &str)> =
        shown.iter().zip(&names).map(|(p, name)| (at(p), name.as_str())).collect();
    let places = labels::places(&named, (width, bottom));
    for ((p, name), place) in shown.iter().zip(&names).zip(places) {
        let class = if p.dominated { "point dominated" } else { "point" };
        svg.circle(at(p), 5.0, &format!("{class} term{}", p.series % 6), &p.name);
        if let Some(place) = place {
            svg.text(place.at, place.anchor, "tick", name);
        }
    }
    svg
}

/// What a box of the drawn network says of a node, if it gets one.
fn boxed(network: &Graph, id: NodeId) -> Option<(&'static str, String)> {
    let shape = super::shape(&network[id].ty.shape);
    Some(match network[id].as_spiking()? {
        SpikingOp::Encoder(_) => ("encoder", format!("{shape} · input")),
        SpikingOp::Population(p) => {
            let kind = projections(network, id).join(" + ");
            let text = format!("{shape} · {kind} · {} {} bit", p.coding, p.payload_bits());
            ("population", text)
        }
        SpikingOp::MaxPool { window } | SpikingOp::RunningMaxPool { window } => {
            ("pool", format!("{shape} · max pool {}", super::shape(&window.kernel)))
        }
        SpikingOp::Concatenate { .. } => ("pool", format!("{shape} · concatenate")),
        SpikingOp::Decoder(_) => ("encoder", format!("{shape} · output")),
        SpikingOp::Projection(_) => return None,
    })
}

fn projections(network: &Graph, id: NodeId) -> Vec<String> {
    let describe = |id: NodeId| match network[id].as_spiking()? {
        SpikingOp::Projection(p) => Some(match &p.connectivity {
            Connectivity::Dense => "dense".to_owned(),
            Connectivity::OneToOne => "one to one".to_owned(),
            Connectivity::Convolution { window, .. } => {
                format!("conv {}", super::shape(&window.kernel))
            }
        }),
        _ => None,
    };
    network.sources(id).into_iter().filter_map(describe).collect()
}

/// Boxes that lead to `id`, through projections.
fn leading(network: &Graph, id: NodeId) -> Vec<NodeId> {
    let through = |source: NodeId| match network[source].as_spiking() {
        Some(SpikingOp::Projection(_)) => network.sources(source),
        _ => vec![source],
    };
    network.sources(id).into_iter().flat_map(through).collect()
}

/// The network: a box for each population, in order of computation from above.
pub fn network(network: &Graph) -> Markup {
    let order: Vec<(NodeId, &'static str, String)> = network
        .order()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|id| boxed(network, id).map(|(class, text)| (id, class, text)))
        .collect();
    let (width, row, tall, left) = (460.0, 60.0, 40.0, 80.0);
    let label = format!("The network {}", network.name);
    let mut svg = Svg::new(width, row * order.len() as f64, label);
    let place = |id: NodeId| order.iter().position(|(other, ..)| *other == id);
    for (i, (id, class, text)) in order.iter().enumerate() {
        let y = row * i as f64 + 4.0;
        for source in leading(network, *id) {
            let Some(from) = place(source) else { continue };
            let start = row * from as f64 + 4.0 + tall;
            if from + 1 == i {
                svg.line((width / 2.0 + 30.0, start), (width / 2.0 + 30.0, y), "edge");
            } else {
                // Around the boxes between.
                let (a, b) = (start - tall / 2.0, y + tall / 2.0);
                let reach = left - 12.0 - (14.0 * (i as f64 - from as f64).abs()).min(56.0);
                let path =
                    format!("M{left} {a:.1}C{reach:.1} {a:.1} {reach:.1} {b:.1} {left} {b:.1}");
                svg.path(&path, "edge");
            }
        }
        svg.rect((left, y), (width - left - 4.0, tall), class, &network[*id].name);
        let x = left + 10.0;
        svg.text((x, y + 17.0), Anchor::Start, "name", &cut(&network[*id].name, 40));
        svg.text((x, y + 33.0), Anchor::Start, "tick", &cut(text, 58));
    }
    svg.finish()
}
