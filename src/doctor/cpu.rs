//! What the processor has that rendering makes use of.

use super::Finding;
use crate::render;

const CPU: &str = "processor";

pub fn check() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let path = render::Path::chosen().to_string();
    let says = format!("{cores} cores, rendering with {path}");
    match cfg!(target_arch = "x86_64") && path == "portable" {
        true => Finding::note(
            CPU,
            format!("{says}: AVX2 would be several times as fast"),
            "unset FAAFO_SIMD, or give the virtual machine its host's processor, as in `-cpu host`",
        ),
        false => Finding::ok(CPU, says),
    }
}
