//! A cluster's files before any process runs: what `quorate cluster create` and `quorate-node init`
//! leave, and each node's configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_client::provision::{ClusterSpec, Issued, NewCluster, NodeSpec};
use quorate_client::{NodeId, TlsFiles};
use quorate_protocol::map_file;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::PartitionCount;

use super::{Ports, Programs, Trouble, free_ports};

/// What differs from test to test.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Members.
    pub nodes: usize,
    /// Partitions.
    pub partitions: u32,
    /// Lines added to the top of every node's configuration.
    pub lines: String,
    /// Whether links between nodes lead through a relay.
    pub relayed: bool,
    /// Whether each node runs on a [`super::Shim`].
    pub shims: bool,
    /// Whether each node has a network namespace of its own; not together with a relay.
    pub namespaces: bool,
    /// Where each node listens; this machine's own address for those that are not named.
    pub hosts: Vec<Ipv4Addr>,
}

impl Settings {
    fn host(&self, node: usize) -> Ipv4Addr {
        self.hosts.get(node).copied().unwrap_or(Ipv4Addr::LOCALHOST)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 5,
            partitions: 64,
            lines: String::new(),
            relayed: false,
            shims: false,
            namespaces: false,
            hosts: Vec::new(),
        }
    }
}

/// The files of a cluster, below one directory.
pub struct Provisioned {
    /// The directory.
    pub dir: PathBuf,
    /// What was made.
    pub made: NewCluster,
    /// Each node's ports, in the order of their names `n1`, `n2`, ...
    pub ports: Vec<Ports>,
    /// The ids of nodes that came later.
    pub(super) joined: BTreeMap<usize, NodeId>,
    settings: Settings,
}

impl Provisioned {
    /// Makes everything below `dir`, data directories included.
    ///
    /// # Errors
    /// The settings cannot be kept, a file cannot be written, or `quorate-node init` fails.
    pub fn create(dir: &Path, programs: &Programs, settings: &Settings) -> Result<Self, Trouble> {
        let ports = free_ports(settings.nodes)?;
        let made = spec(settings, &ports)?
            .create()
            .map_err(|error| Trouble::Made(error.to_string()))?;
        let files = Self {
            dir: dir.to_owned(),
            made,
            ports,
            joined: BTreeMap::new(),
            settings: settings.clone(),
        };
        files.write_shared()?;
        for index in 0..files.ports.len() {
            files.write_node(index, &BTreeMap::new())?;
            files.init(index, programs)?;
        }
        Ok(files)
    }

    /// The directory of a node's own files.
    #[must_use]
    pub fn node_dir(&self, index: usize) -> PathBuf {
        self.dir.join(name(index))
    }

    /// A node's id.
    ///
    /// # Errors
    /// There is no such node.
    pub fn id(&self, index: usize) -> Result<NodeId, Trouble> {
        let member = self
            .made
            .map
            .members
            .iter()
            .find(|member| member.name == name(index));
        member
            .map(|member| member.id)
            .or_else(|| self.joined.get(&index).copied())
            .ok_or_else(|| Trouble::Made(format!("there is no node {index}")))
    }

    /// Where clients find the certificates of `clients/NAME`.
    #[must_use]
    pub fn tls(&self, client: &str) -> TlsFiles {
        let file = |name: String| self.dir.join(name);
        TlsFiles {
            ca: file("ca.pem".to_owned()),
            cert: file(format!("{client}.pem")),
            key: file(format!("{client}.key")),
        }
    }

    /// The client ports of all nodes.
    #[must_use]
    pub fn seeds(&self) -> Vec<String> {
        let seed = |(node, ports): (usize, &Ports)| {
            format!("{}:{}", self.settings.host(node), ports.client)
        };
        self.ports.iter().enumerate().map(seed).collect()
    }

    fn write_shared(&self) -> Result<(), Trouble> {
        let made = &self.made;
        write(
            &self.dir.join("cluster.map"),
            map_file::encode(&VersionedMap::created(made.map.clone(), 0)),
        )?;
        let secret: String = made
            .secret
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write(&self.dir.join("secret"), secret)?;
        write_pem(&self.dir.join("ca"), &made.authority.issued())?;
        write_pem(&self.dir.join("admin"), &made.admin)
    }

