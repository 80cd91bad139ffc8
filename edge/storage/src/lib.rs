//! Journal segments, ledger tiles, checkpoints and cursors on disk.
