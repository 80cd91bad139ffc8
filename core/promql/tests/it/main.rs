//! Integration tests: the language against its oracles, and the laws of streams.
mod corpus;
mod syntax;
