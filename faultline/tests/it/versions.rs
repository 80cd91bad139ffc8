//! Data folders of every engine version there was: ours and those of [`ENGINE_VERSION_MIN`] on are taken up and gone on with; others
//! are refused with what to do, and kept.
//!
//! `golden/folder-N` is a folder as the release with engine version N left it after a clean stop; its README says what is in
//! it. A new version gets a new one, `UPDATE=1 cargo test -p faultline --test it versions`; a folder that is there is never
//! written again.
use crate::node::{Node, SEED};
use crate::segments::Segment;
use crate::sender::Sender;
use faultline::keys;
use faultline::start::Origin;
use faultline::verify::check;
use faultline::world::control;
use faultline_engine::{ENGINE_VERSION, ENGINE_VERSION_MIN};
use faultline_host::{Disk, Item, RealDisk};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{AlertState, Decision};
use faultline_model::{Canonical, Control};
use faultline_storage::{CheckpointStore, DataFolder, Inspection, LedgerStore, SegmentJournal, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Of the folders kept: a segment is stored without the zeros at its end.
const SETTINGS: Settings = Settings { segment_size: 32 << 10, limit: 4 << 20 };
/// The key of their ledgers: no secret, it guards nothing.
const KEY: &str = "0909090909090909090909090909090909090909090909090909090909090909\n";

/// A folder of its own, removed at the end.
struct Folder {
    _temporary: tempfile::TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Folder {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let path = temporary.path().join("data");
        Folder { _temporary: temporary, path }
    }

    /// The folder that the release of `version` left.
    fn golden(version: u32) -> Folder {
        let folder = Folder::new();
        copy(&golden(version), &folder.path);
        for name in names(&folder.path.join("journal")) {
            let file = fs::OpenOptions::new().write(true).open(folder.path.join("journal").join(name));
            file.and_then(|file| file.set_len(SETTINGS.segment_size)).expect("the disk is well");
        }
        folder
    }

    fn open(&self, settings: Settings, sender: &Sender) -> Result<Node, String> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let signer = |folder: &DataFolder| {
            let (secret, public) = ("ledger/signing-key", "ledger/verifier-key");
            let signer = || keys::signer(&RealDisk, folder.path(), folder.journal_id()).expect("a key");
            if !folder.path().join(secret).exists() {
                fs::create_dir_all(folder.path().join("ledger")).expect("the disk is well");
                fs::write(folder.path().join(secret), KEY).expect("the disk is well");
                let text = format!("{}\n", signer().verifier().text());
                fs::write(folder.path().join(public), text).expect("the disk is well");
            }
            signer()
        };
        Node::open(&disk, &self.path, settings, signer, &sender.clock).map_err(|error| error.to_string())
    }

    fn inspect(&self) -> DataFolder {
        DataFolder::inspect(Arc::new(RealDisk), &self.path).expect("it is a data folder")
    }

    /// Changes the bodies of the journal's frames, by kind, and makes their check sums fit.
    fn rewrite(&self, mut change: impl FnMut(u8, &mut [u8])) {
        let journal = self.inspect().journal_id();
        for name in names(&self.path.join("journal")) {
            let path = self.path.join("journal").join(&name);
            let Some(mut segment) = Segment::named(&name, fs::read(&path).expect("it is there")) else { continue };
            let mut frames = segment.frames();
            frames.pop();
            for at in frames {
                let kind = segment.kind(at);
                segment.rewrite(journal, at, |body| change(kind, body));
            }
            fs::write(&path, &segment.bytes).expect("the disk is well");
        }
    }

    /// Engine versions that records put in force.
    fn versions(&self) -> BTreeSet<u32> {
        let mut versions = BTreeSet::new();
        self.rewrite(|kind, body| {
            if kind == 2 && body[4..6] == [2, 6] {
                versions.insert(u32::from_bytes(&body[24..]).expect("a number"));
            }
        });
        versions
    }

    /// Makes it what a release with an older engine version left, which decided one thing otherwise: the first alert, or the
    /// last. One segment at most, about which the ledger says nothing yet.
    fn make_older(&self, version: u32, last: bool) {
        let is_alert = |leaf: &LedgerEntry| matches!(leaf.fact, Fact::Decided { decision: Decision::Alert(_), .. });
        let mut alerts = 0;
        self.rewrite(|kind, body| {
            alerts += if kind == 3 { leaves(body).filter(|it| is_alert(&it.1)).count() } else { 0 }
        });
        assert!(alerts > 1);
        let (mut number, otherwise) = (0, if last { alerts - 1 } else { 0 });
        let mut all: Vec<Box<[u8]>> = Vec::new();
        self.rewrite(|kind, body| match kind {
            2 if body[4..6] == [2, 6] => body[24..].copy_from_slice(&version.to_bytes()),
            3 => {
                for (at, mut leaf) in leaves(body).collect::<Vec<_>>() {
                    leaf.engine = version;
                    if is_alert(&leaf) {
                        if let (Fact::Decided { decision: Decision::Alert(alert), .. }, true) =
                            (&mut leaf.fact, number == otherwise)
                        {
                            alert.value = -alert.value;
                        }
                        number += 1;
                    }
                    let bytes = leaf.to_bytes();
                    body[at..at + bytes.len()].copy_from_slice(&bytes);
                    all.push(bytes.into());
                }
            }
            _ => {}
        });
        for name in names(&self.path.join("checkpoints")) {
            self.relabel(&name, version);
        }
        let ledger = self.path.join("ledger");
        fs::remove_dir_all(ledger.join("tile")).expect("it is there");
        fs::remove_file(ledger.join("checkpoint")).expect("it is there");
        let signer = keys::signer(&RealDisk, &self.path, self.inspect().journal_id()).expect("a key");
        let mut store = LedgerStore::open(Arc::new(RealDisk), &ledger, signer).expect("the disk is well");
        store.append(0, &all).and_then(|()| store.publish()).expect("the disk is well");
    }

    /// Makes a checkpoint say that the engine of another version wrote it.
    fn relabel(&self, checkpoint: &str, version: u32) {
        let path = self.path.join("checkpoints").join(checkpoint);
        let mut bytes = fs::read(&path).expect("it is there");
        bytes[16..20].copy_from_slice(&version.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..120]);
        bytes[120..124].copy_from_slice(&check.to_le_bytes());
        fs::write(&path, bytes).expect("the disk is well");
    }

    /// Leaves by what they state, and the time of the last record.
    fn holds(&self) -> (BTreeMap<&'static str, usize>, faultline_model::Millis) {
        let Inspection { segments, .. } = SegmentJournal::inspect(&self.inspect(), None).expect("it is whole");
        let (mut reader, mut after, mut counts, mut last) = (segments.reader(), None, BTreeMap::new(), None);
        loop {
            let items = reader.read(after, 1 << 20).expect("it is whole");
            if items.is_empty() {
                return (counts, last.expect("it holds records"));
            }
            for item in items {
                match item {
                    Item::Record(stored) => {
                        (after, last) = (Some(stored.at), Some(stored.stamp.millis()));
                        *counts.entry("records").or_default() += 1;
                    }
                    Item::Leaves { leaves, .. } => {
                        for leaf in leaves {
                            *counts.entry(stated(&leaf)).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
}

fn stated(leaf: &[u8]) -> &'static str {
    match LedgerEntry::from_bytes(leaf).expect("a leaf of ours").fact {
        Fact::Sealed(_) => "sealed",
        Fact::Digested { .. } => "digested",
        Fact::Decided { decision, .. } => match decision {
            Decision::Alert(it) if it.to == AlertState::Firing => "fired",
            Decision::Incident(_) => "incident",
            Decision::Verdict(_) => "verdict",
            Decision::Quarantined(_) => "quarantined",
            Decision::Anchor(_) => "anchor",
            _ => "other",
        },
    }
}

/// Where the folder of a version is kept.
fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/folder-{version}"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it is there").file_name().into_string().expect("our names")).collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the disk is well");
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("the disk is well");
        }
    }
}

