//! A segment, mapped: made, opened, and removed.

use std::ffi::{CString, c_void};
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, posix_fallocate};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap, shm_open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Uid, ftruncate, getpid, unlink};

use super::header::{self, Header};
use super::identity::{self, Creator};
use super::location::{KIND, Location};
use super::segment::make_way;
use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::shm::{self, Unnamed};
use crate::sys::{Owner, posix_name, retry, retry_libc};
use crate::sysv::remove_segment;

/// A segment of shared memory, mapped into this process.
///
/// It is unmapped when dropped. In the process that created it, dropping it removes the name too: others who
/// have it mapped go on undisturbed, nobody new finds it.
pub struct Memory {
    base: NonNull<u8>,
    size: usize,
    object: String,
    origin: Origin,
    /// The process that removes the name.
    owner: Option<Owner>,
    /// Not to be unmapped, since the kernel still has an address in it.
    keep_mapped: AtomicBool,
}

enum Origin {
    Posix { name: CString, descriptor: OwnedFd },
    Descriptor(OwnedFd),
    SystemV(i32),
}

// SAFETY: the mapping belongs to the process, not to a thread, and what is in it is reached by shared
// references to atomics only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// What may lie in shared memory: made of atomics, so that other processes may write it while this one holds
/// a shared reference; valid for every pattern of bits; without pointers.
///
/// # Safety
///
/// The implementor is such a type.
pub unsafe trait Shared: Sync {}

// SAFETY: an atomic, any bits.
unsafe impl Shared for AtomicU32 {}
// SAFETY: an atomic, any bits.
unsafe impl Shared for AtomicU64 {}

impl Memory {
    /// Where the content begins.
    pub(crate) const CONTENT: usize = header::CONTENT;

