//! Setting up: certificates, addresses, server processes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quorate_client::provision::{ClusterSpec, NewCluster, NodeSpec};
use quorate_node::net::{NetSettings, bare_endpoint, bind};
use quorate_node::tls::{Tls, TlsFiles};
use quorate_protocol::map;
use quorate_ring::PartitionCount;
use quorate_tests::process::{Ports, Trouble, free_ports, write_pem};

use super::link::{Links, Member};
use super::store::Store;
use super::{Broken, CLIENT, MEMBERS, SERVERS};

/// The hidden command of this program that serves.
pub const SERVE: &str = "floor-server";
/// As nodes have it whose cluster is made for a measurement.
const CACHE_BYTES: usize = 32 << 20;
/// Of the cluster that certificates are made for: any number.
const PARTITIONS: u32 = 64;
/// A line for each member: its id, and where it listens.
const MEMBERS_FILE: &str = "members";

/// The servers' processes. Dropped, they end.
pub(super) struct Servers(Vec<Child>);

impl Servers {
    /// Starts them in `dir`, which holds all their files.
    pub(super) fn start(program: &Path, dir: &Path) -> Result<Self, Broken> {
        provision(dir)?;
        let mut servers = Self(Vec::new());
        for me in 0..SERVERS {
            let mut command = Command::new(program);
            command.arg(SERVE).arg(dir).arg(me.to_string());
            // They end when this pipe does: with this process at the latest.
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let child = command.spawn();
            servers
                .0
                .push(child.map_err(|source| Broken::io(program, source))?);
        }
        Ok(servers)
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Links a server with the others, and opens its database.
pub(super) async fn join_as_server(dir: &Path, me: usize) -> Result<(Links, Store), Broken> {
    let store = Store::open(&dir.join(name(me)).with_extension("db"), CACHE_BYTES)?;
    Ok((join(dir, me).await?, store))
}

/// Links the client with all servers.
pub(super) async fn join_as_client(dir: &Path) -> Result<Links, Broken> {
    join(dir, CLIENT).await
}

/// A server dials those behind it and waits for those before it and for the client, which dials all.
async fn join(dir: &Path, me: usize) -> Result<Links, Broken> {
    let members = read_members(dir)?;
    let own = members.get(me).ok_or(Broken::Foreign)?;
    let file = |name: String| dir.join(name);
    let tls = Tls::load(TlsFiles {
        authority: file("ca.pem".to_owned()),
        certificate: file(format!("{}.pem", name(me))),
        key: file(format!("{}.key", name(me))),
    })?;
    let endpoint = bare_endpoint(bind(own.address)?, &tls, &NetSettings::default())?;
    let (dialled, accepted) = if me == CLIENT {
        (&members[..SERVERS], 0)
    } else {
        (&members[me + 1..SERVERS], me + 1)
    };
    Links::join(endpoint, me, dialled, accepted).await
}

fn provision(dir: &Path) -> Result<(), Broken> {
    let ports = free_ports(MEMBERS)?;
    let partitions = PartitionCount::new(PARTITIONS);
    let partitions = partitions.map_err(|error| Trouble::Made(error.to_string()))?;
    let listens = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let node = |(place, ports): (usize, &Ports)| NodeSpec {
        name: name(place),
        peers: vec![listens(ports.peer).to_string()],
        clients: vec![listens(ports.client).to_string()],
        zone: Default::default(),
        weight: Default::default(),
    };
    let made = ClusterSpec {
        name: "floor".to_owned(),
        partitions,
        copies: 3,
        nodes: ports.iter().enumerate().map(node).collect(),
    }
    .create()?;
    write_pem(&dir.join("ca"), &made.authority.issued())?;
    for (name, issued) in &made.nodes {
        write_pem(&dir.join(name), issued)?;
    }
    let file = dir.join(MEMBERS_FILE);
    fs::write(&file, members_text(&made)).map_err(|source| Broken::io(&file, source))
}

fn members_text(made: &NewCluster) -> String {
    let mut members: Vec<_> = made.map.members.iter().collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    let line =
        |member: &&map::Member| format!("{} {}\n", member.id, member.peer_addresses.join(" "));
    members.iter().map(line).collect()
}

fn read_members(dir: &Path) -> Result<Vec<Member>, Broken> {
    let file: PathBuf = dir.join(MEMBERS_FILE);
    let text = fs::read_to_string(&file).map_err(|source| Broken::io(&file, source))?;
    let member = |line: &str| {
        let (id, address) = line.split_once(' ')?;
        Some(Member {
            id: id.parse().ok()?,
            address: address.parse().ok()?,
        })
    };
    let members: Option<Vec<_>> = text.lines().map(member).collect();
    members
        .filter(|members| members.len() == MEMBERS)
        .ok_or(Broken::Foreign)
}

fn name(place: usize) -> String {
    format!("m{place}")
}
