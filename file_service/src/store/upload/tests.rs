use super::*;
use crate::store::{Stat, lock};
use rustix::fs::{FlockOperation, flock};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Holds while the name is free.
#[derive(Debug)]
struct CreateOnly;

impl Precondition for CreateOnly {
    fn holds(&self, existing: &Existing) -> bool {
        *existing == Existing::Nothing
    }
}

/// Holds for one version of a file.
#[derive(Debug)]
struct OneVersion(Stat);

impl Precondition for OneVersion {
    fn holds(&self, existing: &Existing) -> bool {
        metadata(existing) == Some(self.0)
    }
}

/// Holds always, and is a condition all the same.
#[derive(Debug)]
struct Whatever;

impl Precondition for Whatever {
    fn holds(&self, _: &Existing) -> bool {
        true
    }
}

/// Every combination of what a file system may lack.
fn every_way(test: impl Fn(&Path, &Store)) {
    let _alone = lock::alone();
    for locks in [FileLocks::Used, FileLocks::Absent] {
        for (anonymous, exclusive_renames) in [(true, true), (false, true), (false, false)] {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join("d")).unwrap();
            let store = Store::open_with(home.path(), true, false, locks).unwrap();
            test(home.path(), &Store { anonymous, exclusive_renames, ..store });
            for directory in [home.path(), &home.path().join("d")] {
                for entry in fs::read_dir(directory).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    assert!(!name.starts_with(UPLOAD_PREFIX), "left in {directory:?}: {name}");
                }
            }
        }
    }
}

fn begin(store: &Store, path: &str, content: &str) -> Box<Upload> {
    let mut upload = store.begin_upload(&RelPath::decode(path.as_bytes()).unwrap()).unwrap();
    upload.write(content.as_bytes()).unwrap();
    upload
}

fn existing(store: &Store, path: &str) -> Existing {
    begin(store, path, "").destination.existing().unwrap()
}

#[test]
fn create_only_upload_never_replaces() {
    every_way(|root, store| {
        let mut uploads = ["one", "two"].map(|content| begin(store, "d/f", content));
        for upload in &mut uploads {
            assert!(upload.require(Box::new(CreateOnly)).unwrap());
        }
        let [first, second] = uploads;
        assert!(matches!(first.land(), Ok(Landing::Landed(Landed { created: true, .. }))));
        assert!(matches!(second.land(), Ok(Landing::ConditionFailed)));
        assert!(!begin(store, "d/f", "").require(Box::new(CreateOnly)).unwrap());
        assert_eq!(fs::read(root.join("d/f")).unwrap(), b"one");
    });
}

fn metadata(existing: &Existing) -> Option<Stat> {
    match existing {
        Existing::File(version) => Some(version.stat),
        Existing::Nothing | Existing::Other => None,
    }
}

#[test]
fn replaced_version_fails_the_condition() {
    every_way(|root, store| {
        fs::write(root.join("d/f"), "old").unwrap();
        let version = metadata(&existing(store, "d/f")).unwrap();
        assert_eq!(version.size, 3);
        let mut uploads = ["one", "two", "three"].map(|content| begin(store, "d/f", content));
        for upload in &mut uploads {
            assert!(upload.require(Box::new(OneVersion(version))).unwrap());
        }
        let [first, second, third] = uploads;
        assert!(matches!(first.land(), Ok(Landing::Landed(Landed { created: false, .. }))));
        assert!(matches!(second.land(), Ok(Landing::ConditionFailed)));
        assert_eq!(fs::read(root.join("d/f")).unwrap(), b"one");
        fs::remove_file(root.join("d/f")).unwrap();
        assert!(matches!(third.land(), Ok(Landing::ConditionFailed)));
        assert!(!root.join("d/f").exists());
    });
}

#[test]
fn landed_file_has_its_new_metadata() {
    every_way(|_, store| {
        for created in [true, false] {
            let mut upload = begin(store, "d/f", "new");
            assert!(upload.require(Box::new(Whatever)).unwrap());
            let Ok(Landing::Landed(landed)) = upload.land() else {
                panic!("it does not land");
            };
            assert_eq!(landed.created, created);
            let stat = landed.version().map(|version| version.stat);
            assert!(stat.is_some() && stat == metadata(&existing(store, "d/f")));
        }
    });
}

#[test]
fn links_exist_whatever_they_lead_to() {
    every_way(|root, store| {
        fs::write(root.join("file"), "file").unwrap();
        for (name, target) in
            [("d/to-file", "../file"), ("to-directory", "d"), ("dangling", "x"), ("out", "/etc")]
        {
            symlink(target, root.join(name)).unwrap();
        }
        assert_eq!(existing(store, "d/to-file"), existing(store, "file"));
        for name in ["to-directory", "dangling", "out"] {
            assert_eq!(existing(store, name), Existing::Other, "{name}");
        }
        assert_eq!(existing(store, "free"), Existing::Nothing);
    });
}

#[test]
fn directory_that_takes_the_name_stays() {
    every_way(|root, store| {
        for condition in [None, Some(Box::new(Whatever))] {
            let mut upload = begin(store, "d/f", "new");
            if let Some(condition) = condition {
                assert!(upload.require(condition).unwrap());
            }
            fs::create_dir(root.join("d/f")).unwrap();
            assert!(matches!(upload.land(), Err(Failure { code: Code::NotAFile, .. })));
            fs::remove_dir(root.join("d/f")).unwrap();
        }
    });
}

#[test]
fn lock_holds_up_what_replaces() {
    every_way(|root, store| {
        if store.locks == FileLocks::Absent {
            return;
        }
        fs::write(root.join("d/f"), "old").unwrap();
        let directory = File::open(root.join("d")).unwrap();
        for (operation, condition, waits) in [
            (FlockOperation::LockExclusive, false, true),
            (FlockOperation::LockExclusive, true, true),
            (FlockOperation::LockShared, false, false),
            (FlockOperation::LockShared, true, true),
        ] {
            let mut upload = begin(store, "d/f", "new");
            if condition {
                assert!(upload.require(Box::new(Whatever)).unwrap());
            }
            flock(&directory, operation).unwrap();
            let mut landing = upload.land().unwrap();
            // In two steps a free name could be taken twice.
            let waits = waits || !store.exclusive_renames;
            assert_eq!(matches!(landing, Landing::Locked(_)), waits, "{operation:?} {condition}");
            flock(&directory, FlockOperation::Unlock).unwrap();
            if let Landing::Locked(upload) = landing {
                landing = upload.land().unwrap();
            }
            assert!(matches!(landing, Landing::Landed(Landed { created: false, .. })));
        }
        if store.exclusive_renames {
            // The kernel alone decides about a free name.
            flock(&directory, FlockOperation::LockExclusive).unwrap();
            let mut upload = begin(store, "d/free", "new");
            assert!(upload.require(Box::new(CreateOnly)).unwrap());
            assert!(matches!(upload.land(), Ok(Landing::Landed(Landed { created: true, .. }))));
        }
    });
}
