//! What a user may have meant by a name that does not exist.

/// Names less alike than this are none of each other's.
const ALIKE: f64 = 0.75;

/// The advice for a name that is not among `known`.
pub(crate) fn advice<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let alike = |name: &&str| strsim::jaro_winkler(word, name);
    let nearest = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let all = match known.as_slice() {
        [] => "there are none".to_owned(),
        [one] => format!("there is {one}"),
        names => format!("there are {}", names.join(", ")),
    };
    match nearest.filter(|name| alike(name) >= ALIKE) {
        Some(name) => format!("did you mean `{name}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn the_nearest_name_is_proposed_where_one_is_near() {
        let known = ["peak-rate", "saturate"];
        assert_eq!(
            advice("peek-rate", known),
            "did you mean `peak-rate`? there are peak-rate, saturate"
        );
        assert_eq!(advice("xyz", known), "there are peak-rate, saturate");
        assert_eq!(advice("x", []), "there are none");
        assert_eq!(advice("x", ["n"]), "there is n");
    }
}