/// Every file by its path, but for the lock, and for what is only kept to be used again.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let counts = |name: &String| name != "lock" && !name.starts_with("spare-");
    for path in names(folder).into_iter().filter(counts).map(|name| folder.join(name)) {
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("it is there");
            all.insert(path, bytes);
        }
    }
    all
}

/// A node at work for so many turns.
fn work(node: &mut Node, sender: &mut Sender, turns: usize, trims: bool) {
    for turn in 0..turns {
        let (_, result) = node.turn(sender.group(), || {});
        result.and_then(|()| node.chores(turn % 5 == 0, trims)).expect("the disk is well");
    }
}

/// A folder as this release leaves it.
fn made(settings: Settings, turns: usize, trims: bool) -> (Folder, Sender) {
    let (folder, mut sender) = (Folder::new(), Sender::new(3));
    let mut node = folder.open(settings, &sender).expect("a new folder");
    work(&mut node, &mut sender, turns, trims);
    node.close().expect("the disk is well");
    (folder, sender)
}

/// The folder to be kept for this version: a sink is halfway through its leaves, a record is quarantined.
fn write_golden() {
    let (folder, mut sender) = (Folder::new(), Sender::new(3));
    let mut node = folder.open(SETTINGS, &sender).expect("a new folder");
    work(&mut node, &mut sender, 20, false);
    node.deliver(&mut Vec::new()).expect("the disk is well");
    let breaking = sender.breaking();
    node.turn(vec![breaking], || {}).1.expect("it is passed over");
    work(&mut node, &mut sender, 50, false);
    node.close().expect("the disk is well");
    let kept = golden(ENGINE_VERSION);
    for (path, bytes) in contents(&folder.path) {
        let to = kept.join(path.strip_prefix(&folder.path).expect("below it"));
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        let of_journal = path.parent().is_some_and(|parent| parent.ends_with("journal"));
        let size = bytes.len() - if of_journal { zeros } else { 0 };
        fs::create_dir_all(to.parent().expect("a folder")).expect("the disk is well");
        fs::write(to, &bytes[..size]).expect("the disk is well");
    }
}

