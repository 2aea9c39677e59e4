//! The thread of a pool: starts workers, hands out jobs, and replaces workers that end.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;

use super::PoolOptions;
use super::error::PoolError;
use super::shared::Shared;
use super::worker_process::WorkerProcess;
use crate::error::{Error, Result};
use crate::sys::{pause, timespec};

/// How often in a row a worker may end without having taken a job, before its slot is retired.
const MAX_FAILURES: u32 = 5;

/// The pause before the second such replacement; it doubles. The first comes at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two starts that a shortage prevents.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a program that sent no hello has to do.
const WORKER_HINT: &str = "a worker calls ipc::process::Worker::serve, or speaks the frames of ipc::process::frame over its standard input";

/// Whether the same start may succeed later: something was short, and nothing was wrong.
fn is_shortage(error: &Error) -> bool {
    use Errno::{EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETXTBSY};
    matches!(error.errno(), Some(EAGAIN | EMFILE | ENFILE | ENOBUFS | ENOMEM | ETXTBSY))
}

/// The supervisor of a pool, and all that only its thread touches.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    options: PoolOptions,
    slots: Vec<WorkerSlot>,
    /// Whether a worker of this pool has ever sent its hello.
    greeted: bool,
    /// Whether there are jobs, in the queue or in hand.
    has_jobs: bool,
}

/// The slot of one worker process, and of its successors.
struct WorkerSlot {
    name: String,
    state: SlotState,
    /// Workers that ended in a row here without having taken a job.
    failures: u32,
    /// Starts in a row here that a shortage prevented. While there are any, the next one waits for a job.
    shortages: u32,
}

impl WorkerSlot {
    /// When a worker is to be started here.
    fn restart_at(&self, has_jobs: bool) -> Option<Instant> {
        match self.state {
            SlotState::Restarting(at) if has_jobs || self.shortages == 0 => Some(at),
            _ => None,
        }
    }
}

enum SlotState {
    Running(Box<WorkerProcess>),
    /// To be started again at this moment.
    Restarting(Instant),
    /// Given up, or no longer needed.
    Retired,
}

/// The events of one slot in a round.
struct SlotEvent {
    index: usize,
    /// The process has ended.
    ended: bool,
    /// The socket can be read.
    readable: bool,
}

