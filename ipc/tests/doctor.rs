//! The command `ipc`: what it finds, and what it removes and does not.
//!
//! What removes by name runs in namespaces of its own (`isolated`), so it cannot hit the objects of other tests.

mod common;

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::namespace::isolated;
use common::{Peer, wait_for};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SysvSemaphore};
use ipc::shared::Value;
use ipc::{Key, Usage};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

struct Output {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Output {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The line about an object in the list.
    fn line_naming(&self, name: &str) -> &str {
        let names = |line: &&str| line.split_whitespace().any(|word| word == name);
        self.out.lines().find(names).unwrap_or_else(|| panic!("nothing about {name}: {}", self.out))
    }

    /// The line about an object in the part on the removal.
    fn removal_of(&self, name: &str) -> &str {
        let (_, removal) = self.out.split_once("\nREMOVAL\n").expect("something was to be removed");
        let names = |line: &&str| line.contains(&format!("{name}: "));
        removal.lines().find(names).unwrap_or_else(|| panic!("nothing about {name}: {removal}"))
    }
}

fn ipc(directory: &Path, arguments: &[&str]) -> Output {
    outcome(&mut command(directory, arguments))
}

fn outcome(command: &mut Command) -> Output {
    Output::of(command.output().unwrap())
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipc"));
    command.args(arguments).stdin(Stdio::null()).env("TMPDIR", directory);
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

/// The command run by `nobody`; `None` where this user may not become that one.
fn as_nobody(directory: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = command(directory, arguments);
    command.uid(NOBODY).gid(NOBODY);
    fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
    match command.output() {
        Err(error) => {
            eprintln!("SKIPPED: no start as another user: {error}");
            None
        }
        Ok(output) => Some(Output::of(output)),
    }
}

/// A process that has one of everything, and the names of that.
struct Owner {
    peer: Peer,
    names: Vec<String>,
    directory: tempfile::TempDir,
}

impl Owner {
    fn start() -> Self {
        let mut peer = Peer::start("process", "leave", &[]);
        let names: Vec<String> = peer.line().split(' ').map(str::to_owned).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        Self { peer, names, directory: tempfile::tempdir().unwrap() }
    }

    /// Kills the process, and waits until the kernel has taken its memory apart. That can be later than its end, if
    /// another process reads its map in `/proc` at that moment.
    fn kill(&mut self) {
        self.peer.kill();
        let is_alone = |name: String| {
            let file = File::open(Path::new("/dev/shm").join(name)).unwrap();
            // SAFETY: the command takes an integer, and the descriptor is open.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0 }
        };
        let [_, semaphore, value, segment, ..] = &self.names[..] else { panic!("six names") };
        wait_for(|| is_alone(format!("sem.{}", &semaphore[1..])).then_some(()));
        wait_for(|| is_alone(value[1..].to_owned()).then_some(()));
        let is_detached = || {
            let list = ipc::shared::list().unwrap();
            let found = list.into_iter().find(|found| found.name == *segment)?;
            (found.attached == Some(0)).then_some(())
        };
        wait_for(is_detached);
    }

    /// `ipc OPTIONS NAMES`.
    fn ipc(&self, options: &[&str]) -> Output {
        let names = self.names.iter().map(String::as_str);
        let arguments: Vec<&str> = options.iter().copied().chain(names).collect();
        ipc(self.directory.path(), &arguments)
    }
}

fn is_system_v(name: &str) -> bool {
    name.contains(':')
}

fn unique(test: &str) -> String {
    format!("/ipc-doctor-test-{}-{test}", std::process::id())
}

#[test]
fn doctor_tries_every_mechanism() {
    let directory = tempfile::tempdir().unwrap();
    let run = command(directory.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    let own = format!("ipc-doctor-{}-", run.id());
    let output = run.wait_with_output().unwrap();
    let bare = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{bare}");
    for heading in ["LIMITS", "MECHANISMS", "OBJECTS OF "] {
        assert!(bare.lines().any(|line| line.starts_with(heading)), "{heading}: {bare}");
    }
    let tried = bare.lines().skip_while(|line| *line != "MECHANISMS").skip(1);
    let tried: Vec<&str> = tried.take_while(|line| !line.is_empty()).collect();
    assert_eq!(tried.len(), 18);
    assert!(tried.iter().all(|line| line.ends_with(" works")), "{tried:?}");

    let named = ipc(directory.path(), &["doctor"]);
    assert_eq!((named.code, named.err.as_str()), (Some(0), ""));
    assert!(!named.out.contains(&own), "{}", named.out);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn killed_process_objects_are_removed() {
    isolated("killed_process_objects_are_removed", true, || {
        let (mut dead, living) = (Owner::start(), Owner::start());
        dead.kill();
        let output = ipc(dead.directory.path(), &[]);
        for name in &living.names {
            assert!(output.line_naming(name).contains(" in use: "), "{}", output.line_naming(name));
        }
        for name in &dead.names {
            let state = if is_system_v(name) { " only if named; " } else { " left behind" };
            let line = output.line_naming(name);
            assert!(line.contains(state), "{line}");
        }
        assert!(output.out.contains("--remove\n"), "the next command: {}", output.out);

        // Never without consent.
        let refused = dead.ipc(&["doctor", "--remove"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.err.contains("--yes"), "{}", refused.err);
        // Never what is in use, named or not.
        let output = living.ipc(&["doctor", "--remove", "--yes"]);
        assert_eq!(output.code, Some(1), "{}", output.out);
        for name in &living.names {
            let line = output.removal_of(name);
            assert!(line.contains(": stays; in use: "), "{line}");
        }
        let output = dead.ipc(&["--remove", "--yes"]);
        assert_eq!(output.code, Some(0), "{} {}", output.out, output.err);
        for name in &dead.names {
            assert!(output.removal_of(name).ends_with(": removed"), "{}", output.out);
        }

        let output = ipc(dead.directory.path(), &[]);
        for name in &dead.names {
            assert!(!output.out.split_whitespace().any(|word| word == name), "{}", output.out);
        }
        for name in &living.names {
            output.line_naming(name);
        }
    });
}

#[test]
fn system_v_object_must_be_named() {
    isolated("system_v_object_must_be_named", true, || {
        let mut owner = Owner::start();
        owner.kill();
        let output = ipc(owner.directory.path(), &["--remove", "--yes"]);
        assert_eq!(output.code, Some(0), "{}", output.out);
        let left = ipc(owner.directory.path(), &[]).out;
        for name in &owner.names {
            let stays = left.split_whitespace().any(|word| word == name);
            assert_eq!(stays, is_system_v(name), "{name}: {left}");
        }
        assert!(left.contains("--remove "), "the next command: {left}");
    });
}

/// The process that used it last has ended, and another one waits in it.
#[test]
fn object_with_waiter_is_never_removed() {
    isolated("object_with_waiter_is_never_removed", true, || {
        let directory = tempfile::tempdir().unwrap();
        let mut creator = Peer::start("semaphore", "abandon", &["sysv", "/waited"]);
        assert_eq!(creator.line(), "made");
        let key = Key::of_name("/waited").unwrap();
        let queue = SysvQueue::create(key, 1, 64).unwrap();
        let semaphore = SysvSemaphore::open(key, OnDeath::Keep).unwrap();
        // The last `semop` and the last `msgsnd` are by processes that have ended.
        assert_eq!(Peer::start("semaphore", "hold", &["sysv-keep", "/waited"]).line(), "held");
        let mut sender = Peer::start("queue", "write", &["sysv", "/waited", "1", "1"]);
        assert_eq!(sender.line(), "");
        let mut fill = vec![0; 64];
        queue.receive(&mut fill, ipc::Wait::Never).unwrap();
        creator.kill();
        let taker = Peer::start("semaphore", "acquire", &["sysv-keep", "/waited"]);
        let reader = Peer::start("queue", "get", &["sysv", "/waited"]);
        wait_for(|| (semaphore.waiting().unwrap() == 1).then_some(()));
        let blocked = format!("{} ", libc::SYS_msgrcv);
        let file = format!("/proc/{}/syscall", reader.pid());
        match fs::read_to_string(&file) {
            Err(error) => eprintln!("SKIPPED: {file}: {error}"),
            Ok(_) => {
                wait_for(|| fs::read_to_string(&file).ok()?.starts_with(&blocked).then_some(()))
            }
        }

        let names = [format!("semaphore:{}", semaphore.id()), format!("queue:{}", queue.id())];
        let output = ipc(directory.path(), &["--remove", "--yes", &names[0], &names[1]]);
        assert_eq!(output.code, Some(1), "{}", output.out);
        for (name, pid) in names.iter().zip([taker.pid(), reader.pid()]) {
            let expected = format!("in use: process {pid} waits in it");
            assert!(output.line_naming(name).contains(&expected), "{}", output.out);
            assert!(output.removal_of(name).contains(&expected), "{}", output.out);
        }
        assert!(output.line_naming(&names[0]).contains("waiting: 1 to acquire, 0 for zero"));
        assert!(output.line_naming(&names[1]).contains("0 messages; last sent by "));
        assert_eq!(semaphore.waiting().unwrap(), 1, "it is still there");
        assert_eq!(queue.qsize().unwrap(), 0, "it is still there");
    });
}

#[test]
fn living_process_keeps_every_name() {
    isolated("living_process_keeps_every_name", true, || {
        let directory = tempfile::tempdir().unwrap();
        let mut peer = Peer::start("doctor", "churn", &[]);
        assert_eq!(peer.line(), "ready");
        for _ in 0..10 {
            let output = ipc(directory.path(), &["--remove", "--yes"]);
            assert_eq!(output.code, Some(0), "{} {}", output.out, output.err);
        }
        let text = peer.end();
        let made = text.strip_suffix(" made, 0 lost").unwrap_or_else(|| panic!("{text}"));
        assert!(made.parse::<u32>().unwrap() >= 100, "{text}");
    });
}

/// The look just before the removal: what came into use since the list stays.
#[test]
fn object_opened_after_list_stays() {
    let name = unique("opened");
    let abandoned = |module: &str, kind: &[&str], found: &dyn Fn() -> bool| {
        let mut peer = Peer::start(module, "abandon", &[kind, &[name.as_str()]].concat());
        peer.line();
        peer.kill();
        assert!(found());
    };
    let used = |usage: ipc::Result<Usage>| matches!(usage, Ok(Usage::Used(_)));
    // Whatever else lists at this moment has the object open, and so have the children that another test just forks.
    let unused = |found: &dyn Fn() -> Usage| wait_for(|| (found() == Usage::Unused).then_some(()));

    abandoned("semaphore", &["named"], &|| NamedSemaphore::find(&name).unwrap().is_some());
    let found = NamedSemaphore::find(&name).unwrap().unwrap();
    unused(&|| NamedSemaphore::find(&name).unwrap().unwrap().usage);
    let opened = NamedSemaphore::open(&name).unwrap();
    assert!(used(found.remove_unused()));
    NamedSemaphore::find(&name).unwrap().expect("the name stays");
    drop(opened);
    unused(&|| found.remove_unused().unwrap());
    assert!(NamedSemaphore::find(&name).unwrap().is_none());

    abandoned("queue", &["posix"], &|| PosixQueue::find(&name).unwrap().is_some());
    let found = PosixQueue::find(&name).unwrap().unwrap();
    assert_eq!(found.details, "1 message");
    unused(&|| PosixQueue::find(&name).unwrap().unwrap().usage);
    let opened = PosixQueue::open(&name).unwrap();
    assert!(used(found.remove_unused()));
    PosixQueue::find(&name).unwrap().expect("the name stays");
    drop(opened);
    unused(&|| found.remove_unused().unwrap());
    assert!(PosixQueue::find(&name).unwrap().is_none());

    abandoned("shared", &[], &|| ipc::shared::list().unwrap().iter().any(|it| it.name == name));
    let find = || ipc::shared::list().unwrap().into_iter().find(|found| found.name == name);
    unused(&|| find().unwrap().usage);
    let found = find().unwrap();
    let opened = File::open(Path::new("/dev/shm").join(&name[1..])).unwrap();
    assert!(used(found.remove_unused()));
    drop(opened);
    unused(&|| found.remove_unused().unwrap());

    // A successor of the same name is another object.
    let queue = PosixQueue::create(&name, 1, 8).unwrap();
    let semaphore = NamedSemaphore::create(&name, 1).unwrap();
    let before =
        (PosixQueue::find(&name).unwrap().unwrap(), NamedSemaphore::find(&name).unwrap().unwrap());
    drop((queue, semaphore));
    let mut queue = PosixQueue::create(&name, 1, 8).unwrap();
    let mut semaphore = NamedSemaphore::create(&name, 1).unwrap();
    queue.keep();
    semaphore.keep();
    drop((queue, semaphore));
    before.0.remove_unused().unwrap();
    before.1.remove_unused().unwrap();
    PosixQueue::remove(&name).unwrap();
    NamedSemaphore::remove(&name).unwrap();
}

/// Without `/proc` no process can be seen, and the kernel still knows whether an object is open.
#[test]
fn hidden_processes_keep_their_objects() {
    isolated("hidden_processes_keep_their_objects", true, || {
        let (mut dead, living) = (Owner::start(), Owner::start());
        dead.kill();
        let directory = dead.directory.path();
        let hide = |command: &mut Command| {
            // SAFETY: between fork and exec run system calls only.
            unsafe {
                command.pre_exec(|| {
                    let none = None::<&str>;
                    unshare(CloneFlags::CLONE_NEWNS)?;
                    Ok(mount(none, "/proc", Some("tmpfs"), MsFlags::empty(), none)?)
                });
            }
            outcome(command)
        };
        let output = hide(&mut command(directory, &["--remove", "--yes"]));
        assert_eq!(output.code, Some(1), "it could not look everywhere: {}", output.out);
        let System { queue, semaphore } = System::find(&living.names);
        assert!(output.out.contains("System V queues: could not look: "), "{}", output.out);
        assert!(output.out.contains("mount -t proc proc /proc"), "{}", output.out);
        for (owner, there) in [(&living, true), (&dead, false)] {
            let [queue, semaphore, ..] = &owner.names[..] else { panic!("six names") };
            let state =
                if there { " in use: open in a process that cannot " } else { " left behind" };
            assert!(output.line_naming(queue).contains(state), "{}", output.out);
            assert!(output.line_naming(semaphore).contains(state), "{}", output.out);
            assert_eq!(PosixQueue::find(queue).unwrap().is_some(), there, "{}", output.out);
            assert_eq!(NamedSemaphore::find(semaphore).unwrap().is_some(), there);
        }
        // Named objects are asked directly.
        let output = hide(&mut command(directory, &["--remove", "--yes", &queue, &semaphore]));
        assert_eq!(output.code, Some(1));
        for name in [queue, semaphore] {
            assert!(
                output.removal_of(&name).contains("stays; in use: its last user"),
                "{}",
                output.out
            );
        }
    });
}

/// The names of the System V objects of an [`Owner`].
struct System {
    queue: String,
    semaphore: String,
}

impl System {
    fn find(names: &[String]) -> Self {
        let with = |prefix| names.iter().find(|name| name.starts_with(prefix)).unwrap().clone();
        Self { queue: with("queue:"), semaphore: with("semaphore:") }
    }
}

/// Objects that processes outside of the pid namespace use.
#[test]
fn other_pid_namespace_keeps_its_objects() {
    isolated("other_pid_namespace_keeps_its_objects", true, || {
        let (mut dead, living) = (Owner::start(), Owner::start());
        dead.kill();
        let directory = tempfile::tempdir().unwrap();
        // For the processes that this thread starts from now on: the first is the namespace's init.
        unshare(CloneFlags::CLONE_NEWPID).unwrap();
        let mut inside = command(directory.path(), &["--remove", "--yes"]);
        // SAFETY: between fork and exec run system calls only.
        unsafe {
            inside.pre_exec(|| {
                let none = None::<&str>;
                unshare(CloneFlags::CLONE_NEWNS)?;
                Ok(mount(none, "/proc", Some("proc"), MsFlags::empty(), none)?)
            });
        }
        let output = outcome(&mut inside);
        for name in &living.names {
            assert!(!output.line_naming(name).contains("left behind"), "{}", output.out);
        }
        // The mark of a segment names the pid namespace of its creator.
        for name in &dead.names[2..4] {
            let line = output.line_naming(name);
            assert!(line.contains("only if named: its creator is in another pid namesp"), "{line}");
        }
        let System { queue, semaphore } = System::find(&dead.names);
        for name in [queue, semaphore] {
            let line = output.line_naming(&name);
            assert!(line.contains("only if named"), "{line}");
            assert!(line.contains("processes outside of this pid namespace may use it"), "{line}");
        }
        let [queue, semaphore, value, ..] = &living.names[..] else { panic!("six names") };
        PosixQueue::find(queue).unwrap().expect("it is there");
        NamedSemaphore::find(semaphore).unwrap().expect("it is there");
        let list = ipc::shared::list().unwrap();
        for name in [value, &dead.names[2], &dead.names[3]] {
            assert!(list.iter().any(|found| found.name == *name), "{list:?}");
        }
        // The kernel itself shows that nothing has these open, wherever it may run.
        let [queue, semaphore, ..] = &dead.names[..] else { panic!("six names") };
        assert!(PosixQueue::find(queue).unwrap().is_none(), "{}", output.out);
        assert!(NamedSemaphore::find(semaphore).unwrap().is_none(), "{}", output.out);
    });
}

#[test]
fn stale_socket_file_is_removed() {
    isolated("stale_socket_file_is_removed", false, || {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        let (stale, living) = (below.join("stale"), directory.path().join("living"));
        drop(UnixListener::bind(&stale).unwrap());
        wait_for(|| UnixStream::connect(&stale).err());
        let listener = UnixListener::bind(&living).unwrap();
        let (stale, living_name) = (stale.to_str().unwrap(), living.to_str().unwrap());
        // Also from a network namespace of its own: paths are the same in all.
        let mut command =
            command(directory.path(), &["doctor", "--remove", "--yes", stale, living_name]);
        // SAFETY: between fork and exec run system calls only.
        unsafe { command.pre_exec(|| Ok(unshare(CloneFlags::CLONE_NEWNET)?)) };
        let output = outcome(&mut command);
        assert!(output.line_naming(stale).ends_with("left behind; no process listens"));
        assert_eq!(output.code, Some(1), "{}", output.out);
        let line = output.removal_of(living_name);
        assert!(line.ends_with("in use: a process has a socket there"), "{line}");
        assert!(living.exists() && !Path::new(stale).exists());
        listener.set_nonblocking(true).unwrap();
        let refused = listener.accept().unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::WouldBlock,
            "no client has come to the living server"
        );

        // In a directory that is not searched, only by its path.
        let elsewhere = tempfile::tempdir().unwrap();
        let path = elsewhere.path().join("stale");
        drop(UnixListener::bind(&path).unwrap());
        wait_for(|| UnixStream::connect(&path).err());
        let file = elsewhere.path().join("file");
        fs::write(&file, "").unwrap();
        let (path, file) = (path.to_str().unwrap(), file.to_str().unwrap());
        let output = ipc(directory.path(), &["--remove", "--yes", path, file]);
        assert!(output.removal_of(path).ends_with(": removed"), "{}", output.out);
        assert!(output.removal_of(file).ends_with(": it is not a socket"), "{}", output.out);
    });
}

#[test]
fn name_of_no_object_stays() {
    isolated("name_of_no_object_stays", true, || {
        let directory = tempfile::tempdir().unwrap();
        for name in ["", "/", ".", ".."] {
            let output = ipc(directory.path(), &["--remove", "--yes", name]);
            assert_eq!(output.code, Some(1), "{}", output.out);
            let line = output.removal_of(name);
            assert!(line.ends_with(": it is not the name of an object"), "{}", output.out);
        }
    });
}

/// A user who may not mount the list of queues.
#[test]
fn named_queue_is_found_without_list() {
    isolated("named_queue_is_found_without_list", false, || {
        let directory = tempfile::tempdir().unwrap();
        let name = unique("queue");
        let mut queue = PosixQueue::create(&name, 1, 8).unwrap();
        let Some(output) =
            as_nobody(directory.path(), &["--remove", "--yes", &name[1..], "/no-such"])
        else {
            return;
        };
        assert_eq!(output.code, Some(1));
        assert!(output.out.contains("  POSIX queues: could not look: "), "{}", output.out);
        assert!(output.out.contains("mount -t mqueue none /dev/mqueue; or give a name"));
        let line = output.removal_of(&name[1..]);
        assert!(line.contains("could not look: ") && line.contains("EACCES"), "{line}");
        assert!(output.removal_of("/no-such").ends_with(": does not exist"), "{}", output.out);
        // Without a name it cannot know what it left.
        let output = as_nobody(directory.path(), &["--remove", "--yes"]).unwrap();
        assert_eq!(output.code, Some(1));
        assert!(output.removal_of("POSIX queues").contains("could not look"), "{}", output.out);

        give_to_nobody(&queue);
        let output = as_nobody(directory.path(), &["--remove", "--yes", &name]).unwrap();
        let line = output.removal_of(&name);
        assert!(line.contains("stays; in use: open in"), "in a process of another user: {line}");
        assert_eq!(output.code, Some(1));
        queue.keep();
        drop(queue);
        let output = as_nobody(directory.path(), &["--remove", "--yes", &name]).unwrap();
        assert_eq!(output.removal_of(&name), format!("  POSIX queue {name}: removed"));
        assert_eq!(output.code, Some(0), "what was named is gone: {}", output.out);
        assert!(PosixQueue::find(&name).unwrap().is_none());
    });
}

/// The mount at `/dev/mqueue` has the queues of another IPC namespace.
#[test]
fn list_has_own_namespace_queues() {
    isolated("list_has_own_namespace_queues", true, || {
        let directory = tempfile::tempdir().unwrap();
        let (outer, inner) = (unique("outer"), unique("inner"));
        let _outer = PosixQueue::create(&outer, 1, 8).unwrap();
        unshare(CloneFlags::CLONE_NEWIPC).unwrap();
        let mut queue = PosixQueue::create(&inner, 1, 8).unwrap();
        queue.keep();
        drop(queue);
        let output = ipc(directory.path(), &["--remove", "--yes"]);
        assert!(!output.out.contains(&outer), "{}", output.out);
        assert_eq!(output.removal_of(&inner), format!("  POSIX queue {inner}: removed"));
        assert_eq!(output.code, Some(0), "{}", output.out);
    });
}

fn give_to_nobody(queue: &PosixQueue) {
    let descriptor = queue.as_fd();
    nix::unistd::fchown(descriptor, Some(NOBODY.into()), Some(NOBODY.into())).unwrap();
}

#[test]
fn other_users_object_is_not_removed() {
    isolated("other_users_object_is_not_removed", true, || {
        let directory = tempfile::tempdir().unwrap();
        let name = unique("other");
        let queue = PosixQueue::create(&name, 1, 8).unwrap();
        let semaphore = NamedSemaphore::create(&name, 1).unwrap();
        let _memory = Value::create(format!("{name}-value"), 1_u32).unwrap();
        let memory = format!("{name}-value");
        let messages = SysvQueue::create(Key::PRIVATE, 1, 8).unwrap();
        let file = unique("file");
        fs::write(Path::new("/dev/shm").join(&file[1..]), "not ours").unwrap();
        let system_v = format!("queue:{}", messages.id());
        let names = [&name, &memory, &file, &system_v].map(String::as_str);
        let arguments = [&["--remove", "--yes"], &names[..]].concat();
        let Some(output) = as_nobody(directory.path(), &arguments) else { return };
        assert_eq!(output.code, Some(1));
        assert!(output.removal_of(&memory).contains("belongs to root"), "{}", output.out);
        assert!(output.removal_of(&system_v).contains("EACCES"), "{}", output.out);
        assert!(output.out.contains("it is a POSIX semaphore of root; only that user"));
        let output = ipc(directory.path(), &["--remove", "--yes", &file]);
        assert!(output.removal_of(&file).contains("was not made by this library"));
        // Root may open what belongs to others, and is not their heir.
        give_to_nobody(&queue);
        let output = ipc(directory.path(), &["--remove", "--yes", &name]);
        assert!(
            output.out.contains("it is a POSIX queue of nobody; only that user"),
            "{}",
            output.out
        );
        assert_eq!((queue.qsize().unwrap(), semaphore.get_value().unwrap()), (0, 1));
        PosixQueue::find(&name).unwrap().expect("it is there");
    });
}

/// Too few descriptors to look at everything: nothing is left out in silence.
#[test]
fn shortage_of_descriptors_is_reported() {
    isolated("shortage_of_descriptors_is_reported", true, || {
        let mut owner = Owner::start();
        owner.kill();
        for limit in 4..9 {
            let mut command = command(owner.directory.path(), &[]);
            let limit_descriptors = move || Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?);
            // SAFETY: between fork and exec run system calls only.
            unsafe { command.pre_exec(limit_descriptors) };
            let output = outcome(&mut command);
            let kinds = ["POSIX queues", "POSIX semaphores", "shared memory"];
            for (kind, name) in kinds.into_iter().zip(&owner.names) {
                let listed = |line: &str| line.contains(name) && line.contains(" left behind");
                let listed = output.out.lines().any(listed);
                let reported = output.out.contains(&format!("  {kind}: could not look: "));
                assert!(listed != reported, "{limit}: {kind}: {}", output.out);
            }
        }
    });
}

/// A directory that may be passed but not read: the names in it can be asked for, one by one.
#[test]
fn unreadable_directory_is_reported() {
    isolated("unreadable_directory_is_reported", true, || {
        let directory = tempfile::tempdir().unwrap();
        let name = unique("unreadable");
        let _semaphore = NamedSemaphore::create(&name, 1).unwrap();
        fs::set_permissions("/dev/shm", Permissions::from_mode(0o733)).unwrap();
        let Some(output) = as_nobody(directory.path(), &["--remove", "--yes"]) else { return };
        assert_eq!(output.code, Some(1));
        for kind in ["POSIX semaphores", "shared memory"] {
            let line = format!("  {kind}: could not look: /dev/shm: opendir: EACCES");
            assert!(output.out.contains(&line), "{}", output.out);
        }
        let output = as_nobody(directory.path(), &["--remove", "--yes", &name]).unwrap();
        assert!(output.removal_of(&name).contains("a POSIX semaphore of root"), "{}", output.out);
    });
}

#[test]
fn wrong_usage_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--yes"][..], &["doctor", "--yes"], &["doctor", "/name"], &["nurse"]] {
        let output = ipc(directory.path(), arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}");
        assert!(output.out.is_empty() && !output.err.is_empty());
    }
}

#[test]
fn closed_stdout_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(directory.path(), &["doctor"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

/// A removal that cannot be shown is not done.
#[test]
fn unwritable_stdout_stops_the_removal() {
    isolated("unwritable_stdout_stops_the_removal", true, || {
        let mut owner = Owner::start();
        owner.kill();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let full = File::options().write(true).open("/dev/full").unwrap();
        for stdout in [Stdio::from(closed), Stdio::from(full)] {
            let mut command = command(owner.directory.path(), &["--remove", "--yes"]);
            let output = command.stdout(stdout).stderr(Stdio::piped()).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.starts_with("ipc: standard output: "), "{text}");
        }
        let output = ipc(owner.directory.path(), &[]);
        for name in &owner.names {
            output.line_naming(name);
        }
    });
}
