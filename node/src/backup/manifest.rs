//! The manifest of a backup: text that says whose it is, what belongs to it, and that it is whole. It is written
//! last, so a backup without one was never finished.
//!
//! ```text
//! quorate backup
//! format 1
//! backup 3
//! label nightly
//! cluster 0123456789abcdef0123456789abcdef
//! node 0123456789abcdef
//! storage 0123456789abcdef
//! data-format 2
//! map-format 1
//! ring 1
//! build 0.1.0
//! began 1800000000000
//! ended 1800000004000
//! new 4096
//! file CHECKSUM 4096 1800000000000000000 db/000012.sst
//! checksum CHECKSUM
//! ```
//!
//! Checksums are BLAKE3, in hexadecimal digits; the last one covers everything before its line. A file's numbers are
//! its bytes and the time of its last change on the node's disk, nanoseconds since 1970.

use std::fmt::Write as _;
use std::str::FromStr;

use quorate_protocol::limits::BACKUP_LABEL_BYTES_MAX;
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::{NodeId, RingVersion};

use crate::identity::{self, Identity};

/// The format of backups that this build writes and reads.
pub const FORMAT: u32 = 1;

const TITLE: &str = "quorate backup";
/// The file of the cluster map.
pub(crate) const MAP_FILE: &str = "map";
/// Before the name of a file of the database.
pub(crate) const DATABASE: &str = "db/";

/// What one backup is and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its number; later ones have greater numbers.
    pub backup: u64,
    /// For people; may be empty.
    pub label: String,
    /// Whose data it is.
    pub identity: Identity,
    /// The cluster map's format level.
    pub map_format: u32,
    /// The ring version in force.
    pub ring: RingVersion,
    /// What made it.
    pub build: String,
    /// When it was begun, milliseconds since 1970.
    pub began_ms: u64,
    /// When it was whole.
    pub ended_ms: u64,
    /// Bytes that were written for it.
    pub bytes_new: u64,
    /// Its files.
    pub files: Vec<StoredFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// BLAKE3 of its content, in hexadecimal digits: its name in the pool.
    pub checksum: String,
    /// Bytes.
    pub bytes: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub changed_ns: u64,
    /// Its path in the data directory.
    pub name: String,
}

/// Why a text is no manifest of this format.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// It does not begin as one.
    #[error("this is no manifest of a backup: it does not begin with '{TITLE}'")]
    Title,
    /// Of another format.
    #[error(
        "the backup has format {0}, this build reads format {FORMAT}: use the build that made it"
    )]
    Format(u32),
    /// The data has another format.
    #[error(
        "the backup holds data of format {0}, this build reads format {expected}: restore it with the build that made it",
        expected = identity::FORMAT
    )]
    DataFormat(u32),
    /// A line is missing or wrong, or the checksum does not match.
    #[error("the manifest is damaged ({0}): use another backup")]
    Damaged(&'static str),
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The file's content.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Identity {
            cluster,
            node,
            storage,
        } = self.identity;
        let mut text = format!(
            "{TITLE}\nformat {FORMAT}\nbackup {}\nlabel {}\ncluster {cluster}\nnode {node}\nstorage {storage}\n\
             data-format {}\nmap-format {}\nring {}\nbuild {}\nbegan {}\nended {}\nnew {}\n",
            self.backup,
            self.label,
            identity::FORMAT,
            self.map_format,
            self.ring.get(),
            self.build,
            self.began_ms,
            self.ended_ms,
            self.bytes_new,
        );
        for file in &self.files {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "file {} {} {} {}",
                file.checksum, file.bytes, file.changed_ns, file.name
            );
        }
        let checksum = blake3::hash(text.as_bytes()).to_hex();
        format!("{text}checksum {checksum}\n")
    }

    /// Reads the file's content.
    ///
    /// # Errors
    /// It is not exactly what [`Self::to_text`] of this format writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::Title)?;
        let mut lines = Lines(text.lines());
        if lines.0.next() != Some(TITLE) {
            return Err(ManifestError::Title);
        }
        let format = lines.field("format ")?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let (backup, label) = (lines.field("backup ")?, lines.field::<String>("label ")?);
        let identity = Identity {
            cluster: lines.field::<ClusterId>("cluster ")?,
            node: lines.field::<NodeId>("node ")?,
            storage: lines.field::<StorageId>("storage ")?,
        };
        let data_format = lines.field("data-format ")?;
        if data_format != identity::FORMAT {
            return Err(ManifestError::DataFormat(data_format));
        }
        let mut manifest = Self {
            backup,
            label,
            identity,
            map_format: lines.field("map-format ")?,
            ring: RingVersion::new(lines.field("ring ")?),
            build: lines.field("build ")?,
            began_ms: lines.field("began ")?,
            ended_ms: lines.field("ended ")?,
            bytes_new: lines.field("new ")?,
            files: Vec::new(),
        };
        for line in lines.0 {
            if let Some(file) = line.strip_prefix("file ") {
                manifest.files.push(StoredFile::parse(file)?);
            }
        }
        // One comparison covers the checksum, the spelling and order of every line, and the end.
        if manifest.to_text() == text && is_label(&manifest.label) {
            Ok(manifest)
        } else {
            Err(ManifestError::Damaged("its checksum does not match"))
        }
    }
}

