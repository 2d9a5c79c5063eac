//! Results per parameter, keyed by the parameter's variable.

use std::collections::BTreeMap;
use std::ops::Index;

use crate::Var;

/// One value per parameter, in the order in which the parameters were recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamMap<T>(BTreeMap<Var, T>);

impl<T> Default for ParamMap<T> {
    fn default() -> Self {
        ParamMap(BTreeMap::new())
    }
}

impl<T> ParamMap<T> {
    /// No values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter's value; returns the previous one.
    pub fn insert(&mut self, param: Var, value: T) -> Option<T> {
        self.0.insert(param, value)
    }

    /// The value of a parameter, if there is one.
    pub fn get(&self, param: Var) -> Option<&T> {
        self.0.get(&param)
    }

    /// The value of a parameter for writing, if there is one.
    pub fn get_mut(&mut self, param: Var) -> Option<&mut T> {
        self.0.get_mut(&param)
    }

    /// Takes a parameter's value out, if there is one.
    pub fn remove(&mut self, param: Var) -> Option<T> {
        self.0.remove(&param)
    }

    /// Number of parameters with a value.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no parameter has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parameters and values, in the order of recording.
    pub fn iter(&self) -> impl Iterator<Item = (Var, &T)> {
        self.0.iter().map(|(&var, value)| (var, value))
    }
}

impl<T> Index<Var> for ParamMap<T> {
    type Output = T;
    #[track_caller]
    fn index(&self, param: Var) -> &T {
        self.get(param)
            .unwrap_or_else(|| panic!("no value for parameter at position {}", param.index()))
    }
}

impl<T> FromIterator<(Var, T)> for ParamMap<T> {
    fn from_iter<I: IntoIterator<Item = (Var, T)>>(iter: I) -> Self {
        ParamMap(iter.into_iter().collect())
    }
}

impl<T> IntoIterator for ParamMap<T> {
    type Item = (Var, T);
    type IntoIter = std::collections::btree_map::IntoIter<Var, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
