//! When an expensive sample is due.

use super::{CPU_BUDGET, own_cpu_time};

/// When an expensive sample is due: its share of the time stays below [`CPU_BUDGET`].
#[derive(Debug, Default)]
pub(super) struct Budget {
    next: f64,
    distance: f64,
    /// How many threads the tree had.
    size: u64,
}

impl Budget {
    /// Does `work` if it is due or `anyway`, and reckons when it will be due again. `settled` is the size of
    /// a tree that stands still: if it is another than last time, a tenth of the usual distance will do.
    pub(super) fn spend(
        &mut self,
        now: f64,
        anyway: bool,
        settled: Option<u64>,
        work: impl FnOnce(),
    ) {
        let other = settled.is_some_and(|size| size.abs_diff(self.size) > self.size / 10);
        let due = if other { self.next - 0.9 * self.distance } else { self.next };
        if now < due && !anyway {
            return;
        }
        self.size = settled.unwrap_or(self.size);
        let begin = own_cpu_time();
        work();
        let cost = own_cpu_time().saturating_sub(begin).as_secs_f64();
        self.distance = cost / CPU_BUDGET;
        self.next = now + self.distance;
    }
}
