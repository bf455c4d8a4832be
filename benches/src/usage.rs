//! What the process has used of the machine, from `/proc/self`.

use std::fs;

/// Ticks of `/proc/self/stat` in a second: a constant of Linux's interface to programs, whatever
/// the kernel's own timer is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of all threads so far, in seconds; zero where there is no `/proc`.
pub fn cpu_s() -> f64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_of(&stat)).unwrap_or(0.0)
}

/// The largest resident size so far, in bytes; zero where there is no `/proc`.
pub fn peak_rss_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| peak_of(&status)).unwrap_or(0)
}

/// The largest resident size of the process `id` so far, in bytes, while it runs.
pub fn peak_rss_of(id: u32) -> Option<u64> {
    peak_of(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

/// Processor time of children that have been waited for, in seconds.
pub fn children_cpu_s() -> f64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| times_of(&stat, 13)).unwrap_or(0.0)
}

/// Fields 14 and 15 (user and system time) of proc_pid_stat(5), counted behind the name, which
/// may hold spaces.
fn cpu_of(stat: &str) -> Option<f64> {
    times_of(stat, 11)
}

/// The sum of two times, the first of them `skip` fields behind the name.
fn times_of(stat: &str, skip: usize) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(skip);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// `VmHWM` of proc_pid_status(5), in kB there.
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194304 500 0 0 0 123 77 0 0 20 0 3 0 1000 0 0";
        assert_eq!(cpu_of(stat), Some(2.0));
    }

    #[test]
    fn the_high_water_mark_is_read_in_bytes() {
        assert_eq!(peak_of("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(peak_of("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(peak_rss_bytes() > 100_000);
    }
}
