//! Why a connection was closed: the application close codes of both QUIC ports. The reason text
//! beside the code is for people; it is at most [`CLOSE_REASON_BYTES_MAX`] long.

use std::fmt;

use crate::versioned::MapVersion;

/// Longest reason text of a close, bytes: it must fit one packet.
pub const CLOSE_REASON_BYTES_MAX: usize = 512;

/// A close code. The numbers are part of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The side that closes has finished; nothing is wrong.
    Done,
    /// The node is stopping; another one answers.
    Stopping,
    /// The certificate belongs to somebody who has no business on this port or in this cluster.
    Identity,
    /// The hello was refused: another cluster, no common version, or too slow.
    Hello,
    /// What arrived is not of the protocol; the connection cannot go on.
    Malformed,
    /// The node has as many connections as it takes; try again later, or another node.
    Overloaded,
    /// A newer connection between the same two nodes took this one's place.
    Replaced,
    /// The side that dialled is to wait: the other one dials back.
    Knock,
    /// The node that dialled is no member of the cluster in the version of the map that the reason names: see
    /// [`no_member`].
    NoMember,
    /// A code of a later version.
    Unknown(u64),
}

impl CloseCode {
    /// The number that travels.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::Stopping => 1,
            Self::Identity => 2,
            Self::Hello => 3,
            Self::Malformed => 4,
            Self::Overloaded => 5,
            Self::Replaced => 6,
            Self::Knock => 7,
            Self::NoMember => 8,
            Self::Unknown(code) => code,
        }
    }

    /// Whether dialling the same node again, after a pause, makes sense.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Done
            | Self::Stopping
            | Self::Overloaded
            | Self::Replaced
            | Self::Knock
            | Self::NoMember => true,
            Self::Identity | Self::Hello | Self::Malformed | Self::Unknown(_) => false,
        }
    }
}

impl From<u64> for CloseCode {
    fn from(code: u64) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Stopping,
            2 => Self::Identity,
            3 => Self::Hello,
            4 => Self::Malformed,
            5 => Self::Overloaded,
            6 => Self::Replaced,
            7 => Self::Knock,
            8 => Self::NoMember,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Stopping => f.write_str("stopping"),
            Self::Identity => f.write_str("wrong identity"),
            Self::Hello => f.write_str("hello refused"),
            Self::Malformed => f.write_str("malformed data"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::Replaced => f.write_str("replaced"),
            Self::Knock => f.write_str("dials back"),
            Self::NoMember => f.write_str("no member"),
            Self::Unknown(code) => write!(f, "close code {code}"),
        }
    }
}

/// What the reason of a [`CloseCode::NoMember`] begins with.
const VERSION_MARK: &str = "by version ";

/// The reason of a [`CloseCode::NoMember`]: the version of the map by which it is so, then words.
#[must_use]
pub fn no_member(version: MapVersion, words: &str) -> String {
    format!("{VERSION_MARK}{version} of the cluster map {words}")
}

/// The version that such a reason names; `None` where it is none.
#[must_use]
pub fn no_member_by(reason: &[u8]) -> Option<MapVersion> {
    let rest = reason.strip_prefix(VERSION_MARK.as_bytes())?;
    let part_of_it = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let length = rest.iter().take_while(part_of_it).count();
    std::str::from_utf8(&rest[..length]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_by_which_a_node_is_no_member_comes_back_from_the_reason() {
        let reason = no_member(MapVersion::new(12), "node 7 is no member");
        assert_eq!(no_member_by(reason.as_bytes()), Some(MapVersion::new(12)));
        let recovered = MapVersion::new(12).in_next_lineage();
        let reason = no_member(recovered, "node 7 was called gone");
        assert!(reason.starts_with("by version 1.12 "), "{reason}");
        assert_eq!(no_member_by(reason.as_bytes()), Some(recovered));
        for wrong in [
            "",
            "by version ",
            "by version x",
            "version 12",
            "by version 99999999999999999999 of",
        ] {
            assert_eq!(no_member_by(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for number in 0..10 {
            assert_eq!(CloseCode::from(number).number(), number);
        }
    }
}
