//! Integration tests: rule files against their oracles, and alerts against stories told in text.
mod added;
mod builtin;
mod dice;
mod files;
mod histograms;
mod laws;
mod quiet;
mod scenarios;
mod store;
mod story;
mod trial;
