//! Integration tests of the whole: one binary, one module per promise.
mod bad_input;
mod crash;
mod flips;
mod journal;
mod kill;
mod laws;
mod node;
mod sender;
