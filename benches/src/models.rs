//! The one table of servers, and the forms of them that are compared.

use file_service::Model;
use server_core::launch_from;
use std::ffi::OsString;
use std::process::ExitCode;

/// A server crate: the description of its model, and its `main`.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The model's description.
    pub model: &'static Model,
    /// What the crate's binary does with these arguments, the name of the program not among them.
    pub main: fn(Vec<OsString>) -> ExitCode,
}

/// Every model, in teaching order.
pub const MODELS: &[Entry] = &[
    Entry {
        model: &iterative_server::MODEL,
        main: |args| launch_from(&iterative_server::MODEL, args, iterative_server::run),
    },
    Entry {
        model: &fork_server::MODEL,
        main: |args| launch_from(&fork_server::MODEL, args, fork_server::run),
    },
    Entry {
        model: &thread_server::MODEL,
        main: |args| launch_from(&thread_server::MODEL, args, thread_server::run),
    },
    Entry {
        model: &pool_server::MODEL,
        main: |args| launch_from(&pool_server::MODEL, args, pool_server::run),
    },
    Entry {
        model: &coroutine_server::MODEL,
        main: |args| launch_from(&coroutine_server::MODEL, args, coroutine_server::run),
    },
    Entry {
        model: &event_server::MODEL,
        main: |args| launch_from(&event_server::MODEL, args, event_server::run),
    },
    Entry {
        model: &async_server::MODEL,
        main: |args| launch_from(&async_server::MODEL, args, async_server::run),
    },
    Entry {
        model: &uring_server::MODEL,
        main: |args| launch_from(&uring_server::MODEL, args, uring_server::run),
    },
];

/// The model of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODELS.iter().find(|entry| entry.model.name == name)
}

/// A model with the options that make it one form of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The name in tables: the model's for its default form, `model:form` for another.
    pub label: &'static str,
    /// The model's name in [`MODELS`].
    pub model: &'static str,
    /// The options of this form.
    pub options: &'static [&'static str],
    /// Whether it serves many clients that stay connected. One that does not has "-" in the tables
    /// wherever clients outnumber what it holds.
    pub many: bool,
}

/// How many clients fit below descriptor 1,024, where the sets of select end, whatever else is open.
const BELOW_FD_SETSIZE: usize = 900;

impl Variant {
    /// Whether this is the form that a model has without options.
    pub fn is_default(&self) -> bool {
        self.options.is_empty()
    }

    /// The most clients that it serves at once if they stay connected. A preforked child serves one.
    pub fn capacity(&self) -> usize {
        if self.many {
            return usize::MAX;
        }
        if self.options.contains(&"select") {
            return BELOW_FD_SETSIZE;
        }
        let children = self.options.iter().skip_while(|option| **option != "--prefork").nth(1);
        children.and_then(|number| number.parse().ok()).unwrap_or(1)
    }

    /// Whether `name` is its label, or its label without `_server`.
    pub fn is_called(&self, name: &str) -> bool {
        self.label == name || self.label.replacen("_server", "", 1) == name
    }
}

const fn form(
    label: &'static str,
    model: &'static str,
    options: &'static [&'static str],
    many: bool,
) -> Variant {
    Variant { label, model, options, many }
}

/// Every form of every model, in the order of [`MODELS`], the default form first.
#[rustfmt::skip]
pub const VARIANTS: &[Variant] = &[
    form("iterative_server",       "iterative_server", &[],                             false),
    form("fork_server",            "fork_server",      &[],                             true),
    form("fork_server:signalfd",   "fork_server",      &["--reap", "signalfd"],         true),
    form("fork_server:ignore",     "fork_server",      &["--reap", "ignore"],           true),
    form("fork_server:double-fork","fork_server",      &["--reap", "double-fork"],      true),
    form("fork_server:prefork",    "fork_server",      &["--prefork", "64"],            false),
    form("fork_server:prefork-lock","fork_server",     &["--prefork", "64", "--accept", "lock"], false),
    form("fork_server:prefork-pass","fork_server",     &["--prefork", "64", "--accept", "pass"], false),
    form("thread_server",          "thread_server",    &[],                             true),
    form("pool_server",            "pool_server",      &[],                             true),
    form("pool_server:steal",      "pool_server",      &["--pool", "steal"],            true),
    form("pool_server:rayon",      "pool_server",      &["--pool", "rayon"],            true),
    form("pool_server:connection", "pool_server",      &["--dispatch", "connection"],   false),
    form("coroutine_server",       "coroutine_server", &[],                             true),
    form("coroutine_server:processes", "coroutine_server", &["--processes", "2"],       true),
    form("event_server",           "event_server",     &[],                             true),
    form("event_server:edge",      "event_server",     &["--trigger", "edge"],          true),
    form("event_server:poll",      "event_server",     &["--poller", "poll"],           true),
    form("event_server:select",    "event_server",     &["--poller", "select"],         false),
    form("async_server",           "async_server",     &[],                             true),
    form("async_server:current",   "async_server",     &["--flavor", "current-thread"], true),
    form("uring_server",           "uring_server",     &[],                             true),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn model_names_are_unique() {
        let names: BTreeSet<_> = MODELS.iter().map(|entry| entry.model.name).collect();
        assert_eq!(names.len(), MODELS.len());
    }

    #[test]
    fn variants_cover_all_models() {
        let labels: BTreeSet<_> = VARIANTS.iter().map(|variant| variant.label).collect();
        assert_eq!(labels.len(), VARIANTS.len());
        let defaults: Vec<_> = VARIANTS.iter().filter(|c| c.is_default()).collect();
        let names: Vec<_> = defaults.iter().map(|variant| variant.label).collect();
        assert_eq!(names, MODELS.iter().map(|entry| entry.model.name).collect::<Vec<_>>());
        for variant in VARIANTS {
            assert!(find(variant.model).is_some(), "{}", variant.label);
            assert!(variant.label.starts_with(variant.model), "{}", variant.label);
        }
    }

    #[test]
    fn variant_is_found_by_short_name() {
        let called = |name| VARIANTS.iter().find(|c| c.is_called(name)).map(|c| c.label);
        assert_eq!(called("pool"), Some("pool_server"));
        assert_eq!(called("pool:steal"), Some("pool_server:steal"));
        assert_eq!(called("pool_server:steal"), Some("pool_server:steal"));
        assert_eq!(called("pond"), None);
    }

    #[test]
    fn capacity_of_variants() {
        let capacity = |label| VARIANTS.iter().find(|c| c.label == label).map(Variant::capacity);
        assert_eq!(capacity("iterative_server"), Some(1));
        assert_eq!(capacity("fork_server:prefork-lock"), Some(64));
        assert_eq!(capacity("event_server:select"), Some(900));
        assert_eq!(capacity("fork_server"), Some(usize::MAX));
    }
}