    /// Makes a segment with `content` bytes behind the header, all zero; `fill` completes it before anybody
    /// else accepts it.
    pub(crate) fn create(
        location: Location,
        holds: &str,
        content: u64,
        facts: [u64; 3],
        fill: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Arc<Self>> {
        let header = Self::CONTENT as u64;
        let range = 0..=isize::MAX as u64 - header;
        Error::check_range("shared memory", "size in bytes", content, range)?;
        let size = (header + content) as usize;
        let complete = |memory: &Self| {
            memory.header().begin(size, holds, facts);
            fill(memory)?;
            memory.header().complete();
            Ok(())
        };
        let memory = match location {
            Location::Posix(name) => Self::create_posix(&name, size, complete)?,
            Location::Memfd(label) => {
                let memory = Self::create_memfd(&label, size)?;
                complete(&memory)?;
                memory
            }
            Location::SystemV(key) => {
                let memory = Self::create_system_v(key, size)?;
                complete(&memory)?;
                memory
            }
            Location::Descriptor(_) | Location::SystemVId(_) => {
                return Err(Error::InvalidName {
                    name: format!("{location:?}"),
                    kind: KIND,
                    reason: "it is there already, and can be opened only",
                });
            }
        };
        Ok(Arc::new(memory))
    }

    /// Maps a segment that exists, if it is whole and holds what is expected.
    pub(crate) fn open(location: Location, holds: &str) -> Result<(Arc<Self>, [u64; 3])> {
        let memory = match location {
            Location::Posix(name) => Self::open_posix(&name)?,
            Location::Descriptor(descriptor) => {
                let object = format!("shared memory of descriptor {}", descriptor.as_raw_fd());
                Self::map(object, Origin::Descriptor(descriptor), None)?
            }
            Location::SystemV(0) => {
                return Err(Error::InvalidName {
                    name: "0".to_owned(),
                    kind: KIND,
                    reason: "segments without a key are found by their number only",
                });
            }
            Location::SystemV(key) => {
                // SAFETY: no memory is passed.
                let id = retry_libc(|| unsafe { libc::shmget(key, 0, 0) })
                    .map_err(|errno| Error::system(key_name(key), "shmget", errno))?;
                Self::attach_system_v(id, None)?
            }
            Location::SystemVId(id) => Self::attach_system_v(id, None)?,
            Location::Memfd(label) => {
                return Err(Error::InvalidName {
                    name: label,
                    kind: KIND,
                    reason: "a memfd has no name to be found by: pass its descriptor",
                });
            }
        };
        let facts = memory.header().check(memory.size, holds);
        let facts =
            facts.map_err(|reason| memory.unusable(memory.half_made_reason().unwrap_or(reason)))?;
        Ok((Arc::new(memory), facts))
    }

    /// Why a System V segment is all zero, which is how the kernel makes it.
    fn half_made_reason(&self) -> Option<String> {
        let Origin::SystemV(id) = self.origin else { return None };
        let creator = Creator::of_pid(system_v_facts(id).ok()?.shm_cpid);
        let why = match creator {
            _ if !self.header().is_blank() => return None,
            Creator::Alive(pid) => format!("process {pid} is still at it; try again"),
            Creator::Gone(pid) => format!(
                "process {pid}, its creator, died over it, or was another program; if no process has it attached, \
                 `create` with its key replaces it"
            ),
            _ => return None,
        };
        Some(format!("it is not complete: {why}"))
    }

    fn create_posix(
        name: &str,
        size: usize,
        complete: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Self> {
        let name = posix_name(KIND, name)?;
        let object = name.to_string_lossy().into_owned();
        let path = shm::path(&name, "");
        // Before the memory is asked for: most often the name is taken, or what has it is in the way.
        make_way(&name)?;
        let (descriptor, unnamed) = Unnamed::create(&object)?;
        set_size(&object, &descriptor, size)?;
        shm::lock_for_use(&object, &descriptor)?;
        let origin = Origin::Posix { name: name.clone(), descriptor };
        let mut memory = Self::map(object, origin, None)?;
        complete(&memory)?;
        let Origin::Posix { descriptor, .. } = &memory.origin else { unreachable!("see above") };
        while let Err(error) = unnamed.publish(&memory.object, descriptor, &path) {
            match error.errno() {
                Some(Errno::EEXIST) => make_way(&name)?,
                _ => return Err(error),
            }
        }
        memory.owner = Some(Owner::here());
        Ok(memory)
    }

    fn open_posix(name: &str) -> Result<Self> {
        let name = posix_name(KIND, name)?;
        let object = name.to_string_lossy().into_owned();
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let descriptor = retry(|| shm_open(name.as_c_str(), flags, Mode::empty()))
            .map_err(|errno| Error::system(&object, "shm_open", errno))?;
        shm::lock_for_use(&object, &descriptor)?;
        Self::map(object, Origin::Posix { name, descriptor }, None)
    }

    fn create_memfd(label: &str, size: usize) -> Result<Self> {
        let object = format!("memfd {label:?}");
        // The kernel puts "memfd:" before it, and wants it short.
        if label.len() > 240 || label.contains('\0') {
            let reason = "it is longer than 240 bytes, or contains a NUL byte";
            return Err(Error::InvalidName { name: label.to_owned(), kind: KIND, reason });
        }
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let descriptor = memfd_create(label, flags)
            .map_err(|errno| Error::system(&object, "memfd_create", errno))?;
        set_size(&object, &descriptor, size)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&descriptor, FcntlArg::F_ADD_SEALS(seals))
            .map_err(|errno| Error::system(&object, "fcntl(F_ADD_SEALS)", errno))?;
        Self::map(object, Origin::Descriptor(descriptor), Some(Owner::here()))
    }

    fn create_system_v(key: i32, size: usize) -> Result<Self> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        let id = loop {
            // SAFETY: no memory is passed.
            match retry_libc(|| unsafe { libc::shmget(key, size, flags) }) {
                Ok(id) => break id,
                Err(Errno::EEXIST) if Self::remove_left_behind(key) => {}
                Err(errno) => return Err(Error::system(key_name(key), "shmget", errno)),
            }
        };
        let memory = Self::attach_system_v(id, Some(Owner::here()));
        if memory.is_err() {
            // Ours since a moment, and useless.
            let _ = remove_segment(id);
        }
        memory
    }

    /// Removes the segment of a key if its creator has died, over it or later, and no process has it attached. Returns whether
    /// the key may be free now.
    fn remove_left_behind(key: i32) -> bool {
        // SAFETY: no memory is passed.
        let id = match retry_libc(|| unsafe { libc::shmget(key, 0, 0) }) {
            Ok(id) => id,
            Err(errno) => return errno == Errno::ENOENT,
        };
        let Ok(facts) = system_v_facts(id) else { return false };
        let own = facts.shm_perm.uid == Uid::effective().as_raw()
            && facts.shm_perm.mode & 0o777 == 0o600
            && facts.shm_nattch == 0;
        let creator = Creator::of_pid(facts.shm_cpid);
        own && Self::attach_system_v(id, None)
            .is_ok_and(|memory| memory.header().claim_left_behind(creator))
            && remove_segment(id).is_ok()
    }

