//! C2SP tlog-tiles: names of tiles and bundles of entries (c2sp.org/tlog-tiles).
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: usize = 256;

/// Which tile: level, index, and how many of its 256 places are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileName {
    /// 0 holds leaf hashes; each level above, roots of tiles below.
    pub level: u8,
    /// Place in its level, from 0.
    pub index: u64,
    /// 1 to 256; below 256 the tile is partial.
    pub width: u16,
}

impl TileName {
    /// `tile/<level>/<index>[.p/<width>]`.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, index_path(self.index, self.width))
    }

    /// `tile/entries/<index>[.p/<width>]`: the bundle of the entries whose hashes this level-0 tile holds.
    pub fn entries_path(&self) -> String {
        format!("tile/entries/{}", index_path(self.index, self.width))
    }
}

/// Groups of three digits, each but the last preceded by `x`: 1234067 is `x001/x234/067`.
fn index_path(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if usize::from(width) < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Appends an entry to a bundle: its size in 16 bits, then its bytes. Panics above 65,535 bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    let size = u16::try_from(entry.len()).expect("leaf_bytes keeps entries within 65,535 bytes");
    bundle.extend(size.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle; nothing where it is cut short.
pub fn bundle_entries(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut entries, mut left) = (Vec::new(), bundle);
    while !left.is_empty() {
        let (size, rest) = left.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        entries.push(entry);
        left = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (level, index, width, path) in [
            (0, 0, 256, "tile/0/000"),
            (1, 67, 3, "tile/1/067.p/3"),
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 999, 255, "tile/0/999.p/255"),
            (2, 1000, 256, "tile/2/x001/000"),
        ] {
            assert_eq!(TileName { level, index, width }.path(), path);
        }
        assert_eq!(TileName { level: 0, index: 5, width: 1 }.entries_path(), "tile/entries/005.p/1");
    }

    #[test]
    fn bundles_come_apart_again() {
        let mut bundle = Vec::new();
        let entries: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        entries.iter().for_each(|e| push_entry(&mut bundle, e));
        assert_eq!(bundle_entries(&bundle), Some(entries.to_vec()));
        for cut in [1, 4, 6, bundle.len() - 1] {
            assert_eq!(bundle_entries(&bundle[..cut]), None, "cut at {cut}");
        }
    }
}
