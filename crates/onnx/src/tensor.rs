//! Arrays of ONNX files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use vivit_autodiff::InputKind;
use vivit_nn::NamedArray;
use vivit_tensor::{HostVec, f32_of_bf16, f32_of_f16};

use crate::proto;

/// Element types, by ONNX's numbers.
pub(crate) mod element {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const UINT16: i32 = 4;
    pub const INT16: i32 = 5;
    pub const INT32: i32 = 6;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const UINT32: i32 = 12;
    pub const UINT64: i32 = 13;
    pub const BFLOAT16: i32 = 16;
}

/// What numbers of an element type are; `None` for texts, complex numbers and those of less than
/// eight bits.
pub(crate) fn kind_of(data_type: i32) -> Option<InputKind> {
    match data_type {
        element::FLOAT | element::DOUBLE | element::FLOAT16 | element::BFLOAT16 => {
            Some(InputKind::Float)
        }
        element::BOOL => Some(InputKind::Bool),
        element::UINT8
        | element::INT8
        | element::UINT16
        | element::INT16
        | element::INT32
        | element::INT64
        | element::UINT32
        | element::UINT64 => Some(InputKind::Integer),
        _ => None,
    }
}

/// An element type in words.
pub(crate) fn type_name(data_type: i32) -> String {
    let names = [
        "no type",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let known = usize::try_from(data_type).ok().and_then(|at| names.get(at));
    known.map_or_else(|| format!("type {data_type}"), |name| name.to_string())
}

fn width_of(data_type: i32) -> usize {
    match data_type {
        element::UINT8 | element::INT8 | element::BOOL => 1,
        element::UINT16 | element::INT16 | element::FLOAT16 | element::BFLOAT16 => 2,
        element::FLOAT | element::INT32 | element::UINT32 => 4,
        _ => 8,
    }
}

/// Where the arrays that a file keeps elsewhere are.
#[derive(Clone, Copy)]
pub(crate) enum Folder<'f> {
    /// Beside the file.
    Of(&'f Path),
    /// Nowhere: bytes in memory.
    None,
}

/// The shape of an array.
pub(crate) fn shape_of(tensor: &proto::Tensor) -> Result<Vec<usize>, String> {
    let lens: Option<Vec<usize>> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    lens.ok_or_else(|| format!("the lengths {:?} are not all at least 0", tensor.dims))
}

/// An array with its numbers.
pub(crate) fn read(tensor: &proto::Tensor, folder: Folder<'_>) -> Result<NamedArray, String> {
    let shape = shape_of(tensor)?;
    let data_type = tensor.data_type;
    let Some(kind) = kind_of(data_type) else {
        return Err(format!("elements of {} are not supported", type_name(data_type)));
    };
    if tensor.segment.is_some() {
        return Err("arrays in segments are not supported".into());
    }
    let size = shape.iter().try_fold(1usize, |size, &len| size.checked_mul(len));
    let Some(bytes) = size.and_then(|size| size.checked_mul(width_of(data_type))) else {
        return Err(format!("shape {shape:?} has more entries than a machine can count"));
    };
    let size = bytes / width_of(data_type);
    let values = if tensor.data_location == proto::EXTERNAL {
        numbers(data_type, &external(tensor, bytes, folder)?)
    } else if let Some(raw) = &tensor.raw_data {
        if raw.len() != bytes {
            return Err(format!("shape {shape:?} needs {bytes} bytes, there are {}", raw.len()));
        }
        numbers(data_type, raw)
    } else {
        listed(tensor)
    };
    if values.len() != size {
        return Err(format!("shape {shape:?} needs {size} numbers, there are {}", values.len()));
    }
    Ok(NamedArray::new(&tensor.name, &shape, values).of_kind(kind))
}

/// The bytes of an array in a file of its own: no more than there are, whatever the file claims.
fn external(tensor: &proto::Tensor, bytes: usize, folder: Folder<'_>) -> Result<Vec<u8>, String> {
    let Folder::Of(folder) = folder else {
        return Err(
            "the numbers are in another file, but there is no folder to look in; read the \
                    file by its path"
                .into(),
        );
    };
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key);
    let Some(location) = entry("location").map(|entry| Path::new(&entry.value)) else {
        return Err("the numbers are in another file, which is not named".into());
    };
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !location.components().all(inside) {
        return Err(format!(
            "the numbers are in {}, outside the folder of the file",
            location.display()
        ));
    }
    let path = folder.join(location);
    // A link could lead outside as well.
    let canonical =
        |path: &Path| path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
    let home = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !canonical(&path)?.starts_with(canonical(home)?) {
        return Err(format!("{} leads outside the folder of the file", path.display()));
    }
    let number = |key: &str, default: usize| match entry(key) {
        None => Ok(default),
        Some(entry) => entry
            .value
            .parse::<usize>()
            .map_err(|_| format!("the {key} {:?} in the other file is no number", entry.value)),
    };
    let (offset, length) = (number("offset", 0)?, number("length", bytes)?);
    if length != bytes {
        return Err(format!("{bytes} bytes are needed, {length} are named in the other file"));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(&path).map_err(failed)?;
    let there = file.metadata().map_err(failed)?.len();
    let end = (offset as u64).checked_add(bytes as u64);
    if end.is_none_or(|end| end > there) {
        return Err(format!(
            "{} has {there} bytes, but {bytes} from byte {offset} on are needed",
            path.display()
        ));
    }
    file.seek(SeekFrom::Start(offset as u64)).map_err(failed)?;
    let mut data = vec![0; bytes];
    file.read_exact(&mut data).map_err(failed)?;
    Ok(data)
}

fn words<const W: usize, T>(data: &[u8], number: impl Fn([u8; W]) -> T) -> Vec<T> {
    let chunks = data.chunks_exact(W);
    chunks.map(|word| number(word.try_into().expect("a chunk of its length"))).collect()
}

/// Little-endian bytes as numbers.
fn numbers(data_type: i32, data: &[u8]) -> HostVec {
    match data_type {
        element::FLOAT => words(data, f32::from_le_bytes).into(),
        element::DOUBLE => words(data, f64::from_le_bytes).into(),
        element::FLOAT16 => words(data, |word| f32_of_f16(u16::from_le_bytes(word))).into(),
        element::BFLOAT16 => words(data, |word| f32_of_bf16(u16::from_le_bytes(word))).into(),
        element::INT8 => words(data, |word| f64::from(i8::from_le_bytes(word))).into(),
        element::UINT16 => words(data, |word| f64::from(u16::from_le_bytes(word))).into(),
        element::INT16 => words(data, |word| f64::from(i16::from_le_bytes(word))).into(),
        element::INT32 => words(data, |word| f64::from(i32::from_le_bytes(word))).into(),
        element::UINT32 => words(data, |word| f64::from(u32::from_le_bytes(word))).into(),
        element::INT64 => words(data, |word| i64::from_le_bytes(word) as f64).into(),
        element::UINT64 => words(data, |word| u64::from_le_bytes(word) as f64).into(),
        element::BOOL => words(data, |[byte]| f64::from(u8::from(byte != 0))).into(),
        _ => words(data, |[byte]| f64::from(byte)).into(),
    }
}

/// Numbers that are listed one by one.
fn listed(tensor: &proto::Tensor) -> HostVec {
    let small = || tensor.int32_data.iter();
    match tensor.data_type {
        element::FLOAT => tensor.float_data.clone().into(),
        element::DOUBLE => tensor.double_data.clone().into(),
        element::FLOAT16 => small().map(|&word| f32_of_f16(word as u16)).collect::<Vec<_>>().into(),
        element::BFLOAT16 => {
            small().map(|&word| f32_of_bf16(word as u16)).collect::<Vec<_>>().into()
        }
        element::INT64 => tensor.int64_data.iter().map(|&x| x as f64).collect::<Vec<_>>().into(),
        element::UINT32 | element::UINT64 => {
            tensor.uint64_data.iter().map(|&x| x as f64).collect::<Vec<_>>().into()
        }
        element::BOOL => small().map(|&x| f64::from(u8::from(x != 0))).collect::<Vec<_>>().into(),
        _ => small().map(|&x| f64::from(x)).collect::<Vec<_>>().into(),
    }
}
