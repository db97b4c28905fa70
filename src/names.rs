//! Looking up the names of hosts and users in a static binary.
//!
//! glibc reads from `/etc/nsswitch.conf` which modules to load for look-ups. Its own `files` and
//! `dns` are linked in; any other would be loaded from the host's glibc, which may be newer than
//! the one in here, and the process dies. So the two that are here are named outright.

/// Call this first thing in `main`, while there is one thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn use_built_in() {
    use std::ffi::{c_char, c_int};
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // Users: the database driver asks for the process's own, as PostgreSQL's clients do.
    for (database, services) in [
        (c"hosts", c"files dns"),
        (c"passwd", c"files"),
        (c"group", c"files"),
    ] {
        // SAFETY: both strings end with a NUL and live for ever; glibc copies what it needs. No
        // other thread can be looking anything up.
        let failed = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        debug_assert_eq!(failed, 0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn use_built_in() {}
