// check: speedup.answer
// mistake: what is left over when the range is divided is done by nobody
// lab:fill split
    let share = (range.end - range.start) / threads;
    let parts: Vec<_> = (0..threads)
        .map(|n| range.start + n * share)
        .map(|from| thread::spawn(move || work(from..from + share)))
        .collect();
    parts.into_iter().map(|part| part.join().unwrap()).sum()
// lab:end
