//! When an expensive sample is due.

use super::{CPU_BUDGET, own_cpu_time};

/// When an expensive sample is due: its share of the time stays below [`CPU_BUDGET`].
#[derive(Debug, Default)]
pub(super) struct Budget {
    next: f64,
}

impl Budget {
    /// Does `work` if it is due or `anyway`, and calculates when it is due again.
    pub(super) fn spend(&mut self, now: f64, anyway: bool, work: impl FnOnce()) {
        if now < self.next && !anyway {
            return;
        }
        let begin = own_cpu_time();
        work();
        let cost = own_cpu_time().saturating_sub(begin).as_secs_f64();
        self.next = now + cost / CPU_BUDGET;
    }
}
