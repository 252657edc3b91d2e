//! Lists of what passes, which cannot go stale: a listed case that fails is an error, and so is a
//! case that passes without being listed.

use std::collections::BTreeMap;

use crate::onnx_case::Operands;

/// What a list says of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It passes, with these operands as inputs.
    Passes(Operands),
    /// It does not, for this reason.
    Refused(String),
}

/// A list, one case a line: `NAME` or `NAME bound` for one that passes, `NAME: reason` for one that
/// cannot; `#` begins a comment.
#[derive(Clone, Debug, Default)]
pub struct List(pub BTreeMap<String, Entry>);

impl List {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that is malformed or names a case again.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (name, entry) = match (line.split_once(": "), line.split_once(' ')) {
                (Some((name, reason)), _) => (name, Entry::Refused(reason.to_owned())),
                (None, None) => (line, Entry::Passes(Operands::Given)),
                (None, Some((name, "bound"))) => (name, Entry::Passes(Operands::Bound)),
                _ => return Err(format!("`{line}` is neither a case nor a case and a reason")),
            };
            if entries.insert(name.to_owned(), entry).is_some() {
                return Err(format!("`{name}` is listed twice"));
            }
        }
        Ok(List(entries))
    }

    /// Whether the results of a case are what the list says. `strict` wants a reason for every case
    /// that fails; otherwise it may also be missing from the list.
    ///
    /// # Errors
    /// What the list should say, or what went wrong with a listed case.
    pub fn judge(
        &self,
        name: &str,
        strict: bool,
        run: impl Fn(Operands) -> Result<(), String>,
    ) -> Result<(), String> {
        let entry = self.0.get(name);
        if let Some(Entry::Passes(Operands::Bound)) = entry {
            return match run(Operands::Bound) {
                Ok(()) if run(Operands::Given).is_ok() => {
                    Err(format!("passes as it is: list it as `{name}`"))
                }
                result => result,
            };
        }
        let given = run(Operands::Given);
        if entry == Some(&Entry::Passes(Operands::Given)) {
            return given;
        }
        let Err(as_given) = given else { return Err(format!("passes: list it as `{name}`")) };
        let Err(bound) = run(Operands::Bound) else {
            return Err(format!("passes: list it as `{name} bound`"));
        };
        if strict && entry.is_none() {
            return Err(format!(
                "fails, and the list does not say why: {as_given}; with constants: {bound}"
            ));
        }
        Ok(())
    }

    /// Number of cases that pass.
    pub fn passing(&self) -> usize {
        self.0.values().filter(|e| matches!(e, Entry::Passes(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# cases\ngood\nhalf bound\nbad: it has no form\n";

    #[test]
    fn a_list_and_results_that_differ_are_an_error() {
        let list = List::parse(LIST).unwrap();
        assert_eq!(list.passing(), 2);
        let only =
            |wanted| move |operands| if operands == wanted { Ok(()) } else { Err("no".to_owned()) };
        let never = |_| Err("no".to_owned());
        assert!(list.judge("good", true, only(Operands::Given)).is_ok());
        assert!(list.judge("good", true, only(Operands::Bound)).is_err(), "listed, but fails");
        assert!(list.judge("half", true, only(Operands::Bound)).is_ok());
        assert!(list.judge("half", true, |_| Ok(())).is_err(), "needs no constants any more");
        assert!(list.judge("half", true, never).is_err());
        assert!(list.judge("bad", true, never).is_ok());
        assert!(list.judge("bad", true, only(Operands::Given)).is_err(), "passes by now");
        assert!(list.judge("bad", true, only(Operands::Bound)).is_err(), "passes by now");
        assert!(list.judge("new", true, never).is_err(), "without a reason");
        assert!(list.judge("new", false, never).is_ok());
        assert!(list.judge("new", false, only(Operands::Bound)).is_err(), "unlisted, but passes");
    }

    #[test]
    fn lists_are_read_strictly() {
        assert!(List::parse("good\ngood\n").is_err());
        assert!(List::parse("good bounds\n").is_err());
    }
}
