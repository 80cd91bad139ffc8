//! Inference against independent answers: brute force, published references, and laws that need no oracle.
mod brute;
mod exact;
mod joints;
mod laws;
mod random;
mod reference;
mod refused;
mod session;
mod solver;
mod twin;
mod uai;
