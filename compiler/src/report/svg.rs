//! A small writer of SVG: shapes with classes, coloured by the page's style sheet.

use std::fmt::Write;

use maud::{Escaper, PreEscaped};

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// A drawing under construction. Lengths are in units of the drawing.
#[derive(Debug)]
pub struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    let _ = Escaper::new(&mut out).write_str(text);
    out
}

impl Svg {
    /// An empty drawing; `label` says what it shows to those who cannot see it.
    pub fn new(width: f64, height: f64, label: impl Into<String>) -> Svg {
        Svg { width, height, label: label.into(), body: String::new() }
    }

    /// A rectangle, with an explanation where it has one.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), class: &str, title: &str) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}">"#,
            w.max(0.0),
            h.max(0.0)
        );
        self.titled("rect", title);
    }

    /// A circle, with an explanation where it has one.
    pub fn circle(&mut self, (x, y): (f64, f64), r: f64, class: &str, title: &str) {
        let _ = write!(self.body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{r:.1}">"#);
        self.titled("circle", title);
    }

    fn titled(&mut self, element: &str, title: &str) {
        if !title.is_empty() {
            let _ = write!(self.body, "<title>{}</title>", escaped(title));
        }
        let _ = write!(self.body, "</{element}>");
    }

    /// A path by its own commands.
    pub fn path(&mut self, commands: &str, class: &str) {
        let _ = write!(self.body, r#"<path class="{class}" d="{}"></path>"#, escaped(commands));
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.path(&format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1), class);
    }

    /// A text.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escaped(text)
        );
    }

    /// The element for a page.
    pub fn finish(self) -> PreEscaped<String> {
        PreEscaped(self.element(""))
    }

    /// A file of its own, with `style` inside.
    pub fn into_file(self, style: &str) -> String {
        let head = format!("<style>{style}</style>");
        format!("{}\n", self.element(&head))
    }

    fn element(self, head: &str) -> String {
        let Svg { width, height, label, body } = self;
        let label = escaped(&label);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{label}">{head}{body}</svg>"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_escaped() {
        let mut svg = Svg::new(10.0, 10.0, "a<b");
        svg.text((0.0, 0.0), Anchor::Start, "t", "</text><script>");
        svg.rect((0.0, 0.0), (-1.0, 1.0), "r", "\"&");
        let text = svg.finish().0;
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("aria-label=\"a&lt;b\"") && text.contains("width=\"0.0\""), "{text}");
    }
}
