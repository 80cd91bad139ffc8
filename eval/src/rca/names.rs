//! Names as they are, or random ones in their place: what is decided must not hang on them.
use faultline_host::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Both ways between a data set's names and those that the server sees.
#[derive(Debug)]
pub struct Names {
    random: Option<Random>,
    given: BTreeMap<String, String>,
    back: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// Random names where there is a seed.
    pub fn new(seed: Option<u64>) -> Names {
        let random = seed.map(|seed| Random::seeded(seed ^ 0x4e61_6d65_7300_0000));
        Names { random, given: BTreeMap::new(), back: BTreeMap::new(), taken: BTreeSet::new() }
    }

    /// The name that the server sees.
    pub fn give(&mut self, name: &str) -> String {
        let Some(random) = &mut self.random else { return name.to_string() };
        if let Some(given) = self.given.get(name) {
            return given.clone();
        }
        let given = loop {
            let drawn = format!("x{:016x}", random.below(u64::MAX));
            if self.taken.insert(drawn.clone()) {
                break drawn;
            }
        };
        self.back.insert(given.clone(), name.to_string());
        self.given.insert(name.to_string(), given.clone());
        given
    }

    /// The data set's name.
    pub fn back<'a>(&'a self, given: &'a str) -> &'a str {
        self.back.get(given).map_or(given, |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_lead_back_and_none_are_left_alone() {
        let (mut plain, mut drawn) = (Names::new(None), Names::new(Some(7)));
        assert_eq!((plain.give("cart"), plain.back("cart")), ("cart".into(), "cart"));
        let (cart, web) = (drawn.give("cart"), drawn.give("web"));
        assert!(cart != web && cart != "cart" && drawn.give("cart") == cart);
        assert_eq!((drawn.back(&cart), drawn.back(&web)), ("cart", "web"));
    }
}
