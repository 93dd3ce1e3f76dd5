//! Storage that cannot be read for a while.

use quorate_protocol::map::Bucket;
use quorate_ring::{BucketId, NodeId};

use crate::walk::Walk;

#[test]
fn a_bucket_that_comes_while_storage_cannot_be_read_makes_no_damaged_vnodes() {
    let mut walk = Walk::new(5);
    let template = walk.map.buckets[0].clone();
    walk.change_buckets(|buckets| {
        let mut single = Bucket {
            id: BucketId::made(2, 7),
            name: "single".to_owned(),
            ..template
        };
        single.props.n = 1;
        single.props.defaults = Default::default();
        buckets.push(single);
    });
    let nodes: Vec<NodeId> = (1..=5).map(NodeId::new).collect();
    let before: Vec<usize> = nodes.iter().map(|&node| vnodes(&walk, node)).collect();
    for &node in &nodes {
        walk.disk_mut(node).fail_reads(true);
        walk.tell_map(node);
    }
    walk.pass(2_000);
    for (&node, &before) in nodes.iter().zip(&before) {
        assert_eq!(
            vnodes(&walk, node),
            before,
            "{node} works under the map before"
        );
        walk.disk_mut(node).fail_reads(false);
    }
    walk.pass(2_000);
    let after: usize = nodes.iter().map(|&node| vnodes(&walk, node)).sum();
    assert!(after > before.iter().sum(), "nobody has taken the map up");
    for &node in &nodes {
        let status = walk.status(node);
        assert!(status.vnodes.iter().all(|vnode| !vnode.damaged), "{node}");
    }
}

fn vnodes(walk: &Walk, node: NodeId) -> usize {
    walk.status(node).vnodes.len()
}
