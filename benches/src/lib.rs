//! The comparison of all models on real files over real sockets
