//! A checkpoint's state with damaged pages, taken up: refused, or a state that is written back as it was read.
use crate::Target;
use crate::input::{Input, damage};
use crate::targets::step;
use faultline_engine::{Checkpoint, Engine};
use std::sync::LazyLock;

/// The target.
pub const TARGET: Target = Target { name: "restore", size_max: 4 << 10, run, seeds };

/// A state with something in every part.
static STATE: LazyLock<Checkpoint> = LazyLock::new(|| {
    let mut engine = Engine::new(step::SEED);
    for seed in step::seeds() {
        step::replay(&mut engine, &seed);
    }
    engine.checkpoint()
});

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choice = input.byte();
    let mut checkpoint = STATE.clone();
    if choice % 4 == 0 {
        // The bytes stand for one page whole.
        let page = usize::from(choice / 4) % checkpoint.pages.len();
        checkpoint.pages[page].bytes = input.rest().into();
    } else {
        for _ in 0..8 {
            if input.is_empty() || checkpoint.pages.is_empty() {
                break;
            }
            let op = input.byte() % 8;
            let page = usize::from(input.byte()) % checkpoint.pages.len();
            match op {
                0 => drop(checkpoint.pages.remove(page)),
                1 => {
                    let copy = checkpoint.pages[page].clone();
                    checkpoint.pages.push(copy);
                }
                2 => {
                    let other = usize::from(input.byte()) % checkpoint.pages.len();
                    checkpoint.pages.swap(page, other);
                }
                _ => {
                    let mut bytes = checkpoint.pages[page].bytes.to_vec();
                    damage(&mut bytes, &mut input);
                    checkpoint.pages[page].bytes = bytes.into();
                }
            }
        }
    }
    let Ok(mut engine) = Engine::restore(checkpoint) else { return };
    let written = engine.checkpoint();
    let again = Engine::restore(written.clone()).map(|mut again| again.checkpoint());
    assert!(again.as_ref() == Ok(&written), "a state that was taken up is written and taken up again");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![1]];
    // No page's own bytes: they change with the engine, and the edits begin from them anyway.
    for number in 0..8 {
        seeds.push(vec![1, 0, number]);
        seeds.push(vec![1, 1, number]);
        seeds.push(vec![1, 3, number, 0, 5, 0, 1]);
        seeds.push(vec![1, 3, number, 1, 40, 0, 3, 0x18, 0xff, 0]);
    }
    seeds
}
