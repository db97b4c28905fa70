//! The process itself, looked up at the scrape.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

use super::{Part, table};

#[derive(Debug)]
pub struct Process {
    started: SystemTime,
}

impl Default for Process {
    fn default() -> Self {
        Process {
            started: SystemTime::now(),
        }
    }
}

impl Part for Process {
    fn register(&self, registry: &mut Registry) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        table::BUILD.register(registry, Info::new(version));
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = ConstGauge::new(started.as_secs_f64());
        table::PROCESS_START_TIME.register(registry, started);
        table::PROCESS_CPU.register(registry, ConstCounter::new(cpu_seconds()));
        if let Some(bytes) = resident_bytes() {
            table::PROCESS_RESIDENT_MEMORY.register(registry, ConstGauge::new(bytes));
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            let open = open.count().saturating_sub(1) as u64;
            table::PROCESS_OPEN_FDS.register(registry, ConstGauge::new(open));
        }
        if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
            table::PROCESS_MAX_FDS.register(registry, ConstGauge::new(soft));
        }
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
