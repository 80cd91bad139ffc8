//! Parts of the language that are experiments of Prometheus', each refused unless it is switched on by its name.
use alloc::string::String;
use core::fmt;

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
    /// Names are dropped when an evaluation is over, not where what they name is changed.
    DelayedNameRemoval,
}

impl Feature {
    /// Every feature, in order of name.
    pub const ALL: &[Feature] = &[
        Feature::BinopFillModifiers,
        Feature::DelayedNameRemoval,
        Feature::DurationExpr,
        Feature::ExperimentalFunctions,
        Feature::ExtendedRangeSelectors,
    ];

    /// The feature of this name.
    ///
    /// Fails on a name that no feature has.
    pub fn named(name: &str) -> Result<Feature, UnknownFeature> {
        let feature = Feature::ALL.iter().find(|feature| feature.name() == name);
        feature.copied().ok_or_else(|| UnknownFeature { name: name.into() })
    }

    /// The name that Prometheus' `--enable-feature` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Feature::BinopFillModifiers => "promql-binop-fill-modifiers",
            Feature::DurationExpr => "promql-duration-expr",
            Feature::ExperimentalFunctions => "promql-experimental-functions",
            Feature::ExtendedRangeSelectors => "promql-extended-range-selectors",
            Feature::DelayedNameRemoval => "promql-delayed-name-removal",
        }
    }
}

/// A name that no feature has: choose one of those that the message lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no feature is called {name:?}; there are {Names}")]
pub struct UnknownFeature {
    /// The name.
    pub name: String,
}

/// Every name, for people.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, feature) in Feature::ALL.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { ", " }, feature.name())?;
        }
        Ok(())
    }
}

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u8);

impl Features {
    /// No feature: the language as Prometheus promises to keep it.
    pub const NONE: Features = Features(0);

    /// Every feature that adds to the language, and changes nothing of what is there without it.
    pub fn additions() -> Features {
        Feature::ALL.iter().copied().filter(|feature| *feature != Feature::DelayedNameRemoval).collect()
    }

    /// The features of these names.
    ///
    /// Fails on a name that no feature has.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Features, UnknownFeature> {
        names.into_iter().map(Feature::named).collect()
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

impl FromIterator<Feature> for Features {
    fn from_iter<T: IntoIterator<Item = Feature>>(features: T) -> Features {
        features.into_iter().fold(Features::NONE, Features::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn features_are_found_by_name() {
        let two = Features::named(["promql-experimental-functions", "promql-duration-expr"]).expect("known names");
        assert!(two.has(Feature::DurationExpr) && !two.has(Feature::BinopFillModifiers));
        let names: Vec<_> = two.names().collect();
        assert_eq!(names, ["promql-duration-expr", "promql-experimental-functions"]);
        assert_eq!(Features::named(names), Ok(two));
        assert_eq!(Features::named([]), Ok(Features::NONE));
        assert_eq!(Features::additions().names().count(), Feature::ALL.len() - 1);
        assert_eq!(
            Features::named(["promql-everything"]).map_err(|error| error.to_string()),
            Err("no feature is called \"promql-everything\"; there are promql-binop-fill-modifiers, promql-delayed-name-removal, \
                 promql-duration-expr, promql-experimental-functions, promql-extended-range-selectors"
                .into())
        );
    }
}
