//! A file system in the test's own process, whose calls are interrupted, stall or come in dribbles.
//!
//! The kernel sends every call on a mounted file as a request to `/dev/fuse` (the kernel's `fuse.rst`, and
//! `include/uapi/linux/fuse.h` for the layouts). [`Fuse`] answers from memory, in one thread. It is mounted in a mount
//! namespace that only the server under test has, so it vanishes with that server. The test alone keeps the device open,
//! and its last close aborts the connection: every call that still waits fails. So a server that is stuck in a call can be
//! killed after, and not before, its [`Fuse`] is dropped; [`FuseServer`] keeps that order, also in a panic.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::ops::Deref;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::{Launch, Root, Server};

/// A kind of call, by its number in the kernel's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call(u32);

#[expect(missing_docs, reason = "the names are those of the kernel's protocol")]
impl Call {
    pub const LOOKUP: Call = Call(1);
    pub const GETATTR: Call = Call(3);
    pub const SETATTR: Call = Call(4);
    pub const READLINK: Call = Call(5);
    pub const SYMLINK: Call = Call(6);
    pub const MKDIR: Call = Call(9);
    pub const UNLINK: Call = Call(10);
    pub const RENAME: Call = Call(12);
    pub const LINK: Call = Call(13);
    pub const OPEN: Call = Call(14);
    pub const READ: Call = Call(15);
    pub const WRITE: Call = Call(16);
    pub const STATFS: Call = Call(17);
    pub const FSYNC: Call = Call(20);
    pub const OPENDIR: Call = Call(27);
    pub const READDIR: Call = Call(28);
    pub const FSYNCDIR: Call = Call(30);
    pub const SETLK: Call = Call(32);
    pub const CREATE: Call = Call(35);
    pub const RENAME2: Call = Call(45);
    pub const TMPFILE: Call = Call(51);

    const FORGET: Call = Call(2);
    const RELEASE: Call = Call(18);
    const INIT: Call = Call(26);
    const RELEASEDIR: Call = Call(29);
    const INTERRUPT: Call = Call(36);
    const DESTROY: Call = Call(38);
    const BATCH_FORGET: Call = Call(42);
}

/// The node of the mounted directory.
const ROOT: u64 = 1;

/// How many calls of a kind go through after those that are interrupted: one system call may need several to succeed.
const PASSES: usize = 4;

/// The longest content of one request, in bytes.
const MAX_WRITE: u32 = 128 * 1024;

/// A served file system in memory. Paths are relative to its root.
pub struct Fuse {
    shared: Arc<Shared>,
    /// Its end stops the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    device: File,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    next: u64,
    /// So many calls of each kind on a file are interrupted, then [`PASSES`] are executed, and so on.
    interruptions: usize,
    /// An interrupted call is executed all the same, as over a network.
    executed: bool,
    /// Only this kind of call is interrupted.
    only: Option<Call>,
    /// How many calls of each kind were made on each file since then.
    made: HashMap<(Call, u64), usize>,
    /// Every kind of call that was.
    kinds: BTreeSet<Call>,
    /// The most bytes that one read or write moves.
    dribble: Option<usize>,
    /// The kinds of calls that get no answer.
    held_kinds: Vec<Call>,
    /// Their requests.
    held: Vec<Vec<u8>>,
    /// The most bytes that a file may have.
    room: Option<usize>,
}

struct Node {
    content: Content,
    links: u32,
    changed: SystemTime,
}

enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
}

/// What a call brings back: its output, nothing at all, or an error.
type Answer = Result<Option<Vec<u8>>, Errno>;

