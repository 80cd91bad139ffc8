//! Verdicts on simulated estates, on written scenes, and on evidence that means harm.
mod estate;
mod golden;
mod hostile;
mod laws;
mod learned;
mod missing;
mod shares;
mod strengths;
