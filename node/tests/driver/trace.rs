//! One number in the logs of all nodes that work on a request.

use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::frame::Header;
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use super::cluster::Cluster;
use super::{bucket, put, run};

const TRACE: u64 = 0x7ace;
const REPLICA_PUT: u16 = 0x0203;
const REPLICA_ACK: u16 = 0x0204;

/// Three nodes hold the key: the one asked tells the two others, and both answer under the same number.
#[test]
fn frames_between_nodes_name_the_request_that_set_them_off() {
    run(async {
        let cluster = Cluster::start(3, 1);
        let id = bucket(&cluster).await;
        let asked = cluster.nodes[0];
        let mut write = put(id, "k", "v", 1);
        write.options.w = Some(Count::All);
        let request = ClientRequest::from(write);
        let mut body = Vec::new();
        request.encode_body(&mut body);
        let header = Header {
            opcode: request.opcode(),
            count: 1,
            deadline_ms: 20_000,
            trace: TRACE,
            ..Header::default()
        };
        let reply = cluster.ask_with(asked, header, body.into()).await;
        assert!(matches!(reply, ClientReply::Written(_)), "{reply:?}");
        let traced = cluster.traced(TRACE);
        assert!(traced.contains(&(asked, REPLICA_PUT)), "{traced:?}");
        let answered = |node: &&NodeId| traced.contains(&(**node, REPLICA_ACK));
        let others = cluster.nodes.iter().filter(|&&node| node != asked);
        assert_eq!(others.filter(answered).count(), 2, "{traced:?}");
    });
}
