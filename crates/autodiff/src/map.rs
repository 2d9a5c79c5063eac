//! Results per parameter, keyed by the parameter's number.

use std::collections::BTreeMap;
use std::ops::Index;

use crate::ParamId;

/// One value per parameter, in the order in which the parameters were recorded.
///
/// ```
/// use vivit_autodiff::{ParamId, ParamMap};
///
/// let [weight, bias] = [0, 1].map(ParamId::new);
/// let mut steps = ParamMap::new();
/// steps.insert(bias, 0.1);
/// steps.insert(weight, 0.5);
/// assert_eq!(steps[weight], 0.5);
/// assert!(steps.keys().eq([weight, bias]));
/// assert_eq!(steps.map(|step| 2.0 * step)[bias], 0.2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ParamMap<T>(BTreeMap<ParamId, T>);

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
    pub fn insert(&mut self, param: ParamId, value: T) -> Option<T> {
        self.0.insert(param, value)
    }

    /// The value of a parameter, if there is one.
    pub fn get(&self, param: ParamId) -> Option<&T> {
        self.0.get(&param)
    }

    /// The value of a parameter for writing, if there is one.
    pub fn get_mut(&mut self, param: ParamId) -> Option<&mut T> {
        self.0.get_mut(&param)
    }

    /// Takes a parameter's value out, if there is one.
    pub fn remove(&mut self, param: ParamId) -> Option<T> {
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
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &T)> {
        self.0.iter().map(|(&param, value)| (param, value))
    }

    /// Parameters and values for writing, in the order of recording.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParamId, &mut T)> {
        self.0.iter_mut().map(|(&param, value)| (param, value))
    }

    /// The parameters that have a value, in the order of recording.
    pub fn keys(&self) -> impl Iterator<Item = ParamId> {
        self.0.keys().copied()
    }

    /// The values, in the order of recording.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// The values for writing, in the order of recording.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }

    /// `f` of every value, under the same keys.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> ParamMap<U> {
        self.iter().map(|(param, value)| (param, f(value))).collect()
    }
}

impl<T> Index<ParamId> for ParamMap<T> {
    type Output = T;
    #[track_caller]
    fn index(&self, param: ParamId) -> &T {
        self.get(param).unwrap_or_else(|| panic!("no value for parameter {}", param.index()))
    }
}

impl<T> FromIterator<(ParamId, T)> for ParamMap<T> {
    fn from_iter<I: IntoIterator<Item = (ParamId, T)>>(iter: I) -> Self {
        ParamMap(iter.into_iter().collect())
    }
}

impl<T> IntoIterator for ParamMap<T> {
    type Item = (ParamId, T);
    type IntoIter = std::collections::btree_map::IntoIter<ParamId, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'m, T> IntoIterator for &'m ParamMap<T> {
    type Item = (ParamId, &'m T);
    type IntoIter = Iter<'m, T>;
    fn into_iter(self) -> Iter<'m, T> {
        Iter(self.0.iter())
    }
}

/// The parameters and values of a [`ParamMap`], in the order of recording.
#[derive(Clone, Debug)]
pub struct Iter<'m, T>(std::collections::btree_map::Iter<'m, ParamId, T>);

impl<'m, T> Iterator for Iter<'m, T> {
    type Item = (ParamId, &'m T);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(&param, value)| (param, value))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> Extend<(ParamId, T)> for ParamMap<T> {
    fn extend<I: IntoIterator<Item = (ParamId, T)>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}
