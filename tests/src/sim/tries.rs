//! What a client makes of an error, and of trying again.

use quorate_protocol::client::ClientRequest;
use quorate_protocol::error::ErrorCode;

/// Whether an error says that certainly nothing was done.
pub(super) const fn is_certain(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unavailable
            | ErrorCode::DeadlineExceeded
            | ErrorCode::TooLarge
            | ErrorCode::BadContext
            | ErrorCode::Overloaded
            | ErrorCode::Invalid
            | ErrorCode::NoSuchBucket
            | ErrorCode::NotSupported
    )
}

/// Whether repeating the request could help.
pub(super) const fn is_worth_repeating(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::TooLarge
            | ErrorCode::BadContext
            | ErrorCode::Invalid
            | ErrorCode::NoSuchBucket
            | ErrorCode::NotSupported
            | ErrorCode::Conflict
    )
}

/// The request as a repetition of itself.
pub(super) fn as_retry(request: &ClientRequest) -> ClientRequest {
    let mut request = request.clone();
    match &mut request {
        ClientRequest::Put(put) => put.retry = true,
        ClientRequest::Delete(delete) => delete.retry = true,
        ClientRequest::Get(_)
        | ClientRequest::Keys(_)
        | ClientRequest::GetMap(_)
        | ClientRequest::Ping(_)
        | ClientRequest::PutBucket(_)
        | ClientRequest::Status(_)
        | ClientRequest::Replicas(_)
        | ClientRequest::Backup(_)
        | ClientRequest::Scrub(_)
        | ClientRequest::MapHistory(_)
        | ClientRequest::ChangeRing(_)
        | ClientRequest::PlanRing(_)
        | ClientRequest::Moves(_)
        | ClientRequest::GetVersion(_) => {}
    }
    request
}

/// What a session has seen may have been lost with a node's power: then nobody can ever answer.
pub(super) const fn names_a_session(request: &ClientRequest) -> bool {
    matches!(request, ClientRequest::Get(get) if get.session.is_some())
}
