//! Integration tests: rule files against their oracles, and alerts against stories told in text.
mod builtin;
mod files;
mod laws;
mod scenarios;
mod store;
mod story;
