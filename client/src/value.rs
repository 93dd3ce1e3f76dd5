//! Values as they are read and written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use quorate_protocol::Dot;
use quorate_protocol::client::{Content, Sibling};
use quorate_protocol::limits::{
    CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, META_BYTES_MAX, VALUE_BYTES_MAX,
};
use quorate_protocol::{ErrorCode, WireError};

use crate::error::Error;

/// One value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes; empty where only the head was asked for.
    pub data: Bytes,
    /// What their writer called them; empty if nothing.
    pub content_type: String,
    /// What their writer said about them, ordered by name.
    pub meta: Vec<(String, Bytes)>,
    /// Bytes of the value, also where `data` was left out.
    pub size: u64,
    /// The write that made it.
    pub dot: Dot,
    /// When it was accepted, by the clock of the node that did.
    pub modified: SystemTime,
    /// When it expires; `None`: never.
    pub expires: Option<SystemTime>,
}

impl From<Sibling> for Value {
    fn from(sibling: Sibling) -> Self {
        let Sibling {
            dot,
            content,
            size,
            modified_ms,
            expires_ms,
        } = sibling;
        let time = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        Self {
            data: content.value,
            content_type: content.content_type,
            meta: content.meta,
            size,
            dot,
            modified: time(modified_ms),
            expires: (expires_ms > 0).then(|| time(expires_ms)),
        }
    }
}

/// Refuses keys that no node would take.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::fix("the key is empty: a key has at least one byte")),
        1..=KEY_BYTES_MAX => Ok(()),
        length => Err(too_large("the key", length, KEY_BYTES_MAX)),
    }
}

/// Refuses contents that no node would take.
pub(crate) fn check_content(content: &Content) -> Result<(), Error> {
    let meta: usize = content
        .meta
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if content.value.len() > VALUE_BYTES_MAX {
        return Err(too_large("the value", content.value.len(), VALUE_BYTES_MAX));
    }
    if content.content_type.len() > CONTENT_TYPE_BYTES_MAX {
        return Err(too_large(
            "the content type",
            content.content_type.len(),
            CONTENT_TYPE_BYTES_MAX,
        ));
    }
    if meta > META_BYTES_MAX {
        return Err(too_large("the metadata", meta, META_BYTES_MAX));
    }
    Ok(())
}

fn too_large(what: &str, bytes: usize, most: usize) -> Error {
    WireError::new(
        ErrorCode::TooLarge,
        format!("{what} has {bytes} bytes, the most is {most}"),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_bounds_and_may_be_any_bytes_within() {
        assert!(check_key(b"").is_err());
        assert!(check_key(&[0; KEY_BYTES_MAX]).is_ok());
        assert!(check_key(&[0; KEY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn each_part_of_a_content_has_a_bound_and_the_error_names_it() {
        let refused =
            |content: &Content| check_content(content).err().map(|error| error.to_string());
        assert_eq!(refused(&Content::default()), None);
        let long = Content {
            content_type: "x".repeat(256),
            ..Content::default()
        };
        assert_eq!(
            refused(&long).as_deref(),
            Some("the content type has 256 bytes, the most is 255")
        );
        let meta = Content {
            meta: vec![("a".repeat(4000), Bytes::from_static(&[0; 97]))],
            ..Content::default()
        };
        assert_eq!(
            refused(&meta).as_deref(),
            Some("the metadata has 4097 bytes, the most is 4096")
        );
        let value = Content {
            value: vec![0; VALUE_BYTES_MAX + 1].into(),
            ..Content::default()
        };
        assert!(
            refused(&value).is_some_and(|words| words.starts_with("the value has 16777217 bytes"))
        );
    }
}
