//! The table at the end of a storm.

use std::fmt;
use std::time::Duration;

use super::inject::Made;
use super::plan::Fault;
use super::verdict::Verdict;

/// What a storm did and what came of it.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// From the first operation to the last.
    pub length: Duration,
    /// Operations that ended ok.
    pub ok: u64,
    /// Those that were certainly not carried out.
    pub failed: u64,
    /// Those of which nobody knows.
    pub in_doubt: u64,
    /// Listings of a whole bucket.
    pub listings: u64,
    /// Keys that were used.
    pub keys: usize,
    /// How long operations took that ended ok, in order, microseconds.
    pub took_us: Vec<u32>,
    /// How often each error came.
    pub errors: Vec<(&'static str, u64)>,
    /// Bytes of the history.
    pub history_bytes: usize,
    /// What was done to the cluster.
    pub made: Made,
    /// From the last fault to the agreement of all replicas; `None`: never.
    pub converged: Result<Duration, String>,
    /// What the judges say.
    pub verdict: Verdict,
}

impl Report {
    /// Operations.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.ok + self.failed + self.in_doubt
    }

    /// Operations in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.operations() as f64 / self.length.as_secs_f64().max(0.001)
    }

    /// Whether it came to rest and no promise was broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.converged.is_ok() && self.verdict.violations.is_empty()
    }

    fn quantile(&self, permille: usize) -> Duration {
        let at = self.took_us.len().saturating_sub(1) * permille / 1000;
        Duration::from_micros(self.took_us.get(at).copied().unwrap_or(0).into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed         {}", self.seed)?;
        writeln!(
            f,
            "operations   {}: {} ok, {} failed, {} in doubt, over {} keys; {} listings",
            self.operations(),
            self.ok,
            self.failed,
            self.in_doubt,
            self.keys,
            self.listings
        )?;
        writeln!(
            f,
            "rate         {:.0} a second for {:.0?}; history {} KiB",
            self.rate(),
            self.length,
            self.history_bytes >> 10
        )?;
        writeln!(
            f,
            "latency      median {:.1?}, p99 {:.1?}, p99.9 {:.1?}",
            self.quantile(500),
            self.quantile(990),
            self.quantile(999)
        )?;
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "errors       {}", errors.join(", "))?;
        for (kind, name) in Fault::KINDS.iter().enumerate() {
            let (made, skipped) = (self.made.made[kind], self.made.skipped[kind]);
            if made + skipped > 0 {
                writeln!(f, "fault        {name}: {made}{}", left_out(skipped))?;
            }
        }
        if let Some(bytes) = self.verdict.flipped {
            writeln!(
                f,
                "fault        damaged tables, at the end: {bytes} bytes; {} reads at r=2 were refused after it",
                self.verdict.refused
            )?;
        }
        for ended in &self.made.ended {
            writeln!(f, "ended        {ended}")?;
        }
        match &self.converged {
            Ok(took) => writeln!(f, "converged    {took:.1?} after the last fault")?,
            Err(why) => writeln!(f, "converged    never: {why}")?,
        }
        write!(
            f,
            "violations   {} ({} last reads)",
            self.verdict.violations.len(),
            self.verdict.reads
        )
    }
}

fn left_out(skipped: u32) -> String {
    if skipped == 0 {
        String::new()
    } else {
        format!(" ({skipped} skipped: this machine lacks the means)")
    }
}
