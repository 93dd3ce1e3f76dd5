//! Closing with a reason, and reading the other side's reasons.

use quinn::{Connection, ConnectionError, VarInt};
use quorate_protocol::close::{CLOSE_REASON_BYTES_MAX, CloseCode};

/// Closes with a code and words; words beyond the bound are cut off.
pub(super) fn close(connection: &Connection, code: CloseCode, reason: &str) {
    connection.close(number(code), reason_bytes(reason));
}

pub(super) fn number(code: CloseCode) -> VarInt {
    VarInt::from_u64(code.number()).unwrap_or(VarInt::MAX)
}

pub(super) fn reason_bytes(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)]
}

/// Why a connection ended or did not come about, for people.
pub(super) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from(close.error_code.into_inner());
            format!(
                "the other side closed: {code}: {}",
                printable(&close.reason)
            )
        }
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            format!(
                "the other side refused: {} ({})",
                alert_words(code),
                printable(&close.reason)
            )
        }
        ConnectionError::TransportError(error) => {
            format!("refused here: {}", refusal_words(&error.reason))
        }
        ConnectionError::TimedOut => "no packet came within the time limit".into(),
        ConnectionError::Reset => "the other side restarted".into(),
        ConnectionError::LocallyClosed => "closed here".into(),
        ConnectionError::VersionMismatch => "the other side speaks another version of QUIC".into(),
        ConnectionError::CidsExhausted => "no connection id is left".into(),
    }
}

/// TLS says it in terms of signatures; whether the issuer's name or only its signature differs
/// depends on whether the two authorities happen to have the same name.
fn refusal_words(reason: &str) -> String {
    if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        return format!(
            "the other side's certificate is of another certificate authority ({reason})"
        );
    }
    reason.to_owned()
}

/// The TLS alerts that have a cause worth naming; QUIC carries alert n as error 0x100 + n.
fn alert_words(code: u64) -> &'static str {
    match code.wrapping_sub(0x100) {
        40 => "TLS handshake failed",
        42 | 43 => "it finds this side's certificate bad or not meant for this use",
        45 => "it finds this side's certificate out of its time",
        46 | 48 | 51 => "this side's certificate is not of its certificate authority",
        116 => "it wants a certificate",
        120 => "it serves another protocol: peer and client ports mixed up?",
        // NO_ERROR and APPLICATION_ERROR (RFC 9000, 20.1): all that may be said before the handshake ends.
        _ if code == 0 || code == 12 => "it gave up before the handshake ended",
        _ if code == 2 => "it takes no connections now",
        _ => "QUIC or TLS error",
    }
}

fn printable(reason: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(reason)
        .chars()
        .filter(|char| !char.is_control())
        .collect();
    if text.is_empty() {
        "no reason given".into()
    } else {
        text
    }
}