    /// Maps what a descriptor stands for, all of it.
    fn map(object: String, origin: Origin, owner: Option<Owner>) -> Result<Self> {
        let (Origin::Posix { descriptor, .. } | Origin::Descriptor(descriptor)) = &origin else {
            unreachable!("System V segments have no descriptor");
        };
        let stat = fstat(descriptor).map_err(|errno| Error::system(&object, "fstat", errno))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(Error::Unusable { object, reason: "it is no memory".to_owned() });
        }
        let size = usize::try_from(stat.st_size).unwrap_or_default();
        let length = long_enough(&object, size)?;
        // SAFETY: a new mapping at an address of the kernel's choice; it touches no other memory.
        let base = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                descriptor,
                0,
            )
        }
        .map_err(|errno| Error::system(&object, "mmap", errno))?;
        Ok(Self {
            base: base.cast(),
            size,
            object,
            origin,
            owner,
            keep_mapped: AtomicBool::new(false),
        })
    }

    fn attach_system_v(id: i32, owner: Option<Owner>) -> Result<Self> {
        let object = format!("System V segment {id}");
        let size = system_v_facts(id)
            .map_err(|errno| Error::system(&object, "shmctl(IPC_STAT)", errno))?
            .shm_segsz;
        long_enough(&object, size)?;
        // SAFETY: a new mapping at an address of the kernel's choice; it touches no other memory.
        let base = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        let base = NonNull::new(base.cast::<u8>())
            .filter(|base| base.as_ptr() as isize != -1)
            .ok_or_else(|| Error::last(&object, "shmat"))?;
        let keep_mapped = AtomicBool::new(false);
        Ok(Self { base, size, object, origin: Origin::SystemV(id), owner, keep_mapped })
    }

    fn header(&self) -> &Header {
        // SAFETY: no mapping is made of less than a header; it is aligned to a page; the header is made of
        // atomics, for which any bits are valid.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// A pointer to `count` objects of type `T` at `offset`.
    fn at<T>(&self, offset: usize, count: u64) -> Result<NonNull<T>> {
        debug_assert!(offset.is_multiple_of(align_of::<T>()));
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(size_of::<T>()));
        match bytes.and_then(|bytes| bytes.checked_add(offset)) {
            // SAFETY: `offset` is not beyond the mapping.
            Some(end) if end <= self.size => Ok(unsafe { self.base.add(offset) }.cast()),
            _ => Err(self.unusable("it is smaller than what it should hold")),
        }
    }

    /// The object at `offset`.
    pub(crate) fn object<T: Shared>(&self, offset: usize) -> Result<&T> {
        // SAFETY: `at` checked that it lies within the mapping, which lives as long as `self`; it is made of
        // atomics (`Shared`), for which any bits are valid.
        self.at(offset, 1).map(|at| unsafe { at.as_ref() })
    }

    /// As [`object`](Self::object), and it keeps the mapping.
    pub(crate) fn part<T: Shared>(self: &Arc<Self>, offset: usize) -> Result<Part<T>> {
        Ok(Part { at: self.at(offset, 1)?, memory: Arc::clone(self) })
    }

    /// `count` objects in a row.
    pub(crate) fn parts<T: Shared>(
        self: &Arc<Self>,
        offset: usize,
        count: u64,
    ) -> Result<Part<[T]>> {
        let first = self.at::<T>(offset, count)?;
        let at = NonNull::slice_from_raw_parts(first, count as usize);
        Ok(Part { at, memory: Arc::clone(self) })
    }

    /// The address of the content, `bytes` of which exist.
    pub(crate) fn content(&self, offset: usize, bytes: u64) -> Result<NonNull<u8>> {
        self.at(Self::CONTENT + offset, bytes)
    }

    /// Leaves the mapping in place when this is dropped.
    pub(crate) fn keep_mapped(&self) {
        self.keep_mapped.store(true, Ordering::Relaxed);
    }

    /// Refuses what depends on the numbers of other processes in a pid namespace where those number other processes.
    pub(crate) fn require_own_namespace(&self) -> Result<()> {
        match (self.header().namespace(), identity::namespace()) {
            (made, here) if made != here && made != 0 && here != 0 => Err(self.unusable(format!(
                "it was made in pid namespace {made}, and this process is in {here}, where the same numbers mean \
                 other processes; use it inside one pid namespace, or a socket between the two"
            ))),
            _ => Ok(()),
        }
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> Error {
        Error::Unusable { object: self.object.clone(), reason: reason.into() }
    }

    /// What errors call it: its name, or a description.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object
    }

    /// The size of the whole segment in bytes, header included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// An address that another process of the same user can open: `/name`, `sysv:NUMBER`, or
    /// `/proc/PID/fd/N`, which is good for as long as this process has it open.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.origin {
            Origin::Posix { name, .. } => name.to_string_lossy().into_owned(),
            Origin::Descriptor(descriptor) => {
                format!("/proc/{}/fd/{}", getpid(), descriptor.as_raw_fd())
            }
            Origin::SystemV(id) => format!("sysv:{id}"),
        }
    }

    /// The descriptor behind it, to be passed on; a System V segment has none.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.origin {
            Origin::Posix { descriptor, .. } | Origin::Descriptor(descriptor) => {
                Some(descriptor.as_fd())
            }
            Origin::SystemV(_) => None,
        }
    }

    /// Removes the name if it still means this segment, and not a later one of the same name. Between the look and the
    /// removal it can come to mean another object only if a user removes it by hand and a third process makes it again:
    /// `create` does not take the name of a living creator.
    fn remove_name(&self) {
        match &self.origin {
            Origin::Posix { name, descriptor } => {
                // Without opening it: there may be no descriptor free.
                let path = shm::path(name, "");
                let named = path.symlink_metadata().map(|named| FileIdentity::of(&named));
                if let (Ok(named), Ok(ours)) = (named, FileIdentity::of_descriptor(descriptor))
                    && named == ours
                {
                    let _ = unlink(&path);
                }
            }
            Origin::Descriptor(_) => {}
            Origin::SystemV(id) => {
                let _ = remove_segment(*id);
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A child that was forked has a copy of this value, and did not create anything.
        if self.owner.is_some_and(Owner::is_here) {
            self.remove_name();
        }
        if *self.keep_mapped.get_mut() {
            return;
        }
        // SAFETY: the mapping is this value's own, and every reference into it holds an `Arc` of this value.
        // Neither call fails on a mapping that exists.
        unsafe {
            match self.origin {
                Origin::SystemV(_) => {
                    libc::shmdt(self.base.as_ptr().cast::<c_void>());
                }
                Origin::Posix { .. } | Origin::Descriptor(_) => {
                    let _ = munmap(self.base.cast(), self.size);
                }
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("object", &self.object).field("size", &self.size).finish()
    }
}

/// A reference into shared memory that keeps the mapping alive.
pub(crate) struct Part<T: ?Sized> {
    at: NonNull<T>,
    memory: Arc<Memory>,
}

// SAFETY: it gives shared references only, to a type that is `Sync`.
unsafe impl<T: ?Sized + Sync> Send for Part<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Part<T> {}

impl<T: ?Sized> Part<T> {
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl<T: ?Sized> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { at: self.at, memory: Arc::clone(&self.memory) }
    }
}

impl<T: ?Sized> Deref for Part<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `Memory::part` checked that it lies within the mapping, which `memory` keeps; the type is
        // made of atomics (`Shared`), so others may write it meanwhile.
        unsafe { self.at.as_ref() }
    }
}

