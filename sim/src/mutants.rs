//! The planted bugs, and whether the simulation finds each: the measure of the simulation.

/// Every bug that is planted (`mutant!`), and how many seeds may be spent on it.
pub const MUTANTS: &[(&str, u64)] = &[
    ("journal flush skipped", 200),
    ("failed sync ignored", 500),
    ("folder sync skipped", 1_000),
    ("refused write not cleared", 500),
    ("offset off by one", 200),
    ("proven before it is durable", 500),
    ("stamp from the clock alone", 200),
    ("clock read after the stamp", 200),
    ("check sum not checked", 500),
    ("file replaced without its sync", 200),
    ("unordered map iterated", 200),
    ("released before it is durable", 500),
    ("ask lost", 200),
    ("leaves of segments not counted", 200),
    ("leaves out of order", 200),
    ("missing leaves not written", 500),
    ("row changed past the gate", 200),
    ("checkpoint ahead of the head", 500),
    ("trim above the anchor", 500),
    ("pages before the anchor", 500),
    ("retry applied", 200),
    ("cursor one leaf ahead", 200),
    ("cursor before the answer", 500),
];

/// Looks for each of them and prints what was found; false where one was not.
#[cfg(feature = "mutants")]
pub fn find_all() -> Result<bool, String> {
    use crate::{Plan, run};
    let mut all = true;
    println!("{:<34} {:>7} {:>6}  found by", "planted bug", "budget", "seeds");
    for &(name, budget) in MUTANTS {
        faultline_model::mutants::choose(Some(name));
        let found = (1..=budget).find_map(|seed| {
            let plan = Plan::of(seed);
            let outcome = run(&plan);
            let twice = || (run(&plan).trace != outcome.trace).then_some("trace");
            let broken = outcome.result.as_ref().err().map(|broken| broken.invariant).or_else(twice);
            broken.map(|invariant| (seed, invariant))
        });
        faultline_model::mutants::choose(None);
        all &= found.is_some();
        match found {
            Some((seeds, invariant)) => println!("{name:<34} {budget:>7} {seeds:>6}  {invariant}"),
            None => println!("{name:<34} {budget:>7}      -  NOT FOUND"),
        }
    }
    Ok(all)
}

/// No bug is planted in this build.
#[cfg(not(feature = "mutants"))]
pub fn find_all() -> Result<bool, String> {
    Err("no bug is planted in this build: cargo xtask sim --mutants builds one in which they are".into())
}
