use super::*;
use crate::load::compare::cases;

#[test]
fn impossible_cases_are_found() {
    let of = |name| Contestant::from(VARIANTS.iter().find(|v| v.label == name).unwrap());
    let case = |name: &str| {
        let cases = cases::named(&[name.into()], &Workload::default()).unwrap();
        cases.into_iter().next().unwrap().workload
    };
    let unsupported = |server: &Contestant, name| server.unsupported(&case(name)).is_some();
    assert!(unsupported(&of("iterative_server"), "get-4k-4"));
    assert!(!unsupported(&of("iterative_server"), "get-4k-1"));
    assert!(!unsupported(&of("iterative_server"), "connect-4k"));
    assert!(!unsupported(&of("fork_server:prefork"), "get-4k-64"));
    assert!(unsupported(&of("fork_server:prefork"), "get-4k-256"));
    assert!(!unsupported(&of("thread_server"), "idle"));
    let kind = Kind::Running(Target::new(([127, 0, 0, 1], 1).into(), "x"));
    let remote = Contestant { name: "x".into(), kind };
    assert!(unsupported(&remote, "put") && !unsupported(&remote, "get-1m"));
    let bare = Contestant { name: "bare".into(), kind: Kind::Bare };
    assert!(unsupported(&bare, "mixed") && !unsupported(&bare, "put"));
}

#[test]
fn running_server_has_an_address() {
    assert!(matches!(running("apache"), Err(Failure::Unusable(_))));
    assert!(matches!(running("a=nowhere"), Err(Failure::Unusable(_))));
    let target = running("a=127.0.0.1:80").unwrap();
    assert_eq!((target.name.as_str(), target.addrs[0].port()), ("a", 80));
}
