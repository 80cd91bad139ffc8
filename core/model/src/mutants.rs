//! Planted bugs, by which the simulation is measured: each stands as `mutant!("name")` where the right code stands, and is
//! `false` but in a build with the feature `mutants`, where the simulation chooses one at a time.
//!
//! `cargo xtask sim --mutants` must find every one of them. No release can have them: without debug assertions a build with the
//! feature is refused.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants bugs: it is for the simulation in a debug build, and for nothing else");

#[cfg(feature = "mutants")]
mod chosen {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Digest of the name of the bug that is there now; 0 for none.
    static CHOSEN: AtomicU64 = AtomicU64::new(0);

    /// From now on this bug is there and no other; `None`: none.
    pub fn choose(name: Option<&str>) {
        CHOSEN.store(name.map_or(0, digest), Ordering::Relaxed);
    }

    /// Whether this bug is there.
    pub fn is_chosen(name: &str) -> bool {
        CHOSEN.load(Ordering::Relaxed) == digest(name)
    }

    fn digest(name: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64(name.as_bytes()).max(1)
    }
}
#[cfg(feature = "mutants")]
pub use chosen::{choose, is_chosen};

/// Whether the planted bug of this name is there: `false` in every build but the simulation's own.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutants::is_chosen($name)
    };
}

/// Whether the planted bug of this name is there: `false` in every build but the simulation's own.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        false
    };
}
