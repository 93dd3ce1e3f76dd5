//! The other half of the codec: writes what the reader takes, each value in its one, shortest form.

use std::fmt;

use serde::ser::{
    Error as _, Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct, Serializer,
};

/// Why a value is not written: no message has such a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unwritable(String);

impl serde::ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Appends values to bytes.
#[derive(Debug)]
pub(super) struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    #[inline]
    fn unsigned(&mut self, number: u64) {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        match number {
            0..=0x7f => self.0.push(h),
            0x80..=0xff => self.0.extend_from_slice(&[0xcc, h]),
            0x100..=0xffff => self.0.extend_from_slice(&[0xcd, g, h]),
            0x1_0000..=0xffff_ffff => self.0.extend_from_slice(&[0xce, e, f, g, h]),
            _ => self.0.extend_from_slice(&[0xcf, a, b, c, d, e, f, g, h]),
        }
    }

    /// The head of something with a length: `short` counts in the low bits of its marker below `least`,
    /// `markers` are those of lengths of one byte (if there is one), two and four.
    fn head(
        &mut self,
        length: usize,
        (short, least): (u8, u8),
        markers: (Option<u8>, u8, u8),
    ) -> Result<(), Unwritable> {
        let length = u32::try_from(length)
            .map_err(|_| Unwritable::custom(format!("{length} are too many for one list")))?;
        let [a, b, c, d] = length.to_be_bytes();
        match (length, markers) {
            (..=0xff, _) if d < least => self.0.push(short | d),
            (..=0xff, (Some(one), ..)) => self.0.extend_from_slice(&[one, d]),
            (..=0xffff, (_, two, _)) => self.0.extend_from_slice(&[two, c, d]),
            (_, (.., four)) => self.0.extend_from_slice(&[four, a, b, c, d]),
        }
        Ok(())
    }

    #[inline]
    fn list(self, length: usize) -> Result<Self, Unwritable> {
        let mut list = self;
        list.head(length, (0x90, 16), (None, 0xdc, 0xdd))?;
        Ok(list)
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Unwritable> {
        element.serialize(Writer(&mut *self.0))
    }
}

macro_rules! unsigned {
    ($($method:ident $number:ty)*) => {
        $(#[inline]
        fn $method(mut self, number: $number) -> Result<(), Unwritable> {
            self.unsigned(u64::from(number));
            Ok(())
        })*
    };
}

macro_rules! unsupported {
    ($($method:ident($($argument:ty),*) -> $ok:ty, $what:literal)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, Unwritable> {
            Err(unsupported($what))
        })*
    };
}

fn unsupported(what: &str) -> Unwritable {
    Unwritable::custom(format!("no message has a field like {what}"))
}

impl Serializer for Writer<'_> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Impossible<(), Unwritable>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.0.push(0xc2 + u8::from(value));
        Ok(())
    }

    unsigned! { serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64 }

    fn serialize_str(mut self, text: &str) -> Result<(), Unwritable> {
        self.head(text.len(), (0xa0, 32), (Some(0xd9), 0xda, 0xdb))?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.head(bytes.len(), (0, 0), (Some(0xc4), 0xc5, 0xc6))?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.0.push(0xc0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.list(length.ok_or_else(|| unsupported("a list of unknown length"))?)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, Unwritable> {
        self.list(length)
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Self, Unwritable> {
        self.list(length)
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Self, Unwritable> {
        self.list(length)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unwritable> {
        Err(unsupported("a named variant"))
    }

    unsupported! {
        serialize_i8(i8) -> (), "a signed number"
        serialize_i16(i16) -> (), "a signed number"
        serialize_i32(i32) -> (), "a signed number"
        serialize_i64(i64) -> (), "a signed number"
        serialize_f32(f32) -> (), "a fraction"
        serialize_f64(f64) -> (), "a fraction"
        serialize_char(char) -> (), "a character"
        serialize_unit() -> (), "nothing"
        serialize_unit_struct(&'static str) -> (), "nothing"
        serialize_unit_variant(&'static str, u32, &'static str) -> (), "a named variant"
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant, "a named variant"
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant, "a named variant"
        serialize_map(Option<usize>) -> Self::SerializeMap, "a map"
    }
}

macro_rules! lists {
    ($($kind:ident $method:ident($($key:ty)?);)*) => {
        $(impl $kind for Writer<'_> {
            type Ok = ();
            type Error = Unwritable;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? element: &T) -> Result<(), Unwritable> {
                self.element(element)
            }

            fn end(self) -> Result<(), Unwritable> {
                Ok(())
            }
        })*
    };
}

lists! {
    SerializeSeq serialize_element();
    SerializeTuple serialize_element();
    SerializeTupleStruct serialize_field();
    SerializeStruct serialize_field(&'static str);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde::Serialize;

    use super::*;

    fn written<T: Serialize>(value: &T) -> Result<Vec<u8>, Unwritable> {
        let mut out = Vec::new();
        value.serialize(Writer::new(&mut out))?;
        Ok(out)
    }

    /// The public implementation of the format writes the shortest forms as well.
    fn same<T: Serialize + fmt::Debug>(value: &T) {
        let theirs = rmp_serde::to_vec(value).ok();
        assert!(
            theirs.is_some() && written(value).ok() == theirs,
            "{value:?}"
        );
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        for bits in 0..64 {
            let edge = 1u64 << bits;
            (edge.saturating_sub(2)..edge.saturating_add(2)).for_each(|number| same(&number));
        }
        same(&(u64::MAX, u32::MAX, u16::MAX, u8::MAX, true, false));
    }

    #[test]
    fn lists_text_and_byte_strings_are_written_with_their_shortest_lengths() {
        let lengths = [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536];
        for length in lengths {
            same(&vec![7u8; length]);
            same(&"x".repeat(length));
            same(&Bytes::from(vec![7; length]));
        }
    }

    #[test]
    fn options_and_structs_are_written_as_values_and_lists() {
        #[derive(Debug, Serialize)]
        struct Inner(u64);
        #[derive(Debug, Serialize)]
        struct Outer {
            inner: Inner,
            pair: (u8, u16),
            some: Option<Inner>,
            none: Option<Inner>,
        }
        same(&Outer {
            inner: Inner(300),
            pair: (1, 2),
            some: Some(Inner(1)),
            none: None,
        });
    }

    #[test]
    fn what_no_message_has_is_refused_by_name() {
        let refused =
            |result: Result<Vec<u8>, Unwritable>| result.map_err(|error| error.to_string());
        let fraction = Err("no message has a field like a fraction".to_owned());
        assert_eq!(refused(written(&1.5f64)), fraction);
        let map = Err("no message has a field like a map".to_owned());
        assert_eq!(refused(written(&BTreeMap::from([(1u8, 2u8)]))), map);
        assert!(written(&-1i64).is_err() && written(&()).is_err());
    }
}
