//! The store on a real directory: when an upload becomes visible, what remains of one, and that no path leaves the root.

use file_service::Store;
use file_service::protocol::{Code, RelPath};
use file_service::store::{Landing, Upload};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

fn path(name: &str) -> RelPath {
    RelPath::decode(name.as_bytes()).unwrap()
}

/// How a store is opened.
type Open = fn(&Path) -> Store;

/// Every way of writing an upload: anonymous files, temporary names, and both without locks.
const WAYS: [Open; 4] = [
    |root| Store::open(root, true, false).unwrap(),
    |root| Store::open(root, true, false).unwrap().without_anonymous_files(),
    |root| Store::open_without_locks(root, true, false).unwrap(),
    |root| Store::open_without_locks(root, true, false).unwrap().without_anonymous_files(),
];

fn every_way(test: impl Fn(&TempDir, Open)) {
    for open in WAYS {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sub")).unwrap();
        test(&root, open);
    }
}

/// Lands an upload. Returns whether its name is new.
fn landed(mut upload: Box<Upload>) -> bool {
    loop {
        match upload.land().unwrap() {
            Landing::Landed(landed) => return landed.created,
            // Without file locks the other tests of this process have the same lock.
            Landing::Locked(again) => upload = again,
            Landing::ConditionFailed => panic!("it has no condition"),
        }
    }
}

/// All names below a directory, reserved ones included.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn listed(store: &Store, directory: &str) -> Vec<String> {
    let directory = path(directory);
    let fd = store.open_directory(&directory).unwrap();
    let entries = store.list(&directory, fd).unwrap();
    entries.iter().map(|entry| String::from_utf8_lossy(entry.name).into_owned()).collect()
}

#[test]
fn committed_upload_becomes_visible_whole() {
    every_way(|root, open| {
        let store = open(root.path());
        for (round, content) in ["old", "a new one"].iter().enumerate() {
            for name in ["top", "sub/below"] {
                let mut upload = store.begin_upload(&path(name)).unwrap();
                upload.write(&content.as_bytes()[..2]).unwrap();
                let before = fs::read_to_string(root.path().join(name)).ok();
                assert_eq!(before.as_deref(), (round == 1).then_some("old"));
                upload.write(&content.as_bytes()[2..]).unwrap();
                assert_eq!(landed(upload), round == 0);
                assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), *content);
            }
        }
        assert_eq!(names(root.path()), ["sub", "top"]);
        assert_eq!(names(&root.path().join("sub")), ["below"]);
    });
}

#[test]
fn upload_without_flush_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("sub");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a"), "old").unwrap();
    // It may be written to and not read, so it cannot be opened for the flush.
    fs::set_permissions(&directory, Permissions::from_mode(0o300)).unwrap();
    if fs::read_dir(&directory).is_ok() {
        eprintln!("SKIPPED upload_without_flush_changes_nothing: this user may read everything");
        return;
    }
    let store = Store::open(root.path(), true, true).unwrap();
    for name in ["sub/a", "sub/new"] {
        let mut upload = store.begin_upload(&path(name)).unwrap();
        upload.write(b"new").unwrap();
        assert_eq!(upload.land().map(|_| ()).unwrap_err().code, Code::Denied);
    }
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names(&directory), ["a"]);
    assert_eq!(fs::read(directory.join("a")).unwrap(), b"old");
}

#[test]
fn dropped_upload_leaves_nothing() {
    every_way(|root, open| {
        let store = open(root.path());
        for name in ["top", "sub/below"] {
            let mut upload = store.begin_upload(&path(name)).unwrap();
            upload.write(b"half").unwrap();
            assert!(
                listed(&store, "/").iter().all(|name| name == "sub"),
                "visible before it is committed"
            );
            drop(upload);
        }
        assert_eq!(names(root.path()), ["sub"]);
        assert!(names(&root.path().join("sub")).is_empty());
    });
}

/// What a server that was killed at the worst moment leaves: temporaries that are not locked, and markers.
fn leave_behind(root: &Path) {
    let name = ".~upload-0123456789abcdef";
    fs::write(root.join(".~upload-00000000000000aa"), "half").unwrap();
    fs::write(root.join("sub").join(name), "half").unwrap();
    symlink(format!("sub/{name}"), root.join(name)).unwrap();
    // Killed between the marker and the file, and a marker into a directory that is gone.
    symlink("sub/.~upload-00000000000000bb", root.join(".~upload-00000000000000bb")).unwrap();
    symlink("gone/.~upload-00000000000000cc", root.join(".~upload-00000000000000cc")).unwrap();
}

