//! Messages with something besides their bytes: descriptors, credentials, a sender.

use std::ffi::c_int;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;

use super::{Address, Credentials, MAX_DESCRIPTORS};
use crate::sys::retry;

/// Room for as many descriptors as the kernel sends, and for credentials.
///
/// Less room would not be simpler: the kernel fills the padding with one more descriptor than was asked for.
/// So all are taken, and the caller compares their number with the one that it wants.
const ROOM: usize = {
    // SAFETY: the macro only calculates.
    unsafe {
        libc::CMSG_SPACE((MAX_DESCRIPTORS * size_of::<c_int>()) as u32) as usize
            + libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) as usize
    }
};

/// A control buffer, aligned as its first member has to be.
#[repr(C)]
union Control {
    bytes: [u8; ROOM],
    _alignment: libc::cmsghdr,
}

/// What came.
pub(super) struct Received {
    /// The length of the message, which can be more than there was room for.
    pub(super) bytes: usize,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) credentials: Option<Credentials>,
    pub(super) from: Option<Address>,
    /// Descriptors of the message are missing.
    pub(super) cut_descriptors: bool,
}

/// One `sendmsg`, of as many bytes as the kernel takes.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: c_int,
) -> nix::Result<usize> {
    let mut control = Control { bytes: [0; ROOM] };
    let mut piece =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let length = size_of_val(descriptors) as u32;
    // SAFETY: `msghdr` consists of numbers and pointers, for which all zeroes are valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    // SAFETY: `control` is large and aligned enough for one header and `length` bytes, since there are at
    // most `MAX_DESCRIPTORS`; a `BorrowedFd` is a C `int` by its documented layout.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let first = libc::CMSG_FIRSTHDR(&header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(length) as usize;
        ptr::copy_nonoverlapping(
            descriptors.as_ptr().cast(),
            libc::CMSG_DATA(first),
            length as usize,
        );
    }
    retry(|| {
        // SAFETY: `header` points to live buffers with their lengths, which the call only reads.
        let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags) };
        Errno::result(sent).map(isize::unsigned_abs)
    })
}

/// One `recvmsg`. Whatever descriptors it brings are owned when this returns.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> nix::Result<Received> {
    let mut control = MaybeUninit::<Control>::uninit();
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `sockaddr_un` and `msghdr` consist of numbers and pointers, for which all zeroes are valid.
    let (mut from, mut header): (libc::sockaddr_un, libc::msghdr) = unsafe { mem::zeroed() };
    let length = retry(|| {
        header.msg_name = (&raw mut from).cast();
        header.msg_namelen = size_of_val(&from) as libc::socklen_t;
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = ROOM;
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: `header` points to live buffers with their lengths.
        let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) };
        Errno::result(got).map(isize::unsigned_abs)
    })?;
    let mut got = Received {
        bytes: length,
        descriptors: Vec::new(),
        credentials: None,
        from: None,
        cut_descriptors: header.msg_flags & libc::MSG_CTRUNC != 0,
    };
    // SAFETY: the kernel has written whole control messages, and set `msg_controllen` to their length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&header) };
    while !next.is_null() {
        // SAFETY: `next` is not null, so it points to a header within the control buffer.
        let (message, data) = unsafe { (&*next, libc::CMSG_DATA(next)) };
        // SAFETY: the macro only calculates.
        let length = message.cmsg_len - unsafe { libc::CMSG_LEN(0) } as usize;
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..length / size_of::<c_int>() {
                    // SAFETY: the kernel has put so many descriptors there, opened for this process, which
                    // nobody else knows.
                    got.descriptors.push(unsafe {
                        OwnedFd::from_raw_fd(data.cast::<c_int>().add(index).read_unaligned())
                    });
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: the message has the length of the structure, which consists of numbers.
                let credentials = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                got.credentials = Some(Credentials {
                    pid: credentials.pid,
                    uid: credentials.uid,
                    gid: credentials.gid,
                });
            }
            _ => {}
        }
        // SAFETY: `next` is a header of this message.
        next = unsafe { libc::CMSG_NXTHDR(&header, next) };
    }
    got.from = Address::from_c(&from, header.msg_namelen).ok().filter(|from| !from.is_unnamed());
    Ok(got)
}

/// One `recvfrom`: the length of the message, which can be more than there was room for, and its sender. Cheaper
/// than [`receive`]; descriptors that come along are closed by the kernel.
pub(super) fn receive_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> nix::Result<(usize, Option<Address>)> {
    let mut from = MaybeUninit::<libc::sockaddr_un>::zeroed();
    let mut size = 0;
    let length = retry(|| {
        size = size_of_val(&from) as libc::socklen_t;
        let (data, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: pointers and lengths are those of `buffer` and `from`, which outlive the call.
        let got = unsafe {
            libc::recvfrom(
                fd.as_raw_fd(),
                data,
                room,
                flags,
                from.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        Errno::result(got).map(isize::unsigned_abs)
    })?;
    // SAFETY: all zeroes at first, which is valid, and written by the kernel.
    let from = unsafe { from.assume_init_ref() };
    Ok((length, Address::from_c(from, size).ok().filter(|from| !from.is_unnamed())))
}
