//! Integration tests of the whole: one binary, one module per promise.
mod bad_input;
mod crash;
mod flips;
mod history;
mod journal;
mod kill;
mod laws;
mod node;
mod real_alerts;
mod real_machine;
mod real_prometheus;
mod real_script;
mod real_sdk;
mod real_tools;
mod segments;
mod sender;
mod starting;
