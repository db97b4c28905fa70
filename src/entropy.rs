//! Randomness, from the kernel: for the getrandom library, and so for all that draws in here.
//!
//! The library can be built to ask by a system call, which kernels before 3.17 do not have, or to find
//! out which there is, which a static binary cannot. So it asks here.

#![cfg(getrandom_backend = "custom")]

use std::fs::File;
use std::io::{self, Read};

use getrandom::Error;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// What getrandom calls, of any version from 0.3 on. It is linked by this name.
///
/// # Safety
/// `into` must point to `length` bytes that may be written.
#[allow(unsafe_code)]
// SAFETY: no other function has this name, or the program could not be linked.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(into: *mut u8, length: usize) -> Result<(), Error> {
    // SAFETY: the caller says that these bytes may be written; once they are zeroes they may be read.
    let bytes = unsafe {
        into.write_bytes(0, length);
        std::slice::from_raw_parts_mut(into, length)
    };
    fill(bytes).map_err(|_| Error::new_custom(0))
}

fn fill(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(Errno::INTR) => {}
            // Before Linux 3.17, or where a filter of system calls is as old.
            Err(Errno::NOSYS | Errno::PERM) => {
                return File::open("/dev/urandom")?.read_exact(bytes);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
