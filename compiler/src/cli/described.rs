//! The options of commands, for those who call them by other means than a command line.

use clap::{Arg, ArgAction, CommandFactory};

use super::command::Cli;
use crate::nearest;

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionRow {
    /// Its long name without dashes, or that of its place among the arguments.
    pub name: String,
    /// Whether it stands by its place, and not behind its name.
    pub positional: bool,
    /// Whether it takes a value; else it is there or not.
    pub takes_value: bool,
    /// Whether it may be given several times.
    pub many: bool,
    /// What its value is, as help shows it: `BITS`, `KEY=VALUE`.
    pub value: String,
    /// Its only values, where these are few.
    pub choices: Vec<String>,
    /// What it does.
    pub help: String,
}

/// The options of a command, those of every command included; none where there is no such command.
pub fn options(command: &str) -> Option<Vec<OptionRow>> {
    let mut cli = Cli::command();
    cli.build();
    let command = cli.find_subcommand(command)?;
    let shown = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    Some(command.get_arguments().filter(shown).map(row).collect())
}

fn row(arg: &Arg) -> OptionRow {
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let values = arg.get_value_names().unwrap_or_default();
    let choices = arg.get_possible_values();
    OptionRow {
        name: arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned(),
        positional: arg.is_positional(),
        takes_value,
        many: matches!(arg.get_action(), ArgAction::Append),
        value: values.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(" "),
        choices: match takes_value {
            true => choices.iter().map(|c| c.get_name().to_owned()).collect(),
            false => Vec::new(),
        },
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    }
}

/// What a user may have meant by a name that is not among `known`, and which there are.
pub fn advice<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest::advice(name, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_its_options() {
        let names = |command| -> Vec<String> {
            options(command).unwrap().into_iter().map(|row| row.name).collect()
        };
        assert!(options("compil").is_none());
        assert!(names("compile").iter().any(|n| n == "payload-bits"));
        for command in Cli::command().get_subcommands() {
            assert!(names(command.get_name()).iter().any(|n| n == "format"));
        }
        let compile = options("compile").unwrap();
        let row = |name: &str| compile.iter().find(|row| row.name == name).unwrap();
        assert!(row("model").positional && row("set").many && !row("force").takes_value);
        assert_eq!(row("granularity").choices, ["layer", "channel"]);
        assert_eq!(row("site-bits").value, "NAME=BITS");
    }
}
