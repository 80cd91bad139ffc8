//! The PromQL language: parse, evaluate at an instant, compile to a stream.
#![no_std]
extern crate alloc;
