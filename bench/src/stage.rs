//! A cluster to measure, and who writes to it.

use std::time::Duration;

use quorate_client::Profile;
use quorate_tests::process::{self, Cluster, Programs};

use crate::failure::Failure;
use crate::load::Loader;
use crate::workload::Workload;

/// The bucket that every cluster starts with.
const BUCKET: &str = "default";
/// What a request may take while nodes are stopped and started beside it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Starts nodes, and gives them so many clients. `sloppy`: whether fallbacks stand in; `None`: as the bucket says.
///
/// # Errors
/// The cluster does not start.
pub(crate) async fn stage(
    programs: &Programs,
    (nodes, partitions): (usize, u32),
    sloppy: Option<bool>,
    (workload, clients): (Workload, usize),
) -> Result<(Cluster, Loader), Failure> {
    let settings = process::Settings {
        nodes,
        partitions,
        ..process::Settings::default()
    };
    let cluster = Cluster::start(programs, &settings).await?;
    let profile = Profile {
        deadline: Some(DEADLINE),
        sloppy,
        ..Profile::default()
    };
    let loader = Loader {
        bucket: cluster.client().with_profile(profile).bucket(BUCKET),
        workload,
        clients,
    };
    Ok((cluster, loader))
}
