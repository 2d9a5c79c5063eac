//! A writer of ONNX files, right and wrong ones, byte by byte: fields of protocol buffers by their
//! numbers in `onnx.proto`.

/// A message of protocol buffers under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// A message without fields.
    pub fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// The same message with a field of bytes, a text or a message.
    #[must_use]
    pub fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    /// The same message with fields of texts.
    #[must_use]
    pub fn texts(self, field: u64, texts: &[&str]) -> Self {
        texts.iter().fold(self, |message, text| message.bytes(field, text))
    }

    /// The same message with a whole number.
    #[must_use]
    pub fn int(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number as u64);
        self
    }

    /// The same message with whole numbers, one field each.
    #[must_use]
    pub fn ints(self, field: u64, numbers: &[i64]) -> Self {
        numbers.iter().fold(self, |message, &number| message.int(field, number))
    }

    /// The same message with messages.
    #[must_use]
    pub fn all(self, field: u64, messages: &[Message]) -> Self {
        messages.iter().fold(self, |whole, message| whole.bytes(field, &message.0))
    }

    /// Its bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A node: operation, name, inputs, outputs.
pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    Message::new().texts(1, inputs).texts(2, outputs).bytes(3, name).bytes(4, op)
}

/// An attribute that is a whole number.
pub fn int_attribute(name: &str, number: i64) -> Message {
    Message::new().bytes(1, name).int(3, number).int(20, 2)
}

/// An array of floats.
pub fn floats(name: &str, dims: &[i64], numbers: &[f32]) -> Message {
    let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Message::new().ints(1, dims).int(2, 1).bytes(8, name).bytes(9, raw)
}

/// An array of whole numbers of 64 bits, with one axis.
pub fn integers(name: &str, numbers: &[i64]) -> Message {
    let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Message::new().int(1, numbers.len() as i64).int(2, 7).bytes(8, name).bytes(9, raw)
}

/// An input or an output of floats. A length is a number, or a name for any.
pub fn value(name: &str, dims: &[&str]) -> Message {
    let dim = |dim: &&str| match dim.parse() {
        Ok(len) => Message::new().int(1, len),
        Err(_) => Message::new().bytes(2, dim),
    };
    let shape = Message::new().all(1, &dims.iter().map(dim).collect::<Vec<_>>());
    let array = Message::new().int(1, 1).bytes(2, shape);
    Message::new().bytes(1, name).bytes(2, Message::new().bytes(1, array))
}

/// A file of nodes, arrays, inputs and outputs, of a version of ONNX's operations.
pub fn file(
    opset: i64,
    nodes: &[Message],
    arrays: &[Message],
    inputs: &[Message],
    outputs: &[Message],
) -> Vec<u8> {
    let graph = Message::new().all(1, nodes).all(5, arrays).all(11, inputs).all(12, outputs);
    let version = Message::new().bytes(1, "").int(2, opset);
    Message::new().int(1, 10).bytes(7, graph).bytes(8, version).finish()
}