fn long_enough(object: &str, size: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(size)
        .filter(|size| size.get() >= Memory::CONTENT)
        .ok_or_else(|| Error::unusable(object, format!("it has {size} bytes, less than a header")))
}

/// Gives the object its size, and the memory for it: without the second call, a `/dev/shm` that is full
/// would be met later, as SIGBUS.
fn set_size(object: &str, descriptor: &OwnedFd, size: usize) -> Result<()> {
    let range = 1..=libc::off_t::MAX as u64;
    Error::check_range(object, "size in bytes", size as u64, range)?;
    Error::check_file_size(object, "ftruncate", size as u64)?;
    let size = size as libc::off_t;
    retry(|| ftruncate(descriptor, size))
        .map_err(|errno| Error::system(object, "ftruncate", errno))?;
    retry(|| posix_fallocate(descriptor, 0, size))
        .map_err(|errno| Error::system(object, "posix_fallocate", errno))
}

fn key_name(key: i32) -> String {
    format!("System V segment of key {key:#x}")
}

fn system_v_facts(id: i32) -> nix::Result<libc::shmid_ds> {
    let mut facts = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: `facts` has room for what IPC_STAT writes.
    retry_libc(|| unsafe { libc::shmctl(id, libc::IPC_STAT, facts.as_mut_ptr()) })?;
    // SAFETY: zeroed, and then written by the kernel; any bits are valid for its integers.
    Ok(unsafe { facts.assume_init() })
}
