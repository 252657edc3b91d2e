//! What went wrong, in the words shown to the user.

use std::fmt;

use snnc_backends::{FAULT, Violation};
use snnc_ir::VerifyError;

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
    /// The compiler is at fault, and not what it was given: exit code 5.
    Internal(Vec<Problem>),
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

    /// A fault of the compiler.
    pub fn internal(place: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Error::Internal(vec![Problem::new(place, reason.to_string(), FAULT)])
    }

    /// A network that the compiler made and that does not verify.
    pub fn unverified(place: &str, errors: &[VerifyError]) -> Self {
        let problem = |e: &VerifyError| Problem::new(place, e.to_string(), FAULT);
        Error::Internal(errors.iter().map(problem).collect())
    }

    /// What keeps a network from a target. Faults of the target's own come before limits that the
    /// network exceeds: those may be no more than their consequence. Where all of it is values of options,
    /// these were used wrongly.
    pub fn violations(target: &str, violations: Vec<Violation>) -> Self {
        let (faults, limits): (Vec<_>, Vec<_>) =
            violations.into_iter().partition(Violation::is_fault);
        let problem =
            |v: Violation| Problem::new(format!("{} on {target}", v.node), v.reason, v.remedy);
        if !faults.is_empty() {
            return Error::Internal(faults.into_iter().map(problem).collect());
        }
        // A wrong value of an option is no limit of the target.
        match limits.iter().all(|v| v.node.starts_with("--")) {
            true => Error::Usage(limits.into_iter().map(problem).collect()),
            false => Error::Unsupported(limits.into_iter().map(problem).collect()),
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Check(_) => 1,
            Error::Usage(_) => 2,
            Error::Unsupported(_) => 3,
            Error::Input(_) => 4,
            Error::Internal(_) => 5,
        }
    }

    /// Errors of the parts of one command as one for each kind, what is said twice said once; the last is the
    /// one that decides the exit code: 5, then 4, 2, 1 and 3.
    pub fn joined(errors: impl IntoIterator<Item = Error>) -> Vec<Error> {
        let mut kinds: Vec<Error> = Vec::new();
        for error in errors {
            match kinds.iter_mut().find(|known| known.exit_code() == error.exit_code()) {
                None => kinds.push(error),
                Some(known) => {
                    for problem in error.problems() {
                        if !known.problems().contains(problem) {
                            known.problems_mut().push(problem.clone());
                        }
                    }
                }
            }
        }
        kinds.sort_by_key(Error::gravity);
        kinds
    }

    /// The larger it is, the more the exit code is this error's where there are several.
    fn gravity(&self) -> u8 {
        match self {
            Error::Unsupported(_) => 0,
            Error::Check(_) => 1,
            Error::Usage(_) => 2,
            Error::Input(_) => 3,
            Error::Internal(_) => 4,
        }
    }

    fn problems_mut(&mut self) -> &mut Vec<Problem> {
        match self {
            Error::Check(p)
            | Error::Usage(p)
            | Error::Unsupported(p)
            | Error::Input(p)
            | Error::Internal(p) => p,
        }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Error::Check(p)
            | Error::Usage(p)
            | Error::Unsupported(p)
            | Error::Input(p)
            | Error::Internal(p) => p,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(remedy: &str) -> Violation {
        let (node, reason) = ("Conv `c`".to_owned(), "is too large".to_owned());
        Violation { node, reason, remedy: remedy.to_owned() }
    }

    #[test]
    fn faults_of_the_compiler_have_an_exit_code_of_their_own() {
        assert_eq!(Error::internal("network", "is not what was written").exit_code(), 5);
        let limit = Error::violations("loihi", vec![violation("use fewer bits")]);
        assert_eq!(limit.exit_code(), 3);
        assert_eq!(limit.problems()[0].place, "Conv `c` on loihi");
        let fault = Violation::fault("network", "is another one");
        let both = Error::violations("loihi", vec![violation("use fewer bits"), fault]);
        assert_eq!(both.exit_code(), 5);
        assert_eq!(both.problems().len(), 1);
        assert_eq!(both.problems()[0].remedy, FAULT);
    }

    #[test]
    fn of_several_errors_the_gravest_is_the_last_and_nothing_is_said_twice() {
        let problem = |text: &str| vec![Problem::new("a", text, "")];
        let input = Error::Input(problem("1"));
        let errors = [
            input.clone(),
            Error::Unsupported(problem("2")),
            Error::Check(problem("3")),
            Error::Unsupported(problem("2")),
            Error::Usage(problem("4")),
            Error::Unsupported(problem("5")),
            Error::internal("a", "6"),
        ];
        let joined = Error::joined(errors);
        let codes: Vec<u8> = joined.iter().map(Error::exit_code).collect();
        assert_eq!(codes, [3, 1, 2, 4, 5]);
        assert_eq!(joined[0].problems().len(), 2);
        assert_eq!(joined[3], input);
    }
}
