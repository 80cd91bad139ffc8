//! What others send us of ledgers: keys, signed heads, bundles, proofs; and the ids that people type.
use crate::Target;
use crate::input::Input;
use faultline_ledger::hash::root_of;
use faultline_ledger::proof::SizedRoot;
use faultline_ledger::*;
use faultline_model::{Digest, EffectId, Millis, Position};

/// The target.
pub const TARGET: Target = Target { name: "ledger", size_max: 2 << 10, run, seeds };

const NAME: &str = "faultline.example/journal";

fn signer() -> Signer {
    Signer::new(NAME, &[7; 32]).expect("a good name")
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() % 5 {
        0 => text(input.rest()),
        1 => head(input.rest()),
        2 => bundle(input.rest()),
        3 => proofs(&mut input),
        _ => made(&mut input),
    }
}

/// Keys, ids and times as people type them: what is read prints as something that reads the same.
fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(verifier) = Verifier::parse(text) {
        assert_eq!(Verifier::parse(&verifier.text()).map(|again| again.text()), Ok(verifier.text()));
    }
    if let Some(position) = Position::parse(text) {
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }
    if let Some(id) = EffectId::parse(text) {
        assert_eq!(EffectId::parse(&id.to_string()), Some(id));
    }
    if let Some(time) = Millis::parse(text) {
        assert_eq!(Millis::parse(&time.to_string()), Some(time), "{text:?} is printed as {time}");
    }
}

/// A head is read only where it is signed over exactly these bytes: signing what was read gives the note's text.
fn head(bytes: &[u8]) {
    let Ok(note) = std::str::from_utf8(bytes) else { return };
    if let Ok(head) = signer().verifier().open(note) {
        let ours = signer().sign(&head);
        let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_string());
        assert_eq!(text(note), text(&ours), "a signed text was read as something else");
    }
}

fn bundle(bytes: &[u8]) {
    if let Some(entries) = bundle_entries(bytes) {
        let mut again = Vec::new();
        entries.iter().for_each(|entry| push_entry(&mut again, entry));
        assert_eq!(again, bytes, "a bundle is its entries");
    }
}

/// Any sizes and hashes at all: verdicts, not panics, and the same ones again.
fn proofs(input: &mut Input<'_>) {
    let number = |input: &mut Input<'_>| match input.byte() % 4 {
        0 => u64::from(input.byte()),
        1 => u64::from(input.short()),
        2 => u64::MAX - u64::from(input.byte()),
        _ => 1_u64.rotate_left(u32::from(input.byte())).wrapping_add_signed(i64::from(input.byte() as i8)),
    };
    let (old, new) = (number(input), number(input));
    let hash = |byte: u8| Digest([byte % 4; 32]);
    let (leaf, old_root, new_root) = (hash(input.byte()), hash(input.byte()), hash(input.byte()));
    let proof: Vec<Digest> = input.take(80).iter().map(|byte| hash(*byte)).collect();
    assert!(verify_inclusion(leaf, old, new, &proof, &new_root).is_err() || (old, new) == (0, 1), "a proof was forged");
    let (before, after) = (SizedRoot { size: old, root: old_root }, SizedRoot { size: new, root: new_root });
    let consistent = verify_consistency(before, after, &proof);
    assert!(consistent.is_err() || old == 0 || (old == new && old_root == new_root), "a proof was forged");
    // Nodes that are not there are said to be missing.
    assert!(inclusion_proof(old, new, &|_, _| None).is_err() || (old, new) == (0, 1));
    let _ = consistency_proof(old, new, &|_, _| None);
}

/// Proofs of a real tree hold, and with one hash changed they do not.
fn made(input: &mut Input<'_>) {
    let size = 1 + input.below(600) as u64;
    let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&i.to_le_bytes())).collect();
    let node = |height: u32, index: u64| {
        let width = 1_usize << height;
        leaves.get(index as usize * width..(index as usize + 1) * width).map(root_of)
    };
    let (index, root) = (input.below(size as usize) as u64, root_of(&leaves));
    let mut proof = inclusion_proof(index, size, &node).expect("every node is there");
    assert_eq!(verify_inclusion(leaves[index as usize], index, size, &proof, &root), Ok(()));
    let before = SizedRoot { size: index, root: root_of(&leaves[..index as usize]) };
    let consistency = consistency_proof(index, size, &node).expect("every node is there");
    assert_eq!(verify_consistency(before, SizedRoot { size, root }, &consistency), Ok(()));
    if !proof.is_empty() {
        let at = input.below(proof.len());
        proof[at].0[input.below(32)] ^= 1 << (input.byte() % 8);
        assert!(verify_inclusion(leaves[index as usize], index, size, &proof, &root).is_err());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let note = signer().sign(&Head { size: 1234, root: Digest::of(b"root") });
    let witnessed = format!("{note}\u{2014} witness.example AAAAAGFi\n");
    let mut bundle = Vec::new();
    [&b"one"[..], b"", &[7; 300]].iter().for_each(|entry| push_entry(&mut bundle, entry));
    let key = signer().verifier().text();
    let texts = [&key[..], "0/12", "3/18446744073709551615", "0/11.2", "2026-11-21T00:54:16.050Z", "1700000000.5"];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| [&[0], text.as_bytes()].concat()).collect();
    seeds.push([&[1], note.as_bytes()].concat());
    seeds.push([&[1], witnessed.as_bytes()].concat());
    seeds.push([&[2], &bundle[..]].concat());
    seeds.push(vec![3, 0, 5, 0, 9, 1, 2, 3, 1, 2, 3, 0]);
    seeds.push(vec![3, 2, 0, 3, 63, 1, 2, 3, 1, 2, 3, 0]);
    seeds.push(vec![4, 44, 1, 7, 0, 3, 0, 5, 0, 1]);
    seeds
}
