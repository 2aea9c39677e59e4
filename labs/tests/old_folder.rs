//! A student's folder that an earlier version of the command has made, in which labs 08, 15 and 17 have links to files of
//! lab 04: `samples/my-labs-v1.tar.gz`, packed right after that version had written it.

use labs::lab::Lab;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct OldFolder(tempfile::TempDir);

impl OldFolder {
    fn unpack() -> OldFolder {
        let folder = tempfile::tempdir().unwrap();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/my-labs-v1.tar.gz");
        let mut tar = Command::new("tar");
        let unpacked = tar.arg("-xzf").arg(sample).arg("-C").arg(folder.path()).status().unwrap();
        assert!(unpacked.success());
        let lock = labs::workspace_root().join("Cargo.lock");
        fs::copy(lock, folder.path().join("Cargo.lock")).unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("labs");
        fs::create_dir_all(&target).unwrap();
        std::os::unix::fs::symlink(target, folder.path().join("target")).unwrap();
        OldFolder(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Runs `cargo lab`; returns its exit code and what it prints.
    fn lab(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["--lang", "en", "--folder"]).arg(self.0.path()).args(args);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[test]
fn opening_migrates_with_backup() {
    let old = OldFolder::unpack();
    assert!(old.path("08_fork_server/src/session.rs").is_symlink());
    let (code, text) = old.lab(&["open", "08"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("an earlier version opened this lab").count(), 2, "{text}");
    assert!(!old.path("08_fork_server/src/session.rs").is_symlink());
    assert!(old.read("08_fork_server/src/session.rs").contains("pub use lab04::Session;"));
    assert!(old.read("04_file_server/src/session.rs").ends_with("// mine\n"));
    // A link's backup is a file.
    for path in
        ["backups/08_fork_server-1/src/session.rs", "backups/04_file_server-1/src/session.rs"]
    {
        assert!(!old.path(path).is_symlink() && old.read(path).ends_with("// mine\n"), "{path}");
    }
    let (code, text) = old.lab(&["open", "08"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("earlier version"), "{text}");
}

#[test]
fn start_migrates_every_lab() {
    let old = OldFolder::unpack();
    let (code, text) = old.lab(&["start"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("an earlier version opened this lab").count(), 4, "{text}");
}

#[test]
fn testing_migrates_and_builds() {
    let old = OldFolder::unpack();
    for lab in Lab::all(&labs::labs_directory()).unwrap().iter().rev() {
        if lab.manifest.builds_on.is_empty() && lab.manifest.library.is_none() {
            continue;
        }
        let check = &lab.manifest.checks[0].id;
        let (code, text) = old.lab(&["test", &lab.number(), "--only", check]);
        assert!(matches!(code, Some(0 | 1 | 3)), "{text}");
        assert!(!text.contains("does not compile") && text.contains(check), "{text}");
        assert_eq!(text.contains("earlier version"), lab.manifest.library.is_none(), "{text}");
    }
}

#[test]
fn progress_of_earlier_version_is_read() {
    let old = OldFolder::unpack();
    let (code, text) = old.lab(&["explain", "00", "layers.udp"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the grader's worker was ended by SIGKILL"), "{text}");
    let (code, text) = old.lab(&["hint", "04", "converse"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("(3 of 3)"), "{text}");
    assert_eq!(old.lab(&["list"]).0, Some(0));
}
