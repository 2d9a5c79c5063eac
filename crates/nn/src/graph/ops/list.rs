//! Lists of arrays, and branches: what takes values as they are.

use crate::graph::call::{Call, Outcome};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Value};
use vivit_autodiff::InputKind;

/// The place that a number names, counted from the end if it is negative.
fn place(number: i64, len: usize) -> Result<usize, Fault> {
    let signed = len as i64;
    ensure!(
        (-signed..signed).contains(&number),
        "entry {number} is out of range: the list has {len}"
    );
    Ok((if number < 0 { number + signed } else { number }) as usize)
}

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    Ok(vec![Value::List(call.arrays()?)])
}

pub(super) fn at(call: &mut Call<'_>) -> Outcome {
    let (list, number) = (call.list(0)?, call.integer(1)?);
    Ok(vec![list[place(number, list.len())?].into()])
}

pub(super) fn length(call: &mut Call<'_>) -> Outcome {
    let len = call.list(0)?.len() as f64;
    Ok(vec![call.recording.host_array(&[], vec![len], InputKind::Integer)?.into()])
}

/// The list with an array more, at a place or at the end.
pub(super) fn insert(call: &mut Call<'_>) -> Outcome {
    let (mut list, array) = (call.list(0)?, call.array(1)?);
    let at = match call.optional_integers(2)?.as_deref() {
        None => list.len(),
        Some(&[number]) => place(number, list.len() + 1)?,
        Some(numbers) => fault!("the place must be one number, got {numbers:?}"),
    };
    list.insert(at, array);
    Ok(vec![Value::List(list)])
}

/// The list without the array at a place or at the end.
pub(super) fn erase(call: &mut Call<'_>) -> Outcome {
    let mut list = call.list(0)?;
    let at = match call.optional_integers(1)?.as_deref() {
        None => place(-1, list.len())?,
        Some(&[number]) => place(number, list.len())?,
        Some(numbers) => fault!("the place must be one number, got {numbers:?}"),
    };
    list.remove(at);
    Ok(vec![Value::List(list)])
}

/// The arrays of a list side by side; with `stack`, along a new axis.
pub(super) fn concat(call: &mut Call<'_>) -> Outcome {
    let mut parts = call.list(0)?;
    if !call.flag("stack", false)? {
        return Ok(vec![call.concatenated(parts)?.into()]);
    }
    let Some(&first) = parts.first() else { fault!("there is nothing to concatenate") };
    let shape = call.shape(first);
    let axis = call.axis(call.int("axis", 0)?, shape.len() + 1)?;
    for part in parts.iter_mut() {
        let mut thin = call.shape(*part);
        ensure!(thin == shape, "arrays of shapes {shape:?} and {thin:?} can't be stacked");
        thin.insert(axis, 1);
        call.recording.check_shape(&thin)?;
        *part = call.recording.reshape(*part, &thin);
    }
    let stacked: Array = call.joined(parts, axis)?;
    Ok(vec![stacked.into()])
}

/// The value that a condition names: condition, if it holds, if not.
pub(super) fn branch(call: &mut Call<'_>) -> Outcome {
    let condition = call.array(0)?;
    let taken = call.recording.branch(condition)?;
    match call.args[taken].take() {
        Some(value) => Ok(vec![value]),
        None => fault!("argument {taken} is missing"),
    }
}
