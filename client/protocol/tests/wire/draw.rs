//! A deserializer whose input is chance: it makes a value of any type that can be read. So a new
//! message is covered without anybody writing a generator for it.

use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

/// Numbers at which MessagePack changes its form.
const EDGES: [u64; 9] = [
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0xffff_ffff,
    0x1_0000_0000,
    u64::MAX,
];
/// Lengths at which it does, for texts and byte strings.
const LENGTHS: [usize; 8] = [0, 1, 15, 16, 31, 32, 255, 256];

/// Chance: SplitMix64.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A value of any type that has at least one; `None` where chance broke a rule of the type.
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        T::deserialize(&mut *self).ok()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A position in something so long.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Small ones most of the time, since few fields take others.
    fn number(&mut self, max: u64) -> u64 {
        match self.below(10) {
            0..6 => self.below(2),
            6 => self.below(9).min(max),
            7 => self.pick(&EDGES).min(max),
            _ => self.next() & max,
        }
    }

    fn length(&mut self) -> usize {
        if self.below(4) == 0 {
            self.pick(&LENGTHS)
        } else {
            self.index(12)
        }
    }

    fn text(&mut self) -> String {
        (0..self.length())
            .map(|_| self.pick(&['a', 'b', 'z', '/', ' ', 'é', '水', '🦀', '\0']))
            .collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.length())
            .map(|_| self.next().to_be_bytes()[0])
            .collect()
    }
}

struct Elements<'a> {
    draw: &'a mut Draw,
    left: u64,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
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

impl<'de> Deserializer<'de> for &mut Draw {
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
        visitor.visit_bool(self.below(2) == 1)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_byte_buf(self.bytes())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.below(3) == 0 {
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
        let left = if self.below(40) == 0 {
            17
        } else {
            self.below(4)
        };
        visitor.visit_seq(Elements { draw: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements {
            draw: self,
            left: length as u64,
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

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Types that read borrowed text are picky about it (zones).
        let text = self.pick(&["", "eu", "eu/par", "eu/par/rack1"]);
        visitor.visit_str(text)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char bytes unit unit_struct map enum identifier ignored_any
    }
}
