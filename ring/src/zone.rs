//! Where a member stands, as a path of failure domains.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest zone, in bytes.
pub const ZONE_BYTES_MAX: usize = 255;

/// A failure domain as a path from the widest to the narrowest, such as `eu/par/rack1`.
///
/// Components are separated by `/`, not empty, and made of printable ASCII other than blanks. The
/// empty path says that nothing is known about where a member stands. At most
/// [`ZONE_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Zone(String);

/// A text that cannot be a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Longer than [`ZONE_BYTES_MAX`].
    #[error("a zone has at most {ZONE_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Starts or ends with `/`, or has two of them in a row.
    #[error("a zone is a path such as eu/par/rack1, without empty components")]
    EmptyComponent,
    /// Has a blank, a control character or something beyond ASCII.
    #[error("a zone is made of printable ASCII characters other than blanks")]
    Unprintable,
}

impl Zone {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components from the widest to the narrowest; none for the empty path.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    fn check(text: &str) -> Result<(), ZoneError> {
        if text.len() > ZONE_BYTES_MAX {
            return Err(ZoneError::TooLong(text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ZoneError::Unprintable);
        }
        if !text.is_empty() && text.split('/').any(str::is_empty) {
            return Err(ZoneError::EmptyComponent);
        }
        Ok(())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ZoneVisitor;

        impl de::Visitor<'_> for ZoneVisitor {
            type Value = Zone;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a zone")
            }

            // Borrowed, so that a text that is too long is refused before it is copied.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Zone, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(ZoneVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_parsed_into_its_components() {
        let zone: Zone = "eu/par/rack1".parse().unwrap();
        assert_eq!(
            zone.components().collect::<Vec<_>>(),
            ["eu", "par", "rack1"]
        );
        assert_eq!(zone.to_string(), "eu/par/rack1");
        assert_eq!(Zone::default().components().count(), 0);
        assert_eq!("".parse(), Ok(Zone::default()));
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        let parse = str::parse::<Zone>;
        assert_eq!(parse("/eu"), Err(ZoneError::EmptyComponent));
        assert_eq!(parse("eu/"), Err(ZoneError::EmptyComponent));
        assert_eq!(parse("eu//par"), Err(ZoneError::EmptyComponent));
        assert_eq!(parse("eu par"), Err(ZoneError::Unprintable));
        assert_eq!(parse("zürich"), Err(ZoneError::Unprintable));
        assert_eq!(parse(&"a".repeat(256)), Err(ZoneError::TooLong(256)));
        assert!(parse(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn a_zone_is_encoded_as_text_and_checked_when_read() {
        let zone: Zone = "eu/par".parse().unwrap();
        let json = serde_json::to_string(&zone).unwrap();
        assert_eq!(json, "\"eu/par\"");
        assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone);
        assert!(serde_json::from_str::<Zone>("\"eu//par\"").is_err());
    }
}
