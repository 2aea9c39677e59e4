//! Parents for the tests of `process`, and workers for those of the pool.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use ipc::process::{self, JobHandle, Pool, Process, Worker};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigHandler, Signal, killpg, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpgrp, getpid, setpgid};

mod shortage;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A child started through `init` goes no further than this.
pub fn init() {
    process::init(&[
        ("descriptors", descriptors),
        ("echo", echo),
        ("fail", |_| Err("as it was told".into())),
        ("hang", |_| hang()),
        ("nothing", |_| Ok(())),
        ("panic", |_| panic!("as it was told")),
        ("passed", passed),
        ("who", who),
        ("worker", |_| worker()),
    ]);
}

pub fn run(role: &str, arguments: &[String]) -> Outcome {
    match role {
        // Programs that a test starts itself.
        "exit" => std::process::exit(arguments[0].parse()?),
        "hang" => hang(),
        "chatter" => loop {
            stdout().write_all(&[b'x'; 4096])?;
        },
        "late" => late(),
        // Parents.
        "exits" => exits(),
        "family" => family(false),
        "copied-family" => family(true),
        "forked-process" => forked_process(),
        "forked-pool" => forked_pool(),
        "closed-output" => closed_output(),
        "ignoring" => ignoring(),
        "handling" => handling(),
        "short-of-descriptors" => shortage::descriptors(),
        "no-descriptor" => shortage::no_descriptor(),
        "short-of-processes" => shortage::processes(),
        "short-of-threads" => shortage::threads(),
        "full-cgroup" => shortage::cgroup(&arguments[0]),
        "short-pool" => shortage::pool(&arguments[0]),
        "dead-namespace" => shortage::namespace(),
        "identity" => {
            println!(
                "{}",
                Process::new("who").arg("a b").name("a-long-name-of-a-child").start()?.join()?
            );
            Ok(())
        }
        "leak" => leak(),
        "pass" => pass(),
        "drops" => drops(),
        "stolen" => stolen(),
        "unknown-entry" => {
            println!("{}", Process::new("nobody").start().unwrap_err());
            Ok(())
        }
        "many" => many(),
        "leave" => leave(),
        "unwind" => unwind(),
        // Workers.
        "worker" => worker(),
        "stillborn" => {
            append(&arguments[0])?;
            Ok(())
        }
        "silent" => {
            // Leaves standard input alone: reading it would show when the pool closes it.
            append(&arguments[0])?;
            hang()
        }
        // The second of them sends no hello.
        "moody" if append(&arguments[0])? == 2 => hang(),
        "moody" => worker(),
        "nonsense" => nonsense(&arguments[0]),
        other => Err(format!("nothing called {other:?}").into()),
    }
}

/// Notes a start in the file; returns how many there were.
fn append(path: &str) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(b".")?;
    Ok(file.metadata()?.len())
}

fn hang() -> Outcome {
    loop {
        nix::unistd::pause();
    }
}

fn who(arguments: &[String]) -> Outcome {
    let comm = fs::read_to_string("/proc/self/comm")?;
    println!("{} {} {arguments:?}", process::name(), comm.trim_end());
    Ok(())
}

fn descriptors(_: &[String]) -> Outcome {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.push(entry?.file_name().to_string_lossy().parse::<i32>()?);
    }
    // The one that read the directory is closed by now.
    numbers.retain(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    println!("{numbers:?}");
    Ok(())
}

/// A descriptor without close-on-exec, as a careless library leaves it.
fn leak() -> Outcome {
    let file = fs::File::open("/dev/null")?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    println!("leaky {}", file.as_raw_fd());
    stdout().flush()?;
    Process::new("descriptors").start()?.join()?;
    println!("daemon");
    stdout().flush()?;
    Process::new("descriptors").daemon(true).start()?.join()?;
    println!("ours {:?}", fcntl(&file, FcntlArg::F_GETFD)?);
    Ok(())
}

fn passed(_: &[String]) -> Outcome {
    let mut texts = Vec::new();
    for index in [1, 0] {
        let descriptor = process::passed(index)?;
        let flags = fcntl(&descriptor, FcntlArg::F_GETFD)?;
        let mut text = String::new();
        fs::File::from(descriptor).read_to_string(&mut text)?;
        texts.push(format!("{text} {flags}"));
    }
    println!("{texts:?}; {}", process::passed(0).unwrap_err());
    Ok(())
}