    /// Writes a node's configuration and certificates; `peers` replaces addresses of the map.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_node(
        &self,
        index: usize,
        peers: &BTreeMap<NodeId, String>,
    ) -> Result<(), Trouble> {
        let dir = self.node_dir(index);
        let issued = self
            .made
            .nodes
            .iter()
            .find(|(node, _)| *node == name(index));
        let (_, issued) =
            issued.ok_or_else(|| Trouble::Made(format!("there is no node {index}")))?;
        write_pem(&dir.join("node"), issued)?;
        self.write_configuration(index, peers)
    }

    /// Writes a node's configuration; `peers` replaces addresses of the map.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write_configuration(
        &self,
        index: usize,
        peers: &BTreeMap<NodeId, String>,
    ) -> Result<(), Trouble> {
        let mut text = configuration(
            self.settings.host(index),
            self.ports[index],
            &self.settings.lines,
        );
        text.push_str("\n[peer_addresses]\n");
        for (node, address) in peers {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{node} = \"{address}\"");
        }
        write(&self.node_dir(index).join("node.toml"), text)
    }

    /// Makes a node's data directory.
    ///
    /// # Errors
    /// `quorate-node init` refuses; its words are in the error.
    pub fn init(&self, index: usize, programs: &Programs) -> Result<(), Trouble> {
        self.init_from(index, &self.dir.join("cluster.map"), programs)
    }

    /// As [`Self::init`], from that version of the map.
    ///
    /// # Errors
    /// As there.
    pub(super) fn init_from(
        &self,
        index: usize,
        map: &Path,
        programs: &Programs,
    ) -> Result<(), Trouble> {
        let output = Command::new(&programs.node)
            .arg("init")
            .arg("--dir")
            .arg(self.node_dir(index).join("data"))
            .arg("--map")
            .arg(map)
            .args(["--node", &self.id(index)?.to_string()])
            .output()
            .map_err(Trouble::io("quorate-node init"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(Trouble::Made(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ))
        }
    }
}

/// The name of a node by its place, from 0.
pub(super) fn name(index: usize) -> String {
    format!("n{}", index + 1)
}

fn spec(settings: &Settings, ports: &[Ports]) -> Result<ClusterSpec, Trouble> {
    let node = |(index, ports): (usize, &Ports)| NodeSpec {
        name: name(index),
        peers: vec![format!("{}:{}", settings.host(index), ports.peer)],
        clients: vec![format!("{}:{}", settings.host(index), ports.client)],
        zone: Default::default(),
        weight: Default::default(),
    };
    let partitions = PartitionCount::new(settings.partitions)
        .map_err(|error| Trouble::Made(error.to_string()))?;
    let nodes = ports.iter().enumerate().map(node).collect();
    Ok(ClusterSpec {
        name: "tested".to_owned(),
        partitions,
        copies: 3,
        nodes,
    })
}

/// A small cache: many nodes share this machine's memory.
fn configuration(host: Ipv4Addr, ports: Ports, lines: &str) -> String {
    format!(
        "data_dir = \"data\"\n\
         listen_peer = \"{host}:{}\"\n\
         listen_client = \"{host}:{}\"\n\
         secret_file = \"../secret\"\n\
         cache_mb = 32\n\
         {lines}\n\
         [tls]\n\
         ca = \"../ca.pem\"\n\
         cert = \"node.pem\"\n\
         key = \"node.key\"\n",
        ports.peer, ports.client
    )
}

/// Writes `PATH.pem` and `PATH.key`.
///
/// # Errors
/// The file system refuses.
pub fn write_pem(path: &Path, issued: &Issued) -> Result<(), Trouble> {
    write(&path.with_extension("pem"), &issued.cert)?;
    write(&path.with_extension("key"), &issued.key)
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Trouble> {
    let named = || path.display().to_string();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Trouble::io(named()))?;
    }
    fs::write(path, content).map_err(Trouble::io(named()))
}