impl Fuse {
    /// An empty file system that is not mounted yet.
    ///
    /// # Errors
    ///
    /// There is no `/dev/fuse`, or it may not be opened.
    pub fn new() -> io::Result<Fuse> {
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let mut state = State { next: ROOT, ..State::default() };
        state.add(Content::Directory(BTreeMap::new()));
        let shared = Arc::new(Shared { device, state: Mutex::new(state) });
        let (stopped, stop) = io::pipe()?;
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || while shared.next_request(&stopped) {})
        };
        Ok(Fuse { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Starts a server whose root is this file system.
    #[track_caller]
    pub fn start(self, launch: Launch) -> FuseServer {
        let root = Arc::new(Root::new());
        let device = self.shared.device.try_clone().expect("a descriptor");
        let launch = launch.root(&root).through(mounting(&root)).stdin(device);
        let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
        FuseServer { files: self, server }
    }

    /// Creates or replaces a file, and the directories above it.
    pub fn write(&self, path: &str, content: impl Into<Vec<u8>>) {
        let mut state = self.shared.lock();
        let node = state.add(Content::File(content.into()));
        let mut components: Vec<_> = path.split('/').collect();
        let name = components.pop().expect("a name");
        let mut directory = ROOT;
        for component in components.iter().map(|component| component.as_bytes()) {
            directory = state.find(directory, component).unwrap_or_else(|_| {
                let created = state.add(Content::Directory(BTreeMap::new()));
                state.set_name(directory, component, created);
                created
            });
        }
        state.set_name(directory, name.as_bytes(), node);
    }

    /// What a file holds, if there is one.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.shared.lock();
        let mut components = path.split('/');
        let node = components
            .try_fold(ROOT, |directory, name| state.find(directory, name.as_bytes()))
            .ok()?;
        match &state.nodes[&node].content {
            Content::File(content) => Some(content.clone()),
            Content::Directory(_) | Content::Link(_) => None,
        }
    }

    /// The paths of all files, links and directories.
    pub fn names(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.shared.lock().collect(ROOT, "", &mut paths);
        paths
    }

    /// Has this many calls of each kind on each file interrupted (EINTR), one after another, then a few executed, and so
    /// on; 0 ends it.
    pub fn interrupt(&self, times: usize) {
        let mut state = self.shared.lock();
        (state.interruptions, state.executed, state.only) = (times, false, None);
        state.kinds.clear();
        state.made.clear();
    }

    /// Has every other call that changes a name executed and reported as interrupted all the same.
    pub fn interrupt_executed(&self) {
        self.interrupt(1);
        self.shared.lock().executed = true;
    }

    /// Has every call of this kind interrupted, without end, and no other.
    pub fn interrupt_all(&self, call: Call) {
        self.interrupt(usize::MAX);
        self.shared.lock().only = Some(call);
    }

    /// The kinds of calls that were interrupted since the last order to do so.
    pub fn interrupted(&self) -> BTreeSet<Call> {
        self.shared.lock().kinds.clone()
    }

    /// Has every read and write move at most this many bytes. A read by `sendfile` must not come short.
    pub fn dribble(&self, bytes: usize) {
        self.shared.lock().dribble = Some(bytes);
    }

    /// Leaves the calls of this kind without an answer, until they are [released](Fuse::release).
    pub fn hold(&self, call: Call) {
        self.shared.lock().held_kinds.push(call);
    }

    /// How many calls wait for an answer.
    pub fn held(&self) -> usize {
        self.shared.lock().held.len()
    }

    /// Answers all calls again.
    pub fn release(&self) {
        let held = {
            let mut state = self.shared.lock();
            state.held_kinds.clear();
            std::mem::take(&mut state.held)
        };
        held.iter().for_each(|request| self.shared.answer(request));
    }

    /// Answers the call that has waited longest, and no other.
    pub fn release_next(&self) {
        let mut state = self.shared.lock();
        if !state.held.is_empty() {
            let request = state.held.remove(0);
            drop(state);
            self.shared.answer(&request);
        }
    }

    /// Lets no file grow beyond this many bytes: the disk is full then.
    pub fn fill_at(&self, bytes: usize) {
        self.shared.lock().room = Some(bytes);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // The device is closed with the last handle to `shared`, this one.
    }
}

/// A server on a [`Fuse`], which ends after its file system has.
pub struct FuseServer {
    /// The file system.
    pub files: Fuse,
    server: Server,
}

impl Deref for FuseServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A command that mounts the device on standard input over `root` and executes what follows. The server does not keep
/// the device.
fn mounting(root: &Root) -> Vec<OsString> {
    const MOUNT: &str = r#"mount -i -t fuse -o fd=0,rootmode=40000,user_id=0,group_id=0 none "$0" &&
        exec "$@" </dev/null"#;
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT];
    let mut wrapper: Vec<OsString> = wrapper.into_iter().map(OsString::from).collect();
    wrapper.push(root.path().into());
    wrapper
}

