//! The ring: one queue of submissions, one of completions, and the buffers for what arrives.

use io_uring::squeue::{self, Flags};
use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How many submissions fit between two calls of the kernel; beyond it there is one call more.
const SUBMISSIONS: u32 = 512;

/// How many completions may wait to be taken; beyond it the kernel keeps a list, which is slower.
const COMPLETIONS: u32 = 4096;

/// How many buffers there are for what arrives, for all clients. A power of two.
const ARRIVALS: u16 = 256;

/// Their size in bytes: the longest line of the file protocol.
const ARRIVAL_SIZE: usize = 4096;

/// The one group of buffers that there is.
const GROUP: u16 = 0;

/// One queue of submissions, one of completions. Belongs to one thread.
pub(crate) struct Ring {
    // Dropped first: with the ring the kernel lets go of the buffers.
    ring: IoUring,
    arrivals: Arrivals,
    batch: Vec<cqueue::Entry>,
}

/// A shared buffer with what a completion of [`Ring::receive_into_any`] has brought.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    buffer: u16,
    count: usize,
}

impl Arrival {
    pub(crate) fn of(completion: &cqueue::Entry) -> Option<Arrival> {
        let buffer = cqueue::buffer_select(completion.flags())?;
        let count = usize::try_from(completion.result()).unwrap_or(0).min(ARRIVAL_SIZE);
        Some(Arrival { buffer, count })
    }
}

/// Bytes that the kernel reads or writes, by address: the owner keeps them where they are, and alone,
/// until the completion has come.
#[derive(Clone, Copy)]
pub(crate) struct Span(pub(crate) *mut u8, pub(crate) usize);

impl Ring {
    /// A ring for the calling thread.
    ///
    /// # Errors
    ///
    /// The kernel refuses it, or is too old; the text says which.
    pub(crate) fn new() -> io::Result<Ring> {
        let ring = set_up().map_err(refusal)?;
        check(&ring)?;
        let arrivals = Arrivals::new();
        // SAFETY: `arrivals.entries` is a page-aligned array of ARRIVALS entries. It is freed by the drop of
        // `arrivals`, which comes after that of `ring` in both places where they live: here and in `Ring`.
        let registered = unsafe {
            let entries = arrivals.entries.as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(entries, ARRIVALS, GROUP, 0)
        };
        registered.map_err(|_| too_old("rings of buffers (Linux 5.19)"))?;
        Ok(Ring { ring, arrivals, batch: Vec::new() })
    }

