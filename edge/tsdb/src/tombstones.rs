//! What was deleted of a block and is still in its chunks.
//!
//! Source: `tombstones/tombstones.go` of Prometheus' tsdb.
use crate::TsdbError;
use crate::pages::{Left, u32_of};
use faultline_host::Disk;
use faultline_model::Millis;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const MAGIC: u32 = 0x0130_BA30;
/// Largest file that is read, in bytes; a deletion takes some fifteen.
const SIZE_MAX: u64 = 256 << 20;

/// Stretches by series, both ends deleted.
#[derive(Debug, Default)]
pub struct Tombstones {
    by_series: BTreeMap<u64, Vec<(i64, i64)>>,
}

impl Tombstones {
    /// Those of a block; none where there is no file.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Tombstones, TsdbError> {
        let file = match disk.open_read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tombstones::default()),
            file => file?,
        };
        let size = file.size()?;
        if size > SIZE_MAX {
            return Err(TsdbError::Unknown(format!("its tombstones are {size} bytes, more than are read")));
        }
        let mut bytes = vec![0; size as usize];
        let read = file.read_at(&mut bytes, 0)?;
        Tombstones::parse(&bytes[..read])
    }

    fn parse(bytes: &[u8]) -> Result<Tombstones, TsdbError> {
        // Magic (u32), version (u8), stones, check sum of version-less stones (u32).
        if bytes.len() < 9 || u32_of(bytes) != MAGIC {
            return Err(TsdbError::damaged("its tombstones do not begin as such"));
        }
        let (body, check) = bytes[4..].split_at(bytes.len() - 8);
        if body[0] != 1 {
            return Err(TsdbError::Unknown(format!("its tombstones have version {}, known is 1", body[0])));
        }
        if crc32c::crc32c(&body[1..]) != u32_of(check) {
            return Err(TsdbError::damaged("the check sum of its tombstones does not fit"));
        }
        let (mut left, mut by_series) = (Left(&body[1..]), BTreeMap::<u64, Vec<(i64, i64)>>::new());
        while !left.0.is_empty() {
            let stone = || Some((left.number()?, left.signed()?, left.signed()?));
            let (series, from, to) = { stone }().ok_or(TsdbError::damaged("a tombstone is none"))?;
            by_series.entry(series).or_default().push((from, to));
        }
        Ok(Tombstones { by_series })
    }

    /// Stretches of a series that were deleted.
    pub fn of(&self, series: u64) -> &[(i64, i64)] {
        self.by_series.get(&series).map_or(&[], |all| all)
    }
}

/// Whether an instant lies in one of the stretches.
pub fn is_deleted(stretches: &[(i64, i64)], at: Millis) -> bool {
    stretches.iter().any(|(from, to)| (*from..=*to).contains(&at.0))
}