/// A folder of this version: verified, taken up from its checkpoint, gone on with, and verified again. An older one is gone on with
/// after a record that says so.
fn goes_on(version: u32) {
    let folder = Folder::golden(version);
    let before = check(&folder.path);
    assert_eq!(before.decided_by, None, "this engine decides the same");
    assert!(before.ok && before.torn_tail.is_none() && before.trimmed_below.is_none(), "{before:?}");
    assert!(before.unsealed.is_empty() && before.sealed >= 1 && before.anchors >= 1, "{before:?}");
    assert!(before.explanations >= 1 && before.quarantined.len() == 1, "{before:?}");
    let (holds, last) = folder.holds();
    println!("folder-{version}: {holds:?}");
    for what in ["fired", "incident", "verdict", "anchor", "sealed", "quarantined"] {
        assert!(holds.contains_key(what), "{what}: {holds:?}");
    }
    assert!(holds["records"] >= 150, "{holds:?}");
    let newest = CheckpointStore::inspect(&folder.inspect()).offsets().expect("it is readable").pop();
    {
        let inspected = folder.inspect();
        let Inspection { segments, .. } = SegmentJournal::inspect(&inspected, None).expect("it is whole");
        let reader = || segments.reader();
        let begun = Origin::latest(&inspected, &reader).begin().expect("it begins");
        assert_eq!(begun.engine.last().map(|at| at.offset), newest, "the checkpoint is taken up");
    }
    let mut sender = Sender::new(4);
    sender.clock.set(last);
    sender.clock.advance(Duration::from_secs(3_600));
    let mut node = folder.open(SETTINGS, &sender).expect("it is taken up");
    let mut delivered = Vec::new();
    work(&mut node, &mut sender, 120, false);
    assert_eq!(folder.versions(), BTreeSet::from([version, ENGINE_VERSION]));
    while delivered.last().is_none_or(|(last, _)| last + 1 < node.leaves()) {
        node.deliver(&mut delivered).expect("the disk is well");
    }
    assert!(delivered.first().is_some_and(|(first, _)| *first > 0), "its sink goes on where it was");
    node.close().expect("the disk is well");
    let after = check(&folder.path);
    assert!(after.ok && after.anchors > before.anchors && after.records > before.records + 120, "{after:?}");
    assert!(after.sealed > before.sealed && after.tree_size > before.tree_size, "{after:?}");
    assert_eq!((after.quarantined, after.trimmed_below), (before.quarantined, None));
}

