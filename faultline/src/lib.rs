//! What broke, where it began, and the proof: wires everything and runs it.
//!
//! The loop is [`world::turn`]; everything else brings records to it or carries away what it decided.
pub mod ahead;
mod answers;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod demo;
pub mod diff_state;
pub mod explainer;
mod import;
pub mod keeper;
pub mod keys;
pub mod ledger_feed;
pub mod outputs;
pub mod ports;
pub mod published;
pub mod quarantine;
pub mod recaller;
mod recent;
pub mod release;
pub mod render;
pub mod replay;
pub mod replayed;
pub mod replies;
pub mod reviser;
pub mod rule_files;
pub mod rules;
pub mod run;
mod seals;
pub mod show;
pub mod stages;
pub mod start;
pub mod tiles;
pub mod verify;
pub mod why;
pub mod world;
