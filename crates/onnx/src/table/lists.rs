//! Lists of arrays, and branches.

use crate::convert::{Convert, Outcome};

pub(super) fn construct(c: &mut Convert<'_>) -> Outcome {
    c.same("list", &[])
}

pub(super) fn empty(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("dtype");
    c.same("list", &[])
}

pub(super) fn at(c: &mut Convert<'_>) -> Outcome {
    c.same("list_at", &[])
}

pub(super) fn length(c: &mut Convert<'_>) -> Outcome {
    c.same("list_length", &[])
}

pub(super) fn insert(c: &mut Convert<'_>) -> Outcome {
    c.same("list_insert", &[])
}

pub(super) fn erase(c: &mut Convert<'_>) -> Outcome {
    c.same("list_erase", &[])
}

pub(super) fn concat(c: &mut Convert<'_>) -> Outcome {
    let options =
        [("axis", c.int("axis", 0)?.into()), ("stack", c.flag("new_axis", false)?.into())];
    c.same("list_concat", &options)
}

/// One length splits into chunks of it.
pub(super) fn split(c: &mut Convert<'_>) -> Outcome {
    let options = [
        ("axis", c.int("axis", 0)?.into()),
        ("keep", c.flag("keepdims", true)?.into()),
        ("chunks", true.into()),
    ];
    c.same("split_to_list", &options)
}

/// Branches are written out: condition, and what either of them gives.
pub(super) fn branch(c: &mut Convert<'_>) -> Outcome {
    c.same("if", &[])
}
