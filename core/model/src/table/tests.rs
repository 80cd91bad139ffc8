//! Tests of tables.
use super::*;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;

fn bytes(table: &mut Table<u64>) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    table.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of([("t", table as &mut dyn Paged)]))
}

fn pages<const ROWS: usize>(table: &Table<u64, ROWS>) -> BTreeMap<u32, Vec<u8>> {
    let page = |number: usize| {
        let mut w = Writer::default();
        table.write_page(number, &mut w);
        (number as u32, w.into_bytes())
    };
    (0..table.page_count()).map(page).collect()
}

#[test]
fn a_table_survives_its_bytes_and_gives_the_same_ids_after() {
    let mut table = Table::default();
    for i in 0..200_u64 {
        table.insert(i * i);
    }
    for id in [3, 130, 64, 199] {
        table.remove(id);
    }
    table.insert(7);
    let (rest, mut written) = bytes(&mut table);
    let mut back = Table::<u64>::read(&mut Reader::new(&rest), "t", &mut written).expect("it was just written");
    assert_eq!(written.left(), None);
    assert_eq!(back.iter().collect::<Vec<_>>(), table.iter().collect::<Vec<_>>());
    assert_eq!((back.insert(1), back.insert(2)), (table.insert(1), table.insert(2)));
    assert_eq!(bytes(&mut back), bytes(&mut table));
}

#[test]
fn pages_that_do_not_fit_are_refused() {
    let mut table = Table::default();
    (0..130_u64).for_each(|i| {
        table.insert(i);
    });
    table.remove(5);
    let (rest, good) = bytes(&mut table);
    type Pages = Vec<Box<[u8]>>;
    let check = |change: &dyn Fn(&mut Pages)| {
        let (mut all, mut changed) = (good.clone(), PageBytes::default());
        let mut pages = all.take("t");
        change(&mut pages);
        for page in pages {
            changed.push("t", page);
        }
        Table::<u64>::read(&mut Reader::new(&rest), "t", &mut changed).is_ok()
    };
    assert!(check(&|_| {}));
    assert!(!check(&|pages| drop(pages.pop())), "a page is missing");
    assert!(!check(&|pages| pages.push(pages[2].clone())), "a page too many");
    assert!(!check(&|pages| pages.swap(0, 2)), "a short page in the middle");
    assert!(!check(&|pages| pages[0] = pages[1].clone()), "a row where the id is free");
    assert!(!check(&|pages| pages[0] = [&pages[0][..], &[0]].concat().into()), "bytes left over");
}

/// A frozen table is written as it was, page by page, whatever becomes of its rows in between; and only what changed.
#[test]
fn a_frozen_table_is_written_as_it_was() {
    check_frozen::<PAGE_ROWS>();
    check_frozen::<1>();
}

fn check_frozen<const ROWS: usize>() {
    for seed in 0..300_u64 {
        let mut state = seed;
        let mut draw = move |below: u64| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) % below
        };
        let mut table = Table::<u64, ROWS>::default();
        // What a checkpoint would hold: pages of the freezes so far, put over one another.
        let (mut kept, mut wanted, mut before) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut whole = 0;
        for _ in 0..2_000 {
            match draw(100) {
                0..=29 => {
                    table.insert(draw(1 << 40));
                }
                30..=39 if !table.is_empty() => {
                    let ids: Vec<u32> = table.iter().map(|(id, _)| id).collect();
                    table.remove(ids[draw(ids.len() as u64) as usize]);
                }
                40..=79 if !table.is_empty() => {
                    let ids: Vec<u32> = table.iter().map(|(id, _)| id).collect();
                    *table.row_mut(ids[draw(ids.len() as u64) as usize]) ^= 1 + draw(7);
                }
                80..=89 => {
                    // Small pages are many.
                    for _ in 0..PAGE_ROWS / ROWS {
                        if table.frozen.is_none() {
                            break;
                        }
                        let mut w = Writer::default();
                        match table.write_frozen(&mut w) {
                            Some(number) => {
                                kept.insert(number, w.into_bytes());
                            }
                            None => {
                                assert!(kept == wanted, "seed {seed}: what is kept is the table as it was");
                                before = kept.clone();
                                whole += 1;
                            }
                        }
                    }
                }
                90 if table.frozen.is_some() => {
                    table.thaw();
                    // What was written of it is lost with its file.
                    kept = before.clone();
                }
                91 if draw(4) == 0 => {
                    let mut other = Table::default();
                    let rows: Vec<u64> = (0..draw(150)).collect();
                    rows.iter().for_each(|row| {
                        other.insert(*row);
                    });
                    table.replace_rows(other);
                    assert!(
                        table.iter().map(|(id, row)| (u64::from(id), *row)).eq(rows.iter().map(|row| (*row, *row)))
                    );
                }
                92..=99 if table.frozen.is_none() => {
                    wanted = pages(&table);
                    table.freeze();
                }
                _ => {}
            }
        }
        assert!(whole > 2, "seed {seed}: {whole} freezes");
        assert!(table.frozen.is_some() || table.pages.iter().all(|page| page.was.is_empty() && page.watched == 0));
    }
}

#[test]
fn only_what_changed_is_due() {
    let mut table = Table::default();
    (0..129_u64).for_each(|i| {
        table.insert(i);
    });
    let due = |table: &mut Table<u64>| {
        table.freeze();
        core::iter::from_fn(|| table.write_frozen(&mut Writer::default())).collect::<Vec<_>>()
    };
    assert_eq!(due(&mut table), vec![0, 1, 2]);
    *table.row_mut(70) += 1;
    assert_eq!(due(&mut table), vec![1]);
    assert_eq!(due(&mut table), vec![]);
    table.freeze();
    *table.row_mut(5) += 1;
    table.thaw();
    table.remove(128);
    assert_eq!(due(&mut table), vec![0, 2]);
}
