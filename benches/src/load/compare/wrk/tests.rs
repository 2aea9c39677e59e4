use super::*;

#[test]
fn figures_of_wrk_are_read() {
    let text = "Running 2s test @ http://127.0.0.1:1/4k
  1 threads and 64 connections
  139846 requests in 2.00s, 580.00MB read
Requests/sec:  69889.58
requests 139846
bytes 608174080
micros 2000500
connect 0
lost 3
refused 1
timeout 0
cpu 1.52
latency 900 100000
latency 1200 39846
";
    let target = Target::new(([127, 0, 0, 1], 1).into(), "x");
    let workload = Workload::default();
    let run = parse(text, &workload, &target, &Environment::default()).unwrap();
    assert_eq!((run.totals.done, run.seconds), (139_845, 2.0005));
    let errors = BTreeMap::from([("lost".to_owned(), 3), ("refused".to_owned(), 1)]);
    assert_eq!(run.errors, errors);
    assert_eq!(run.response_time.percentile(50.0) / 1000, 900);
    assert!((0.75..0.77).contains(&run.generator.share));
    assert!(parse("unable to connect", &workload, &target, &Environment::default()).is_none());
}

#[test]
fn workloads_beyond_wrk_are_named() {
    let of = |name: &str| {
        let cases = super::super::cases::named(&[name.into()], &Workload::default()).unwrap();
        Wrk::unsupported(&cases[0].workload)
    };
    for possible in ["get-4k", "get-64k", "get-1m", "connect-4k", "get-64m"] {
        assert_eq!(of(possible), None, "{possible}");
    }
    for impossible in ["put", "mixed", "idle", "visitors"] {
        assert!(of(impossible).is_some(), "{impossible}");
    }
}
