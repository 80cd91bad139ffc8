//! Accuracy on recorded and simulated data.
