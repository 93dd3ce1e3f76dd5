//! Numbers, byte strings and dots inside a body; the reader never trusts a length.

use bytes::Bytes;
use quorate_protocol::{ActorId, Dot, RequestId};

use super::error::RecordError;
use crate::causality::VersionVector;

const SEVEN_BITS: u64 = 0x7f;
const MORE: u8 = 0x80;

/// Appends fields.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(start: &[u8]) -> Self {
        Self {
            out: start.to_vec(),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value > SEVEN_BITS {
            self.out.push(low_seven(value) | MORE);
            value >>= 7;
        }
        self.out.push(low_seven(value));
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.varint(length as u64);
    }

    /// Bytes whose length the reader knows from elsewhere.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn actor(&mut self, actor: ActorId) {
        self.u64(actor.get());
    }

    pub(crate) fn dot(&mut self, dot: Dot) {
        self.actor(dot.actor);
        self.varint(dot.counter);
    }

    pub(crate) fn dots(&mut self, dots: &[Dot]) {
        self.length(dots.len());
        dots.iter().for_each(|dot| self.dot(*dot));
    }

    pub(crate) fn request(&mut self, request: RequestId) {
        self.raw(&request.to_bytes());
    }

    pub(crate) fn context(&mut self, context: &VersionVector) {
        self.length(context.len());
        context
            .iter()
            .for_each(|(actor, counter)| self.dot(Dot::new(actor, counter)));
    }
}

const fn low_seven(value: u64) -> u8 {
    (value & SEVEN_BITS) as u8
}

/// Takes fields off the front.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The whole rest.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends the body: nothing may follow.
    pub(crate) fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Malformed("bytes follow its end"))
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, RecordError> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & !MORE);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(RecordError::Malformed(
                    "a number that is too large or not in its shortest form",
                ));
            }
            value |= bits << shift;
            if byte & MORE == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Malformed("a number that does not end"))
    }

    /// How many items follow, each at least `item_bytes` long: never more than the rest can hold.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, RecordError> {
        let count = usize::try_from(self.varint()?).map_err(|_| ENDS_EARLY)?;
        if count <= self.rest.len() / item_bytes {
            Ok(count)
        } else {
            Err(ENDS_EARLY)
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count(1)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn owned(&mut self) -> Result<Bytes, RecordError> {
        self.bytes().map(Bytes::copy_from_slice)
    }

    pub(crate) fn text(&mut self) -> Result<String, RecordError> {
        let text = str::from_utf8(self.bytes()?)
            .map_err(|_| RecordError::Malformed("text that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    pub(crate) fn actor(&mut self) -> Result<ActorId, RecordError> {
        self.u64().map(ActorId::new)
    }

    pub(crate) fn dot(&mut self) -> Result<Dot, RecordError> {
        match Dot::new(self.actor()?, self.varint()?) {
            Dot { counter: 0, .. } => Err(RecordError::Malformed("a counter of 0")),
            dot @ Dot { .. } => Ok(dot),
        }
    }

    pub(crate) fn dots(&mut self) -> Result<Vec<Dot>, RecordError> {
        let count = self.count(DOT_BYTES_MIN)?;
        (0..count).map(|_| self.dot()).collect()
    }

    pub(crate) fn request(&mut self) -> Result<RequestId, RecordError> {
        self.array().map(RequestId::from_bytes)
    }

    pub(crate) fn context(&mut self) -> Result<VersionVector, RecordError> {
        let count = self.count(DOT_BYTES_MIN)?;
        let mut context = VersionVector::new();
        for _ in 0..count {
            let Dot { actor, counter } = self.dot()?;
            context
                .push(actor, counter)
                .map_err(|_| RecordError::Malformed("a context out of order"))?;
        }
        Ok(context)
    }
}

/// An actor and the shortest counter.
pub(crate) const DOT_BYTES_MIN: usize = 9;
const ENDS_EARLY: RecordError = RecordError::Malformed("it ends too early");

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_their_shortest_form() {
        for value in [
            0,
            1,
            0x7f,
            0x80,
            0x3fff,
            0x4000,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut writer = Writer::new(&[]);
            writer.varint(value);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn longer_forms_overflows_and_endless_numbers_are_refused() {
        let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0x80, 0x00],
            &[0x80; 11],
            &overflow,
            &[0x80],
            &[],
        ] {
            assert!(Reader::new(bytes).varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_rest_is_refused_before_anything_is_allocated() {
        let mut writer = Writer::new(&[]);
        writer.varint(u64::MAX);
        writer.raw(&[0; 20]);
        let bytes = writer.into_bytes();
        assert!(Reader::new(&bytes).bytes().is_err());
        assert!(Reader::new(&bytes).dots().is_err());
        assert!(Reader::new(&bytes).context().is_err());
    }
}
