//! The API's behaviour through its router, without a socket.
mod bounds;
mod changes;
mod feedback;
mod golden;
mod merge;
mod query;
mod recent;
mod served;
mod whole;