impl StoredFile {
    fn parse(line: &str) -> Result<Self, ManifestError> {
        let damaged = || ManifestError::Damaged("the line of a file is unreadable");
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(damaged);
        let file = Self {
            checksum: word()?.to_owned(),
            bytes: word()?.parse().map_err(|_| damaged())?,
            changed_ns: word()?.parse().map_err(|_| damaged())?,
            name: word()?.to_owned(),
        };
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let sound = file.checksum.len() == 2 * blake3::OUT_LEN
            && file.checksum.bytes().all(hexadecimal)
            && is_data_file(&file.name);
        sound.then_some(file).ok_or_else(damaged)
    }
}

struct Lines<'a>(std::str::Lines<'a>);

impl Lines<'_> {
    fn field<T: FromStr>(&mut self, name: &'static str) -> Result<T, ManifestError> {
        let line = self.0.next().and_then(|line| line.strip_prefix(name));
        line.and_then(|value| value.parse().ok())
            .ok_or(ManifestError::Damaged("a line is missing or unreadable"))
    }
}

/// Whether a name leads to a file that belongs into a data directory, and nowhere else.
fn is_data_file(name: &str) -> bool {
    let plain = |name: &str| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && !name.starts_with('.') && name.bytes().all(sound)
    };
    name == MAP_FILE || name.strip_prefix(DATABASE).is_some_and(plain)
}

/// Whether a text can be a label.
pub(crate) fn is_label(label: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    label.len() <= BACKUP_LABEL_BYTES_MAX && label.bytes().all(sound)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |name: &str| StoredFile {
            checksum: "0a".repeat(32),
            bytes: 4096,
            changed_ns: 1_800_000_000_000_000_000,
            name: name.to_owned(),
        };
        Manifest {
            backup: 3,
            label: "nightly".to_owned(),
            identity: Identity {
                cluster: ClusterId::new(1, 2),
                node: NodeId::new(3),
                storage: StorageId::new(4),
            },
            map_format: 1,
            ring: RingVersion::FIRST,
            build: "0.1.0 (of today)".to_owned(),
            began_ms: 1_800_000_000_000,
            ended_ms: 1_800_000_004_000,
            bytes_new: 4096,
            files: vec![file("db/000012.sst"), file("map")],
        }
    }

    #[test]
    fn the_manifest_of_format_1_stays_readable() {
        let checksum = "0a".repeat(32);
        let text = format!(
            "quorate backup\nformat 1\nbackup 3\nlabel nightly\ncluster 00000000000000010000000000000002\n\
             node 0000000000000003\nstorage 0000000000000004\ndata-format 6\nmap-format 1\nring 1\n\
             build 0.1.0 (of today)\nbegan 1800000000000\nended 1800000004000\nnew 4096\n\
             file {checksum} 4096 1800000000000000000 db/000012.sst\n\
             file {checksum} 4096 1800000000000000000 map\n"
        );
        let whole = format!(
            "{text}checksum {}\n",
            blake3::hash(text.as_bytes()).to_hex()
        );
        assert_eq!(manifest().to_text(), whole);
        assert_eq!(Manifest::parse(whole.as_bytes()), Ok(manifest()));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = manifest().to_text().into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            assert!(Manifest::parse(&changed).is_err(), "byte {index}");
            assert!(Manifest::parse(&text[..index]).is_err(), "cut at {index}");
        }
        assert!(Manifest::parse(&[&text[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let text = manifest().to_text();
        let refusal = |from: &str, to: &str| {
            let text = text.replace(from, to);
            Manifest::parse(text.as_bytes()).unwrap_err()
        };
        assert_eq!(
            refusal("\nformat 1", "\nformat 2"),
            ManifestError::Format(2)
        );
        assert_eq!(
            refusal("data-format 6", "data-format 9"),
            ManifestError::DataFormat(9)
        );
    }

    #[test]
    fn a_file_can_lead_nowhere_but_into_the_data_directory() {
        for name in [
            "db/../map",
            "db/",
            "/map",
            "db/a/b",
            "identity",
            "db/.x",
            "",
        ] {
            let mut wrong = manifest();
            wrong.files[0].name = name.to_owned();
            let parsed = Manifest::parse(wrong.to_text().as_bytes());
            assert!(parsed.is_err(), "{name}");
        }
    }

    #[test]
    fn labels_are_plain() {
        assert!(is_label("") && is_label("before_upgrade-1.2"));
        for wrong in ["two words", "a\nb", "é", &"x".repeat(65)] {
            assert!(!is_label(wrong), "{wrong}");
        }
    }
}
