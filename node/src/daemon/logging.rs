//! Log lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::Config;
#[cfg(feature = "rocksdb")]
use crate::config::LogFormat;

use super::DaemonError;

/// Reads the configured filter.
pub(super) fn filter(config: &Config) -> Result<EnvFilter, DaemonError> {
    EnvFilter::try_new(&config.log_filter).map_err(|error| DaemonError::LogFilter {
        filter: config.log_filter.clone(),
        problem: error.to_string(),
    })
}

/// Starts logging, once for the process.
#[cfg(feature = "rocksdb")]
pub(super) fn start(config: &Config) -> Result<(), DaemonError> {
    let filter = filter(config)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Standard error may be closed early: a lost line is no reason to end.
        .log_internal_errors(false);
    // It fails only where a subscriber is set already, as by a test around this.
    let _ = match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
