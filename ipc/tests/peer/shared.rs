//! - `add ADDRESS TIMES`: adds one to a value, in one step.
//! - `add_in_two_steps ADDRESS`: reads a value, says so, waits for a line, writes one more.
//! - `abandon NAME`, `abandon 'system v'`: makes a value, says its address, and waits to be killed.
//! - `create NAME`, `create 'system v' KEY`: makes a value between two marks, and waits to be killed.
//! - `create_without_tmpfile NAME`: the same, on a file system without O_TMPFILE.
//! - `drop_without_descriptors NAME`: makes a value, and drops it when no descriptor is free.
//! - `drop_under_umask NAME`: makes a value under the umask 0777 as an ordinary user, opens it, and drops both.
//! - `race NAME`: at each line tries to make a value and says whether it did; drops it at the next line.
//! - `in_pid_namespace ROLE ...`: plays that role in a pid namespace of its own; says `refused` where it may not.
//! - `open_mutex MUTEX`: says why it does not open it.
//! - `ends RING`: says why it becomes neither receiver nor sender.
//! - `put RING COUNT NUMBER`: puts numbered messages of differing lengths into a ring of one sender.
//! - `put_many RING COUNT NUMBER`: the same for a ring of many senders.
//! - `tear RING`, `tear_many RING`: puts a message whole, then stops in the middle of the next one.
//! - `get RING COUNT`: takes messages out, and says each; with COUNT 0, holds the end and takes nothing.

use std::error::Error;
use std::io::BufRead;
use std::process::Command;

use crate::{mark, print_line, wait_for_eof};
use ipc::lock::Mutex;
use ipc::shared::ring::{Ring, RingMany};
use ipc::shared::{Location, Value};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, setuid};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn run(role: &str, arguments: &[String]) -> Result<()> {
    let place = || -> Result<Location> { Ok(arguments[0].parse()?) };
    let number = |at: usize| -> Result<u64> { Ok(arguments[at].parse()?) };
    match role {
        "add" => {
            let value = Value::<u64>::open(place()?)?;
            for _ in 0..number(1)? {
                value.fetch_add(1);
            }
        }
        "add_in_two_steps" => {
            let value = Value::<u64>::open(place()?)?;
            let read = value.get();
            print_line("read")?;
            std::io::stdin().lock().read_line(&mut String::new())?;
            value.set(read + 1);
        }
        "abandon" => {
            let place = if arguments[0] == "system v" { Location::SystemV(0) } else { place()? };
            let value = Value::create(place, 1_u32)?;
            print_line(&value.memory().address())?;
            wait_for_eof()?;
        }
        "create" | "create_without_tmpfile" => {
            if role == "create_without_tmpfile" {
                refuse_tmpfile()?;
            }
            let place = match &arguments[0][..] {
                "system v" => Location::SystemV(arguments[1].parse()?),
                name => Location::from(name),
            };
            mark();
            let value = Value::create(place, 7_u32)?;
            mark();
            wait_for_eof()?;
            drop(value);
        }
        "drop_without_descriptors" => {
            let value = Value::create(place()?, 1_u32)?;
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
            setrlimit(Resource::RLIMIT_NOFILE, 0, most)?;
            drop(value);
        }
        "drop_under_umask" => {
            umask(Mode::all());
            if Uid::effective().is_root() {
                setuid(Uid::from_raw(65534))?;
            }
            let value = Value::create(place()?, 1_u32)?;
            drop(Value::<u32>::open(place()?)?);
            drop(value);
        }
        "race" => {
            let mut lines = std::io::stdin().lines();
            while let Some(_line) = lines.next().transpose()? {
                let value = Value::create(place()?, 1_u32);
                match &value {
                    Ok(_) => print_line("made")?,
                    Err(error) => print_line(&error.to_string())?,
                }
                lines.next().transpose()?;
                drop(value);
                print_line("dropped")?;
            }
        }
        "in_pid_namespace" => {
            // SAFETY: no memory is passed.
            let unshare = |flags| Errno::result(unsafe { libc::unshare(flags) });
            // An ordinary user may do it as root of a user namespace.
            let done = unshare(libc::CLONE_NEWPID)
                .or_else(|_| unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID));
            if done.is_err() {
                return Ok(print_line("refused")?);
            }
            let mut inside = Command::new(std::env::current_exe()?);
            let status = inside.arg("shared").args(arguments).status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
        "open_mutex" => {
            print_line(&Mutex::<u32>::open(place()?).map(drop).unwrap_err().to_string())?;
        }
        "ends" => {
            let ring = Ring::open(place()?)?;
            print_line(&ring.receiver().map(drop).unwrap_err().to_string())?;
            print_line(&ring.sender().map(drop).unwrap_err().to_string())?;
        }
        "put" => {
            let mut sender = Ring::open(place()?)?.sender()?;
            print_line("here")?;
            for count in 0..number(1)? {
                sender.put(&message(number(2)?, count))?;
            }
        }
        "put_many" => {
            let mut sender = RingMany::open(place()?)?.sender()?;
            print_line("here")?;
            for count in 0..number(1)? {
                sender.put(&message(number(2)?, count))?;
            }
        }
        "tear" => {
            let mut sender = Ring::open(place()?)?.sender()?;
            sender.put(b"whole")?;
            sender.put_stopping(b"torn", || stop().expect("the test listens"));
        }
        "tear_many" => {
            let mut sender = RingMany::open(place()?)?.sender()?;
            sender.put(b"whole")?;
            sender.put_stopping(b"torn", || stop().expect("the test listens"));
        }
        "get" => {
            let mut receiver = Ring::open(place()?)?.receiver()?;
            print_line("here")?;
            let mut message = Vec::new();
            for _ in 0..number(1)? {
                receiver.get(&mut message)?;
                print_line(&String::from_utf8_lossy(&message))?;
            }
            wait_for_eof()?;
        }
        other => return Err(format!("nothing called {other:?}").into()),
    }
    Ok(())
}

/// Has the kernel refuse O_TMPFILE to this process, as a file system without it does (seccomp(2)).
fn refuse_tmpfile() -> Result<()> {
    // Where `seccomp_data` has the number of the call, and the lower half of the third argument: the flags of `openat`.
    const CALL: u32 = 0;
    const FLAGS: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let answer = |answer| step(libc::BPF_RET | libc::BPF_K, 0, 0, answer);
    let tmpfile = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;
    let mut filter = [
        load(CALL),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, libc::SYS_openat as u32),
        load(FLAGS),
        step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, tmpfile),
        answer(libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the program and its steps live through the call.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    Ok(Errno::result(done).map(drop)?)
}

/// The sender's number, the message's, and a tail that depends on both: 16 to 111 bytes.
fn message(sender: u64, count: u64) -> Vec<u8> {
    let mut message = Vec::with_capacity(112);
    message.extend(sender.to_le_bytes());
    message.extend(count.to_le_bytes());
    let length = (sender * 31 + count) % 96;
    message.extend((0..length).map(|at| (sender + count + at) as u8));
    message
}

fn stop() -> Result<()> {
    print_line("in the middle")?;
    wait_for_eof()
}
