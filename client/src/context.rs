//! The token that ties a write to what its writer has read.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use quorate_protocol::limits::CONTEXT_BYTES_MAX;

use crate::error::Error;

/// What a read has seen of one key, opaque and made by the cluster.
///
/// A write that carries it replaces exactly the values that were read. A write without it replaces
/// nothing: its value stands beside those that are there, as a *sibling*. A context belongs to one
/// key of one bucket; with any other it is refused, and so is one that was altered.
///
/// As text it is base64 without padding, in the alphabet that is safe in URLs and file names.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Context(Bytes);

impl Context {
    /// The token's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A token from bytes that [`Self::as_bytes`] gave.
    ///
    /// # Errors
    /// They are empty or too many to be a context. Whether they are a genuine one is for the
    /// cluster to say.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        match bytes.len() {
            1..=CONTEXT_BYTES_MAX => Ok(Self(bytes)),
            length => Err(Error::fix(format!(
                "a context has 1 to {CONTEXT_BYTES_MAX} bytes, this one has {length}"
            ))),
        }
    }

    pub(crate) const fn received(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({self})")
    }
}

impl FromStr for Context {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| {
            Error::fix("this is no context: use the text that a read printed, unchanged")
        })?;
        Self::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_context_survives_its_text() {
        let context = Context::from_bytes(vec![0, 255, 62, 63, 7]).unwrap();
        assert_eq!(context.to_string().parse::<Context>().unwrap(), context);
        assert_eq!(format!(" {context}\n").parse::<Context>().unwrap(), context);
    }

    #[test]
    fn other_texts_are_refused() {
        assert!("".parse::<Context>().is_err());
        assert!("not base64!".parse::<Context>().is_err());
        assert!(Context::from_bytes(vec![0; CONTEXT_BYTES_MAX + 1]).is_err());
    }
}
