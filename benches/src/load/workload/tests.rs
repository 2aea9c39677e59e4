use super::*;

fn drawn(distribution: Distribution, seed: u64) -> Vec<u64> {
    let sizes = Sizes::Distribution(distribution);
    let mut sizes = Workload { sizes, names: 20_000, seed, ..Workload::default() }.file_sizes();
    sizes.sort_unstable();
    sizes
}

#[test]
fn sizes_follow_distribution_and_seed() {
    let distribution = Distribution::Lognormal { median: 8192, sigma: 1.5, max: 1 << 40 };
    assert_eq!(drawn(distribution, 3), drawn(distribution, 3));
    assert_ne!(drawn(distribution, 3), drawn(distribution, 4));
    let sizes = drawn(distribution, 3);
    // Quantiles of the normal distribution: 0.5 at 0, 0.8413 at 1, 0.1587 at -1.
    for (quantile, normal) in [(0.5, 0.0), (0.8413, 1.0), (0.1587, -1.0)] {
        let found = sizes[(quantile * sizes.len() as f64) as usize] as f64;
        let expected = 8192.0 * (1.5_f64 * normal).exp();
        assert!((found / expected).ln().abs() < 0.1, "{quantile}: {found}, {expected}");
    }
    let sizes = drawn(Distribution::Pareto { min: 1000, alpha: 1.2, max: 1_000_000 }, 3);
    assert!(sizes[0] >= 1000 && sizes[sizes.len() - 1] == 1_000_000);
    // (min / x)^alpha = 0.1 at 10^(1 / 1.2) times the minimum.
    let found = sizes[sizes.len() * 9 / 10] as f64;
    assert!((found / 6813.0).ln().abs() < 0.1, "{found}");
    let same = drawn(Distribution::Lognormal { median: 8192, sigma: 0.0, max: 1 << 20 }, 3);
    assert_eq!((same[0], same[19_999]), (8192, 8192));
}

#[test]
fn profile_and_distribution_in_scenario() {
    let text = "sizes = { distribution = \"pareto\", min = 1024, alpha = 1.2 }\n\
                [profile]\nshape = \"steps\"\nlevels = [1, 4, 16]\n";
    let workload: Workload = toml::from_str(text).unwrap();
    let distribution = Distribution::Pareto { min: 1024, alpha: 1.2, max: Distribution::LARGEST };
    assert_eq!(workload.sizes, Sizes::Distribution(distribution));
    assert_eq!(workload.profile, Profile::Steps { levels: vec![1.0, 4.0, 16.0] });
    let again: Workload = serde_json::from_str(&serde_json::to_string(&workload).unwrap()).unwrap();
    assert_eq!(again, workload);
    let error = toml::from_str::<Workload>("sizes = \"many\"").unwrap_err();
    assert!(error.message().contains("lognormal"), "{error}");
    // Earlier versions said `law` and `course`; the first of all had no profile.
    let earlier = text.replace("distribution", "law").replace("[profile]", "[course]");
    assert_eq!(toml::from_str::<Workload>(&earlier).unwrap(), workload);
    let old: Workload = serde_json::from_str(r#"{"sizes":[10],"connections":3}"#).unwrap();
    assert_eq!((old.profile, old.sizes), (Profile::Steady, vec![10].into()));
}

#[test]
fn run_is_split_into_phases() {
    let levels = vec![1.0, 16.0];
    let steps = Workload { profile: Profile::Steps { levels }, ..Workload::default() };
    let asked = |workload: &Workload| -> Vec<usize> {
        workload.phases().iter().map(|s| s.workload.connections).collect()
    };
    assert_eq!(asked(&steps), [1, 16]);
    assert_eq!((steps.most_connections(), steps.measured()), (16, steps.duration * 2));
    let ramp = Profile::Ramp { from: 10.0, to: 110.0 };
    let ramp = Workload { profile: ramp, ..Workload::default() };
    assert_eq!(asked(&ramp), [15, 25, 35, 45, 55, 65, 75, 85, 95, 105]);
    assert_eq!((ramp.most_connections(), ramp.measured()), (110, ramp.duration));
    let open = Workload { arrivals: Arrivals::Fixed { rate: 0.0 }, ..steps };
    let rates: Vec<_> = open.phases().iter().map(|s| s.workload.arrivals.rate()).collect();
    assert_eq!(rates, [Some(1.0), Some(16.0)]);
    assert_eq!(open.most_connections(), open.connections);
    assert_eq!(open.default_in_flight(), Some(160), "of the highest rate");
}

#[test]
fn default_cap_is_ten_seconds() {
    let at = |rate| Workload { arrivals: Arrivals::Poisson { rate }, ..Workload::default() };
    let cap = |rate| at(rate).default_in_flight().unwrap();
    assert_eq!((cap(0.5), cap(250.0), cap(1e6)), (64, 2500, 10_000));
    assert_eq!(Workload::default().default_in_flight(), None);
    let ramp = Workload { profile: Profile::Ramp { from: 300.0, to: 100.0 }, ..at(1.0) };
    assert_eq!(ramp.default_in_flight(), Some(3000));
    let capped = Workload { max_in_flight: Some(10), pipelining: 4, ..at(100.0) };
    assert_eq!((capped.in_flight(), capped.most_connections()), (Some(10), 3));
    assert_eq!(capped.first_connections(), 3);
    let explicit = Workload { connections: 8, max_in_flight: None, ..capped };
    assert_eq!((explicit.in_flight(), explicit.most_connections()), (Some(32), 8));
    let closed = Workload { max_in_flight: Some(10), ..Workload::default() };
    assert!(closed.validate().unwrap_err().contains("open loop"));
    let none = Workload { max_in_flight: Some(0), ..at(1.0) };
    assert!(none.validate().is_err());
}