#[test]
fn start_removes_unlocked_temporaries() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    leave_behind(root.path());
    // What only looks like ours stays: another form of name, a link that is no marker.
    fs::write(root.path().join(".~upload-mine"), "kept").unwrap();
    symlink("/etc/passwd", root.path().join(".~upload-00000000000000dd")).unwrap();
    Store::open(root.path(), true, false).unwrap();
    assert_eq!(names(root.path()), [".~upload-00000000000000dd", ".~upload-mine", "sub"]);
    assert!(names(&root.path().join("sub")).is_empty());
}

#[test]
fn start_without_locks_removes_nothing_unsure() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    leave_behind(root.path());
    let store = Store::open_without_locks(root.path(), true, false).unwrap();
    listed(&store, "sub");
    // The two markers that lead to nothing are gone.
    assert_eq!(
        names(root.path()),
        [".~upload-00000000000000aa", ".~upload-0123456789abcdef", "sub"]
    );
    assert_eq!(names(&root.path().join("sub")), [".~upload-0123456789abcdef"]);
}

#[test]
fn start_follows_a_chain_of_markers() {
    let root = tempfile::tempdir().unwrap();
    let name = ".~upload-0123456789abcdef";
    fs::create_dir_all(root.path().join("a/b/c/d")).unwrap();
    fs::write(root.path().join("a/b/c/d").join(name), "half").unwrap();
    symlink(format!("c/d/{name}"), root.path().join("a/b").join(name)).unwrap();
    symlink(format!("a/b/{name}"), root.path().join(name)).unwrap();
    // Circles end.
    let circle = ".~upload-00000000000000ee";
    symlink(format!("a/{circle}"), root.path().join(circle)).unwrap();
    symlink(format!("../a/{circle}"), root.path().join("a").join(circle)).unwrap();
    let flat = ".~upload-00000000000000ff";
    symlink(format!("./{flat}"), root.path().join(flat)).unwrap();
    Store::open(root.path(), true, false).unwrap();
    assert_eq!(names(root.path()), [circle, flat, "a"]);
    assert_eq!(names(&root.path().join("a")), [circle, "b"]);
    assert_eq!(names(&root.path().join("a/b")), ["c"]);
    assert!(names(&root.path().join("a/b/c/d")).is_empty());
}

#[test]
fn start_follows_old_markers_through_links() {
    let root = tempfile::tempdir().unwrap();
    let name = ".~upload-0123456789abcdef";
    fs::create_dir(root.path().join("sub")).unwrap();
    symlink("sub", root.path().join("link")).unwrap();
    fs::write(root.path().join("sub").join(name), "half").unwrap();
    symlink(format!("link/{name}"), root.path().join(name)).unwrap();
    Store::open(root.path(), true, false).unwrap();
    assert_eq!(names(root.path()), ["link", "sub"]);
    assert!(names(&root.path().join("sub")).is_empty());
}

#[test]
fn read_only_start_removes_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    leave_behind(root.path());
    let before = names(root.path());
    Store::open(root.path(), false, false).unwrap();
    assert_eq!(names(root.path()), before);
}

#[test]
fn second_server_keeps_live_uploads() {
    every_way(|root, open| {
        let store = open(root.path());
        let mut top = store.begin_upload(&path("top")).unwrap();
        let mut below = store.begin_upload(&path("sub/below")).unwrap();
        let second = open(root.path());
        assert_eq!(listed(&second, "/"), ["sub"]);
        assert!(listed(&second, "sub").is_empty());
        for upload in [&mut top, &mut below] {
            upload.write(b"whole").unwrap();
        }
        assert!(landed(top) && landed(below));
        assert_eq!(names(root.path()), ["sub", "top"]);
        assert_eq!(names(&root.path().join("sub")), ["below"]);
    });
}

#[test]
fn listing_removes_temporaries_without_marker() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    let store = Store::open(root.path(), true, false).unwrap();
    fs::write(root.path().join("sub/.~upload-0123456789abcdef"), "half").unwrap();
    assert!(listed(&store, "sub").is_empty());
    assert!(names(&root.path().join("sub")).is_empty());
}

#[test]
fn links_inside_root_are_followed() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("file"), "abc").unwrap();
    symlink("../file", at("sub/up")).unwrap();
    symlink("sub", at("down")).unwrap();
    symlink("../../etc/passwd", at("sub/out")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let store = Store::open(root.path(), true, false).unwrap();
    assert_eq!(listed(&store, "/"), ["down", "file", "sub"]);
    assert_eq!(listed(&store, "down"), ["up"]);
    let code = |name: &str| store.open_file(&path(name)).map(drop).map_err(|failure| failure.code);
    assert_eq!(code("down/up"), Ok(()));
    assert_eq!(code("sub/out"), Err(Code::BadPath));
    assert_eq!(code("absolute"), Err(Code::BadPath));
    assert_eq!(code("loop"), Err(Code::BadPath));
    assert_eq!(code("dangling"), Err(Code::NotFound));
    assert_eq!(code("file/x"), Err(Code::NotFound));
}
