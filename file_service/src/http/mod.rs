//! HTTP/1.0 and 1.1 on the port of the file protocol, for browsers and other people's tools.
//!
//! Everything here is a function of bytes: no sockets, no files. [`parse`] reads one request head,
//! [`decide`] and [`decide_put`] weigh its conditions against a file, the functions of `response`
//! write what goes back, and [`page`] and [`json`] show a folder; `origin` judges which pages may write.
//! Who reads and sends all this is the session.
//!
//! The parser is strict on purpose. Two parties that disagree about where a request ends can be
//! played against each other (request smuggling), so whatever is malformed or has two readings is
//! refused and the connection closes; nothing is repaired.

mod conditions;
mod origin;
mod page;
mod request;
mod response;

pub(crate) use conditions::{Decision, decide, decide_put};
pub(crate) use page::{Server, json, page};
pub(crate) use request::{Expect, Method, Parsed, Request, View, is_request_line, parse};
pub(crate) use response::{CONTINUE, document_head, error, file_head, options, stored};
