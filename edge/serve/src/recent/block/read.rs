//! Reading a block: what a look-up needs and no more, each part checked as it is read.
use super::bytes::Left;
use super::hot::Hot;
use super::key::labels_of;
use super::table::{next_key, unframe};
use super::write::term_of;
use super::{BETWEEN, BlockError, FOOTER, HEADER, MAGIC, Purpose, Summary, VERSION, Whole};
use crate::recent::chunk::{Chunk, ChunkKind, Item};
use crate::recent::matching::{Known, Plan};
use crate::recent::texts::Texts;
use faultline_host::{Disk, File};
use faultline_model::{Labels, Millis, Position};
use faultline_promql::{MatchOp, Matcher};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Bytes read at once where what is wanted lies close together.
const READ: usize = 256 << 10;
/// Bytes read at once where something so close before was wanted, too.
const READ_FIRST: usize = 8 << 10;
/// A list is walked to leave out candidates where it has at most so many times as many: to look at a candidate's labels takes as long.
const WALKED: usize = 64;

/// An open block.
pub struct Block {
    file: Arc<dyn File>,
    path: PathBuf,
    summary: Summary,
    places: [u64; 6],
    /// Where groups and pages of terms are, read when first asked for: about 1 byte a series, and 1 or 2 a term.
    directories: OnceLock<Directories>,
    hot: Hot,
}

struct Directories {
    groups: Vec<u64>,
    pages: Vec<(u64, Box<[u8]>)>,
}

/// A chunk's place in a block, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// What its bytes are.
    pub kind: ChunkKind,
    /// How many samples it has.
    pub count: u16,
    /// Time of its first sample.
    pub first: Millis,
    /// Time of its last sample.
    pub last: Millis,
    at: u64,
    size: u32,
    check: u32,
}

impl Place {
    /// Where in the file the chunk ends.
    pub fn end(&self) -> u64 {
        self.at + u64::from(self.size)
    }
}

/// A series of a block.
#[derive(Clone, Debug)]
pub struct BlockSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its chunks within the stretch that was asked for, at least one.
    pub chunks: Vec<Place>,
}

