use std::time::Duration;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wait {
    /// Until it is done.
    #[default]
    Forever,
    /// For this time, then [`Error::TimedOut`](crate::Error::TimedOut). Signals do not prolong it.
    AtMost(Duration),
    /// Not at all: [`Error::WouldBlock`](crate::Error::WouldBlock) if it cannot be done at once.
    Never,
}
