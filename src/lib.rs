//! faafo, a fractal render farm in one binary. Everything flows one way:
//! spec in -> row -> task -> pixels -> row -> out.

pub mod animation; // fractals along a path, and what they are called
pub mod api; //      HTTP: routes, errors, events, pages
mod apng; //         many pictures in one PNG file that moves
pub mod autoscale; // as many workers as what waits takes
pub mod backup; //   a farm in one file, and back
pub mod bench; //    how fast this machine renders
pub mod cli; //      the command line: one file a command
pub mod config; //   settings: flags, else environment, else file, else default
mod crews; //        nodes tell each other who works at them
mod demo; //         ten fractals for an empty gallery
pub mod digest; //   SHA-256, in digits
pub mod doctor; //   what keeps a farm from working, and what mends it
mod entropy; //      randomness in a static binary
pub mod events; //   what happens to fractals, for whoever watches
pub mod farm; //     the life of a fractal: row first, then queue, then news
pub mod fractal; //  the domain: specs, limits, status
pub mod history; //  what the farm did in the last hour
pub mod leases; //   which tasks are lent, to whom, until when
pub mod lessor; //   lends tasks to workers on other machines
pub mod log; //      what the log looks like, and how much is in it
mod memory; //       how much of it there may be
pub mod metrics; //  what a node counts and times, for Prometheus
pub mod names; //    host names in a static binary
pub mod node; //     a running node: what a role starts, and how it stops
pub mod outward; //  HTTP and HTTPS outwards
pub mod provision; // onto an OpenStack cloud
pub mod queue; //    the hint: tasks to do
pub mod render; //   spec -> PNG, pure and deterministic
pub mod roster; //   who works for the farm, here and at other nodes
mod running; //      how far the renders are
pub mod service; //  what a service manager gives and is told
pub mod store; //    the truth: fractals and images
pub mod studio; //   small pictures while somebody waits: threads of their own, a cache
pub mod tokens; //   who may write, who may deliver
pub mod version; //  what this binary is
pub mod watched; //  files that are read again when they change
pub mod wire; //     the JSON documents of HTTP v1
pub mod worker; //   take -> render -> deliver
mod zip; //          many images in one file