/// Whether this process may mount a file system of its own in a mount namespace.
pub(crate) fn can_mount() -> bool {
    let Ok(fuse) = Fuse::new() else { return false };
    let Ok(device) = fuse.shared.device.try_clone() else { return false };
    let root = Root::new();
    let wrapper = mounting(&root);
    let mut command = Command::new(&wrapper[0]);
    command.args(&wrapper[1..]).arg("true");
    command.stdin(device).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

// ---- The kernel's protocol ----

/// Takes fixed fields and names off a request.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        self.bytes(4).try_into().map_or(0, u32::from_ne_bytes)
    }

    fn u64(&mut self) -> u64 {
        self.bytes(8).try_into().map_or(0, u64::from_ne_bytes)
    }

    fn name(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        let name = self.bytes(end);
        self.bytes(1);
        name
    }
}

/// Appends fixed fields to an answer.
#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    fn u32(mut self, values: &[u32]) -> Output {
        self.0.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        self
    }

    fn u64(mut self, values: &[u64]) -> Output {
        self.0.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        self
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. Returns whether there may be another.
    fn next_request(&self, stopped: &io::PipeReader) -> bool {
        let mut fds =
            [PollFd::new(&self.device, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        let is_stopped = poll(&mut fds, None).is_ok() && !fds[1].revents().is_empty();
        if is_stopped {
            return false;
        }
        let mut request = vec![0; MAX_WRITE as usize + 4096];
        match (&self.device).read(&mut request) {
            Ok(length) => {
                request.truncate(length);
                self.answer_or_hold(request);
                true
            }
            // ENODEV: it is not mounted any more. EPERM: not mounted yet, and the poll ends with an error meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => false,
            Err(_) => {
                crate::wait::pause(std::time::Duration::from_millis(1));
                true
            }
        }
    }

    fn answer_or_hold(&self, request: Vec<u8>) {
        let call = Call(Input(&request[4..]).u32());
        {
            let mut state = self.lock();
            if state.held_kinds.contains(&call) {
                return state.held.push(request);
            }
        }
        self.answer(&request);
    }

    fn answer(&self, request: &[u8]) {
        let mut input = Input(request);
        let (_, call, unique, node) = (input.u32(), Call(input.u32()), input.u64(), input.u64());
        input.bytes(16);
        let answer = self.lock().execute_or_interrupt(call, node, input);
        let (error, output) = match answer {
            Ok(None) => return,
            Ok(Some(output)) => (0, output),
            Err(errno) => (-errno.raw_os_error(), Vec::new()),
        };
        let header = Output::default().u32(&[16 + output.len() as u32, error as u32]);
        let mut reply = header.u64(&[unique]).0;
        reply.extend(output);
        // The request may be gone, with the process that made it.
        let _ = (&self.device).write(&reply);
    }
}

impl State {
    fn execute_or_interrupt(&mut self, call: Call, node: u64, input: Input<'_>) -> Answer {
        let is_name_change = [Call::RENAME, Call::RENAME2, Call::LINK, Call::SYMLINK, Call::UNLINK]
            .contains(&call)
            || call == Call::CREATE;
        let is_own_affair = [Call::INIT, Call::FORGET, Call::BATCH_FORGET, Call::DESTROY]
            .contains(&call)
            || [Call::RELEASE, Call::RELEASEDIR, Call::INTERRUPT].contains(&call);
        let is_other = self.only.is_some_and(|only| only != call);
        if self.interruptions == 0
            || is_own_affair
            || is_other
            || (self.executed && !is_name_change)
        {
            return self.execute(call, node, input);
        }
        self.kinds.insert(call);
        let passes = if self.executed { 1 } else { PASSES };
        let count = self.made.entry((call, node)).or_default();
        let is_interrupted =
            *count % self.interruptions.saturating_add(passes) < self.interruptions;
        *count += 1;
        if is_interrupted && !self.executed {
            return Err(Errno::INTR);
        }
        let answer = self.execute(call, node, input)?;
        if is_interrupted { Err(Errno::INTR) } else { Ok(answer) }
    }

    fn execute(&mut self, call: Call, node: u64, mut input: Input<'_>) -> Answer {
        let output = match call {
            Call::FORGET | Call::BATCH_FORGET | Call::INTERRUPT => return Ok(None),
            Call::INIT => {
                const BIG_WRITES: u32 = 1 << 5;
                const FLOCK_LOCKS: u32 = 1 << 10;
                let flags = BIG_WRITES | FLOCK_LOCKS;
                let output = Output::default().u32(&[7, 31, 1 << 17, flags, 0, MAX_WRITE, 1]);
                output.u32(&[0; 9]).0
            }
            Call::LOOKUP => {
                let found = self.find(node, input.name())?;
                self.entry(found)
            }
            Call::GETATTR => self.attributes_reply(node)?,
            Call::SETATTR => {
                const SIZE: u32 = 1 << 3;
                let valid = input.u32();
                input.bytes(12);
                let size = input.u64() as usize;
                if valid & SIZE != 0 {
                    self.file(node)?.resize(size, 0);
                }
                self.attributes_reply(node)?
            }
            Call::READLINK => match &self.node(node)?.content {
                Content::Link(target) => target.clone(),
                Content::File(_) | Content::Directory(_) => return Err(Errno::INVAL),
            },
            Call::SYMLINK => {
                let (name, target) = (input.name(), input.name());
                self.create(node, name, Content::Link(target.to_vec()))?
            }
            Call::MKDIR => {
                input.bytes(8);
                self.create(node, input.name(), Content::Directory(BTreeMap::new()))?
            }
            Call::CREATE => {
                input.bytes(16);
                let mut output = self.create(node, input.name(), Content::File(Vec::new()))?;
                output.extend(opened());
                output
            }
            Call::TMPFILE => {
                let file = self.add(Content::File(Vec::new()));
                let mut output = self.entry(file);
                output.extend(opened());
                output
            }
            Call::LINK => {
                let (file, name) = (input.u64(), input.name());
                if self.find(node, name).is_ok() {
                    return Err(Errno::EXIST);
                }
                self.set_name(node, name, file);
                self.entry(file)
            }
            Call::UNLINK => {
                let name = input.name();
                self.find(node, name)?;
                self.remove_name(node, name);
                Vec::new()
            }
            Call::RENAME | Call::RENAME2 => {
                const NOREPLACE: u32 = 1;
                let directory = input.u64();
                let flags = if call == Call::RENAME2 { input.u64() as u32 } else { 0 };
                let (from, to) = (input.name(), input.name());
                let file = self.find(node, from)?;
                if flags & NOREPLACE != 0 && self.find(directory, to).is_ok() {
                    return Err(Errno::EXIST);
                }
                self.remove_name(node, from);
                self.set_name(directory, to, file);
                Vec::new()
            }
            Call::OPEN | Call::OPENDIR => {
                self.node(node)?;
                opened()
            }
            Call::READ => {
                input.bytes(8);
                let (offset, size) = (input.u64() as usize, input.u32() as usize);
                let size = self.dribble.map_or(size, |most| size.min(most));
                let content = self.file(node)?;
                let start = offset.min(content.len());
                content[start..content.len().min(start + size)].to_vec()
            }
            Call::WRITE => {
                input.bytes(8);
                let (offset, size) = (input.u64() as usize, input.u32() as usize);
                input.bytes(20);
                let size = self.dribble.map_or(size, |most| size.min(most));
                let bytes = input.bytes(size);
                if self.room.is_some_and(|room| offset + bytes.len() > room) {
                    return Err(Errno::NOSPC);
                }
                let content = self.file(node)?;
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[offset..][..bytes.len()].copy_from_slice(bytes);
                Output::default().u32(&[bytes.len() as u32, 0]).0
            }
            Call::READDIR => {
                input.bytes(8);
                let (offset, size) = (input.u64(), input.u32() as usize);
                self.directory_entries(node, offset as usize, size)?
            }
            Call::STATFS => {
                let output = Output::default().u64(&[1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20]);
                output.u32(&[4096, 255, 4096, 0, 0, 0, 0, 0, 0, 0]).0
            }
            Call::FSYNC | Call::FSYNCDIR | Call::SETLK => Vec::new(),
            Call::RELEASE | Call::RELEASEDIR | Call::DESTROY => Vec::new(),
            _ => return Err(Errno::NOSYS),
        };
        Ok(Some(output))
    }

    fn add(&mut self, content: Content) -> u64 {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, Node { content, links: 0, changed: SystemTime::now() });
        node
    }

    fn node(&mut self, node: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&node).ok_or(Errno::STALE)
    }

    fn file(&mut self, node: u64) -> Result<&mut Vec<u8>, Errno> {
        let node = self.node(node)?;
        match &mut node.content {
            Content::File(content) => Ok(content),
            Content::Directory(_) | Content::Link(_) => Err(Errno::ISDIR),
        }
    }

    fn find(&self, directory: u64, name: &[u8]) -> Result<u64, Errno> {
        match self.nodes.get(&directory).map(|node| &node.content) {
            Some(Content::Directory(names)) => names.get(name).copied().ok_or(Errno::NOENT),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn create(&mut self, node: u64, name: &[u8], content: Content) -> Result<Vec<u8>, Errno> {
        if self.find(node, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let created = self.add(content);
        self.set_name(node, name, created);
        Ok(self.entry(created))
    }

    fn set_name(&mut self, directory: u64, name: &[u8], node: u64) {
        self.remove_name(directory, name);
        if let Some(Node { content: Content::Directory(names), .. }) =
            self.nodes.get_mut(&directory)
        {
            names.insert(name.to_vec(), node);
        }
        self.change_links(node, 1);
    }

    fn remove_name(&mut self, directory: u64, name: &[u8]) {
        if let Some(Node { content: Content::Directory(names), .. }) =
            self.nodes.get_mut(&directory)
            && let Some(node) = names.remove(name)
        {
            self.change_links(node, -1);
        }
    }

    fn collect(&self, directory: u64, prefix: &str, paths: &mut Vec<String>) {
        if let Content::Directory(names) = &self.nodes[&directory].content {
            for (name, node) in names {
                let path = format!("{prefix}{}", String::from_utf8_lossy(name));
                let inner = format!("{path}/");
                paths.push(path);
                self.collect(*node, &inner, paths);
            }
        }
    }

    fn change_links(&mut self, node: u64, by: i32) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.links = node.links.saturating_add_signed(by);
            node.changed = SystemTime::now();
        }
    }

    /// `struct fuse_attr`.
    fn attributes(&self, number: u64) -> Output {
        let Node { content, links, changed } = &self.nodes[&number];
        let (mode, size) = match content {
            Content::File(content) => (0o100_644, content.len()),
            Content::Directory(_) => (0o040_755, 0),
            Content::Link(target) => (0o120_777, target.len()),
        };
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (changed.as_secs(), changed.subsec_nanos());
        let output = Output::default().u64(&[number, size as u64, 0, seconds, seconds, seconds]);
        output.u32(&[nanos, nanos, nanos, mode, *links, 0, 0, 0, 4096, 0])
    }

    /// `struct fuse_attr_out`, valid for no time: every look is a call.
    fn attributes_reply(&mut self, node: u64) -> Result<Vec<u8>, Errno> {
        self.node(node)?;
        let mut output = Output::default().u64(&[0, 0]).0;
        output.extend(self.attributes(node).0);
        Ok(output)
    }

    /// `struct fuse_entry_out`, valid for no time either.
    fn entry(&self, node: u64) -> Vec<u8> {
        let mut output = Output::default().u64(&[node, 0, 0, 0, 0]).0;
        output.extend(self.attributes(node).0);
        output
    }

    /// As many `struct fuse_dirent` as fit, from the entry `offset` on.
    fn directory_entries(
        &mut self,
        node: u64,
        offset: usize,
        size: usize,
    ) -> Result<Vec<u8>, Errno> {
        let Content::Directory(names) = &self.node(node)?.content else {
            return Err(Errno::NOTDIR);
        };
        let mut output = Vec::new();
        for (index, (name, node)) in names.iter().enumerate().skip(offset) {
            let length = (24 + name.len()).next_multiple_of(8);
            if output.len() + length > size {
                break;
            }
            const UNKNOWN_TYPE: u32 = 0;
            let entry = Output::default().u64(&[*node, index as u64 + 1]);
            let end = output.len() + length;
            output.extend(entry.u32(&[name.len() as u32, UNKNOWN_TYPE]).0);
            output.extend(name);
            output.resize(end, 0);
        }
        Ok(output)
    }
}

/// `struct fuse_open_out`: reads and writes are passed on as they are, not by way of the page cache.
fn opened() -> Vec<u8> {
    const DIRECT_IO: u32 = 1;
    Output::default().u64(&[0]).u32(&[DIRECT_IO, 0]).0
}
