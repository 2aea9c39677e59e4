// check: speedup.threads
// mistake: each thread is joined before the next is started: iterators are lazy
// lab:fill split
    let length = range.end - range.start;
    let bound = |n: u64| range.start + length * n / threads;
    (0..threads)
        .map(|n| (bound(n), bound(n + 1)))
        .map(|(from, to)| thread::spawn(move || work(from..to)))
        .map(|part| part.join().unwrap())
        .sum()
// lab:end
