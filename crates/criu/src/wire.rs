//! The wire form of protocol buffers, as far as CRIU's messages need it: numbers and lengths, nothing else.

/// A message that is being written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Writer(Vec<u8>);

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

const NUMBER: u64 = 0;
const LONG: u64 = 1;
const BYTES: u64 = 2;
const SHORT: u64 = 5;

impl Writer {
    pub fn number(&mut self, field: u32, value: u64) -> &mut Self {
        self.varint(u64::from(field) << 3 | NUMBER).varint(value)
    }

    /// Negative numbers are written as if they were of 64 bits.
    pub fn signed(&mut self, field: u32, value: i32) -> &mut Self {
        self.number(field, i64::from(value).cast_unsigned())
    }

    /// Only what differs from the default, which is false everywhere.
    pub fn flag(&mut self, field: u32, value: bool) -> &mut Self {
        if value { self.number(field, 1) } else { self }
    }

    pub fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(&mut self, field: u32, value: &Writer) -> &mut Self {
        self.bytes(field, &value.0)
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.varint(u64::from(field) << 3 | BYTES).varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

/// The fields of a message, in their order. `None`: it is cut off, or has a form that CRIU's messages never have.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            NUMBER => Value::Number(take_varint(&mut bytes)?),
            BYTES => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            LONG => Value::Bytes(take(&mut bytes, 8)?),
            SHORT => Value::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        let field = u32::try_from(key >> 3).ok().filter(|field| *field > 0)?;
        found.push((field, value));
    }
    Some(found)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Writer::default();
        inner.text(1, "key");
        let mut message = Writer::default();
        message.number(1, 300).signed(2, -1).flag(3, true).flag(4, false).message(68, &inner);
        let bytes = message.finish();
        assert_eq!(&bytes[..3], [0x08, 0xac, 0x02], "the example of protobuf.dev/programming-guides/encoding");
        let expected =
            [(1, Value::Number(300)), (2, Value::Number(u64::MAX)), (3, Value::Number(1)), (68, Value::Bytes(b"\x0a\x03key"))];
        assert_eq!(fields(&bytes).unwrap(), expected);
    }

    #[test]
    fn nonsense_is_none() {
        for bytes in
            [&b"\x08"[..], b"\x08\x80", b"\x0a\x05abc", b"\x00\x01", b"\x0b", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
    }
}
