//! The one simulated estate: demo, simulation, benchmarks and tests use it.
