//! The tree, and how to ask it for things by path.

use super::{Hdf5Error, Hdf5Strings, Hdf5Value};
use crate::format::npy::NpyArray;
use std::collections::BTreeMap;

/// A group with all that is in it; the root group is a whole file.
///
/// Paths are relative to the group that is asked, with `/` between names; a leading `/` does no
/// harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hdf5Tree {
    members: BTreeMap<String, Hdf5Node>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hdf5Node {
    /// A group.
    Group(Hdf5Tree),
    /// A dataset.
    Dataset(Hdf5Value),
}

impl Hdf5Tree {
    /// A group without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dataset or a group at `path`, and the groups on the way to it.
    ///
    /// # Errors
    /// [`Hdf5Error::Name`] when the path is taken or not a path; the tree is then unchanged.
    pub fn insert(&mut self, path: &str, node: impl Into<Hdf5Node>) -> Result<(), Hdf5Error> {
        let names: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let refuse = |reason| Hdf5Error::Name { path: path.to_owned(), reason };
        for name in &names {
            check_name(name).map_err(refuse)?;
        }
        for end in 1..names.len() {
            if let Some(Hdf5Node::Dataset(_)) = self.get(&names[..end].join("/")) {
                return Err(refuse("a dataset is in the way"));
            }
        }
        if self.get(path).is_some() {
            return Err(refuse("the name is taken"));
        }
        self.insert_new(&names, node.into());
        Ok(())
    }

    /// Adds what is known to be addable.
    fn insert_new(&mut self, names: &[&str], node: Hdf5Node) {
        match names {
            [] => {}
            [name] => {
                self.members.insert((*name).to_owned(), node);
            }
            [name, rest @ ..] => {
                let next = self.members.entry((*name).to_owned());
                if let Hdf5Node::Group(group) = next.or_insert_with(|| Self::new().into()) {
                    group.insert_new(rest, node);
                }
            }
        }
    }

    /// What is at `path`, if anything.
    pub fn get(&self, path: &str) -> Option<&Hdf5Node> {
        let mut names = path.strip_prefix('/').unwrap_or(path).split('/');
        let first = self.members.get(names.next()?)?;
        names.try_fold(first, |node, name| match node {
            Hdf5Node::Group(group) => group.members.get(name),
            Hdf5Node::Dataset(_) => None,
        })
    }

    /// Names and members, in the order of the bytes of the names: 0, 1, 10, 2.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Hdf5Node)> {
        self.members.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// Members whose name is a decimal number, in the order of the numbers: 0, 1, 2, 10.
    pub fn iter_numbered(&self) -> impl Iterator<Item = (u64, &Hdf5Node)> {
        let mut numbered: Vec<_> = self
            .iter()
            .filter_map(|(name, node)| {
                let number: u64 = name.parse().ok()?;
                // Only one spelling, or two members could have one number.
                (number.to_string() == name).then_some((number, node))
            })
            .collect();
        numbered.sort_unstable_by_key(|&(number, _)| number);
        numbered.into_iter()
    }

    /// The group at `path`.
    ///
    /// # Errors
    /// [`Hdf5Error::NotFound`] or [`Hdf5Error::WrongKind`].
    pub fn group(&self, path: &str) -> Result<&Self, Hdf5Error> {
        match self.get(path).ok_or_else(|| not_found(path))? {
            Hdf5Node::Group(group) => Ok(group),
            Hdf5Node::Dataset(value) => Err(wrong_kind(path, "a group", value.describe())),
        }
    }

    /// The numbers at `path`.
    ///
    /// # Errors
    /// [`Hdf5Error::NotFound`], [`Hdf5Error::WrongKind`] or [`Hdf5Error::Unreadable`].
    pub fn array(&self, path: &str) -> Result<&NpyArray, Hdf5Error> {
        match self.dataset(path, "a dataset of numbers")? {
            Hdf5Value::Array(array) => Ok(array),
            other => Err(wrong_kind(path, "a dataset of numbers", other.describe())),
        }
    }