/// What a start and `verify` say of a folder of engine version `version`; whatever was in it is still there afterwards.
fn is_refused(folder: &Folder, settings: Settings, version: u32) {
    let or_newer = if version > ENGINE_VERSION { " or newer" } else { "" };
    let wanted = format!("use a release with engine version {version}{or_newer} (`faultline --version` names it)");
    let difference = check(&folder.path).difference.unwrap_or_default();
    assert!(difference.contains(&wanted), "verify: {difference}");
    let before = contents(&folder.path);
    let Err(said) = folder.open(settings, &Sender::new(5)) else { panic!("engine version {version} is taken up") };
    assert!(said.contains(&wanted), "{said}");
    let after = contents(&folder.path);
    let changed: Vec<_> =
        before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).map(|it| it.0).collect();
    assert!(changed.is_empty(), "{changed:?} changed");
}

#[test]
fn folders_of_all_versions_are_read_or_refused() {
    if std::env::var_os("UPDATE").is_some() && !golden(ENGINE_VERSION).join("VERSION").exists() {
        write_golden();
    }
    let kept = names(golden(ENGINE_VERSION).parent().expect("a folder"));
    let versions: Vec<u32> =
        kept.iter().filter_map(|name| name.strip_prefix("folder-")).map(|n| n.parse().expect("a number")).collect();
    assert!(
        versions.contains(&ENGINE_VERSION),
        "no folder of engine version {ENGINE_VERSION} is kept: UPDATE=1 cargo test -p faultline --test it versions"
    );
    for version in versions {
        if version >= ENGINE_VERSION_MIN {
            goes_on(version);
        } else {
            is_refused(&Folder::golden(version), SETTINGS, version);
        }
    }
}

/// One segment, so that the ledger says nothing about it yet.
const ONE_SEGMENT: Settings = Settings { segment_size: 1 << 20, limit: 16 << 20 };

/// A newer release that went on with a folder says so in the journal, also where all that it decided is the same.
#[test]
fn a_journal_that_a_newer_engine_went_on_with_is_refused() {
    // Without a checkpoint and with one.
    for turns in [5, 150] {
        let (folder, sender) = made(ONE_SEGMENT, turns, false);
        let newer = ENGINE_VERSION + 1;
        let mut node = folder.open(ONE_SEGMENT, &sender).expect("ours as yet");
        node.turn(vec![control(Control::EngineVersion, newer.to_bytes(), SEED)], || {}).1.expect("the disk is well");
        node.close().expect("the disk is well");
        is_refused(&folder, ONE_SEGMENT, newer);
    }
    // What ours wrote about itself is no reason.
    let (folder, sender) = made(ONE_SEGMENT, 5, false);
    folder.open(ONE_SEGMENT, &sender).and_then(|node| node.close().map_err(|e| e.to_string())).expect("ours");
    assert!(check(&folder.path).ok);
}

/// Leaves name the engine that decided them; one of another version cannot say whether they are right.
#[test]
fn leaves_of_another_engine_version_are_refused() {
    for version in [ENGINE_VERSION - 1, ENGINE_VERSION + 1] {
        let (folder, _) = made(ONE_SEGMENT, 20, false);
        let journal = folder.inspect().journal_id();
        let name = names(&folder.path.join("journal")).into_iter().find(|name| name.starts_with("segment-"));
        let path = folder.path.join("journal").join(name.expect("one segment"));
        let name = path.file_name().and_then(|name| name.to_str()).expect("ours");
        let mut segment = Segment::named(name, fs::read(&path).expect("it is there")).expect("it holds frames");
        let frames = segment.frames();
        let leaves = frames.into_iter().filter(|&at| at < segment.bytes.len() && segment.kind(at) == 3).nth(2);
        segment.rewrite(journal, leaves.expect("many"), |body| {
            let mut leaf = LedgerEntry::from_bytes(&body[4..4 + size(body)]).expect("a leaf");
            leaf.engine = version;
            let bytes = leaf.to_bytes();
            body[4..4 + bytes.len()].copy_from_slice(&bytes);
        });
        fs::write(&path, &segment.bytes).expect("the disk is well");
        is_refused(&folder, ONE_SEGMENT, version);
    }
}

