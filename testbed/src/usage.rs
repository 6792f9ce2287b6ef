//! What a process has used so far, as the kernel counts it (Linux).

use std::time::Duration;

use crate::error::{Context as _, Error, Result};

/// Of one process, threads included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, in user and kernel mode.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_kib: u64,
    /// The most resident memory it ever had.
    pub peak_kib: u64,
}

/// What the process has used so far.
pub fn of(pid: u32) -> Result<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).context(format!("failed to read {path}"))
    };
    let status = read("status")?;
    let rss_kib = kib(&status, "VmRSS:")?;
    let peak_kib = kib(&status, "VmHWM:")?;
    // SAFETY: sysconf touches no memory.
    let ticks_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| Error::new(format!("failed to read the CPU time of {pid}")))?;
    let cpu = Duration::from_secs_f64(ticks as f64 / ticks_a_second.max(1) as f64);
    Ok(Usage { cpu, rss_kib, peak_kib })
}

fn kib(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Error::new(format!("failed to find {field} of a process")))
}

/// Fields 14 and 15; counted from the last parenthesis, because the name in parentheses may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(42));
    }

    #[test]
    fn this_process_has_memory() {
        let usage = of(std::process::id()).unwrap();
        assert!(usage.rss_kib > 0 && usage.peak_kib >= usage.rss_kib);
    }
}
