use super::*;

#[test]
fn every_case_is_listed_once() {
    let cases = all(&SIZES);
    let mut once = cases.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), cases.len());
    for mechanism in Mechanism::ALL {
        let possible = cases.iter().filter(|c| c.mechanism == mechanism);
        assert!(possible.filter(|c| c.exclusion().is_none()).count() > 0, "{mechanism:?}");
    }
    let spinning = |case: &&Case| case.waiting == Waiting::Spinning;
    assert!(
        cases
            .iter()
            .filter(spinning)
            .all(|case| (case.cores == Cores::Two) || case.exclusion().is_some())
    );
    assert!(
        all(&[USUAL]).iter().all(|case| case.size == USUAL || !case.mechanism.carries_messages())
    );
}

#[test]
fn baseline_runs_wherever_library_does() {
    for case in all(&SIZES) {
        let contestants = case.contestants();
        if contestants.contains(&Contestant::Library) {
            assert!(contestants.contains(&case.baseline()), "{case}");
            assert_eq!(contestants[0], Contestant::Library, "{case}");
        }
    }
}

#[test]
fn name_belongs_to_one_mechanism() {
    let mut names = Mechanism::ALL.map(Mechanism::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(bytes(100), "100 B");
    assert_eq!(bytes(65_536), "64 KiB");
}
