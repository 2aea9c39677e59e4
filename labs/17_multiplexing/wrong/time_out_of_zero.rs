// check: select.idle
// mistake: select is asked not to wait, round after round
// lab:replace select
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
// lab:with
        use nix::sys::time::{TimeVal, TimeValLike};
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
// lab:end
// lab:replace select
        match select(None, &mut input, &mut output, None, None) {
            Err(Errno::EINTR) => continue,
// lab:with
        let mut at_once = TimeVal::milliseconds(0);
        match select(None, &mut input, &mut output, None, &mut at_once) {
            Ok(0) | Err(Errno::EINTR) => continue,
// lab:end
