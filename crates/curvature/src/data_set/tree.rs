//! Sums over batches in a fixed binary tree.

/// Adds up arrays of doubles, one per batch, in the binary tree over the batches' numbers: whatever
/// the arrays are computed by, and wherever, the result has the same bits. At most one open partial
/// sum per level is held.
#[derive(Debug, Default)]
pub(super) struct TreeSum {
    /// Sums of `2^level` batches, the highest level first.
    open: Vec<(u32, Vec<f64>)>,
}

impl TreeSum {
    /// Adds the next batch's array.
    pub fn push(&mut self, values: Vec<f64>) {
        let mut sum = (0, values);
        while self.open.last().is_some_and(|(level, _)| *level == sum.0) {
            let (level, earlier) = self.open.pop().expect("there is a last one");
            sum = (level + 1, added(earlier, &sum.1));
        }
        self.open.push(sum);
    }

    /// The sum of all, if there was any.
    pub fn finish(mut self) -> Option<Vec<f64>> {
        let (_, mut sum) = self.open.pop()?;
        while let Some((_, earlier)) = self.open.pop() {
            sum = added(earlier, &sum);
        }
        Some(sum)
    }
}

fn added(mut a: Vec<f64>, b: &[f64]) -> Vec<f64> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_sums_are_those_of_aligned_subtrees() {
        // Entries far apart, so that every order of additions has bits of its own.
        let leaf = |at: i32| vec![(1.0 + 0.1 * f64::from(at)).powi(at % 7) * 10f64.powi(at % 5)];
        fn subtree(leaf: &dyn Fn(i32) -> Vec<f64>, first: i32, count: i32) -> f64 {
            if count == 1 {
                return leaf(first)[0];
            }
            // The largest power of two below the count stands left.
            let left = 1 << (31 - (count - 1).leading_zeros() as i32);
            subtree(leaf, first, left) + subtree(leaf, first + left, count - left)
        }
        for count in [1, 2, 3, 5, 8, 13, 16, 31] {
            let mut tree = TreeSum::default();
            (0..count).for_each(|at| tree.push(leaf(at)));
            assert!(tree.open.len() <= 5);
            assert_eq!(tree.finish().unwrap(), [subtree(&leaf, 0, count)], "{count}");
        }
    }
}
