// check: children.goes_on
// mistake: poll ends with EINTR when a child ends, SA_RESTART or not, and the server with it
// lab:fill accept
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    listener.accept()
// lab:end
