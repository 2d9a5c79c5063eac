//! Parameters chosen by their names: one list per group, as a curvature computation takes them.
//!
//! Names are those given to [`Tape::named_param`](crate::Tape::named_param); models use PyTorch's,
//! `"2.body.0.weight"`.

use crate::{Error, Graph, ParamId};

impl Graph {
    /// Those of [`params`](Graph::params) whose name matches `pattern`, in the order of recording.
    /// A `*` in the pattern stands for any characters, dots included, or none: `"0.*"`,
    /// `"*.weight"`.
    ///
    /// # Errors
    /// If there is no such parameter, with the names that there are.
    ///
    /// # Examples
    /// ```
    /// use vivit_autodiff::{Graph, Tape};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu_f64();
    /// let mut tape = Tape::new(&cpu);
    /// let weight = tape.named_param("0.weight", Tensor::zeros(&cpu, [2, 3]));
    /// let bias = tape.named_param("0.bias", Tensor::zeros(&cpu, [2]));
    /// let x = tape.input(Tensor::zeros(&cpu, [4, 3]));
    /// let y = tape.linear(x, weight, Some(bias));
    /// let graph = Graph::new(tape, y)?;
    ///
    /// assert_eq!(graph.params_matching("*.weight")?, [graph.param_id(weight)?]);
    /// assert_eq!(graph.params_matching("0.*")?, graph.params());
    /// assert!(graph.params_matching("1.*").is_err());
    /// # Ok::<(), vivit_autodiff::Error>(())
    /// ```
    pub fn params_matching(&self, pattern: &str) -> Result<Vec<ParamId>, Error> {
        let matching = self.params_where(|name| matches(pattern, name));
        if matching.is_empty() {
            let known = self.names().into_iter().map(|(_, name)| name.into()).collect();
            return Err(Error::NoMatch { pattern: pattern.into(), known });
        }
        Ok(matching)
    }

    /// One group per pattern; see [`params_matching`](Graph::params_matching).
    ///
    /// # Errors
    /// If a pattern matches no parameter.
    pub fn groups_matching(&self, patterns: &[&str]) -> Result<Vec<Vec<ParamId>>, Error> {
        patterns.iter().map(|pattern| self.params_matching(pattern)).collect()
    }

    /// One group per layer: parameters whose names differ only after the last dot (`0.weight` and
    /// `0.bias`), in the order of recording.
    ///
    /// Layers in layers are groups of their own, as the modules of PyTorch that own parameters are.
    /// Names without a dot are one group.
    pub fn groups_by_layer(&self) -> Vec<Vec<ParamId>> {
        let mut groups: Vec<(&str, Vec<ParamId>)> = Vec::new();
        for (var, name) in self.names() {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            match groups.iter_mut().find(|(known, _)| *known == layer) {
                Some((_, params)) => params.push(var),
                None => groups.push((layer, vec![var])),
            }
        }
        groups.into_iter().map(|(_, params)| params).collect()
    }

    /// One group per parameter, in the order of recording.
    pub fn groups_per_param(&self) -> Vec<Vec<ParamId>> {
        self.params().into_iter().map(|var| vec![var]).collect()
    }

    fn names(&self) -> Vec<(ParamId, &str)> {
        self.params()
            .into_iter()
            .filter_map(|var| Some((var, self.tape().param_name(var).ok()?)))
            .collect()
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The earliest place for every part in the middle leaves the most room for those after it.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Tensor};

    use super::*;
    use crate::Tape;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name) in [
            ("0.weight", "0.weight"),
            ("*", ""),
            ("*", "0.weight"),
            ("0.*", "0."),
            ("0.*", "0.body.1.bias"),
            ("*.weight", "2.body.0.weight"),
            ("*.body.*.weight", "2.body.0.weight"),
            ("**e*", "weight"),
            ("a*ab", "aab"),
            ("*ab", "abab"),
            ("ü*", "üb"),
        ] {
            assert!(matches(pattern, name), "{pattern} and {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("0.*", "10.weight"),
            ("*.weight", "0.weight.more"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("*.b*.b", "0.b"),
        ] {
            assert!(!matches(pattern, name), "{pattern} and {name}");
        }
    }

    /// A chain of linear maps 2 → 2 with these parameter names, and one parameter that nothing
    /// depends on.
    fn chain(names: &[&str]) -> (Graph, Vec<ParamId>) {
        let cpu = Device::cpu_f64();
        let mut tape = Tape::new(&cpu);
        let mut x = tape.input(Tensor::zeros(&cpu, [3, 2]));
        let params: Vec<_> =
            names.iter().map(|name| tape.named_param(name, Tensor::eye(&cpu, 2))).collect();
        tape.named_param("unused.weight", Tensor::eye(&cpu, 2));
        for &param in &params {
            x = tape.linear(x, param, None);
        }
        let graph = Graph::new(tape, x).unwrap();
        let params = params.into_iter().map(|var| graph.param_id(var).unwrap()).collect();
        (graph, params)
    }

    #[test]
    fn groups_follow_names() {
        let (graph, p) = chain(&["0.a", "0.b", "1.body.0.a", "top", "1.body.2.a", "0.c", "10.a"]);
        assert_eq!(
            graph.groups_matching(&["*.a", "0.*", "top"]).unwrap(),
            [vec![p[0], p[2], p[4], p[6]], vec![p[0], p[1], p[5]], vec![p[3]]]
        );
        assert_eq!(
            graph.groups_by_layer(),
            [vec![p[0], p[1], p[5]], vec![p[2]], vec![p[3]], vec![p[4]], vec![p[6]]]
        );
        assert_eq!(graph.groups_per_param(), p.iter().map(|&var| vec![var]).collect::<Vec<_>>());
    }

    #[test]
    fn an_unmatched_pattern_names_itself_and_the_parameters() {
        let (graph, _) = chain(&["0.weight", "2.weight"]);
        let error = graph.groups_matching(&["0.*", "unused.*"]).unwrap_err();
        let known = vec!["0.weight".to_string(), "2.weight".into()];
        assert_eq!(error, Error::NoMatch { pattern: "unused.*".into(), known });
        assert!(
            error.to_string().contains("unused.*")
                && error.to_string().contains("0.weight, 2.weight"),
            "{error}"
        );
    }
}
