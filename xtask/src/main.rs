//! Every developer chore: it starts processes and names no crate of ours.
fn main() {}