fn pass() -> Outcome {
    let with = |text: &str| -> Result<OwnedFd, std::io::Error> {
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(text.as_bytes())?;
        Ok(reader.into())
    };
    Process::new("passed").pass(with("first")?).pass(with("second")?).start()?.join()?;
    let out = Process::command("sh")
        .args(["-c", "read -r line <&$IPC_DESCRIPTORS; echo shell $line"])
        .pass(with("third\n")?)
        .start()?
        .join()?;
    println!("{out}");
    Ok(())
}

fn exits() -> Outcome {
    for entry in ["nothing", "fail", "panic"] {
        println!("{entry} {}", Process::new(entry).start()?.join()?);
    }
    Ok(())
}

/// Prints what it reads. Then waits for the end of the descriptor that was passed, and prints a last word.
fn late() -> Outcome {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input)?;
    stdout().write_all(&input)?;
    stdout().flush()?;
    let passed = format!("/proc/self/fd/{}", std::env::var("IPC_DESCRIPTORS")?);
    fs::File::open(passed)?.read_to_end(&mut Vec::new())?;
    print!(" and the end");
    Ok(())
}

/// Runs `run` in a forked copy of this process, and prints how that ended. A copy that hangs is ended by an alarm.
fn in_copy(run: impl FnOnce() -> Outcome) -> Outcome {
    stdout().flush()?;
    // SAFETY: the C library keeps its allocator usable in a copy; of our own locks, `run` takes those that it tests.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // SAFETY: the call takes an integer. `_exit`, since what this copy has of its parent must not be dropped.
            unsafe {
                libc::alarm(30);
                let outcome = run();
                libc::_exit(outcome.is_err().into())
            }
        }
        ForkResult::Parent { child } => {
            match waitpid(child, None)? {
                WaitStatus::Exited(_, code) => println!("copy: exit code {code}"),
                other => println!("copy: {other:?}"),
            }
            Ok(())
        }
    }
}

fn forked_process() -> Outcome {
    let mut both = Vec::new();
    for daemon in [true, false] {
        both.push(Process::new("hang").daemon(daemon).start()?);
    }
    let copies = std::cell::RefCell::new(Vec::new());
    copies.borrow_mut().append(&mut both);
    in_copy(|| {
        copies.borrow_mut().clear();
        Ok(())
    })?;
    for process in copies.borrow().iter() {
        println!("{}", process.is_alive()?);
        process.kill()?;
    }
    Ok(())
}

fn forked_pool() -> Outcome {
    let pool = std::cell::RefCell::new(Some(Pool::new("worker", 1)?));
    let borrowed = pool.borrow();
    let Some(original) = &*borrowed else { return Ok(()) };
    let job: JobHandle<u64> = original.apply_async("square", &3)?;
    job.get()?;
    in_copy(|| {
        super::print_line(&job.get().unwrap_err().to_string())?;
        super::print_line(&original.apply::<u64, u64>("square", &1).unwrap_err().to_string())?;
        super::print_line(&format!("{:?} {}", original.workers(), job.ready()))?;
        original.close();
        original.join();
        Ok(())
    })?;
    drop(borrowed);
    in_copy(|| {
        drop(pool.take());
        Ok(())
    })?;
    let pool = pool.take().ok_or("the original is here")?;
    println!("{}", pool.apply::<u64, u64>("square", &4)?);
    Ok(())
}

/// A parent whose standard output is closed, so that the next descriptor gets its number.
fn closed_output() -> Outcome {
    let kept = stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::close(1)?;
    let output = |program: &str| -> ipc::Result<_> {
        let process = Process::command(program).stdout(std::process::Stdio::piped());
        process.start()?.communicate(b"")
    };
    let (nothing, missing) = (output("true"), output("/nonexistent"));
    nix::unistd::dup2_stdout(&kept)?;
    println!("{:?}", nothing?.0);
    println!("{}", missing.unwrap_err());
    Ok(())
}

/// A parent that ignores and blocks what it can, as a shell's background job or `nohup` does.
fn ignoring() -> Outcome {
    use Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    for ignored in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
        // SAFETY: SIG_IGN is no handler, so nothing of ours runs.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    // SAFETY: as above; the number is that of a real-time signal.
    unsafe { libc::signal(libc::SIGRTMIN() + 1, libc::SIG_IGN) };
    let grep = Process::command("grep").args(["-E", "^Sig(Ign|Blk)", "/proc/self/status"]);
    grep.start()?.join()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let child = Process::new("hang").daemon(true).start()?;
        child.signal(signal as i32)?;
        println!("{}", child.join_timeout(shortage::TIMEOUT)?);
    }
    Ok(())
}