const DAMAGED: fn(&'static str) -> BlockError = BlockError::Damaged;

/// Is shown series by their keys, with chunks.
type ByKey<'a> = dyn FnMut(&[u8], &[Place]) -> Result<ControlFlow<()>, BlockError> + 'a;

impl Block {
    /// Opens a file, which must be whole.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Block, BlockError> {
        let file = disk.open_read(path)?;
        let size = file.size()?;
        if size < (HEADER + FOOTER) as u64 {
            return Err(DAMAGED("it is too short"));
        }
        let header = read(&*file, 0, HEADER as u64)?;
        let mut left = Left(&header);
        if left.bytes(8)? != MAGIC {
            return Err(DAMAGED("it does not begin as a block"));
        }
        let version = left.u32()?;
        checked(&header)?;
        if version > VERSION {
            return Err(BlockError::Newer(version));
        }
        let purpose = match left.u32()? {
            0 => Purpose::Block,
            1 => Purpose::Head,
            _ => return Err(DAMAGED("nobody knows what it is for")),
        };
        let covers = Position { partition: left.u32()?, offset: left.u64()? };
        let says_whole = left.byte()? == 1;
        let whole = Whole { lacks: Millis(left.u64()? as i64), next: left.u64()?, blocks: left.u32()? };
        let whole = says_whole.then_some(whole);
        let footer = read(&*file, size - FOOTER as u64, FOOTER as u64)?;
        checked(&footer)?;
        let mut left = Left(&footer);
        let mut places = [0; 6];
        for place in &mut places {
            *place = left.u64()?;
        }
        if !places.is_sorted() || places[0] < HEADER as u64 || places[5] != size - FOOTER as u64 {
            return Err(DAMAGED("its parts do not follow each other"));
        }
        let (first, last) = (Millis(left.u64()? as i64), Millis(left.u64()? as i64));
        let (chunks, samples, series) = (left.u64()?, left.u64()?, left.u32()?);
        let summary = Summary { purpose, covers, whole, first, last, series, chunks, samples, size };
        Ok(Block { file, path: path.to_path_buf(), summary, places, directories: OnceLock::new(), hot: Hot::default() })
    }

    /// What it says of itself.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn directories(&self) -> Result<&Directories, BlockError> {
        if let Some(known) = self.directories.get() {
            return Ok(known);
        }
        let [groups_at, lists_at, terms_at, directories_at, pages_at, end] = self.places;
        let groups = read(&*self.file, directories_at, pages_at - directories_at)?;
        let (groups, size) = unframe(&groups)?;
        let count = (self.summary.series as usize).div_ceil(super::GROUP);
        if size as u64 != pages_at - directories_at || groups.len() != count * 8 {
            return Err(DAMAGED("the directory of groups has another size"));
        }
        let groups: Vec<u64> =
            groups.chunks_exact(8).map(|at| u64::from_le_bytes(at.try_into().expect("eight bytes"))).collect();
        if !groups.is_sorted() || groups.iter().any(|at| *at < groups_at || *at > lists_at) {
            return Err(DAMAGED("a group is not where groups are"));
        }
        let pages = read(&*self.file, pages_at, end - pages_at)?;
        let (mut left, mut pages) = (Left(unframe(&pages)?.0), Vec::new());
        while !left.0.is_empty() {
            let (at, size) = (left.number()?, left.number()?);
            if at < terms_at || at > directories_at || pages.last().is_some_and(|(before, _)| *before >= at) {
                return Err(DAMAGED("a page is not where pages are"));
            }
            pages.push((at, left.bytes(size)?.into()));
        }
        Ok(self.directories.get_or_init(|| Directories { groups, pages }))
    }

    /// The terms from `from` on, each with its list's length and place, until `visit` breaks.
    fn terms(&self, from: &[u8], mut visit: impl FnMut(&[u8], u64, u64) -> ControlFlow<()>) -> Result<(), BlockError> {
        let pages = &self.directories()?.pages;
        let start = pages.partition_point(|(_, first)| **first <= *from).saturating_sub(1);
        let (mut reading, mut term) = (Reading::default(), Vec::new());
        for (i, (at, _)) in pages.iter().enumerate().skip(start) {
            let end = pages.get(i + 1).map_or(self.places[3], |next| next.0);
            let page = reading.read(&*self.file, *at, end - at, self.places[3])?;
            let mut left = Left(unframe(page)?.0);
            term.clear();
            while !left.0.is_empty() {
                next_key(&mut left, &mut term)?;
                let (count, place) = (left.number()?, left.number()?);
                if term[..] >= *from && visit(&term, count, place).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Length and place of the list of a name and a value.
    fn list(&self, name: &str, value: &str) -> Result<Option<(u64, u64)>, BlockError> {
        let mut wanted = Vec::new();
        term_of(name, value, &mut wanted);
        let pages = &self.directories()?.pages;
        // No other page can have it.
        let Some(number) = pages.partition_point(|(_, first)| **first <= *wanted).checked_sub(1) else {
            return Ok(None);
        };
        let end = pages.get(number + 1).map_or(self.places[3], |next| next.0);
        let page = self.part(pages[number].0, end)?;
        let (mut left, mut term) = (Left(&page), Vec::new());
        while !left.0.is_empty() {
            next_key(&mut left, &mut term)?;
            let found = (left.number()?, left.number()?);
            if term >= wanted {
                return Ok((term == wanted).then_some(found));
            }
        }
        Ok(None)
    }

    /// The body of the frame between two places.
    fn part(&self, at: u64, end: u64) -> Result<Arc<[u8]>, BlockError> {
        match self.hot.get(at) {
            Some(body) => Ok(body),
            None => Ok(self.hot.put(at, unframe(&read(&*self.file, at, end - at)?)?.0)),
        }
    }

    /// Visits the names of labels, each once and in order. What is between one and the next is not read.
    pub fn names(&self, mut visit: impl FnMut(&str)) -> Result<(), BlockError> {
        let mut from = Vec::new();
        loop {
            let mut next = None;
            self.texts(&from, |term| {
                let name = term.split(|byte| *byte == BETWEEN).next().filter(|name| name.len() < term.len())?;
                visit(std::str::from_utf8(name).ok()?);
                // Behind all its values: such a byte is in none.
                next = Some([name, &[BETWEEN; 2]].concat());
                Some(ControlFlow::Break(()))
            })?;
            match next {
                Some(next) if next > from => from = next,
                Some(_) => return Err(DAMAGED("terms are not in order")),
                None => return Ok(()),
            }
        }
    }

    /// The values of a label.
    pub fn values(&self, name: &str) -> Result<Arc<Texts>, BlockError> {
        if let Some(kept) = self.hot.values(name) {
            return Ok(kept);
        }
        let (mut prefix, mut values) = (Vec::new(), Texts::default());
        term_of(name, "", &mut prefix);
        self.texts(&prefix, |term| {
            let Some(value) = term.strip_prefix(&prefix[..]) else { return Some(ControlFlow::Break(())) };
            values.add(std::str::from_utf8(value).ok()?);
            Some(ControlFlow::Continue(()))
        })?;
        let values = Arc::new(values.settled());
        self.hot.put_values(name, &values);
        Ok(values)
    }

    /// Visits the terms from `from` on, until `visit` breaks; fails where it says that one is no text.
    fn texts(&self, from: &[u8], mut visit: impl FnMut(&[u8]) -> Option<ControlFlow<()>>) -> Result<(), BlockError> {
        let mut good = true;
        self.terms(from, |term, _, _| {
            visit(term).unwrap_or_else(|| {
                good = false;
                ControlFlow::Break(())
            })
        })?;
        if good { Ok(()) } else { Err(DAMAGED("a term is no text")) }
    }

    /// Numbers of the series in a list.
    ///
    /// - `count`: how many these are, by what its term says.
    fn numbers(&self, count: u64, place: u64, out: &mut Vec<u32>) -> Result<(), BlockError> {
        let (lists_at, terms_at) = (self.places[1], self.places[2]);
        if place < lists_at || place + 8 > terms_at {
            return Err(DAMAGED("a list is not where lists are"));
        }
        let body = match self.hot.get(place) {
            Some(body) => body,
            None => {
                // Mostly a number takes a byte or two.
                let likely = count.saturating_mul(2).saturating_add(8).min(terms_at - place).min(READ as u64);
                let mut framed = read(&*self.file, place, likely)?;
                let size = u64::from(Left(&framed).u32()?);
                if size > terms_at - place - 8 {
                    return Err(DAMAGED("a list is too long"));
                }
                if size + 8 > likely {
                    framed = read(&*self.file, place, size + 8)?;
                }
                self.hot.put(place, unframe(&framed)?.0)
            }
        };
        let (mut left, mut number) = (Left(&body), 0_u64);
        out.reserve(left.0.len().min(usize::try_from(count).unwrap_or(usize::MAX)));
        let (begun, series) = (out.len(), u64::from(self.summary.series));
        while !left.0.is_empty() {
            let step = left.number()?;
            let rises = step > 0 || out.len() == begun;
            number = number
                .checked_add(step)
                .filter(|number| rises && *number < series)
                .ok_or(DAMAGED("a list names a series that is not there"))?;
            out.push(number as u32);
        }
        Ok(())
    }

    /// The series that all matchers accept, with their chunks that overlap `from..=to`; nothing where they are more than
    /// `most`.
    pub fn find(
        &self,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<BlockSeries>>, BlockError> {
        let Some(numbers) = self.candidates(matchers)? else { return Ok(Some(Vec::new())) };
        let (mut known, mut found) = (Known::new(matchers), Vec::new());
        self.series(&numbers, from, to, &mut |series| {
            if known.accept(&series.labels) {
                found.push(series);
            }
            if found.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((found.len() <= most).then_some(found))
    }

    /// Visits the series among which are all that the matchers accept: their keys, whose [`labels_of`] are to be asked, and
    /// their chunks that overlap `from..=to`, at least one.
    pub fn each_candidate(
        &self,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        visit: &mut ByKey<'_>,
    ) -> Result<(), BlockError> {
        match self.candidates(matchers)? {
            Some(numbers) => self.keys(&numbers, from, to, visit),
            None => Ok(()),
        }
    }

    /// Numbers of the series among which are all that the matchers accept.
    fn candidates(&self, matchers: &[Matcher]) -> Result<Option<Vec<u32>>, BlockError> {
        // Of each name and value that there must be, the list.
        let mut lists: Vec<(&str, &str, u64, u64)> = Vec::new();
        for it in matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty()) {
            match self.list(&it.name, &it.value)? {
                Some((count, place)) => lists.push((&it.name, &it.value, count, place)),
                None => return Ok(None),
            }
        }
        let list = |name: &str, value: &str| lists.iter().find(|it| (it.0, it.1) == (name, value));
        let mut numbers = Vec::new();
        match Plan::of(matchers, |name, value| list(name, value).map_or(0, |it| it.2 as usize)) {
            Plan::Value(name, value) => {
                let Some((.., count, place)) = list(name, value) else { return Ok(None) };
                self.numbers(*count, *place, &mut numbers)?;
                let others = lists.iter().filter(|it| (it.0, it.1) != (name, value));
                others.into_iter().try_for_each(|it| self.leave_out(it.2, it.3, &mut numbers))?;
            }
            Plan::Values(matcher) => {
                let (mut prefix, mut places) = (Vec::new(), Vec::new());
                term_of(&matcher.name, "", &mut prefix);
                self.terms(&prefix, |term, count, place| {
                    let Some(value) = term.strip_prefix(&prefix[..]) else { return ControlFlow::Break(()) };
                    if std::str::from_utf8(value).is_ok_and(|value| matcher.matches(value)) {
                        places.push((count, place));
                    }
                    ControlFlow::Continue(())
                })?;
                for (count, place) in places {
                    self.numbers(count, place, &mut numbers)?;
                }
                numbers.sort();
            }
            Plan::All => numbers = self.numbers_of_all()?,
        }
        Ok(Some(numbers))
    }

    /// Leaves those of rising numbers that stand in another list, too, where that is not far longer.
    fn leave_out(&self, count: u64, place: u64, numbers: &mut Vec<u32>) -> Result<(), BlockError> {
        if count as usize / WALKED <= numbers.len() {
            let mut known = Vec::new();
            self.numbers(count, place, &mut known)?;
            let mut known = known.into_iter().peekable();
            numbers.retain(|number| {
                while known.next_if(|it| it < number).is_some() {}
                known.peek() == Some(number)
            });
        }
        Ok(())
    }

    fn numbers_of_all(&self) -> Result<Vec<u32>, BlockError> {
        // Holds the footer's number against the directory's size: nobody else has, and a few bytes can say four billion.
        self.directories()?;
        Ok((0..self.summary.series).collect())
    }

    /// Visits all series with all their chunks, in label order.
    pub fn each(&self, visit: &mut dyn FnMut(BlockSeries) -> ControlFlow<()>) -> Result<(), BlockError> {
        self.series(&self.numbers_of_all()?, Millis(i64::MIN), Millis(i64::MAX), visit)
    }

    /// At most `count` series from the number `first` on, with all their chunks, in label order.
    pub fn page(&self, first: u32, count: u32) -> Result<Vec<BlockSeries>, BlockError> {
        // Holds the footer's number against the directory's size, as above.
        self.directories()?;
        let numbers: Vec<u32> = (first..self.summary.series.min(first.saturating_add(count))).collect();
        let mut all = Vec::with_capacity(numbers.len());
        self.series(&numbers, Millis(i64::MIN), Millis(i64::MAX), &mut |series| {
            all.push(series);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// Visits the series of these rising numbers that have chunks within `from..=to`.
    fn series(
        &self,
        numbers: &[u32],
        from: Millis,
        to: Millis,
        visit: &mut dyn FnMut(BlockSeries) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        self.keys(numbers, from, to, &mut |key, chunks| {
            Ok(visit(BlockSeries { labels: labels_of(key)?, chunks: chunks.to_vec() }))
        })
    }

    /// The same, with keys instead of labels.
    fn keys(&self, numbers: &[u32], from: Millis, to: Millis, visit: &mut ByKey<'_>) -> Result<(), BlockError> {
        let groups = &self.directories()?.groups;
        let (mut reading, mut next) = (Reading::default(), 0);
        while next < numbers.len() {
            let group = numbers[next] as usize / super::GROUP;
            let wanted = numbers[next..].iter().take_while(|number| **number as usize / super::GROUP == group);
            let wanted: Vec<usize> = wanted.map(|number| *number as usize % super::GROUP).collect();
            next += wanted.len();
            let end = groups.get(group + 1).copied().unwrap_or(self.places[1]);
            let done = if numbers.len() == 1 {
                self.group(&self.part(groups[group], end)?, &wanted, from, to, visit)?
            } else {
                let bytes = reading.read(&*self.file, groups[group], end - groups[group], self.places[1])?;
                self.group(unframe(bytes)?.0, &wanted, from, to, visit)?
            };
            if done.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn group(
        &self,
        body: &[u8],
        wanted: &[usize],
        from: Millis,
        to: Millis,
        visit: &mut ByKey<'_>,
    ) -> Result<ControlFlow<()>, BlockError> {
        let (mut left, mut key, mut number, mut chunks) = (Left(body), Vec::new(), 0, Vec::new());
        let mut at = left.number()?;
        let mut wanted = wanted.iter().copied().peekable();
        while wanted.peek().is_some() {
            next_key(&mut left, &mut key)?;
            let is_wanted = wanted.next_if_eq(&number).is_some();
            let (count, mut before) = (left.number()?, 0_i64);
            chunks.clear();
            for _ in 0..count {
                let kind = left.byte()?;
                let count = u16::try_from(left.number()?).map_err(|_| DAMAGED("a chunk has too many samples"))?;
                let first = before.wrapping_add(left.signed()?);
                let last = first.wrapping_add_unsigned(left.number()?);
                let (size, check) = (left.number()?, left.u32()?);
                let end = at.checked_add(size).filter(|end| *end <= self.places[0] && at >= HEADER as u64);
                let end = end.ok_or(DAMAGED("a chunk is not where chunks are"))?;
                if is_wanted && last >= from.0 && first <= to.0 {
                    let kind = ChunkKind::of(kind).ok_or(DAMAGED("a chunk is of a kind that nobody knows"))?;
                    let size = u32::try_from(size).map_err(|_| DAMAGED("a chunk is too long"))?;
                    let (first, last) = (Millis(first), Millis(last));
                    chunks.push(Place { kind, count, first, last, at, size, check });
                }
                (at, before) = (end, last);
            }
            number += 1;
            if !chunks.is_empty() && visit(&key, &chunks)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The chunk at a place.
    pub fn chunk(&self, place: &Place, reading: &mut Reading) -> Result<Chunk, BlockError> {
        let bytes = self.bytes(place, reading)?;
        let Place { kind, count, first, last, .. } = *place;
        Ok(Chunk { kind, count, first, last, bytes: bytes.into() })
    }

    /// Appends the samples of a chunk of their kind.
    pub fn unpack<T: Item>(&self, place: &Place, reading: &mut Reading, out: &mut Vec<T>) -> Result<(), BlockError> {
        let bytes = self.bytes(place, reading)?;
        let begun = out.len();
        let good = place.kind == T::KIND
            && T::unpack_onto(bytes, out)
            && out.len() - begun == usize::from(place.count)
            && out.get(begun).map(T::time) == Some(place.first)
            && out.last().map(T::time) == Some(place.last);
        if good { Ok(()) } else { Err(DAMAGED("a chunk does not hold what is said of it")) }
    }

    fn bytes<'r>(&self, place: &Place, reading: &'r mut Reading) -> Result<&'r [u8], BlockError> {
        let bytes = reading.read(&*self.file, place.at, u64::from(place.size), self.places[0])?;
        if crc32c::crc32c(bytes) == place.check { Ok(bytes) } else { Err(DAMAGED("a chunk's check sum does not fit")) }
    }
}

/// What was read ahead of a file: the more, the longer what is wanted lies close together.
pub struct Reading {
    at: u64,
    bytes: Vec<u8>,
    ahead: usize,
    /// Nothing from here on is wanted.
    end: u64,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading::until(u64::MAX)
    }
}

impl Reading {
    /// To read what stands before this place of a file.
    pub fn until(end: u64) -> Reading {
        Reading { at: 0, bytes: Vec::new(), ahead: 0, end }
    }

    /// Bytes of the file, `end` of which nothing is read.
    fn read(&mut self, file: &dyn File, at: u64, size: u64, end: u64) -> Result<&[u8], BlockError> {
        let have = self.at + self.bytes.len() as u64;
        if at < self.at || at + size > have {
            let is_close =
                !self.bytes.is_empty() && at >= self.at && at - have.min(at) <= self.ahead.max(READ_FIRST) as u64;
            // Of most questions nothing but the first is wanted.
            self.ahead = if is_close { (2 * self.ahead).clamp(READ_FIRST, READ) } else { 0 };
            let ahead = (self.ahead as u64).min(end.min(self.end).saturating_sub(at)).max(size);
            read_into(file, at, ahead, &mut self.bytes)?;
            self.at = at;
        }
        let start = (at - self.at) as usize;
        Ok(&self.bytes[start..start + size as usize])
    }
}

/// All of a stretch, which must lie within the file.
fn read(file: &dyn File, at: u64, size: u64) -> Result<Vec<u8>, BlockError> {
    let mut bytes = Vec::new();
    read_into(file, at, size, &mut bytes)?;
    Ok(bytes)
}

/// The same in place of what `bytes` held; nothing where it fails.
fn read_into(file: &dyn File, at: u64, size: u64, bytes: &mut Vec<u8>) -> Result<(), BlockError> {
    let size = usize::try_from(size).map_err(|_| DAMAGED("a part is too long"))?;
    bytes.resize(size, 0);
    let read = file.read_at(bytes, at);
    if !matches!(read, Ok(count) if count == size) {
        bytes.clear();
    }
    if read? < size { Err(DAMAGED("it is shorter than it was")) } else { Ok(()) }
}

/// Whether the last four bytes are the check sum of those before.
fn checked(bytes: &[u8]) -> Result<(), BlockError> {
    let (body, check) = bytes.split_at(bytes.len() - 4);
    let fits = crc32c::crc32c(body).to_le_bytes() == *check;
    if fits { Ok(()) } else { Err(DAMAGED("a check sum does not fit")) }
}
