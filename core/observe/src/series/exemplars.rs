//! Which series a record's exemplars are of. Nothing that is written changes by it: no series begins with an exemplar, and no replica
//! is heard for one.
use super::{Applied, Named, SeriesStore};
use alloc::vec::Vec;
use faultline_formats::{Decoded, exemplar_series};
use faultline_model::SeriesKey;

impl SeriesStore {
    /// Tells the exemplars of series that are there, those of the record's own points among them; counts the others.
    pub(super) fn exemplars(&mut self, decoded: &Decoded, out: &mut Applied) {
        let exemplars = &decoded.events.exemplars;
        let keys = &self.keys;
        let known = |key: SeriesKey| keys.find(key.0 as u64, |known| known.0 == key.0).map(|known| known.1);
        let mut found: Vec<Option<Named>> = exemplars.iter().map(|it| known(it.key)).collect();
        // Looked up by labels where this process does not remember the key: else it would depend on what it remembers.
        let unknown: Vec<u32> = (0..).zip(&found).filter(|(_, named)| named.is_none()).map(|(i, _)| i).collect();
        for (&i, labels) in unknown.iter().zip(exemplar_series(decoded, &unknown)) {
            let Some((replica, labels)) = self.replicas.told(labels) else { continue };
            let Some(id) = self.find_labels(&labels) else { continue };
            let named = Named { id, replica };
            found[i as usize] = Some(named);
            self.alias(exemplars[i as usize].key, named);
        }
        for (it, named) in exemplars.iter().zip(found) {
            match named.filter(|named| self.replicas.is_heard(named.replica)) {
                Some(Named { id, .. }) => out.exemplars.push((id, it.exemplar.clone())),
                None => out.strays += 1,
            }
        }
    }
}
