//! What went wrong, in the words shown to the user.

use std::fmt;

/// One thing that is wrong: where, why, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The ONNX node (as ``Conv `conv1` ``), the option, or the file.
    pub place: String,
    /// Why that is a problem.
    pub reason: String,
    /// What the user can do; may be empty where there is nothing to be done.
    pub remedy: String,
}

impl Problem {
    /// A problem.
    pub fn new(
        place: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Problem { place: place.into(), reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, " (help: {})", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a command failed, with all problems of that kind at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A check did not pass: exit code 1.
    Check(Vec<Problem>),
    /// The command was used wrongly: exit code 2.
    Usage(Vec<Problem>),
    /// The model cannot be expressed on, or does not fit, the target: exit code 3.
    Unsupported(Vec<Problem>),
    /// An input file is unreadable, malformed or inconsistent: exit code 4.
    Input(Vec<Problem>),
}

impl Error {
    /// An input error with one problem.
    pub fn input(
        place: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error::Input(vec![Problem::new(place, reason, remedy)])
    }

    /// The network cannot be run, for this reason.
    pub fn network(reason: impl std::fmt::Display) -> Self {
        Error::input("network", reason.to_string(), "")
    }

    /// A usage error with one problem.
    pub fn usage(
        place: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error::Usage(vec![Problem::new(place, reason, remedy)])
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Check(_) => 1,
            Error::Usage(_) => 2,
            Error::Unsupported(_) => 3,
            Error::Input(_) => 4,
        }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Error::Check(p) | Error::Usage(p) | Error::Unsupported(p) | Error::Input(p) => p,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems().iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
