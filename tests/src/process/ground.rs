//! What a cluster's nodes stand on: the relay between them, the shims below them, their namespaces.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::relay::{Label, Pair, Relay, Route};

use super::{Index, Namespaces, Provisioned, Settings, Shim, Trouble};

/// The settings with the addresses of the namespaces, if there are any.
pub(super) fn located(settings: &Settings, namespaces: Option<&Namespaces>) -> Settings {
    let mut settings = settings.clone();
    if let Some(namespaces) = namespaces {
        let hosts = (0..settings.nodes).map(|node| namespaces.address(node));
        settings.hosts = hosts.collect();
    }
    settings
}

/// Through what a node is started.
pub(super) fn wrapper(namespaces: Option<&Namespaces>, node: Index) -> Vec<String> {
    namespaces.map_or_else(Vec::new, |namespaces| namespaces.wrapper(node))
}

/// One shim for each node, where they are wanted and can be made.
pub(super) fn shims(files: &Provisioned, settings: &Settings) -> Result<Vec<Shim>, Trouble> {
    if !settings.shims {
        return Ok(Vec::new());
    }
    let Some(library) = Shim::build(&files.dir)? else {
        return Ok(Vec::new());
    };
    (0..settings.nodes)
        .map(|index| Shim::new(&library, &files.node_dir(index).join("orders")))
        .collect()
}

/// Leads every link between two nodes through a relay, whichever side dials.
pub(super) async fn route_through_relay(files: &Provisioned) -> Result<Relay, Trouble> {
    let label = |index: Index| Label(u32::try_from(index + 1).unwrap_or(u32::MAX));
    let all = 0..files.ports.len();
    let others = |from: Index| all.clone().filter(move |&to| to != from);
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let route = |from: Index, to: Index| Route {
        pair: Pair::new(label(from), label(to)),
        listen: local(0),
        target: local(files.ports[to].peer),
    };
    let routes = all
        .clone()
        .flat_map(|from| others(from).map(move |to| route(from, to)));
    let relay = Relay::start(routes.collect(), 1)
        .await
        .map_err(Trouble::io("the relay"))?;
    for from in all.clone() {
        let mut peers = BTreeMap::new();
        for to in others(from) {
            if let Some(address) = relay.addresses().get(&Pair::new(label(from), label(to))) {
                peers.insert(files.id(to)?, address.to_string());
            }
        }
        files.write_node(from, &peers)?;
    }
    Ok(relay)
}