impl SlotEvent {
    /// Asks without `poll`. Reading does not wait, so it may as well be tried.
    fn look(index: usize, slot: &WorkerSlot) -> Self {
        let ended = matches!(&slot.state, SlotState::Running(worker) if !worker.process.is_alive().unwrap_or(true));
        Self { index, ended, readable: true }
    }
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>, options: PoolOptions) -> Self {
        Self { shared, options, slots: Vec::new(), greeted: false, has_jobs: false }
    }

    /// Runs the pool to its end. Reports once whether the workers could be started.
    pub(super) fn run(mut self, report: &SyncSender<Result<()>>) {
        // Signals are for the threads of the program.
        let _ = SigSet::all().thread_block();
        for number in 1..=self.options.workers {
            let name = format!("{}/{number}", self.shared.name);
            match self.spawn(&name) {
                Ok(state) => {
                    self.slots.push(WorkerSlot { name, state, failures: 0, shortages: 0 });
                }
                Err(error) => {
                    // Before the report, so that none is left when the caller reads it.
                    self.slots.clear();
                    let _ = report.send(Err(error));
                    return;
                }
            }
        }
        self.publish_workers();
        let _ = report.send(Ok(()));
        while self.run_once() {}
    }

    fn spawn(&self, name: &str) -> Result<SlotState> {
        WorkerProcess::start(name, &self.options).map(|worker| SlotState::Running(Box::new(worker)))
    }

    /// One round: hand out jobs, advance each slot, wait for events. Returns whether another round follows.
    fn run_once(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.terminated {
            return false;
        }
        for slot in &mut self.slots {
            let SlotState::Running(worker) = &mut slot.state else { continue };
            if worker.is_idle() {
                let Some(chunk) = state.queue.pop_front() else { break };
                worker.assign(chunk);
            }
        }
        // While a worker has jobs, they may come back to the queue and need another worker.
        let busy = |slot: &WorkerSlot| matches!(&slot.state, SlotState::Running(worker) if worker.has_jobs());
        self.has_jobs = !state.queue.is_empty() || self.slots.iter().any(busy);
        let draining = state.closed && !self.has_jobs;
        drop(state);
        for index in 0..self.slots.len() {
            self.step(index, draining);
        }
        if self.slots.iter().all(|slot| matches!(slot.state, SlotState::Retired)) {
            return false;
        }
        self.wait();
        true
    }

    /// Advances one slot as far as can be done without waiting: writes, drains or starts its worker.
    fn step(&mut self, index: usize, draining: bool) {
        let now = Instant::now();
        let slot = &mut self.slots[index];
        match &mut slot.state {
            SlotState::Running(worker) => {
                worker.write();
                if draining {
                    worker.drain(now);
                }
                worker.check_deadline(now);
            }
            SlotState::Restarting(_) if draining => slot.state = SlotState::Retired,
            SlotState::Restarting(_) => {
                if slot.restart_at(self.has_jobs).is_some_and(|at| at <= now) {
                    self.restart(index);
                }
            }
            SlotState::Retired => {}
        }
    }

    /// Starts a worker in a slot that had one, or decides when to try again.
    fn restart(&mut self, index: usize) {
        let name = self.slots[index].name.clone();
        let started = self.spawn(&name);
        let slot = &mut self.slots[index];
        match started {
            Ok(state) => {
                slot.state = state;
                slot.shortages = 0;
                if self.slots.iter().all(|slot| slot.shortages == 0) {
                    self.shared.lock().shortage = None;
                }
                self.publish_workers();
            }
            Err(error) if is_shortage(&error) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << slot.shortages.min(10));
                slot.shortages += 1;
                slot.state = SlotState::Restarting(Instant::now() + pause.min(LONGEST_PAUSE));
                self.shared.lock().shortage = Some(error.to_string());
            }
            Err(error) => self.retire(index, &error.to_string()),
        }
    }

    /// Waits until something happens, and deals with it.
    fn wait(&mut self) {
        let events = self.poll().unwrap_or_else(|| {
            // No memory, or RLIMIT_NOFILE is below the number of descriptors polled. Looks at each in turn, and
            // pauses, since it would otherwise be busy.
            pause(FIRST_PAUSE);
            let running = self.slots.iter().enumerate();
            running.map(|(index, slot)| SlotEvent::look(index, slot)).collect()
        });
        for SlotEvent { index, ended, readable } in events {
            let slot = &mut self.slots[index];
            let SlotState::Running(worker) = &mut slot.state else { continue };
            // What it sent before it ended counts.
            if (readable || ended) && worker.read() {
                slot.failures = 0;
            }
            self.greeted |= worker.has_sent_hello();
            if ended {
                self.reap(index);
            }
        }
    }

    /// Waits for a wake-up, an event at a worker, or the next deadline. `None` when the kernel does not poll.
    fn poll(&mut self) -> Option<Vec<SlotEvent>> {
        let mut deadlines = Vec::new();
        let mut polled_slots = Vec::new();
        let mut polled = vec![PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN)];
        for (index, slot) in self.slots.iter().enumerate() {
            match &slot.state {
                SlotState::Running(worker) => {
                    deadlines.extend(worker.deadline);
                    polled_slots.push((index, worker.is_connected()));
                    polled.push(PollFd::new(worker.process.as_fd(), PollFlags::POLLIN));
                    // Left out when disconnected: the end of a stream is an event for ever.
                    if worker.is_connected() {
                        let mut events = PollFlags::POLLIN;
                        events.set(PollFlags::POLLOUT, worker.wants_to_write());
                        polled.push(PollFd::new(worker.socket.as_fd(), events));
                    }
                }
                SlotState::Restarting(_) => deadlines.extend(slot.restart_at(self.has_jobs)),
                SlotState::Retired => {}
            }
        }
        let next = deadlines.iter().min();
        let timeout = next.map(|next| timespec(next.saturating_duration_since(Instant::now())));
        match ppoll(&mut polled, timeout, None) {
            Err(Errno::EINTR) => return Some(Vec::new()), // the next round computes what is left of the time
            result => result.ok()?,
        };
        let mut ready = polled.iter().map(|one| one.any().unwrap_or(true));
        let woken = ready.next().unwrap_or(false);
        let mut next_ready = || ready.next().unwrap_or(false);
        let events = polled_slots
            .iter()
            .map(|&(index, connected)| SlotEvent {
                index,
                ended: next_ready(),
                readable: connected && next_ready(),
            })
            .collect();
        if woken {
            let _ = self.shared.wake.read();
        }
        Some(events)
    }

    /// Takes a worker that has ended out of its slot, and reports the job that it had begun.
    fn reap(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let state = std::mem::replace(&mut slot.state, SlotState::Retired);
        let SlotState::Running(worker) = state else { return };
        let remains = worker.reap();
        if remains.took_job {
            slot.failures = 0;
            slot.state = SlotState::Restarting(Instant::now());
        }
        if !remains.jobs.is_empty() {
            self.shared.lock().queue.push_front(remains.jobs);
        }
        if !remains.took_job && !remains.draining {
            let reason = if remains.silent {
                let timeout = self.options.start_timeout;
                format!("it sent no hello within {timeout:?} and was killed; {WORKER_HINT}")
            } else if remains.greeted {
                remains.reason
            } else {
                format!("it sent no hello: {}; {WORKER_HINT}", remains.reason)
            };
            if remains.silent && !self.greeted {
                self.retire(index, &reason);
            } else {
                self.restart_or_retire(index, &reason);
            }
        }
        self.publish_workers();
    }

    /// Decides when, and whether, a worker is started again in a slot whose worker ended without a job.
    fn restart_or_retire(&mut self, index: usize, reason: &str) {
        let slot = &mut self.slots[index];
        slot.failures += 1;
        if slot.failures < MAX_FAILURES {
            let pause = match slot.failures {
                0 | 1 => Duration::ZERO,
                more => FIRST_PAUSE * 2_u32.pow(more - 2),
            };
            slot.state = SlotState::Restarting(Instant::now() + pause);
        } else {
            self.retire(index, reason);
        }
    }

    /// Starts no worker in this slot any more. If it was the last one, every job fails for `reason`.
    fn retire(&mut self, index: usize, reason: &str) {
        self.slots[index].state = SlotState::Retired;
        self.slots[index].shortages = 0;
        if self.slots.iter().any(|slot| !matches!(slot.state, SlotState::Retired)) {
            return;
        }
        let error = PoolError::NoWorkers {
            pool: self.shared.name.clone(),
            worker: self.slots[index].name.clone(),
            reason: reason.to_owned(),
        };
        let mut state = self.shared.lock();
        for job in state.queue.drain(..).flatten() {
            job.complete(Err(error.clone()));
        }
        state.failure = Some(error);
    }

    fn publish_workers(&self) {
        let workers = self.slots.iter().filter_map(|slot| match &slot.state {
            SlotState::Running(worker) => {
                Some((worker.process.name().to_owned(), worker.process.pid()))
            }
            _ => None,
        });
        self.shared.lock().workers = workers.collect();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // All are killed before the first is waited for.
        for slot in &self.slots {
            if let SlotState::Running(worker) = &slot.state {
                let _ = worker.process.kill();
            }
        }
        self.slots.clear();
        let mut state = self.shared.lock();
        state.closed = true;
        state.finished = true;
        state.workers.clear();
        // Completes what is left.
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
        self.shared.finished.notify_all();
    }
}