    /// Hands all submissions to the kernel and waits for a completion, at most for `timeout` if there is one:
    /// one system call.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let outcome = match timeout {
            Some(Duration::ZERO) => submitter.submit(),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
            None => submitter.submit_and_wait(1),
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up; a signal; or completions must be taken before more can be submitted.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes all completions that have come. To be given back by [`Ring::taken`].
    pub(crate) fn take(&mut self) -> Vec<cqueue::Entry> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.extend(self.ring.completion());
        batch
    }

    pub(crate) fn taken(&mut self, mut batch: Vec<cqueue::Entry>) {
        batch.clear();
        self.batch = batch;
    }

    /// Accepts connections from now on, one completion each, until a completion says that there will be no
    /// more.
    pub(crate) fn accept(&mut self, listener: RawFd, tag: u64) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: an accept without an address takes no memory.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// Receives into whichever shared buffer is free when bytes come: while nothing comes, none
    /// is taken. With `stream` again and again, one completion each, until a completion says that there will
    /// be no more.
    pub(crate) fn receive_into_any(
        &mut self,
        socket: RawFd,
        stream: bool,
        tag: u64,
    ) -> io::Result<()> {
        let entry = match stream {
            true => opcode::RecvMulti::new(Fd(socket), GROUP).build(),
            false => opcode::Recv::new(Fd(socket), std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT),
        };
        // SAFETY: the memory is the kernel's choice among `arrivals`, which live as long as the ring.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// Receives into `span`.
    ///
    /// # Safety
    ///
    /// Nobody reads, writes or frees `span` before the completion has come.
    pub(crate) unsafe fn receive(&mut self, socket: RawFd, span: Span, tag: u64) -> io::Result<()> {
        let entry = opcode::Recv::new(Fd(socket), span.0, length(span)).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// Sends `span`, or as much of it as goes.
    ///
    /// # Safety
    ///
    /// Nobody writes or frees `span` before the completion has come.
    pub(crate) unsafe fn send(&mut self, socket: RawFd, span: Span, tag: u64) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.push(&[sending(socket, span, tag)]) }
    }

    /// Waits until something can be sent.
    pub(crate) fn wait_for_room(&mut self, socket: RawFd, tag: u64) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(socket), libc::POLLOUT as u32).build();
        // SAFETY: a poll takes no memory.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// Fills `room` from `file` and then sends `span`, at the end of which `room` is. There is *one*
    /// completion: the send's, or the read's if that brought less than the room takes, and then nothing is
    /// sent.
    ///
    /// # Safety
    ///
    /// Nobody reads, writes or frees `span` before the completion has come.
    pub(crate) unsafe fn read_and_send(
        &mut self,
        (file, offset): (RawFd, u64),
        room: Span,
        read_tag: u64,
        socket: RawFd,
        span: Span,
        send_tag: u64,
    ) -> io::Result<()> {
        // A request that skips its completion when it succeeds posts it when it fails, and then those that
        // are linked behind it post none.
        let read = opcode::Read::new(Fd(file), room.0, length(room))
            .offset(offset)
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
            .user_data(read_tag);
        // SAFETY: the caller's promise.
        unsafe { self.push(&[read, sending(socket, span, send_tag)]) }
    }

    /// Reads a number from an eventfd when there is one.
    ///
    /// # Safety
    ///
    /// Nobody reads, writes or frees `number` before the completion has come.
    pub(crate) unsafe fn read_event(
        &mut self,
        event: RawFd,
        number: *mut u64,
        tag: u64,
    ) -> io::Result<()> {
        let entry = opcode::Read::new(Fd(event), number.cast(), size_of::<u64>() as u32).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// Orders the end of what was submitted with the tag `of`; it completes all the same.
    pub(crate) fn cancel(&mut self, of: u64, tag: u64) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(of).build();
        // SAFETY: a cancellation takes no memory.
        unsafe { self.push(&[entry.user_data(tag)]) }
    }

    /// What has arrived.
    pub(crate) fn bytes(&self, arrival: Arrival) -> &[u8] {
        let start = self.arrivals.buffer(arrival.buffer);
        // SAFETY: `start` begins ARRIVAL_SIZE bytes, and `count` is no more. The kernel has named this buffer
        // in a completion, and writes to it no more until it is given back, which takes the arrival and
        // `self` mutably.
        unsafe { std::slice::from_raw_parts(start, arrival.count) }
    }

    /// Lets the kernel have the buffer again.
    pub(crate) fn release(&mut self, arrival: Arrival) {
        self.arrivals.give(arrival.buffer);
    }

    /// Queues what belongs together; the kernel is called only if there is no room.
    ///
    /// # Safety
    ///
    /// Memory that the entries name stays valid, and with nobody else, until they have completed.
    unsafe fn push(&mut self, entries: &[squeue::Entry]) -> io::Result<()> {
        loop {
            // SAFETY: the caller's promise; the descriptors are checked by the kernel.
            if unsafe { self.ring.submission().push_multiple(entries) }.is_ok() {
                return Ok(());
            }
            self.turn(Some(Duration::ZERO))?;
        }
    }
}

fn length(span: Span) -> u32 {
    u32::try_from(span.1).unwrap_or(u32::MAX)
}

fn sending(socket: RawFd, span: Span, tag: u64) -> squeue::Entry {
    let entry = opcode::Send::new(Fd(socket), span.0, length(span));
    entry.flags(libc::MSG_NOSIGNAL).build().user_data(tag)
}

/// A ring that one thread uses, and that works for it only when that thread asks for completions. Where
/// the kernel knows that not yet (before 6.1), a plain one.
fn set_up() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_cqsize(COMPLETIONS).setup_clamp();
    let plain = builder.clone();
    builder.setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    builder.build(SUBMISSIONS).or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => plain.build(SUBMISSIONS),
        _ => Err(error),
    })
}

