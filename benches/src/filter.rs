//! The words among the arguments of `cargo bench`, which filter what is run.

/// Criterion's options that take a value, which does not filter.
const WITH_VALUE: [&str; 20] = [
    "-b",
    "-c",
    "-s",
    "--baseline",
    "--baseline-lenient",
    "--color",
    "--colour",
    "--confidence-level",
    "--format",
    "--load-baseline",
    "--logfile",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--plotting-backend",
    "--profile-time",
    "--sample-size",
    "--save-baseline",
    "--significance-level",
];

/// The words among the arguments of `cargo bench` that filter; the rest are options and their values.
pub fn words(args: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if WITH_VALUE.contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with('-') {
            words.push(arg.as_str());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_values_are_not_words() {
        let args = ["--bench", "pool", "--save-baseline", "before", "--quick", "get-4k"];
        assert_eq!(words(&args.map(String::from)), ["pool", "get-4k"]);
    }
}
