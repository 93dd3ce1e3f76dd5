//! The identity file: five lines of text that say whose directory this is.
//!
//! ```text
//! quorate data directory
//! format 6
//! cluster 0123456789abcdef0123456789abcdef
//! node 0123456789abcdef
//! storage 0123456789abcdef
//! checksum 89abcdef
//! ```
//!
//! The checksum is the CRC-32 of everything before its line. Only the first two lines are the same
//! in every format, so that an older build can say that it met a newer one.

use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::NodeId;

/// The format of the whole data directory that this build reads and writes.
pub const FORMAT: u32 = 6;

const TITLE: &str = "quorate data directory";

/// Whose data directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// This storage: drawn when the directory is made, so that a copied database is recognised.
    pub storage: StorageId,
}

/// Why a text is no identity file of this format.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdentityFileError {
    /// It does not begin as one.
    #[error("this is no identity file: it does not begin with '{TITLE}'")]
    Title,
    /// A later build wrote it.
    #[error(
        "the data directory has format {0}, this build reads format {FORMAT}: use a newer build"
    )]
    Newer(u32),
    /// An earlier build wrote it.
    #[error(
        "the data directory has format {0}, which nothing converts to format {FORMAT}, the one this build reads: use the build that wrote it, or give the node an empty directory, and its peers will fill it"
    )]
    Older(u32),
    /// A line is missing or wrong, or the checksum does not match.
    #[error("the identity file is damaged ({0}): restore it from a backup of this node")]
    Damaged(&'static str),
}

impl Identity {
    /// The file's content.
    #[must_use]
    pub fn to_text(self) -> String {
        let body = format!(
            "{TITLE}\nformat {FORMAT}\ncluster {}\nnode {}\nstorage {}\n",
            self.cluster, self.node, self.storage
        );
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}checksum {checksum:08x}\n")
    }

    /// Reads the file's content.
    ///
    /// # Errors
    /// It is not exactly what [`Self::to_text`] of this format writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityFileError::Title)?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(IdentityFileError::Title);
        }
        let format: u32 = field(lines.next(), "format ")?;
        if format > FORMAT {
            return Err(IdentityFileError::Newer(format));
        }
        if format < FORMAT {
            return Err(IdentityFileError::Older(format));
        }
        let identity = Self {
            cluster: field(lines.next(), "cluster ")?,
            node: field(lines.next(), "node ")?,
            storage: field(lines.next(), "storage ")?,
        };
        // One comparison covers the checksum, the format, the spelling of every line and the end.
        if identity.to_text() == text {
            Ok(identity)
        } else {
            Err(IdentityFileError::Damaged("its checksum does not match"))
        }
    }
}

fn field<T: std::str::FromStr>(
    line: Option<&str>,
    name: &'static str,
) -> Result<T, IdentityFileError> {
    line.and_then(|line| line.strip_prefix(name))
        .and_then(|value| value.parse().ok())
        .ok_or(IdentityFileError::Damaged(
            "a line is missing or unreadable",
        ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: ClusterId::new(1, 2),
            node: NodeId::new(3),
            storage: StorageId::new(4),
        }
    }

    #[test]
    fn the_file_of_format_6_stays_readable() {
        let text = "quorate data directory\nformat 6\ncluster 00000000000000010000000000000002\n\
                    node 0000000000000003\nstorage 0000000000000004\nchecksum ed73406f\n";
        assert_eq!(identity().to_text(), text);
        assert_eq!(Identity::parse(text.as_bytes()), Ok(identity()));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = identity().to_text().into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            assert!(Identity::parse(&changed).is_err(), "byte {index}");
            assert!(Identity::parse(&text[..index]).is_err(), "cut at {index}");
        }
        assert!(Identity::parse(&[&text[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn another_format_is_refused_by_name() {
        for (other, expected) in [
            (5, IdentityFileError::Older(5)),
            (7, IdentityFileError::Newer(7)),
        ] {
            let text = identity().to_text();
            let text = text.replace("format 6", &format!("format {other}"));
            let error = Identity::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, expected);
            assert!(error.to_string().contains(&format!("format {other}")));
        }
    }
}
