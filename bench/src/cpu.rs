//! CPU time of processes, as the system counts it.

use std::fs;
use std::time::Duration;

use quorate_tests::process::Trouble;
use rustix::time::{ClockId, clock_gettime};

/// Clock ticks in a second, the unit of times in `/proc`: fixed where Linux speaks to programs.
const TICKS: u64 = 100;

/// How exact the CPU time of one process between two looks is: two figures are cut to ticks, twice.
pub(crate) const CPU_STEP: Duration = Duration::from_millis(2 * 1000 / TICKS);

/// User and system time of a process.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Trouble> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(Trouble::io(&path))?;
    cpu_of(&text).ok_or_else(|| Trouble::Made(format!("{path} has no times: {text}")))
}

/// Of several processes together.
pub(crate) fn cpu_of_all(pids: &[u32]) -> Result<Duration, Trouble> {
    pids.iter().map(|&pid| cpu(pid)).sum()
}

/// User and system time of this process: what `getrusage` says, but not in ticks.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Fields 14 and 15. The second one is the program's name, in brackets, and may hold anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let sum = ticks()? + ticks()?;
    Some(Duration::from_millis(sum * 1000 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_program_is_called() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 500 0 0 0 123 45 6 7 20 0 8 0 100 1 2";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(cpu_of("42 (node) S 1"), None);
    }

    #[test]
    fn own_time_grows_with_work() {
        let before = own_cpu();
        let work = (0..3_000_000_u64).fold(0, |sum: u64, one| sum.rotate_left(1) ^ one);
        assert!(own_cpu() > before, "{work}");
    }
}
