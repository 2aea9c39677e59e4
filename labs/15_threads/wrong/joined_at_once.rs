// check: speedup.threads
// mistake: each thread is joined before the next is started: iterators are lazy
// lab:fill split
    let length = range.end - range.start;
    let border = |n: u64| range.start + length * n / threads;
    (0..threads)
        .map(|n| (border(n), border(n + 1)))
        .map(|(from, to)| thread::spawn(move || work(from..to)))
        .map(|part| part.join().unwrap())
        .sum()
// lab:end