    /// The numbers at `path` as `i64`, in C order.
    ///
    /// # Errors
    /// As [`Hdf5Tree::array`], and [`Hdf5Error::Value`] for what `i64` cannot hold, fractions too.
    pub fn i64s(&self, path: &str) -> Result<Vec<i64>, Hdf5Error> {
        self.array(path)?.to_i64().map_err(|source| bad_value(path, source))
    }

    /// The numbers at `path` as `f32`, in C order, `f64` rounded.
    ///
    /// # Errors
    /// As [`Hdf5Tree::array`], and [`Hdf5Error::Value`] for what `f32` cannot hold.
    pub fn f32s(&self, path: &str) -> Result<Vec<f32>, Hdf5Error> {
        self.array(path)?.to_f32().map_err(|source| bad_value(path, source))
    }

    /// The one number at `path`, a scalar or an array of one element; writers differ in that.
    ///
    /// # Errors
    /// As [`Hdf5Tree::i64s`], and [`Hdf5Error::WrongKind`] for another number of elements.
    pub fn scalar_i64(&self, path: &str) -> Result<i64, Hdf5Error> {
        let array = self.array(path)?;
        match self.i64s(path)?[..] {
            [value] => Ok(value),
            _ => {
                let found = format!("{} of shape {:?}", array.dtype, array.shape);
                Err(wrong_kind(path, "one number", found))
            }
        }
    }

    /// The text at `path`, of any shape.
    ///
    /// # Errors
    /// [`Hdf5Error::NotFound`], [`Hdf5Error::WrongKind`] or [`Hdf5Error::Unreadable`].
    pub fn strings(&self, path: &str) -> Result<&Hdf5Strings, Hdf5Error> {
        match self.dataset(path, "text")? {
            Hdf5Value::Strings(strings) => Ok(strings),
            other => Err(wrong_kind(path, "text", other.describe())),
        }
    }

    /// The one string at `path`, a scalar or an array of one element; writers differ in that.
    ///
    /// # Errors
    /// As [`Hdf5Tree::strings`], and [`Hdf5Error::WrongKind`] for another number of strings.
    pub fn text(&self, path: &str) -> Result<&str, Hdf5Error> {
        let strings = self.strings(path)?;
        match &strings.values[..] {
            [value] => Ok(value),
            _ => Err(wrong_kind(path, "one string", format!("text of shape {:?}", strings.shape))),
        }
    }

    fn dataset(&self, path: &str, expected: &'static str) -> Result<&Hdf5Value, Hdf5Error> {
        match self.get(path).ok_or_else(|| not_found(path))? {
            Hdf5Node::Dataset(Hdf5Value::Unreadable(reason)) => {
                Err(Hdf5Error::Unreadable { path: path.to_owned(), reason: reason.clone() })
            }
            Hdf5Node::Dataset(value) => Ok(value),
            Hdf5Node::Group(_) => Err(wrong_kind(path, expected, "a group".to_owned())),
        }
    }

    /// Adds a member as a file has it. False when the name is taken.
    pub(super) fn add(&mut self, name: String, node: Hdf5Node) -> bool {
        self.members.insert(name, node).is_none()
    }
}

impl From<Hdf5Tree> for Hdf5Node {
    fn from(group: Hdf5Tree) -> Self {
        Self::Group(group)
    }
}

impl<T: Into<Hdf5Value>> From<T> for Hdf5Node {
    fn from(value: T) -> Self {
        Self::Dataset(value.into())
    }
}

/// `path` and `name` with a slash between them, unless `path` is the root.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a name is empty"),
        "." => Err("a dot means the group itself"),
        _ if name.contains('\0') => Err("a name holds a NUL character"),
        _ => Ok(()),
    }
}

fn not_found(path: &str) -> Hdf5Error {
    Hdf5Error::NotFound { path: path.to_owned() }
}

fn wrong_kind(path: &str, expected: &'static str, found: String) -> Hdf5Error {
    Hdf5Error::WrongKind { path: path.to_owned(), expected, found }
}

fn bad_value(path: &str, source: crate::format::npy::NpyError) -> Hdf5Error {
    Hdf5Error::Value { path: path.to_owned(), source }
}
