//! Which case a seed is: the estate's own draw, and when its fault begins.
use crate::senders::IMPORT_MS;
use faultline_estate::{Fault, Story};
use faultline_host::Random;
use faultline_model::Millis;

/// When every simulated estate goes live: 1 January 2026, and the import before it.
pub const LIVE: Millis = Millis(1_767_225_600_000 + IMPORT_MS);
/// Live telemetry before the fault, in ms: at least, and at most that much more.
const CALM_MS: (u64, u64) = (60_000, 120_000);
/// How long a fault is watched, in ms.
pub const FAULT_MS: i64 = 60_000;

/// The story of a seed: estate, names, culprit and size as [`Story::drawn`] draws them, and an onset of its own.
///
/// - `sites`: how many sites the estate has.
pub fn drawn(seed: u64, fault: Fault, sites: usize) -> Story {
    let mut random = Random::seeded(seed ^ 0xca1a_0000_0000_0000);
    let calm = CALM_MS.0 + random.below(CALM_MS.1 + 1);
    Story::drawn_of(seed, fault, LIVE.plus(calm as i64), sites)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_estate::plan::SITES;

    #[test]
    fn seeds_differ_in_all_that_is_drawn_and_a_seed_stays_the_same() {
        let stories: Vec<Story> = (1..=20).map(|seed| drawn(seed, Fault::Errors, SITES)).collect();
        let distinct =
            |of: fn(&Story) -> String| stories.iter().map(of).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(distinct(|s| s.truth().culprits.concat()), 20);
        assert_eq!(distinct(|s| s.onset.0.to_string()), 20);
        assert_eq!(distinct(|s| format!("{:?}", s.culprits[0].trouble)), 20);
        assert!(distinct(|s| s.culprits[0].service.to_string()) >= 8, "culprits are spread over the estate");
        assert!(stories.iter().all(|s| (60_000..=180_000).contains(&s.onset.since(LIVE))));
        assert_eq!(drawn(7, Fault::Silent, SITES).truth(), drawn(7, Fault::Silent, SITES).truth());
    }
}
