//! The client library against made-up nodes, over real QUIC and TLS on the loopback device.

mod connecting;
mod requests;
mod support;
