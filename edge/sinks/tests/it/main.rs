//! Sinks against receivers: a fake Alertmanager on a manual clock, the real one, and pipes.
mod alertmanager;
mod client;
mod fake;
mod ledger;
mod real;
mod stdout;
