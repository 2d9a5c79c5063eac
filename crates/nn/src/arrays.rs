//! Named arrays in files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use vivit_autodiff::Labels;
use vivit_tensor::{Device, HostVec, Tensor, f32_of_bf16, f32_of_f16};

use crate::Error;
use crate::safetensors_file::not_safetensors;

/// Named arrays, read from a [safetensors](https://github.com/huggingface/safetensors) file: data
/// sets, expected results, parameters.
///
/// # Examples
/// ```
/// use vivit_nn::{Arrays, Sequential, linear};
/// use vivit_tensor::Device;
///
/// let cpu = Device::cpu();
/// let model = Sequential::new(&cpu, vec![linear(4, 3)], 0)?;
/// let arrays = Arrays::from_bytes(model.to_safetensors()?)?;
/// assert_eq!(arrays.names().collect::<Vec<_>>(), ["0.bias", "0.weight"]);
/// assert_eq!(arrays.tensor("0.weight", &cpu)?.shape(), &[3, 4]);
/// // Floats are no labels.
/// let error = arrays.labels("0.bias").unwrap_err().to_string();
/// assert!(error.contains("0.bias") && error.contains("F32") && error.contains("[3]"));
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arrays<'b> {
    bytes: Cow<'b, [u8]>,
    /// By name.
    entries: Vec<Entry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// First byte and the one after the last.
    range: (usize, usize),
}

impl Arrays<'static> {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If it can't be read or is no safetensors file; always with the path.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::Io { reason: error.to_string() });
        bytes.and_then(Self::from_bytes).map_err(|error| error.in_file(path))
    }
}

impl<'b> Arrays<'b> {
    /// Takes the bytes of a safetensors file, its own or lent.
    ///
    /// # Errors
    /// If they are none.
    pub fn from_bytes(bytes: impl Into<Cow<'b, [u8]>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(not_safetensors)?;
        let first = size_of::<u64>() + header;
        let words = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        let tensors = metadata.tensors().into_iter();
        let mut entries: Vec<Entry> = tensors
            .map(|(name, info)| Entry {
                name,
                dtype: info.dtype,
                shape: info.shape.clone(),
                range: (first + info.data_offsets.0, first + info.data_offsets.1),
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Arrays { bytes, entries, metadata: words })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// What the file says besides its arrays, `__metadata__`: texts under names. What PyTorch and
    /// this library write says `format: pt`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The shape of an array.
    ///
    /// # Errors
    /// If there is no array of that name.
    pub fn shape(&self, name: &str) -> Result<&[usize], Error> {
        Ok(&self.entry(name)?.shape)
    }

    /// An array of floats (16, 32 or 64 bits), integers or booleans, rounded to the device's
    /// precision.
    ///
    /// # Errors
    /// If there is no array of that name, or its element type is another one.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor, Error> {
        let (shape, numbers) = self.numbers(name)?;
        Ok(Tensor::from_vec(device, &shape, numbers)?)
    }

    /// An array of integers of any size, or booleans, as labels, row-major.
    ///
    /// # Errors
    /// If there is no array of that name, or it holds no integers.
    pub fn labels(&self, name: &str) -> Result<Labels, Error> {
        let entry = self.entry(name)?;
        Ok(self.integers(entry).ok_or_else(|| entry.refused("integers"))?.into())
    }

    /// The shape and the numbers of an array of floats (16, 32 or 64 bits), integers or booleans;
    /// `F16` and `BF16` are widened to 32 bits, exactly.
    ///
    /// # Errors
    /// If there is no array of that name, or its element type is another one.
    pub fn numbers(&self, name: &str) -> Result<(Vec<usize>, HostVec), Error> {
        let entry = self.entry(name)?;
        let numbers = self.floats(entry).or_else(|| {
            let integers = self.integers(entry)?;
            Some(integers.into_iter().map(|integer| integer as f64).collect::<Vec<_>>().into())
        });
        let numbers =
            numbers.ok_or_else(|| entry.refused("floats of 16, 32 or 64 bits or integers"))?;
        Ok((entry.shape.clone(), numbers))
    }

    /// The array of a name as floats, if it holds floats of 16, 32 or 64 bits; its shape, and
    /// its element type in words.
    pub(crate) fn parts(&self, name: &str) -> Result<(&[usize], String, Option<HostVec>), Error> {
        let entry = self.entry(name)?;
        Ok((&entry.shape, format!("{:?}", entry.dtype), self.floats(entry)))
    }

    fn entry(&self, name: &str) -> Result<&Entry, Error> {
        let found = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name));
        found.map(|at| &self.entries[at]).map_err(|_| Error::NoArray {
            name: name.into(),
            known: self.names().map(String::from).collect(),
        })
    }

    fn floats(&self, entry: &Entry) -> Option<HostVec> {
        let data = &self.bytes[entry.range.0..entry.range.1];
        match entry.dtype {
            Dtype::F32 => Some(words(data, f32::from_le_bytes).into()),
            Dtype::F64 => Some(words(data, f64::from_le_bytes).into()),
            Dtype::F16 => Some(words(data, |word| f32_of_f16(u16::from_le_bytes(word))).into()),
            Dtype::BF16 => Some(words(data, |word| f32_of_bf16(u16::from_le_bytes(word))).into()),
            _ => None,
        }
    }

    /// Integers and booleans; beyond the range of `i64` its end.
    fn integers(&self, entry: &Entry) -> Option<Vec<i64>> {
        let data = &self.bytes[entry.range.0..entry.range.1];
        Some(match entry.dtype {
            Dtype::BOOL | Dtype::U8 => data.iter().map(|&byte| byte.into()).collect(),
            Dtype::I8 => words(data, |word| i8::from_le_bytes(word).into()),
            Dtype::I16 => words(data, |word| i16::from_le_bytes(word).into()),
            Dtype::U16 => words(data, |word| u16::from_le_bytes(word).into()),
            Dtype::I32 => words(data, |word| i32::from_le_bytes(word).into()),
            Dtype::U32 => words(data, |word| u32::from_le_bytes(word).into()),
            Dtype::I64 => words(data, i64::from_le_bytes),
            Dtype::U64 => {
                words(data, |word| u64::from_le_bytes(word).try_into().unwrap_or(i64::MAX))
            }
            _ => return None,
        })
    }
}

