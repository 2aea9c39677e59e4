use super::*;

fn names(words: &[&str]) -> Result<Vec<String>, Failure> {
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    let cases = named(&words, &Workload::default())?;
    Ok(cases.into_iter().map(|case| case.name).collect())
}

#[test]
fn words_name_cases() {
    assert_eq!(names(&["get-4k"]).unwrap().len(), STEPS.len());
    assert_eq!(names(&["get-4k-64", "put"]).unwrap(), ["get-4k-64", "put"]);
    assert_eq!(names(&["get-4k-64", "get-4k"]).unwrap().len(), STEPS.len());
    assert_eq!(names(&[]).unwrap().len(), STEPS.len() + STANDARD.len());
    assert!(matches!(names(&["get"]), Err(Failure::Unusable(_))));
    for further in FURTHER {
        assert_eq!(names(&[further]).unwrap(), [further]);
    }
}

#[test]
fn number_is_that_of_clients() {
    let case = |word: &str| named(&[word.into()], &Workload::default()).unwrap().remove(0);
    assert_eq!(case("get-64k-3").workload.connections, 3);
    assert_eq!(case("idle-10000").title, "10,000 connections that are nearly idle: memory");
    assert_eq!(case("put-1g").workload.connections, 1);
    assert_eq!(case("put-1m").workload, case("put").workload);
    assert_eq!(case("connect-16k").title, "16 KiB, a connection per request, 16 clients");
    for wrong in ["get-64k-0", "get-64k-x", "get-64k-", "-3", "idle-1000000", "get-0k", "get-5"] {
        assert!(names(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn curve_differs_in_connections_alone() {
    let all = standard(&Workload::default());
    for case in &all[..STEPS.len()] {
        let same = Workload { connections: 1, ..case.workload.clone() };
        assert_eq!(same, all[0].workload);
    }
}
