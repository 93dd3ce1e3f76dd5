//! The strict half of the codec: a deserializer for the part of MessagePack that our messages use.
//!
//! A general reader is generous: it takes a map for a struct and skips unknown names, a byte string for a list
//! of numbers, text for bytes, long forms of short numbers, and it reserves memory for what a length
//! announces. This one takes one form of each value, the shortest, which is the one that `encode`
//! writes. So bytes that are read are the bytes that would be written: nothing is dropped, repeated
//! or read in two ways. What it cannot read (maps, floats, negative numbers, extensions) no message has.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};

use crate::limits::{ITEMS_MAX, NESTING_MAX};

/// Elements for which room is reserved at once; beyond, memory grows with what was read.
const RESERVED_MAX: usize = 1024;

/// What is wrong with bytes that should be a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends too early")]
    EndsEarly,
    #[error("marker {found:#04x} where {expected} belongs")]
    Marker { expected: &'static str, found: u8 },
    #[error("a list of {found} where {expected} belong")]
    Count { expected: usize, found: usize },
    #[error("a number or length is not in its shortest form")]
    NotShortest,
    #[error("text that is not UTF-8")]
    Text,
    #[error("lists are nested deeper than {NESTING_MAX}")]
    Nesting,
    #[error("it has more than {ITEMS_MAX} parts")]
    Items,
    #[error("no message has a field like {0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    Content(String),
}

impl serde::de::Error for Malformed {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Content(message.to_string())
    }
}

/// Reads one value off the front of bytes.
#[derive(Debug)]
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    /// Lists that may still be entered.
    depth_left: usize,
    /// List elements that may still be read.
    items_left: usize,
}

impl<'de> Reader<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            depth_left: NESTING_MAX,
            items_left: ITEMS_MAX,
        }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed::EndsEarly)?;
        self.rest = rest;
        Ok(*array)
    }

    fn marker(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[marker]| marker)
    }

    /// A big-endian number of N bytes, which must not fit the next smaller form.
    fn number<const N: usize>(&mut self, least: u64) -> Result<u64, Malformed> {
        let bytes: [u8; N] = self.array()?;
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        if number < least {
            Err(Malformed::NotShortest)
        } else {
            Ok(number)
        }
    }

    fn unsigned(&mut self) -> Result<u64, Malformed> {
        match self.marker()? {
            small @ 0..=0x7f => Ok(u64::from(small)),
            0xcc => self.number::<1>(0x80),
            0xcd => self.number::<2>(0x100),
            0xce => self.number::<4>(0x1_0000),
            0xcf => self.number::<8>(0x1_0000_0000),
            found => Err(Malformed::Marker {
                expected: "a number",
                found,
            }),
        }
    }

    /// `length` bytes, if there are so many: nothing is reserved on a length's word.
    fn take(&mut self, length: u64) -> Result<&'de [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::EndsEarly)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::EndsEarly)?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'de str, Malformed> {
        let length = match self.marker()? {
            short @ 0xa0..=0xbf => u64::from(short & 0x1f),
            0xd9 => self.number::<1>(0x20)?,
            0xda => self.number::<2>(0x100)?,
            0xdb => self.number::<4>(0x1_0000)?,
            found => {
                return Err(Malformed::Marker {
                    expected: "text",
                    found,
                });
            }
        };
        str::from_utf8(self.take(length)?).map_err(|_| Malformed::Text)
    }

    fn byte_string(&mut self) -> Result<&'de [u8], Malformed> {
        let length = match self.marker()? {
            0xc4 => self.number::<1>(0)?,
            0xc5 => self.number::<2>(0x100)?,
            0xc6 => self.number::<4>(0x1_0000)?,
            found => {
                return Err(Malformed::Marker {
                    expected: "a byte string",
                    found,
                });
            }
        };
        self.take(length)
    }

    /// How many elements follow: never more than there are bytes left, for each takes one at least.
    fn list(&mut self) -> Result<usize, Malformed> {
        let length = match self.marker()? {
            short @ 0x90..=0x9f => u64::from(short & 0x0f),
            0xdc => self.number::<2>(0x10)?,
            0xdd => self.number::<4>(0x1_0000)?,
            found => {
                return Err(Malformed::Marker {
                    expected: "a list",
                    found,
                });
            }
        };
        let length = usize::try_from(length).map_err(|_| Malformed::EndsEarly)?;
        if length > self.rest.len() {
            return Err(Malformed::EndsEarly);
        }
        self.items_left = self
            .items_left
            .checked_sub(length)
            .ok_or(Malformed::Items)?;
        Ok(length)
    }

    /// Enters a list whose elements the visitor takes, all of them.
    fn elements<V: Visitor<'de>>(
        &mut self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Malformed::Nesting)?;
        let mut elements = Elements { reader: self, left };
        let value = visitor.visit_seq(&mut elements)?;
        let unread = elements.left;
        self.depth_left += 1;
        if unread == 0 {
            Ok(value)
        } else {
            Err(Malformed::custom("a list has elements that nobody reads"))
        }
    }

    /// A list of exactly so many elements: a struct or a tuple.
    fn exactly<V: Visitor<'de>>(
        &mut self,
        expected: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        match self.list()? {
            found if found == expected => self.elements(found, visitor),
            found => Err(Malformed::Count { expected, found }),
        }
    }
}

struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Malformed;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(RESERVED_MAX))
    }
}

macro_rules! unsigned {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
            visitor.visit_u64(self.unsigned()?)
        })*
    };
}

macro_rules! unsupported {
    ($($method:ident $what:literal)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Malformed> {
            Err(Malformed::Unsupported($what))
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Malformed;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.marker()? {
            0xc2 => visitor.visit_bool(false),
            0xc3 => visitor.visit_bool(true),
            found => Err(Malformed::Marker {
                expected: "true or false",
                found,
            }),
        }
    }

    unsigned! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_bytes(self.byte_string()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_bytes(self.byte_string()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.rest.split_first() {
            Some((0xc0, rest)) => {
                self.rest = rest;
                visitor.visit_none()
            }
            Some(_) => visitor.visit_some(self),
            None => Err(Malformed::EndsEarly),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let length = self.list()?;
        self.elements(length, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.exactly(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.exactly(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.exactly(fields.len(), visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Malformed> {
        Err(Malformed::Unsupported("nothing"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Malformed> {
        Err(Malformed::Unsupported("a named variant"))
    }

    unsupported! {
        deserialize_any "one of any type"
        deserialize_ignored_any "one that is ignored"
        deserialize_identifier "a name"
        deserialize_i8 "a signed number"
        deserialize_i16 "a signed number"
        deserialize_i32 "a signed number"
        deserialize_i64 "a signed number"
        deserialize_f32 "a fraction"
        deserialize_f64 "a fraction"
        deserialize_char "a character"
        deserialize_unit "nothing"
        deserialize_map "a map"
    }
}
