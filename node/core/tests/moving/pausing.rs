//! A newcomer waits while an operator wants it to, and goes on.

use quorate_protocol::client::Moves;
use quorate_ring::NodeId;

use crate::script::Script;

fn order(script: &mut Script, node: NodeId, pause: bool) {
    let replica = script.world.nodes.get_mut(&node).unwrap().replica.as_mut();
    let order = Moves {
        pause: Some(pause),
        ..Moves::default()
    };
    let (pace, _) = replica.unwrap().order_moves(&order);
    assert_eq!(pace.paused, pause);
}

#[test]
fn a_newcomer_is_not_filled_while_its_node_is_paused_and_is_afterwards() {
    let mut script = Script::new(None, true);
    let (a, b, p, c) = (script.a, script.b, script.p, script.c);
    script.put(b, &[a, p]);
    script.replace(a, c);
    script.adopt(&[a, b, p, c]);
    order(&mut script, c, true);
    script.among(&[a, b, p, c], 20_000);
    assert!(!script.go_on(), "the newcomer said to be complete");
    let replica = script.world.nodes[&c].replica.as_ref().unwrap();
    assert_eq!(replica.status().vnodes[0].holds.keys, 0);
    // What clients write meanwhile it takes all the same.
    script.put(b, &[a, p, c]);
    order(&mut script, c, false);
    script.synced_talk(20_000, &|_, _, _| true);
    assert!(script.go_on(), "the newcomer did not become complete");
    assert_eq!(script.end(), Ok(()));
}

#[test]
fn a_transfer_is_told_of_with_what_is_here_and_what_is_to_come() {
    let mut script = Script::new(None, true);
    let (a, b, p, c) = (script.a, script.b, script.p, script.c);
    script.put(b, &[a, p]);
    script.among(&[a, b, p], 20_000);
    script.replace(a, c);
    script.adopt(&[a, b, p, c]);
    order(&mut script, c, true);
    script.among(&[a, b, p, c], 5_000);
    let replica = script.world.nodes.get_mut(&c).unwrap().replica.as_mut();
    let (_, transfers) = replica.unwrap().order_moves(&Moves::default());
    let [transfer] = transfers[..] else {
        panic!("{transfers:?}");
    };
    assert!(transfer.newcomer);
    assert_eq!((transfer.here.keys, transfer.there.keys), (0, 1));
    assert!(transfer.there.bytes > 0);
}
