//! Alerts and anomalies into incidents.
#![no_std]
extern crate alloc;
