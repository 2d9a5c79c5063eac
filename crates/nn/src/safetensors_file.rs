//! Safetensors files on their way out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, View};
use serde_json::Value;
use vivit_tensor::HostVec;

use crate::Error;
use crate::whole_file::write_whole;

/// Bytes of the number at the beginning of a file that tells the length of its header.
const LENGTH: usize = size_of::<u64>();

pub(crate) fn not_safetensors(error: SafeTensorError) -> Error {
    Error::NotSafetensors { reason: error.to_string() }
}

/// An array on its way into a file.
pub(crate) struct Bytes {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl Bytes {
    /// The array of numbers in their precision.
    pub fn of(shape: &[usize], numbers: HostVec) -> Self {
        let (dtype, data) = match numbers {
            HostVec::F32(numbers) => {
                (Dtype::F32, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            HostVec::F64(numbers) => {
                (Dtype::F64, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
        };
        Bytes { dtype, shape: shape.to_vec(), data }
    }
}

impl View for &Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.data.as_slice().into()
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The bytes of a file: the arrays, and texts under names, with `format: pt`, without which
/// Hugging Face's loaders refuse it. The same arguments give the same bytes.
///
/// # Errors
/// If the header gets too long for the format.
pub(crate) fn to_bytes(
    arrays: &[(impl AsRef<str>, Bytes)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let views = arrays.iter().map(|(name, bytes)| (name.as_ref(), bytes));
    let mut file = safetensors::serialize(views, None).map_err(not_safetensors)?;
    // The package would write the texts in another order every time.
    let length = file.first_chunk().map_or(0, |word| u64::from_le_bytes(*word) as usize);
    let header = with_metadata(&file[LENGTH..LENGTH + length], metadata);
    file.splice(..LENGTH + length, header);
    Ok(file)
}

/// The length and the header of a file with texts in it, padded to whole words as before.
fn with_metadata(header: &[u8], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut texts = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    texts.extend(metadata.clone());
    let texts: Value = texts.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
    let arrays = header.trim_ascii_end().strip_prefix(b"{").unwrap_or_default();
    let comma = if arrays == b"}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{texts}{comma}").into_bytes();
    header.extend_from_slice(arrays);
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header].concat()
}

/// Writes the bytes of a file, all of them or nothing.
///
/// # Errors
/// If the file can't be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole(path, bytes).map_err(|error| Error::Io { reason: error.to_string() })
}