/// The pid of the process whose handler it is, and how often the handler ran in another.
static HANDLERS_PID: AtomicI32 = AtomicI32::new(0);
static STRAY: AtomicI32 = AtomicI32::new(-1);

/// Signals to the whole process group, while children come to be in it.
fn handling() -> Outcome {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: getpid and write may be called in a handler; the byte is a constant.
        unsafe {
            if libc::getpid() != HANDLERS_PID.load(Ordering::Relaxed) {
                libc::write(STRAY.load(Ordering::Relaxed), b".".as_ptr().cast(), 1);
            }
        }
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    let (mut reader, writer) = std::io::pipe()?;
    STRAY.store(writer.as_raw_fd(), Ordering::Relaxed);
    HANDLERS_PID.store(getpid().as_raw(), Ordering::Relaxed);
    // SAFETY: the handler makes two calls that are allowed there, and reads atomics.
    unsafe { signal(Signal::SIGUSR1, SigHandler::Handler(handler)) }?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = killpg(getpgrp(), Signal::SIGUSR1);
            }
        });
        let outcome = (0..100).try_for_each(|_| -> ipc::Result<()> {
            Process::command("true").start()?.join()?;
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        outcome
    })?;
    drop(writer);
    let mut stray = Vec::new();
    reader.read_to_end(&mut stray)?;
    println!("stray {}", stray.len());
    Ok(())
}

/// A parent with every kind of child; prints the pids of those that must not outlive it. The pid of a copy of itself,
/// which does outlive it, comes next.
fn family(copied: bool) -> Outcome {
    let daemon = Process::new("hang").daemon(true).start()?;
    let third_party =
        Process::command("/proc/self/exe").args(["process", "hang"]).daemon(true).start()?;
    let entries = Pool::new("worker", 2)?;
    let programs =
        Pool::command(std::env::current_exe()?).arg("process").arg("worker").workers(2).start()?;
    // All workers are in the middle of something.
    let mut all = vec![daemon.pid(), third_party.pid()];
    let path = std::env::temp_dir().join(format!("ipc-family-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    let mut under_way = Vec::new();
    for pool in [&entries, &entries, &programs, &programs] {
        let handle = pool.apply_async::<_, Option<u8>>("announce", &(&path, 0))?;
        let (mut stream, _) = listener.accept()?;
        let mut hello = [0; 5];
        stream.read_exact(&mut hello)?;
        let [pid @ .., _] = hello;
        all.push(i32::from_le_bytes(pid));
        under_way.push((handle, stream));
    }
    fs::remove_file(&path)?;
    println!("{}", all.iter().map(i32::to_string).collect::<Vec<_>>().join(" "));
    if copied {
        // SAFETY: the copy makes two system calls.
        if let ForkResult::Parent { child } = unsafe { fork() }? {
            println!("{child}");
        } else {
            // SAFETY: the buffer is ours and has one byte. It returns at the end of the test's pipe.
            unsafe {
                libc::read(0, [0_u8].as_mut_ptr().cast(), 1);
                libc::_exit(0)
            }
        }
    }
    hang()
}

/// Short processes by the hundred, joined, asked after and forgotten in turn.
fn many() -> Outcome {
    let descriptors = || fs::read_dir("/proc/self/fd").map(Iterator::count);
    let before = descriptors()?;
    for number in 0..200 {
        let child = Process::new("nothing").daemon(number % 4 == 3).start()?;
        match number % 4 {
            0 => assert!(child.join()?.success()),
            1 => {
                while child.is_alive()? {
                    std::thread::yield_now();
                }
            }
            _ => drop(child),
        }
    }
    println!("children: {:?}", children()?);
    println!("descriptors: {}", descriptors()? - before);
    Ok(())
}

fn children() -> Result<String, std::io::Error> {
    let mut all = String::new();
    for task in fs::read_dir("/proc/self/task")? {
        all += &fs::read_to_string(task?.path().join("children"))?;
    }
    Ok(all)
}

fn echo(_: &[String]) -> Outcome {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    println!("child: {text}");
    Ok(())
}

/// What a drop does to a child: it waits for one, and kills the other.
fn drops() -> Outcome {
    let (reader, mut writer) = std::io::pipe()?;
    let child = Process::new("echo").stdin(reader).start()?;
    writer.write_all(b"finished")?;
    drop(writer);
    drop(child);
    println!("parent: dropped");
    let daemon = Process::new("hang").daemon(true).start()?;
    drop(daemon);
    println!("parent: {:?}", children()?);
    Ok(())
}

fn unwind() -> Outcome {
    let child = Process::new("hang").start()?;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _child = child;
        std::panic::resume_unwind(Box::new(()))
    }));
    println!("{} {:?}", panic.is_err(), children()?);
    Ok(())
}

