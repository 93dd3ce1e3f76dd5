//! Seeds in which disks are destroyed, and those in which dot logs are so short that they are cut while a node is away: what
//! it lacks then comes page by page.

use quorate_core::Timing;

use super::config::Config;
use super::dice::Dice;

impl Config {
    /// Whether who holds which write is kept account of.
    pub(super) const fn counts_copies(&self) -> bool {
        let turnover = &self.turnover;
        self.faults.destroys() || turnover.forced || turnover.majority_us.is_some()
    }

    /// Whether replicas may be filled with what no log has.
    pub fn fills_by_pages(&self) -> bool {
        let short_logs = self.log_bytes_max < Timing::default().log_bytes_max;
        let refilled = self.turnover.majority_us.is_some();
        // Who is told of a fold that it did not promise is filled.
        let folds = self.fold_actors < Timing::default().fold_actors;
        self.faults.destroys() || short_logs || folds || self.operate_every_us > 0 || refilled
    }
}

/// Makes dot logs so short, in some seeds, that they are cut while a node is away.
pub(super) fn draw_short_logs(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "short logs");
    if dice.chance(150) {
        config.log_bytes_max = dice.between(100, 2_000);
    }
}

/// Lets disks be destroyed in some seeds. A value with a single copy would be lost with its disk: no
/// bucket has less than two copies then.
pub(super) fn draw_destruction(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "destroyed disks");
    if !dice.chance(400) {
        return;
    }
    config.faults.wipe = dice.chance(600);
    config.faults.rewind = dice.chance(500);
    config.faults.damage = dice.chance(600);
    for bucket in &mut config.map.buckets {
        bucket.props.n = bucket.props.n.max(2);
    }
}
