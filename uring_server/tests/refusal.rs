//! Where the kernel refuses io_uring: one clear line and exit code 2, before anything is listened on.
//!
//! The refusal is a seccomp filter, as container runtimes have one. It is installed in the child before
//! it becomes the server.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// Runs the server where the system call `call` fails with `errno`.
fn run_without(call: libc::c_long, errno: i32, args: &[&str]) -> Output {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless_equal = |k: u32| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k,
    };
    let mut filter = [
        // The number of the system call is the first word of what a filter looks at.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        unless_equal(call as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_uring_server"));
    command.args(["--addr", "127.0.0.1:0"]).args(args);
    // SAFETY: between fork and exec the closure makes two calls of prctl and allocates nothing; the filter
    // is in the child's copy of this stack frame.
    unsafe {
        command.pre_exec(move || {
            let program =
                libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            let forbid = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0;
            if forbid { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
    command.output().expect("a server under a filter")
}

#[track_caller]
fn refuses(output: &Output, because: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("io_uring") && said.contains(because), "{said}");
    assert_eq!(output.stdout, b"", "it must not say that it listens");
}

#[test]
fn a_kernel_without_it() {
    refuses(&run_without(libc::SYS_io_uring_setup, libc::ENOSYS, &[]), "no io_uring");
}

#[test]
fn a_kernel_that_forbids_it() {
    refuses(&run_without(libc::SYS_io_uring_setup, libc::EPERM, &[]), "forbidden");
}

#[test]
fn a_kernel_that_is_too_old() {
    refuses(&run_without(libc::SYS_io_uring_setup, libc::EINVAL, &[]), "cannot be set up");
    refuses(&run_without(libc::SYS_io_uring_register, libc::EINVAL, &[]), "too old");
}

#[test]
fn help_and_complaints_need_no_ring() {
    let output = run_without(libc::SYS_io_uring_setup, libc::EPERM, &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let output = run_without(libc::SYS_io_uring_setup, libc::EPERM, &["--workers", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--workers"));
}
