//! Connecting to a cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::dispatch::Shared;
use crate::error::Error;
use crate::net::{Dialer, Pool};
use crate::profile::Profile;
use crate::randomness::Randomness;
use crate::tls::Tls;

/// Gathers what a [`Client`] needs; made by [`Client::builder`].
#[derive(Default)]
pub struct Builder {
    seeds: Vec<String>,
    tls: Option<Tls>,
    profile: Profile,
    endpoint: Option<quinn::Endpoint>,
    randomness: Randomness,
}

impl Builder {
    /// Addresses, `host:port`, of the client ports of some nodes. One that answers is enough: it
    /// knows the others.
    #[must_use]
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds.extend(seeds.into_iter().map(Into::into));
        self
    }

    /// The certificates: [`crate::TlsFiles`] or [`crate::TlsPem`].
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Defaults for all requests.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Time for each request, and for connecting. Part of the profile: set the latter first.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.profile.deadline = Some(deadline);
        self
    }

    /// Uses this endpoint instead of a socket of its own, and draws request ids from `seed`. For
    /// tests over a network in memory, which want the same run again from the same seed.
    ///
    /// Two clients with one seed would give two requests the same id: one of them would be lost.
    #[cfg(feature = "replay")]
    #[must_use]
    pub fn replay(mut self, endpoint: quinn::Endpoint, seed: u64) -> Self {
        self.endpoint = Some(endpoint);
        self.randomness = Randomness::seeded(seed);
        self
    }

    /// Asks all seeds for the cluster map and waits for the first answer.
    ///
    /// # Errors
    /// [`crate::Kind::Fix`] when something given is wrong, or a seed refuses this client's
    /// certificate or shows a wrong one; [`crate::Kind::Retry`] when no seed answers in time.
    pub async fn connect(mut self) -> Result<Client, Error> {
        let tls = self
            .tls
            .ok_or_else(|| Error::fix("no certificates are given: set the builder's tls"))?;
        let deadline = Instant::now() + self.profile.deadline_of(None)?;
        if self.seeds.is_empty() {
            return Err(Error::fix(
                "no seed is given: name the client port of at least one node",
            ));
        }
        let endpoint = self
            .endpoint
            .take()
            .map_or_else(Dialer::open_endpoint, Ok)?;
        let dialer = Dialer::new(endpoint, tls.config()?, self.randomness.draw()?);
        let shared: Arc<Shared> = Shared::connect(
            Pool::new(dialer),
            self.seeds,
            deadline,
            &mut self.randomness,
        )
        .await?;
        Ok(Client::new(shared, self.profile))
    }
}