fn stolen() -> Outcome {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: SIG_IGN is no handler, so nothing of ours runs.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    println!("{}", Process::new("nothing").start().unwrap_err());
    // SAFETY: as above.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    // Somebody else takes the news.
    let child = Process::new("nothing").start()?;
    waitpid(None, None)?;
    println!("{}", child.join().unwrap_err());
    drop(child);
    println!("dropped");
    Ok(())
}

/// One of everything that has a name, in use; printed as the command `ipc` calls them.
fn leave() -> Outcome {
    use ipc::Key;
    use ipc::queue::{PosixQueue, Queue, SysvQueue};
    use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SysvSemaphore};
    use ipc::shared::{Location, Value};
    let name = |what: &str| format!("/ipc-leave-{}-{what}", std::process::id());
    let queue = PosixQueue::create(&name("queue"), 1, 8)?;
    let semaphore = NamedSemaphore::create(&name("semaphore"), 1)?;
    let value = Value::create(name("value"), 1_u32)?;
    let segment = Value::create(Location::SystemV(0), 1_u32)?;
    let messages = SysvQueue::create(Key::PRIVATE, 1, 8)?;
    messages.put(b"message")?;
    let set = SysvSemaphore::create(Key::PRIVATE, 1, OnDeath::Keep)?;
    set.acquire()?;
    println!(
        "{} {} {} {} queue:{} semaphore:{}",
        queue.name(),
        semaphore.name(),
        value.memory().address(),
        segment.memory().address(),
        messages.id(),
        set.id()
    );
    hang()
}

fn worker() -> Outcome {
    Worker::new()
        .job("square", |n: u64| n * n)
        .job("pid", |(): ()| std::process::id())
        .job("length", |text: String| text.len())
        .job("panic", |text: String| -> () { panic!("{text}") })
        .job("die", |n: u64| match n {
            500 => std::process::abort(),
            n => n,
        })
        .job("exit", |code: i32| -> () { std::process::exit(code) })
        .job("announce", |(path, number): (String, u8)| -> Option<u8> {
            let mut stream = UnixStream::connect(path).ok()?;
            let [a, b, c, d] = std::process::id().to_le_bytes();
            stream.write_all(&[a, b, c, d, number]).ok()?;
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            Some(byte[0])
        })
        .job("stdin", |(): ()| stdin().read_to_end(&mut Vec::new()).ok())
        .bytes("reverse", |input| input.iter().rev().copied().collect())
        .bytes("blow up", |_| vec![0; process::frame::MESSAGE_LIMIT + 1])
        .serve()?;
    Ok(())
}

/// A worker that does not keep to the frames.
fn nonsense(kind: &str) -> Outcome {
    let mut pool = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    let hello = [5, 0, 0, 0, b'H', 1, 0, 0, 0];
    let answer: &[u8] = match kind {
        "greeting" => {
            pool.write_all(b"HTTP/1.1 200 OK\r\n")?;
            return hang();
        }
        "version" => {
            pool.write_all(&[5, 0, 0, 0, b'H', 2, 0, 0, 0])?;
            return hang();
        }
        "huge" => &[0xff; 4],
        "stranger" => &[9, 0, 0, 0, b'U', 0xff, 0, 0, 0, 0, 0, 0, 0],
        "close" => &[],
        _ => b"\x03\0\0\0abc",
    };
    pool.write_all(&hello)?;
    pool.read_exact(&mut [0; 4])?;
    pool.write_all(answer)?;
    if kind == "close" {
        pool.shutdown(std::net::Shutdown::Both)?;
    }
    hang()
}
