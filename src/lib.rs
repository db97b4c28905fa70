#![deny(unsafe_code)]
pub mod fractal;
pub mod render;