impl Entry {
    fn refused(&self, expected: &'static str) -> Error {
        Error::ArrayType {
            name: self.name.clone(),
            dtype: format!("{:?}", self.dtype),
            shape: self.shape.clone(),
            expected,
        }
    }
}

fn words<const W: usize, T>(data: &[u8], number: impl Fn([u8; W]) -> T) -> Vec<T> {
    data.chunks_exact(W)
        .map(|word| number(word.try_into().expect("a chunk of its length")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safetensors_file::Bytes;

    fn file(arrays: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Arrays<'static> {
        let arrays: Vec<(&str, Bytes)> = arrays
            .iter()
            .map(|(name, dtype, shape, data)| {
                (*name, Bytes { dtype: *dtype, shape: shape.to_vec(), data: data.clone() })
            })
            .collect();
        let views = arrays.iter().map(|(name, bytes)| (*name, bytes));
        Arrays::from_bytes(safetensors::serialize(views, None).unwrap()).unwrap()
    }

    #[test]
    fn integers_of_every_size_are_labels_and_tensors() {
        let little = |bytes: &[&[u8]]| bytes.concat();
        let arrays = file(&[
            ("u8", Dtype::U8, &[2], vec![255, 3]),
            ("i8", Dtype::I8, &[2], vec![255, 3]),
            ("bool", Dtype::BOOL, &[2], vec![1, 0]),
            ("i16", Dtype::I16, &[1], (-100i16).to_le_bytes().to_vec()),
            ("u16", Dtype::U16, &[1], vec![255, 255]),
            ("i32", Dtype::I32, &[1], (-100i32).to_le_bytes().to_vec()),
            ("u32", Dtype::U32, &[1], vec![255; 4]),
            ("i64", Dtype::I64, &[2], little(&[&7i64.to_le_bytes(), &(-1i64).to_le_bytes()])),
            ("u64", Dtype::U64, &[1], vec![255; 8]),
        ]);
        for (name, expected) in [
            ("u8", &[255, 3][..]),
            ("i8", &[-1, 3]),
            ("bool", &[1, 0]),
            ("i16", &[-100]),
            ("u16", &[65535]),
            ("i32", &[-100]),
            ("u32", &[4_294_967_295]),
            ("i64", &[7, -1]),
            ("u64", &[i64::MAX]),
        ] {
            assert_eq!(arrays.labels(name).unwrap().as_slice(), expected, "{name}");
            let tensor = arrays.tensor(name, &Device::cpu_f64()).unwrap();
            let expected: Vec<f64> = expected.iter().map(|&integer| integer as f64).collect();
            assert_eq!(tensor.to_vec().unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn floats_are_rounded_to_the_device() {
        let arrays = file(&[("x", Dtype::F64, &[1, 1], 0.1f64.to_le_bytes().to_vec())]);
        assert_eq!(arrays.shape("x").unwrap(), [1, 1]);
        for (device, expected) in [(Device::cpu(), f64::from(0.1f32)), (Device::cpu_f64(), 0.1)] {
            assert_eq!(arrays.tensor("x", &device).unwrap().to_vec().unwrap(), [expected]);
        }
    }

    #[test]
    fn short_floats_are_widened() {
        let little = |words: [u16; 4]| words.map(u16::to_le_bytes).concat();
        let arrays = file(&[
            ("f16", Dtype::F16, &[4], little([0x3c00, 0xc000, 0x3800, 0x4200])),
            ("bf16", Dtype::BF16, &[2, 2], little([0x3f80, 0xc000, 0x3f00, 0x4040])),
        ]);
        for (name, shape) in [("f16", &[4][..]), ("bf16", &[2, 2])] {
            for device in [Device::cpu(), Device::cpu_f64()] {
                let tensor = arrays.tensor(name, &device).unwrap();
                assert_eq!(tensor.shape(), shape);
                assert_eq!(tensor.to_vec().unwrap(), [1.0, -2.0, 0.5, 3.0], "{name}");
            }
        }
    }

    #[test]
    fn what_can_t_be_read_is_named() {
        let arrays = file(&[("eighth", Dtype::F8_E5M2, &[2], vec![0; 2])]);
        for error in [
            arrays.tensor("eighth", &Device::cpu()).unwrap_err(),
            arrays.labels("eighth").unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(["eighth", "F8_E5M2", "[2]"].iter().all(|part| text.contains(part)), "{text}");
        }
        let text = arrays.shape("whole").unwrap_err().to_string();
        assert!(text.contains("whole") && text.contains("eighth"), "{text}");
    }
}
