//! Exchange of rows of a row-major matrix, in place.

use std::ops::Range;

/// The given columns of rows `i` and `j`, which are different.
pub(crate) fn pair<E>(
    q: &mut [E],
    n: usize,
    columns: Range<usize>,
    i: usize,
    j: usize,
) -> (&mut [E], &mut [E]) {
    let (upper, lower) = q.split_at_mut(i.max(j) * n);
    let (a, b) = (&mut upper[i.min(j) * n..][columns.clone()], &mut lower[columns]);
    if i < j { (a, b) } else { (b, a) }
}

/// Moves rows to the places asked for, `(place, row)` with neither of them repeated, by exchanging
/// them with the rows that are there. Returns where every row is afterwards.
pub(crate) fn rearrange<E>(
    q: &mut [E],
    n: usize,
    columns: Range<usize>,
    moves: impl IntoIterator<Item = (usize, usize)>,
) -> Vec<usize> {
    let count = q.len() / n.max(1);
    let (mut at, mut row_at): (Vec<usize>, Vec<usize>) =
        ((0..count).collect(), (0..count).collect());
    for (place, row) in moves {
        let from = at[row];
        if from != place {
            let (a, b) = pair(q, n, columns.clone(), from, place);
            a.swap_with_slice(b);
            let other = row_at[place];
            (row_at[from], at[other]) = (other, from);
            (row_at[place], at[row]) = (row, place);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_where_they_were_asked_to_be() {
        let before: Vec<usize> = (0..12).collect();
        for moves in [
            vec![],
            vec![(0, 3), (1, 2), (2, 1), (3, 0)],
            vec![(0, 1), (1, 2), (2, 0)],
            vec![(3, 0), (1, 3)],
        ] {
            let mut q = before.clone();
            let at = rearrange(&mut q, 3, 0..3, moves.clone());
            assert!(moves.iter().all(|&(place, row)| at[row] == place), "{moves:?}");
            assert!(
                (0..4).all(|row| q[3 * at[row]..3 * at[row] + 3] == before[3 * row..3 * row + 3]),
                "{moves:?}"
            );
        }
        assert!(rearrange::<f64>(&mut [], 0, 0..0, []).is_empty());
        let mut q = before;
        rearrange(&mut q, 3, 1..2, [(0, 2)]);
        assert_eq!(q, [0, 7, 2, 3, 4, 5, 6, 1, 8, 9, 10, 11]);
    }
}
