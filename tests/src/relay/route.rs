//! Which way a route leads and whom it joins.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A node, by the number that people know it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub u32);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A direction: packets from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Who sends.
    pub from: Label,
    /// Who receives.
    pub to: Label,
}

impl Pair {
    /// The direction from one to the other.
    #[must_use]
    pub const fn new(from: Label, to: Label) -> Self {
        Self { from, to }
    }

    /// The other direction.
    #[must_use]
    pub const fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

/// One place to listen at, and where it leads. Written `1:2=127.0.0.1:7000=127.0.0.1:7100`: node 1
/// reaches node 2 at port 7000, where node 2 listens at port 7100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// From whom to whom the dialling goes; answers go the other way.
    pub pair: Pair,
    /// Where the relay listens.
    pub listen: SocketAddr,
    /// Where the node listens.
    pub target: SocketAddr,
}

/// A text that is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no route: {problem}; write FROM:TO=LISTEN=TARGET, as in 1:2=127.0.0.1:7000=127.0.0.1:7100"
)]
pub struct RouteError {
    text: String,
    problem: String,
}

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: String| RouteError {
            text: text.to_owned(),
            problem,
        };
        let parts: Vec<_> = text.split('=').collect();
        let [labels, listen, target] = parts[..] else {
            return Err(fail(format!("it has {} parts, not 3", parts.len())));
        };
        let (from, to) = labels
            .split_once(':')
            .ok_or_else(|| fail(format!("'{labels}' is no pair of nodes")))?;
        let label = |text: &str| {
            text.parse()
                .map(Label)
                .map_err(|_| fail(format!("'{text}' is no number of a node")))
        };
        let address = |text: &str| {
            text.parse()
                .map_err(|_| fail(format!("'{text}' is no address with a port")))
        };
        let pair = Pair::new(label(from)?, label(to)?);
        if pair.from == pair.to {
            return Err(fail("it joins a node to itself".into()));
        }
        Ok(Self {
            pair,
            listen: address(listen)?,
            target: address(target)?,
        })
    }
}
