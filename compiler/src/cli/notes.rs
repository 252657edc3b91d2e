//! Notes of many places, of which those that differ only in numbers are one.

use std::collections::BTreeSet;

use super::render;

/// Places that are named of a group.
const NAMED: usize = 3;

/// Notes that say the same but for numbers and quoted names: the text of the first, and all places.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    text: String,
    places: Vec<String>,
}

/// A text without what changes from place to place: numbers, and what stands in backquotes.
fn shape(text: &str) -> String {
    let mut quoted = false;
    let mut shape = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '`' => quoted = !quoted,
            _ if quoted => {}
            '0'..='9' => {
                if !shape.ends_with('#') {
                    shape.push('#');
                }
            }
            '.' if shape.ends_with('#') => {}
            _ => shape.push(c),
        }
    }
    shape
}

fn grouped(notes: impl IntoIterator<Item = (String, String)>) -> Vec<Group> {
    let mut groups: Vec<(String, Group)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (place, text) in notes {
        if !seen.insert((place.clone(), text.clone())) {
            continue;
        }
        let shape = shape(&text);
        match groups.iter_mut().find(|(other, _)| *other == shape) {
            Some((_, group)) => group.places.push(place),
            None => groups.push((shape, Group { text, places: vec![place] })),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Prints notes: of those that say the same the first, with the number of the others; all of them if asked for.
pub(super) fn show(notes: impl IntoIterator<Item = (String, String)>, all: bool) {
    let notes: Vec<(String, String)> = notes.into_iter().collect();
    if all {
        let mut seen = BTreeSet::new();
        for (place, text) in &notes {
            if seen.insert((place, text)) {
                render::note(place, text);
            }
        }
        return;
    }
    for Group { text, places } in grouped(notes) {
        match places.as_slice() {
            [place] => render::note(place, &text),
            [first, others @ ..] => {
                let named: Vec<&str> = others.iter().take(NAMED).map(String::as_str).collect();
                let more = if others.len() > NAMED { ", .." } else { "" };
                let (n, named) = (others.len(), named.join(", "));
                render::note(first, &format!("{text} (and {n} more: {named}{more}; -v shows all)"));
            }
            [] => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(place: &str, text: &str) -> (String, String) {
        (place.into(), text.into())
    }

    #[test]
    fn notes_that_differ_in_numbers_and_names_only_are_one() {
        let notes = [
            note("a", "loses 1.02 % of `x`"),
            note("b", "loses 17 % of `yz`"),
            note("b", "loses 17 % of `yz`"),
            note("c", "loses all"),
        ];
        let groups = grouped(notes);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].places, ["a", "b"]);
        assert_eq!(groups[0].text, "loses 1.02 % of `x`");
        assert_eq!(groups[1].places, ["c"]);
    }
}