/// An older engine decided otherwise before its last state: that is believed, what follows is recomputed.
#[test]
fn an_older_engine_may_have_decided_otherwise() {
    let older = ENGINE_VERSION - 1;
    let (folder, mut sender) = (Folder::new(), Sender::new(3));
    let mut node = folder.open(ONE_SEGMENT, &sender).expect("a new folder");
    // From here on it decides as that engine did.
    node.turn(vec![control(Control::EngineVersion, older.to_bytes(), SEED)], || {}).1.expect("the disk is well");
    work(&mut node, &mut sender, 150, false);
    node.close().expect("the disk is well");
    folder.make_older(older, false);
    let wanted = format!("use a release with engine version {older}");
    for restarts in 0..2 {
        let report = check(&folder.path);
        assert!(report.ok, "{:?}", report.difference);
        assert!(report.decided_by.is_some_and(|decided| decided.contains(&wanted)));
        assert!(report.hashed_only > 0 && report.records > 0 && report.leaves > 0);
        let mut node = folder.open(ONE_SEGMENT, &sender).expect("it is taken up");
        let (_, result) = node.turn(Vec::new(), || {});
        result.and_then(|()| node.chores(true, false)).expect("the disk is well");
        node.close().expect("the disk is well");
        assert_eq!(folder.versions(), BTreeSet::from([older, ENGINE_VERSION]), "after {restarts} restarts");
    }
    // What was decided then is no free ground: the ledger holds it.
    folder.rewrite(|kind, body| {
        if kind == 3 {
            for (at, mut leaf) in leaves(body).collect::<Vec<_>>() {
                if let Fact::Decided { decision: Decision::Alert(alert), .. } = &mut leaf.fact {
                    alert.value = -alert.value;
                }
                let bytes = leaf.to_bytes();
                body[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    });
    assert!(!check(&folder.path).ok);
}

/// It decided otherwise after its last state: nothing but that engine can go on from there.
#[test]
fn a_tail_that_an_older_engine_decided_otherwise_is_refused() {
    let (folder, _) = made(ONE_SEGMENT, 150, false);
    folder.make_older(ENGINE_VERSION - 1, true);
    is_refused(&folder, ONE_SEGMENT, ENGINE_VERSION - 1);
}

/// Leaves in the body of a frame of leaves, with where each begins.
fn leaves(mut body: &[u8]) -> impl Iterator<Item = (usize, LedgerEntry)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (!body.is_empty()).then(|| {
            let size = size(body);
            let leaf = LedgerEntry::from_bytes(&body[4..4 + size]).expect("a leaf");
            body = &body[4 + size..];
            at += 4 + size;
            (at - size, leaf)
        })
    })
}

/// Size of the first leaf in the body of a frame of leaves.
fn size(body: &[u8]) -> usize {
    u32::from_le_bytes(body[..4].try_into().expect("four bytes")) as usize
}

/// Where the journal's beginning is trimmed, a checkpoint of another engine version leaves nothing to begin with.
#[test]
fn checkpoints_of_another_engine_version_are_refused_where_records_are_trimmed() {
    let (folder, _) = made(SETTINGS, 400, true);
    let report = check(&folder.path);
    assert!(report.ok && report.trimmed_below.is_some(), "{report:?}");
    let version = ENGINE_VERSION + 1;
    for name in names(&folder.path.join("checkpoints")) {
        folder.relabel(&name, version);
    }
    is_refused(&folder, SETTINGS, version);
}
