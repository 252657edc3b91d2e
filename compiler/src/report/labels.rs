//! Where the names of points go, so that none covers another.

use super::svg::Anchor;

/// Width of a character and height of a line of the small text, in pixels, on the generous side.
const CHARACTER: f64 = 6.4;
const LINE: f64 = 12.0;
/// Distance of a name from its point.
const GAP: f64 = 8.0;

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

/// Where one name stands: its baseline, and which end of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) at: (f64, f64),
    pub(super) anchor: Anchor,
}

/// A place for each name beside its point within `width` and `height`, or none where all would cover
/// another name or point. Those named first choose first.
pub(super) fn places(
    points: &[((f64, f64), &str)],
    (width, height): (f64, f64),
) -> Vec<Option<Place>> {
    let mut taken: Vec<Area> =
        points.iter().map(|((x, y), _)| [x - 5.0, y - 5.0, x + 5.0, y + 5.0]).collect();
    let mut found = Vec::with_capacity(points.len());
    for &((x, y), name) in points {
        let long = name.chars().count() as f64 * CHARACTER;
        let fits = |place: &Place| {
            let area = area(place, long);
            let inside = area[0] >= 0.0 && area[1] >= 0.0 && area[2] <= width && area[3] <= height;
            inside && !taken.iter().any(|other| overlap(&area, other))
        };
        let place = candidates(x, y).find(fits);
        taken.extend(place.map(|p| area(&p, long)));
        found.push(place);
    }
    found
}

/// Beside the point, then above and below it, ever further.
fn candidates(x: f64, y: f64) -> impl Iterator<Item = Place> {
    let shifts = [0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0];
    shifts.into_iter().flat_map(move |lines| {
        let baseline = y + 4.0 + lines * LINE;
        [
            Place { at: (x + GAP, baseline), anchor: Anchor::Start },
            Place { at: (x - GAP, baseline), anchor: Anchor::End },
        ]
    })
}

fn area(place: &Place, long: f64) -> Area {
    let (x, y) = place.at;
    let left = match place.anchor {
        Anchor::Start => x,
        Anchor::Middle => x - long / 2.0,
        Anchor::End => x - long,
    };
    [left, y - LINE + 2.0, left + long, y + 2.0]
}

fn overlap(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_crowd_do_not_cover_each_other() {
        let names: Vec<String> = (0..9).map(|i| format!("binary by layers T={i}")).collect();
        let crowd: Vec<((f64, f64), &str)> = (0..9)
            .zip(&names)
            .map(|(i, n)| ((300.0 + 3.0 * f64::from(i), 150.0), n.as_str()))
            .collect();
        let found = places(&crowd, (640.0, 330.0));
        assert!(found.iter().flatten().count() >= 8, "{found:?}");
        let areas: Vec<Area> = found
            .iter()
            .zip(&names)
            .filter_map(|(p, n)| Some(area(&(*p)?, n.len() as f64 * CHARACTER)))
            .collect();
        for (i, a) in areas.iter().enumerate() {
            assert!(areas[i + 1..].iter().all(|b| !overlap(a, b)), "{areas:?}");
        }
        assert!(overlap(&[0.0, 0.0, 2.0, 2.0], &[1.0, 1.0, 3.0, 3.0]));
    }

    #[test]
    fn a_name_at_the_edge_turns_inwards() {
        let found = places(&[((630.0, 100.0), "at the right edge")], (640.0, 330.0));
        assert_eq!(found[0].map(|p| p.anchor), Some(Anchor::End));
        assert_eq!(places(&[((5.0, 5.0), "far too long for so little")], (40.0, 12.0)), [None]);
    }
}
