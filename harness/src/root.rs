//! The folder that a server under test serves.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// A served folder, with an unserved one beside it that nothing may ever reach.
///
/// Both vanish when it is dropped. Names are relative to the served folder; the methods panic when
/// the file system refuses, since no test can go on then.
pub struct Root {
    served: PathBuf,
    outside: PathBuf,
    _home: TempDir,
}

impl Root {
    /// An empty served folder, and an unserved one that holds only `secret`.
    pub fn new() -> Root {
        let home =
            tempfile::Builder::new().prefix("harness-").tempdir().expect("a temporary folder");
        let (served, outside) = (home.path().join("served"), home.path().join("outside"));
        fs::create_dir(&served).expect("the served folder");
        fs::create_dir(&outside).expect("the unserved folder");
        fs::write(outside.join("secret"), Self::SECRET).expect("the secret");
        Root { served, outside, _home: home }
    }

    /// What the file outside holds. No reply may contain it.
    pub const SECRET: &str = "SECRET: this file is outside the root";

    /// The served folder.
    pub fn path(&self) -> &Path {
        &self.served
    }

    /// The unserved folder: `../outside` as seen from the served one.
    pub fn outside(&self) -> &Path {
        &self.outside
    }

    /// The whole path of a name in the served folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.served.join(name)
    }

    /// Creates or replaces a file, and any folder above it.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a name below the root")).expect("parent folders");
        fs::write(&path, content).unwrap_or_else(|e| panic!("writing {}: {e}", path.display()));
    }

    /// Creates a file of `size` bytes, nearly all of them zeros that take no room on the disk.
    pub fn sparse(&self, name: &str, size: u64) {
        let file = File::create(self.join(name)).expect("a new file");
        file.set_len(size).expect("room for a hole");
    }

    /// Creates a file of at least `size` bytes in which no two places look alike, by writing
    /// [`pattern`] over and over; returns its exact size.
    pub fn patterned(&self, name: &str, size: usize) -> usize {
        use std::io::Write;
        let block = pattern();
        let mut file = File::create(self.join(name)).expect("a new file");
        let blocks = size.div_ceil(block.len());
        for _ in 0..blocks {
            file.write_all(&block).expect("room on the disk");
        }
        blocks * block.len()
    }

    /// Creates a folder and any folder above it.
    pub fn mkdir(&self, name: &str) {
        fs::create_dir_all(self.join(name)).expect("a folder");
    }

    /// Creates a symbolic link that holds `target` as it is.
    pub fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.join(name)).expect("a symbolic link");
    }

    /// Creates a FIFO that nobody has open: opening it carelessly blocks for ever.
    pub fn fifo(&self, name: &str) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, self.join(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("a FIFO");
    }

    /// Creates a socket file that nobody listens on.
    pub fn socket(&self, name: &str) {
        use std::os::unix::net::UnixListener;
        // A socket's address holds about 100 bytes, and the temporary folder's path is short.
        drop(UnixListener::bind(self.join(name)).expect("a socket file"));
    }

    /// Sets the modification time of a file or folder to `seconds` after 1970.
    pub fn set_mtime(&self, name: impl AsRef<Path>, seconds: u64) {
        let file = File::open(self.join(name)).expect("the file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .expect("to set its time");
    }

    /// Sets the permission bits of a file or folder (`.` is the served folder itself).
    pub fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.join(name), fs::Permissions::from_mode(mode))
            .expect("to set the permissions");
    }

    /// What a file holds.
    #[track_caller]
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("reading {}: {e}", path.display()))
    }

    /// Every name below the served folder, at any depth, sorted: whatever a server left behind is
    /// in it.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.served, &mut String::new(), &mut names);
        names.sort();
        names
    }

    /// Makes the folders around the served one passable for every user.
    pub fn open_to_all(&self) {
        for folder in [self._home.path(), &self.served] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("permissions");
        }
    }
}

impl Default for Root {
    fn default() -> Root {
        Root::new()
    }
}

/// A block of noise, always the same, whose length divides no buffer size: a file made of it has
/// no two places that look alike to a server that copies in powers of two.
pub fn pattern() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(65_521);
    let mut block = vec![0; 65_521];
    random.fill(&mut block);
    block
}

fn collect(folder: &Path, prefix: &mut String, names: &mut Vec<String>) {
    // A folder may vanish while it is looked at: then it holds nothing.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let length = prefix.len();
        prefix.push_str(&String::from_utf8_lossy(entry.file_name().as_bytes()));
        names.push(prefix.clone());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            prefix.push('/');
            collect(&entry.path(), prefix, names);
        }
        prefix.truncate(length);
    }
}
