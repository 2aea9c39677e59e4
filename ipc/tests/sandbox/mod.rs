//! Namespaces of a test's own, in which everything that a program leaves behind can be seen.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What `/dev/shm` is in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shm {
    Usual,
    /// A file system without a free page.
    Full,
    ReadOnly,
    Absent,
}

/// How a sandbox differs from a usual machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub shm: Shm,
    /// Whether `/dev/mqueue` is mounted.
    pub mqueue: bool,
    /// Whether `/proc` is mounted.
    pub proc: bool,
    /// Whether the kernel allows no System V object and no POSIX queue.
    pub no_objects: bool,
}

impl Machine {
    pub const USUAL: Self = Self { shm: Shm::Usual, mqueue: true, proc: true, no_objects: false };
}

/// A directory of the run's own, and, where the test may make them, namespaces of the run's own for mounts and for
/// the objects of IPC.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    /// Whether the namespaces could be made.
    pub private: bool,
}

impl Sandbox {
    /// Calls `run` on a thread in new namespaces, which end with it. The processes that it starts are in them too. The
    /// files of `programs` appear in [`programs`](Self::programs), where every user can execute them.
    ///
    /// Without the right to make namespaces only the directory is the run's own.
    pub fn run<T: Send>(
        machine: Machine,
        programs: &Path,
        run: impl FnOnce(&Self) -> T + Send,
    ) -> io::Result<T> {
        // Removed by this thread, which does not see what the other one has mounted below it.
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let root = directory.path().to_owned();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| Ok(run(&Self::enter(root, machine, programs)?)));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn enter(root: PathBuf, machine: Machine, programs: &Path) -> io::Result<Self> {
        // Mounts are copied from a shared tree in most machines: made private, they stay in here.
        let isolate = || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)?;
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        };
        let private = match isolate() {
            Ok(()) => true,
            Err(Errno::EPERM | Errno::EACCES) => false,
            Err(error) => return Err(error.into()),
        };
        let sandbox = Self { root, private };
        if private {
            sandbox.mount(machine, programs)?;
        } else {
            std::os::unix::fs::symlink(programs, sandbox.programs())?;
            fs::create_dir(sandbox.temporary())?;
        }
        Ok(sandbox)
    }

    fn mount(&self, machine: Machine, programs: &Path) -> io::Result<()> {
        let root = &self.root;
        file_system(root, "tmpfs", MsFlags::empty(), "mode=755")?;
        for directory in ["programs", "tmp", "queues", "dev", "proc"] {
            fs::create_dir(root.join(directory))?;
        }
        fs::set_permissions(self.temporary(), Permissions::from_mode(0o1777))?;
        bind(programs, &self.programs())?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, &self.programs(), None::<&str>, flags, None::<&str>)?;
        file_system(&root.join("queues"), "mqueue", MsFlags::empty(), "")?;
        bind(Path::new("/proc"), &root.join("proc"))?;
        if machine.no_objects {
            for (limit, least) in
                [("kernel/msgmni", "0"), ("kernel/shmmni", "0"), ("fs/mqueue/queues_max", "0")]
            {
                fs::write(Path::new("/proc/sys").join(limit), least)?;
            }
            fs::write("/proc/sys/kernel/sem", "250 0 32 0")?;
        }

        let dev = root.join("dev");
        for device in ["null", "zero", "full", "random", "urandom"] {
            File::create(dev.join(device))?;
            bind(&Path::new("/dev").join(device), &dev.join(device))?;
        }
        if machine.mqueue {
            fs::create_dir(dev.join("mqueue"))?;
            file_system(&dev.join("mqueue"), "mqueue", MsFlags::empty(), "")?;
        }
        let shm = dev.join("shm");
        if machine.shm != Shm::Absent {
            fs::create_dir(&shm)?;
        }
        match machine.shm {
            Shm::Usual => file_system(&shm, "tmpfs", MsFlags::empty(), "mode=1777")?,
            Shm::Full => {
                file_system(&shm, "tmpfs", MsFlags::empty(), "mode=1777,size=4096")?;
                fs::write(shm.join("filler"), [0; 4096])?;
            }
            Shm::ReadOnly => file_system(&shm, "tmpfs", MsFlags::MS_RDONLY, "mode=1777")?,
            Shm::Absent => {}
        }
        bind(&dev, Path::new("/dev"))?;
        if !machine.proc {
            file_system(Path::new("/proc"), "tmpfs", MsFlags::MS_RDONLY, "")?;
        }
        Ok(())
    }

    /// Where the programs are.
    pub fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// The directory for temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A file outside the directory for temporary files.
    pub fn output(&self) -> PathBuf {
        self.root.join("output")
    }

    /// The processes of the machine, also where the programs do not see them.
    pub fn proc(&self) -> PathBuf {
        if self.private { self.root.join("proc") } else { PathBuf::from("/proc") }
    }

    /// The names that exist: temporary files, shared memory and semaphores, queues, System V objects. Outside
    /// namespaces of its own a run can only find its temporary files, and the names in `/dev/shm` that contain one
    /// of `pids`.
    pub fn names(&self, pids: &[i32]) -> Vec<String> {
        let mut names = Vec::new();
        let list = |directory: &Path, kind: &str| -> Vec<String> {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| format!("{kind}{}", entry.file_name().display())).collect()
        };
        names.extend(list(&self.temporary(), "TMPDIR/"));
        let shm = list(Path::new("/dev/shm"), "/dev/shm/");
        if self.private {
            names.extend(shm);
            names.extend(list(&self.root.join("queues"), "POSIX queue /"));
            for table in ["msg", "sem", "shm"] {
                let rows = fs::read_to_string(self.proc().join("sysvipc").join(table));
                for row in rows.unwrap_or_default().lines().skip(1) {
                    let key = row.split_whitespace().next().unwrap_or_default();
                    names.push(format!("System V {table} of key {key}"));
                }
            }
        } else {
            names.extend(shm.into_iter().filter(|name| {
                name.split(|character: char| !character.is_ascii_digit())
                    .any(|number| number.parse().is_ok_and(|number| pids.contains(&number)))
            }));
        }
        names.sort();
        names
    }

    /// The living processes whose environment contains `marker` (`NAME=VALUE`): pid and command line.
    pub fn processes(&self, marker: &str) -> Vec<(i32, String)> {
        let proc = self.proc();
        let has_marker = |directory: &Path| {
            fs::read(directory.join("environ"))
                .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == marker.as_bytes()))
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&proc).into_iter().flatten().flatten() {
            let pid = entry.file_name();
            let Some(pid) = OsStr::to_str(&pid).and_then(|name| name.parse().ok()) else {
                continue;
            };
            if has_marker(&entry.path()) {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push((pid, line.trim_end().to_owned()));
            }
        }
        found
    }
}

fn file_system(target: &Path, kind: &str, flags: MsFlags, options: &str) -> io::Result<()> {
    Ok(mount(Some("none"), target, Some(kind), flags, Some(options))?)
}

fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(source), target, None::<&str>, flags, None::<&str>)?)
}
