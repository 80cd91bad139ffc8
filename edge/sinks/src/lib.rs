//! Decisions out: standard output and Alertmanager v2, from the ledger.
