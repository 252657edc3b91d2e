//! Errors and notes as the user sees them.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};

use crate::Error;

#[derive(Default)]
struct Captured {
    answer: String,
    notes: Vec<(String, String)>,
}

thread_local! {
    /// What a command of this thread has said, where it is not to be printed.
    static CAPTURED: RefCell<Option<Captured>> = const { RefCell::new(None) };
}

/// Runs a command whose answer and notes are kept instead of printed.
pub(super) fn captured<R>(command: impl FnOnce() -> R) -> (R, String, Vec<(String, String)>) {
    CAPTURED.set(Some(Captured::default()));
    let result = command();
    let Captured { answer, notes } = CAPTURED.take().unwrap_or_default();
    (result, answer, notes)
}

/// Keeps what is said if this thread's command is captured; whether it is.
fn keep(add: impl FnOnce(&mut Captured)) -> bool {
    CAPTURED.with_borrow_mut(|captured| captured.as_mut().map(add).is_some())
}

/// Whether to colour what goes to standard error (`NO_COLOR`, see no-color.org).
fn coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal()
}

fn paint(code: &str, text: &str) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Prints every problem of an error.
pub(super) fn error(error: &Error) {
    let mut out = std::io::stderr().lock();
    for problem in error.problems() {
        let _ = writeln!(out, "{}: {}: {}", paint("1;31", "error"), problem.place, problem.reason);
        if !problem.remedy.is_empty() {
            let _ = writeln!(out, "  {}: {}", paint("1;36", "help"), problem.remedy);
        }
    }
}

/// Prints a note.
pub(super) fn note(place: &str, text: &str) {
    if keep(|c| c.notes.push((place.to_owned(), text.to_owned()))) {
        return;
    }
    let _ = writeln!(std::io::stderr().lock(), "{}: {place}: {text}", paint("1;34", "note"));
}

/// Prints a line of the answer.
pub(super) fn line(text: impl std::fmt::Display) {
    if keep(|c| c.answer.push_str(&format!("{text}\n"))) {
        return;
    }
    // A closed pipe is no fault of ours.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal("answer", e))?;
    line(text);
    Ok(())
}
