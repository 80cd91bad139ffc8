//! The world as traits: disk, clock, inlet, retry and bounded queues; the only std::fs and std::time.
