//! Parts of the language that are experiments of Prometheus', each refused unless it is switched on by its name.
use alloc::string::String;

/// An experimental part of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `fill`, `fill_left` and `fill_right`.
    BinopFillModifiers,
    /// Arithmetic between durations.
    DurationExpr,
    /// Functions and aggregations that are marked experimental.
    ExperimentalFunctions,
    /// `anchored` and `smoothed`.
    ExtendedRangeSelectors,
}

impl Feature {
    /// Every feature, in order of name.
    pub const ALL: &[Feature] = &[
        Feature::BinopFillModifiers,
        Feature::DurationExpr,
        Feature::ExperimentalFunctions,
        Feature::ExtendedRangeSelectors,
    ];

    /// The name that Prometheus' `--enable-feature` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Feature::BinopFillModifiers => "promql-binop-fill-modifiers",
            Feature::DurationExpr => "promql-duration-expr",
            Feature::ExperimentalFunctions => "promql-experimental-functions",
            Feature::ExtendedRangeSelectors => "promql-extended-range-selectors",
        }
    }
}

/// A name that no feature has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no feature is called {name:?}")]
pub struct UnknownFeature {
    /// The name.
    pub name: String,
}

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u8);

impl Features {
    /// No feature: the language as Prometheus promises to keep it.
    pub const NONE: Features = Features(0);

    /// Every feature.
    pub fn all() -> Features {
        Feature::ALL.iter().fold(Features::NONE, |all, feature| all.with(*feature))
    }

    /// The features of these names, separated by commas; blanks around a name do not count.
    ///
    /// Fails on a name that no feature has.
    pub fn named(names: &str) -> Result<Features, UnknownFeature> {
        let mut found = Features::NONE;
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let feature = Feature::ALL.iter().find(|feature| feature.name() == name);
            found = found.with(*feature.ok_or_else(|| UnknownFeature { name: name.into() })?);
        }
        Ok(found)
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, feature: Feature) -> Features {
        Features(self.0 | 1 << feature as u8)
    }

    /// Whether a feature is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u8) != 0
    }

    /// Their names, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Feature::ALL.iter().filter(move |feature| self.has(**feature)).map(|feature| feature.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn features_are_found_by_name() {
        let two = Features::named(" promql-duration-expr, promql-experimental-functions,").expect("known names");
        assert!(two.has(Feature::DurationExpr) && !two.has(Feature::BinopFillModifiers));
        let names: Vec<_> = two.names().collect();
        assert_eq!(Features::named(&names.join(",")), Ok(two));
        assert_eq!(Features::named(""), Ok(Features::NONE));
        assert_eq!(Features::all().names().count(), Feature::ALL.len());
        assert_eq!(Features::named("promql-everything").map_err(|e| e.name), Err("promql-everything".into()));
    }
}
