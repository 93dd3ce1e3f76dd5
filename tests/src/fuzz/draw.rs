//! A deserializer whose input is chance: it makes a value of any type that can be read. So a new field
//! or message is covered without anybody writing a generator for it.
//!
//! Numbers and byte strings come from a pool as often as from nowhere: the node ids, buckets, classes,
//! counters and operations of the cluster under test, and the numbers at which formats and
//! arithmetic change. A list is now and then one element many times over.

use bytes::Bytes;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::source::Source;

/// Numbers at which encodings change their form, and those beside the end.
const EDGES: [u64; 16] = [
    0x7f,
    0x80,
    0xff,
    0x100,
    0x101,
    0x3fff,
    0x4000,
    0xffff,
    0x1_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 47,
    1 << 63,
    u64::MAX - 2,
    u64::MAX - 1,
    u64::MAX,
];
/// Lengths at which they do, for texts and byte strings.
const LENGTHS: [usize; 10] = [0, 1, 15, 16, 31, 32, 255, 256, 4096, 4097];
/// Zones that read borrowed text, right and wrong.
const TEXTS: [&str; 5] = ["", "eu", "eu/par", "eu/par/rack1", "eu//"];

/// Numbers and byte strings that mean something to who reads the input.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    numbers: Vec<u64>,
    strings: Vec<Bytes>,
    next: usize,
}

impl Pool {
    /// Entries beyond which older ones make room.
    const MAX: usize = 96;

    /// A pool of these.
    #[must_use]
    pub fn new(numbers: &[u64], strings: &[&'static [u8]]) -> Self {
        Self {
            numbers: numbers.to_vec(),
            strings: strings
                .iter()
                .map(|bytes| Bytes::from_static(bytes))
                .collect(),
            next: 0,
        }
    }

    /// Adds a number that was met.
    pub fn learn(&mut self, number: u64) {
        if self.numbers.len() < Self::MAX {
            self.numbers.push(number);
        } else {
            self.next = (self.next + 1) % Self::MAX;
            self.numbers[self.next] = number;
        }
    }

    /// Adds a byte string that was met.
    pub fn learn_bytes(&mut self, bytes: Bytes) {
        if self.strings.len() < Self::MAX / 4 {
            self.strings.push(bytes);
        } else {
            self.next = (self.next + 1) % self.strings.len();
            self.strings[self.next] = bytes;
        }
    }
}

/// Makes values.
pub struct Draw<'d, 's> {
    /// What decides.
    pub source: &'d mut Source<'s>,
    /// What it may use.
    pub pool: &'d Pool,
    /// Bytes and list elements that it may still make.
    left: usize,
}

/// Bytes and list elements of one value at most: lists of lists of long byte strings would be huge.
const SIZE_MAX: usize = 64 * 1024;

impl<'d, 's> Draw<'d, 's> {
    /// A maker of values.
    pub fn new(source: &'d mut Source<'s>, pool: &'d Pool) -> Self {
        Self {
            source,
            pool,
            left: SIZE_MAX,
        }
    }

    /// A value of any type that has at least one; `None` where chance broke a rule of the type.
    pub fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.left = SIZE_MAX;
        T::deserialize(&mut *self).ok()
    }

    /// A value of a type whose rules chance breaks only now and then.
    pub fn some<T: DeserializeOwned + Default>(&mut self) -> T {
        (0..20).find_map(|_| self.value()).unwrap_or_default()
    }

    fn number(&mut self, max: u64) -> u64 {
        let number = match self.source.below(9) {
            0..=3 => self.source.below(3),
            4 | 5 => self.pooled(),
            6 => self.source.pick(EDGES),
            7 => max.wrapping_sub(self.source.below(3)),
            _ => self.source.bits() & max,
        };
        if number > max { number & 3 } else { number }
    }

    fn pooled(&mut self) -> u64 {
        let at = self.source.index(self.pool.numbers.len());
        self.pool.numbers.get(at).copied().unwrap_or(1)
    }

    fn length(&mut self) -> usize {
        let length = if self.source.one_in(12) {
            self.source.pick(LENGTHS)
        } else {
            self.source.index(10)
        };
        self.spend(length)
    }

    /// As much of this as may still be made.
    fn spend(&mut self, wanted: usize) -> usize {
        let spent = wanted.min(self.left);
        self.left -= spent;
        spent
    }

    fn text(&mut self) -> String {
        let length = self.length();
        let letter = self
            .source
            .pick(['a', 'z', '/', ' ', 'é', '水', '🦀', '\0', '\n']);
        let mut text: String = std::iter::repeat_n(letter, length).collect();
        text.push_str(self.source.pick(["", "b", "c", "bucket"]));
        text
    }

    fn bytes(&mut self) -> Vec<u8> {
        let at = self.source.index(self.pool.strings.len());
        match (self.source.below(3), self.pool.strings.get(at)) {
            (0, _) | (_, None) => {
                let length = self.length();
                self.source.fill(length)
            }
            (_, Some(known)) => known.to_vec(),
        }
    }
}

struct Elements<'a, 'd, 's> {
    draw: &'a mut Draw<'d, 's>,
    left: u64,
    /// Where each element begins again, if all are to be the same.
    again: Option<Source<'s>>,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if let Some(start) = &self.again {
            *self.draw.source = start.clone();
        }
        seed.deserialize(&mut *self.draw).map(Some)
    }
}

macro_rules! numbers {
    ($($method:ident $max:expr,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_u64(self.number(u64::from($max)))
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Draw<'_, '_> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no message has such a field"))
    }

    numbers! {
        deserialize_u8 u8::MAX,
        deserialize_u16 u16::MAX,
        deserialize_u32 u32::MAX,
        deserialize_u64 u64::MAX,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.source.below(2) == 1)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.source.pick(TEXTS))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_byte_buf(self.bytes())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_byte_buf(self.bytes())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.source.below(3) == 0 {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (left, repeated) = match self.source.below(96) {
            0 => (17, false),
            1 => (self.source.below(70), false),
            2 => (self.source.below(400), true),
            _ => (self.source.below(4), false),
        };
        let left = self.spend(usize::try_from(left).unwrap_or(0)) as u64;
        let again = repeated.then(|| self.source.clone());
        visitor.visit_seq(Elements {
            draw: self,
            left,
            again,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements {
            draw: self,
            left: length as u64,
            again: None,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char unit unit_struct map enum identifier ignored_any
    }
}
