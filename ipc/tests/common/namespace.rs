//! Tests in namespaces of their own, for what removes by name.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Set in the copy of the test program that is root in its user namespace.
const INSIDE: &str = "IPC_TEST_USER_NAMESPACE";

/// Runs `test` with IPC and mount namespaces of its own: System V objects, POSIX queues and `/dev/shm` are empty, and
/// the peers that `test` starts see the same. `mqueue`: whether the queues are mounted at `/dev/mqueue`.
///
/// An ordinary user becomes root in a user namespace, in a copy of the program that runs this test alone; its `name` is
/// needed for that. Where neither is allowed, the test is skipped.
pub fn isolated(name: &str, mqueue: bool, test: impl FnOnce() + Send) {
    if !geteuid().is_root() {
        return run_in_user_namespace(name);
    }
    // Namespaces belong to a thread, and are inherited by the processes that it starts.
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter(mqueue) {
            Ok(()) => test(),
            Err(errno) => eprintln!("SKIPPED: no namespaces: {errno}"),
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn enter(mqueue: bool) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // A `/dev` with no more than what is needed, whatever the machine has in its own.
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let dev = directory.path();
    mount(none, dev, Some("tmpfs"), MsFlags::empty(), none)?;
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (own, machine) = (dev.join(device), Path::new("/dev").join(device));
        if !machine.exists() {
            continue;
        }
        fs::write(&own, "").expect("the new /dev is writable");
        mount(Some(&machine), &own, none, MsFlags::MS_BIND, none)?;
    }
    let shm = dev.join("shm");
    fs::create_dir(&shm).expect("the new /dev is writable");
    mount(none, &shm, Some("tmpfs"), MsFlags::empty(), Some("mode=1777"))?;
    if mqueue {
        fs::create_dir(dev.join("mqueue")).expect("the new /dev is writable");
        mount(none, &dev.join("mqueue"), Some("mqueue"), MsFlags::empty(), none)?;
    }
    mount(Some(dev), "/dev", none, MsFlags::MS_MOVE, none)
}

fn run_in_user_namespace(name: &str) {
    assert!(std::env::var_os(INSIDE).is_none(), "root in the user namespace");
    let (user, group) = (format!("0 {} 1", geteuid()), format!("0 {} 1", getegid()));
    let mut copy = Command::new(std::env::current_exe().expect("the kernel shows it"));
    copy.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
    // SAFETY: between fork and exec run system calls only.
    unsafe {
        copy.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", &user)?;
            fs::write("/proc/self/gid_map", &group)
        });
    }
    match copy.output() {
        Err(error) => eprintln!("SKIPPED: no user namespace: {error}"),
        Ok(output) => {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
        }
    }
}
