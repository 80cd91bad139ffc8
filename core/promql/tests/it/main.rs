//! Integration tests: the language against its oracles, and the laws of streams.
mod conformance;
mod corpus;
mod prometheus;
mod random;
mod ranges;
mod remarks;
mod script;
mod store;
mod stream;
mod syntax;
