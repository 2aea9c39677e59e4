//! The ways in which processes talk to each other
