//! What broke, where it began, and the proof: wires everything and runs it.
