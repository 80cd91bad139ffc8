//! Integration tests: the language against its oracles, and the laws of streams.
mod conformance;
mod corpus;
mod prometheus;
mod ranges;
mod remarks;
mod stream;
mod syntax;
