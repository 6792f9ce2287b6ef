//! The `changehook` command.

fn main() {}