fn check(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|_| too_old("a probe (Linux 5.6)"))?;
    let operations = [
        (opcode::AcceptMulti::CODE, "ACCEPT"),
        (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
        (opcode::PollAdd::CODE, "POLL_ADD"),
        (opcode::Read::CODE, "READ"),
        (opcode::Recv::CODE, "RECV"),
        (opcode::Send::CODE, "SEND"),
        // Not used, but as old as what is and cannot be asked for.
        (opcode::SendZc::CODE, "RECV with many completions (Linux 6.0)"),
    ];
    if let Some((_, name)) = operations.iter().find(|(code, _)| !probe.is_supported(*code)) {
        return Err(too_old(name));
    }
    let params = ring.params();
    for (has, name) in [
        (params.is_feature_nodrop(), "completions that are never lost (Linux 5.5)"),
        (params.is_feature_fast_poll(), "waiting without threads (Linux 5.7)"),
        (params.is_feature_ext_arg(), "a time limit for waiting (Linux 5.11)"),
        (params.is_feature_skip_cqe_on_success(), "completions left out (Linux 5.17)"),
    ] {
        if !has {
            return Err(too_old(name));
        }
    }
    Ok(())
}

fn too_old(lacks: &str) -> io::Error {
    io::Error::other(format!(
        "this kernel's io_uring is too old, it lacks {lacks}; take another model"
    ))
}

/// In the words of somebody who can do something about it.
fn refusal(error: io::Error) -> io::Error {
    let text = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring, or a seccomp filter hides it; take another model"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here, by the sysctl kernel.io_uring_disabled or by a seccomp filter as \
             containers have one; allow it, or take another model"
        }
        Some(libc::ENOMEM) => {
            "no memory for io_uring; raise the limit on locked memory (ulimit -l)"
        }
        _ => return io::Error::new(error.kind(), format!("io_uring cannot be set up: {error}")),
    };
    io::Error::new(error.kind(), text)
}

/// Buffers of which the kernel takes one when bytes have come for somebody.
///
/// The kernel reads a ring of entries in memory that is shared with it; an entry says where a buffer is.
struct Arrivals {
    entries: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    tail: u16,
}

const PAGE: usize = 4096;

fn entries_layout() -> Layout {
    let size = usize::from(ARRIVALS) * size_of::<BufRingEntry>();
    Layout::from_size_align(size, PAGE).expect("a small size")
}

fn bytes_layout() -> Layout {
    Layout::from_size_align(usize::from(ARRIVALS) * ARRIVAL_SIZE, PAGE).expect("a small size")
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the size of both layouts is not zero: ARRIVALS and ARRIVAL_SIZE are not.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Arrivals {
    fn new() -> Arrivals {
        let entries = allocate(entries_layout()).cast();
        let mut arrivals = Arrivals { entries, bytes: allocate(bytes_layout()), tail: 0 };
        (0..ARRIVALS).for_each(|buffer| arrivals.give(buffer));
        arrivals
    }

    fn buffer(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < ARRIVALS, "a buffer that was never given to the kernel");
        // SAFETY: within the allocation of ARRIVALS times ARRIVAL_SIZE bytes, by the line above.
        unsafe { self.bytes.as_ptr().add(usize::from(buffer) * ARRIVAL_SIZE) }
    }

    fn give(&mut self, buffer: u16) {
        let address = self.buffer(buffer);
        let at = usize::from(self.tail & (ARRIVALS - 1));
        // SAFETY: `at` is less than ARRIVALS. No more than ARRIVALS buffers are with the kernel, so it has
        // read this entry before. The tail is in the first entry, at the field that an entry does not use.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(at);
            entry.set_addr(address as u64);
            entry.set_len(ARRIVAL_SIZE as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries.as_ptr());
            // Release: the kernel sees the entry before it sees that there is one more.
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // SAFETY: allocated with these layouts. The ring is closed by now, and nothing was under way when it
        // was: a server that cannot promise that is not dropped (`Server::run`).
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout());
            dealloc(self.bytes.as_ptr(), bytes_layout());
        }
    }
}
