//! Foreign bytes to model and back: OTLP, remote write, Alertmanager.
#![no_std]
extern crate alloc;
