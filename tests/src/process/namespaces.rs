//! A network namespace for each node, joined by a bridge: links that the system itself cuts.
//!
//! For root, where `ip` is there and the system allows it. Everything carries this process's number in its
//! name and is removed with the value.

use std::net::Ipv4Addr;
use std::process::Command;

use super::{Index, Trouble};

/// The namespaces of one cluster.
#[derive(Debug)]
pub struct Namespaces {
    tag: u32,
    nodes: usize,
}

impl Namespaces {
    /// Whether this machine can have any.
    #[must_use]
    pub fn available() -> bool {
        rustix::process::geteuid().is_root() && Self::create(1).is_ok()
    }

    /// Makes a bridge with an address of this machine, and a namespace for each node.
    ///
    /// # Errors
    /// Something of that was refused; what was made is removed.
    pub fn create(nodes: usize) -> Result<Self, Trouble> {
        let made = Self {
            tag: std::process::id(),
            nodes,
        };
        let bridge = made.bridge();
        let ours = format!("{}/24", made.place(1));
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &ours, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for node in 0..nodes {
            made.join(node)?;
        }
        Ok(made)
    }

    fn join(&self, node: Index) -> Result<(), Trouble> {
        let (space, outside) = (self.space(node), self.outside(node));
        let address = format!("{}/24", self.address(node));
        ip(&["netns", "add", &space])?;
        let pair = ["link", "add", &outside, "type", "veth", "peer", "name"];
        ip(&[&pair[..], &["eth0", "netns", &space]].concat())?;
        ip(&["link", "set", &outside, "master", &self.bridge(), "up"])?;
        ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, node: Index) -> Ipv4Addr {
        self.place(u8::try_from(node + 10).unwrap_or(u8::MAX))
    }

    /// What runs a program in a node's namespace.
    #[must_use]
    pub fn wrapper(&self, node: Index) -> Vec<String> {
        let words = ["ip", "netns", "exec"].map(str::to_owned);
        words.into_iter().chain([self.space(node)]).collect()
    }

    /// Takes a node off the network, or brings it back.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn set_link(&self, node: Index, up: bool) -> Result<(), Trouble> {
        let state = if up { "up" } else { "down" };
        ip(&["link", "set", &self.outside(node), state])
    }

    /// Keeps one node from sending to another, or lets it again.
    ///
    /// # Errors
    /// `ip` refuses to block.
    pub fn set_blocked(&self, from: Index, to: Index, blocked: bool) -> Result<(), Trouble> {
        let route = format!("{}/32", self.address(to));
        let space = self.space(from);
        let route = |action| ip(&["-n", &space, "route", action, "blackhole", &route]);
        if blocked {
            return route("replace");
        }
        // What blocked twice is freed once.
        let _ = route("del");
        Ok(())
    }

    /// Ends all faults of links.
    ///
    /// # Errors
    /// `ip` refuses to bring a link up.
    pub fn heal(&self) -> Result<(), Trouble> {
        for node in 0..self.nodes {
            self.set_link(node, true)?;
            for other in (0..self.nodes).filter(|&other| other != node) {
                self.set_blocked(node, other, false)?;
            }
            // Where there is no packet filter there is nothing to flush.
            let mut flush = Command::new("ip");
            flush.args(["netns", "exec", &self.space(node), "iptables", "-F"]);
            let _ = flush.output();
        }
        Ok(())
    }

    /// Lets so many of a hundred packets from one node to another vanish. False where the system has no
    /// means for that.
    #[must_use]
    pub fn set_loss(&self, from: Index, to: Index, percent: u32, on: bool) -> bool {
        let probability = format!("0.{:02}", percent.min(99));
        let address = self.address(to).to_string();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(from), "iptables"]);
        command.args([if on { "-A" } else { "-D" }, "OUTPUT", "-d", &address]);
        command.args(["-m", "statistic", "--mode", "random"]);
        command.args(["--probability", &probability, "-j", "DROP"]);
        command.output().is_ok_and(|output| output.status.success())
    }

    fn place(&self, last: u8) -> Ipv4Addr {
        let third = u8::try_from(self.tag % 250).unwrap_or(0);
        Ipv4Addr::new(10, 213, third, last)
    }

    fn bridge(&self) -> String {
        format!("qb{}", self.tag)
    }

    fn outside(&self, node: Index) -> String {
        format!("qv{}-{node}", self.tag)
    }

    fn space(&self, node: Index) -> String {
        format!("quorate-{}-{node}", self.tag)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Whatever was not made cannot be removed, and need not be.
        for node in 0..self.nodes {
            let _ = ip(&["link", "del", &self.outside(node)]);
            let _ = ip(&["netns", "del", &self.space(node)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

fn ip(words: &[&str]) -> Result<(), Trouble> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(Trouble::io("ip"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Trouble::Made(format!(
            "ip {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}
