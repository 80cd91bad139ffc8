//! The targets, one file each.
pub mod api;
pub mod bif;
pub mod codec;
pub mod decode;
pub mod explain;
pub mod journal;
pub mod ledger;
pub mod promql;
pub mod recent;
pub mod restore;
pub mod rules;
pub mod step;
pub mod stores;
pub mod template;
pub mod tsdb;
