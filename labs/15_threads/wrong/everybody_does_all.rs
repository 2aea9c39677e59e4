// check: speedup.ratio
// mistake: every thread does the whole job, and one result is taken
// lab:fill split
    let parts: Vec<_> = (0..threads)
        .map(|_| range.clone())
        .map(|range| thread::spawn(move || work(range)))
        .collect();
    parts.into_iter().map(|part| part.join().unwrap()).last().unwrap_or_default()
// lab:end
