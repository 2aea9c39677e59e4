// check: speedup.measured
// mistake: processor time is taken for the time that passes
// lab:fill measure
    let clock = || {
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let begun = clock();
    let result = job();
    (result, clock() - begun)
// lab:end
