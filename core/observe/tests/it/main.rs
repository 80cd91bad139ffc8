//! The graph and the sources on small traces written as text, against figures computed by hand.
mod evidence;
mod laws;
mod measured;
mod resources;
mod series_of_spans;
mod sources;
mod traces;
