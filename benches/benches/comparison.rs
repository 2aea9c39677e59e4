//! All models under the same load, side by side: `cargo bench`, after criterion's groups.
//!
//! | | models | cases | rounds of | time |
//! |---|---|---|---|---|
//! | by default | each in its default variant | all | 3 of 0.8 s | about 4 minutes |
//! | `--quick` | each in its default variant | 4 KiB at 1, 64 and 1,000 connections, connection per request | 2 of 0.4 s | under a minute |
//! | `--full` | every variant | all | 3 of 1.2 s | about 25 minutes |
//!
//! Words filter by the name of a model or of a case, as in `cargo bench -- pool get-4k-64`. What comes out:
//! a table here, and `target/comparison/` with a page, JSON and CSV. The same for a chosen few, beside
//! nginx and others: `cargo loadgen compare --help`.

use benches::layout::Layout;
use benches::load::compare::{self, Contestant, Files, Plan, Setup};
use benches::load::workload::Workload;
use benches::load::{process, report};
use benches::tether::{self, Scratch};
use benches::{Placement, VARIANTS, Variant, errln, filter, out, outln, text};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// How much is run.
struct Preset {
    name: &'static str,
    description: &'static str,
    variants: fn(&Variant) -> bool,
    cases: &'static [&'static str],
    rounds: usize,
    warm_up: Duration,
    measure: Duration,
}

const DEFAULT: Preset = Preset {
    name: "the default subset",
    description: "every model in its default variant, all cases, 3 rounds of 0.8 s; --full runs every variant for longer, --quick less",
    variants: Variant::is_default,
    cases: &[],
    rounds: 3,
    warm_up: Duration::from_millis(250),
    measure: Duration::from_millis(800),
};

const QUICK: Preset = Preset {
    name: "the quick subset",
    description: "every model in its default variant, 4 of the cases, 2 rounds of 0.4 s: for a first look, no more",
    variants: Variant::is_default,
    cases: &["get-4k-1", "get-4k-64", "get-4k-1000", "connect-4k"],
    rounds: 2,
    warm_up: Duration::from_millis(100),
    measure: Duration::from_millis(400),
};

const FULL: Preset = Preset {
    name: "everything",
    description: "every variant of every model, all cases, 3 rounds of 1.2 s",
    variants: |_| true,
    cases: &[],
    rounds: 3,
    warm_up: Duration::from_millis(300),
    measure: Duration::from_millis(1200),
};

fn main() -> ExitCode {
    tether::tie();
    if let Some(code) = process::role() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if given("--help") || given("-h") {
        outln!(
            "comparison: --quick runs less, --full runs everything, --wide prints all columns; words are names of models and cases"
        );
        return ExitCode::SUCCESS;
    }
    let preset = match (given("--full"), given("--quick")) {
        (true, _) => FULL,
        (_, true) => QUICK,
        _ => DEFAULT,
    };
    let all = compare::standard(&Workload {
        duration: preset.measure,
        warm_up: preset.warm_up,
        ..Workload::default()
    });
    let Some((contestants, cases)) = filtered(&preset, all, &filter::words(&args)) else {
        // They may name groups of criterion's.
        return ExitCode::SUCCESS;
    };
    if given("--list") {
        cases.iter().for_each(|case| outln!("comparison/{}: benchmark", case.name));
        return ExitCode::SUCCESS;
    }
    // `cargo bench` says --bench; without it, and with these, nothing is to be measured.
    let other = ["--test", "--profile-time", "--load-baseline"];
    if !given("--bench") || other.iter().any(|option| given(option)) {
        return ExitCode::SUCCESS;
    }
    let code = run(&preset, &contestants, &cases).unwrap_or_else(|error| {
        errln!("comparison: {}", text::error(&error));
        ExitCode::FAILURE
    });
    out::finish("comparison", code)
}

/// What the words mean; a kind that no word names is not filtered. `None` if a word means nothing here.
fn filtered(
    preset: &Preset,
    cases: Vec<Plan>,
    words: &[&str],
) -> Option<(Vec<Contestant>, Vec<Plan>)> {
    let models: Vec<&Variant> =
        VARIANTS.iter().filter(|c| words.iter().any(|word| c.is_called(word))).collect();
    let named: Vec<&Plan> = cases
        .iter()
        .filter(|case| words.iter().any(|word| compare::is_called(&case.name, word)))
        .collect();
    let known = |word: &&&str| {
        models.iter().any(|c| c.is_called(word))
            || named.iter().any(|case| compare::is_called(&case.name, word))
    };
    if words.iter().filter(known).count() < words.len() {
        return None;
    }
    let contestants = match models.as_slice() {
        [] => VARIANTS.iter().filter(|c| (preset.variants)(c)).map(Contestant::from).collect(),
        some => {
            let labels: Vec<&str> = some.iter().map(|variant| variant.label).collect();
            let named = VARIANTS.iter().filter(|c| labels.contains(&c.label));
            named.map(Contestant::from).collect()
        }
    };
    let wanted = |case: &Plan| match named.as_slice() {
        [] => preset.cases.is_empty() || preset.cases.contains(&case.name.as_str()),
        some => some.iter().any(|named| named.name == case.name),
    };
    let chosen = cases.iter().filter(|case| wanted(case)).cloned().collect();
    Some((contestants, chosen))
}

fn run(preset: &Preset, contestants: &[Contestant], cases: &[Plan]) -> io::Result<ExitCode> {
    let layout = Layout::of_stdout(std::env::args().any(|arg| arg == "--wide"));
    let target = report::target_directory();
    let files = Files {
        html: target.join("index.html"),
        json: target.join("comparison.json"),
        csv: target.join("comparison.csv"),
        layout,
    };
    files.check()?;
    let interrupt = process::stop_when_interrupted()?;
    let directory = Scratch::new_in("comparison-", env!("CARGO_TARGET_TMPDIR"))?;
    process::raise_descriptor_limit();
    let placement = Placement::choose();
    let description = format!("comparison, {}: {}", preset.name, preset.description);
    outln!("{}", layout.text(&description));
    outln!("{}", layout.text(&format!("{}; {placement}", text::machine())));
    let setup = Setup {
        contestants,
        cases,
        rounds: preset.rounds,
        baseline: compare::default_baseline(contestants),
        root: directory.path(),
        placement,
        wrk: None,
        stop: interrupt.flag(),
    };
    let comparison = compare::compare(&setup, &mut text::progress)?;
    text::progress("");
    let timelines = compare::timelines(contestants, interrupt.flag());
    compare::write_reports(&comparison, &timelines, &benches::ipc::chapters(&target), &files)?;
    Ok(interrupt.exit_code().unwrap_or_else(|| compare::exit_code(&comparison)))
}
