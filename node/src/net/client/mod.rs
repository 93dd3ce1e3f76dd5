//! Client connections: who may come in, their requests, their replies.

mod replies;
mod session;
mod table;

pub(super) use session::accepted;
pub(super) use table::Clients;
