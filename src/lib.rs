//! faafo, a fractal render farm in one binary. Everything flows one way:
//! spec in -> row -> task -> pixels -> row -> out.

pub mod api; //      HTTP: routes, errors, events, pages
pub mod bench; //    how fast this machine renders
pub mod cli; //      the command line: one file a command
pub mod config; //   settings: flags, else environment, else file, else default
mod demo; //         ten fractals for an empty gallery
pub mod events; //   what happens to fractals, for whoever watches
pub mod farm; //     the life of a fractal: row first, then queue, then news
pub mod fractal; //  the domain: specs, limits, status
pub mod leases; //   which tasks are lent, to whom, until when
pub mod lessor; //   lends tasks to workers on other machines
pub mod metrics; //  what a node counts and times, for Prometheus
pub mod names; //    host names in a static binary
pub mod node; //     a running node: what a role starts, and how it stops
pub mod outward; //  HTTP and HTTPS outwards
pub mod queue; //    the hint: tasks to do
pub mod render; //   spec -> PNG, pure and deterministic
pub mod roster; //   who works for the farm
mod running; //      how far the renders are
pub mod store; //    the truth: fractals and images
pub mod tokens; //   who may write, who may deliver
pub mod watched; //  files that are read again when they change
pub mod wire; //     the JSON documents of HTTP v1
pub mod worker; //   take -> render -> deliver
