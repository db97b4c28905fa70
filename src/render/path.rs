//! Which vector instructions to use: the widest that this processor has, or the one that the
//! environment variable `FAAFO_SIMD` names, for tests and benchmarks.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::canvas::Canvas;
use super::sieve::{self, Run};
#[cfg(target_arch = "x86_64")]
use super::simd::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::simd::avx512::Avx512;
use super::simd::portable::Portable;
use super::{RenderError, limit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Whatever the target has at least: SSE2 on x86-64, NEON on 64-bit ARM.
    Portable,
    Avx2,
    Avx512,
}

impl Path {
    const ALL: [Path; 3] = [Path::Portable, Path::Avx2, Path::Avx512];

    /// The paths this processor can go, the best one last.
    pub fn available() -> Vec<Path> {
        let paths = Path::ALL.into_iter();
        paths.filter(|path| path.is_available()).collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("popcnt");
        match self {
            Path::Portable => true,
            Path::Avx2 => avx2,
            Path::Avx512 => avx2 && is_x86_feature_detected!("avx512f"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Path::Portable
    }

    /// The path that this process goes.
    pub fn chosen() -> Path {
        static CHOSEN: LazyLock<Path> = LazyLock::new(|| {
            let available = Path::available();
            let forced = std::env::var("FAAFO_SIMD")
                .ok()
                .and_then(|name| name.parse().ok());
            forced
                .filter(|path| available.contains(path))
                .or_else(|| available.last().copied())
                .unwrap_or(Path::Portable)
        });
        *CHOSEN
    }

    /// [`sieve::follow`] with this path's instructions.
    #[allow(unsafe_code)]
    pub fn follow<C: Canvas>(
        self,
        run: &Run<'_>,
        pixels: usize,
        canvas: &mut C,
    ) -> Result<(), RenderError> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 if self.is_available() => {
                // SAFETY: the processor has what the function needs, says the line above.
                unsafe { avx512(run, pixels, canvas) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 if self.is_available() => {
                // SAFETY: as above.
                unsafe { avx2(run, pixels, canvas) }
            }
            _ => sieve::follow::<C, Portable, 1, 2>(run, pixels, canvas),
        }
    }

    /// [`limit::measure`] with this path's instructions, the best of what registers allow.
    #[allow(unsafe_code)]
    pub fn limit(self, steps: u64) -> f64 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 if self.is_available() => {
                // SAFETY: the processor has what the function needs, says the line above.
                unsafe { avx512_limit(steps) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 if self.is_available() => {
                // SAFETY: as above.
                unsafe { avx2_limit(steps) }
            }
            _ => limit::measure::<Portable, 4>(steps).max(limit::measure::<Portable, 2>(steps)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,bmi1,popcnt")]
fn avx512<C: Canvas>(run: &Run<'_>, pixels: usize, canvas: &mut C) -> Result<(), RenderError> {
    sieve::follow::<C, Avx512, 6, 6>(run, pixels, canvas)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,bmi1,popcnt")]
fn avx512_limit(steps: u64) -> f64 {
    limit::measure::<Avx512, 6>(steps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn avx2<C: Canvas>(run: &Run<'_>, pixels: usize, canvas: &mut C) -> Result<(), RenderError> {
    sieve::follow::<C, Avx2, 3, 6>(run, pixels, canvas)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn avx2_limit(steps: u64) -> f64 {
    limit::measure::<Avx2, 4>(steps).max(limit::measure::<Avx2, 6>(steps))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Path::Portable => "portable",
            Path::Avx2 => "avx2",
            Path::Avx512 => "avx512",
        })
    }
}

impl FromStr for Path {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let mut paths = Path::ALL.into_iter();
        paths.find(|path| path.to_string() == name).ok_or(())
    }
}
