//! The page is part of the binary: build it anew when a file of it changes, comes or goes.

fn main() {
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=build.rs");
}
