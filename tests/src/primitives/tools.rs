//! Random arrays on a device, and comparisons on the scale of its precision.

use vivit::tensor::{Buffer, Device, HostVec, Rng, Scalar, with_dtype};

/// Numbers on the device, rounded to its precision.
pub(super) fn upload(device: &Device, numbers: impl Into<HostVec>) -> Buffer {
    device.upload(numbers.into())
}

/// Numbers as an array of the device's precision has them.
pub(super) fn rounded(device: &Device, mut numbers: Vec<f64>) -> Vec<f64> {
    with_dtype!(device.dtype(), E => numbers.iter_mut().for_each(|x| *x = E::of(*x).f64()));
    numbers
}

/// Random numbers as the device has them, and their buffer.
pub(super) fn random(device: &Device, len: usize, seed: u64) -> (Vec<f64>, Buffer) {
    let data = rounded(device, Rng::new(seed).normal(len));
    let buf = upload(device, &data);
    (data, buf)
}

/// The numbers of a buffer.
pub(super) fn read(device: &Device, buf: &Buffer) -> Vec<f64> {
    let numbers = device.download(buf).expect("the device works");
    assert_eq!(numbers.dtype(), device.dtype(), "downloads come in the device's precision");
    numbers.into_vec()
}

/// Fails unless all numbers agree up to what sums of `terms` numbers may be off by.
#[track_caller]
pub(super) fn assert_close(
    device: &Device,
    what: &str,
    got: &[f64],
    expected: &[f64],
    terms: usize,
) {
    assert_eq!(got.len(), expected.len(), "{what}: number of entries");
    let bound = 16.0 * device.dtype().epsilon() * (terms as f64 + 4.0);
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let fine = got == expected
            || (got.is_nan() && expected.is_nan())
            || (got - expected).abs() <= bound * expected.abs().max(1.0);
        assert!(fine, "{what}: entry {at} is {got}, not {expected}");
    }
}
