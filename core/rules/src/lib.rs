//! Rule groups, alert states and templates.
#![no_std]
extern crate alloc;
