//! Every story of `tests/scenarios`, as told, and again with a checkpoint and a restore before each command.
use crate::story::{Story, blocks};
use std::path::Path;

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    let text = std::fs::read_to_string(&path).expect("the story is there");
    let told = |restless: bool| -> String {
        let mut story = Story::new(restless);
        let tell = |(commands, _): (String, String)| format!("{commands}----\n{}", story.tell(&commands));
        blocks(&text).into_iter().map(tell).collect::<Vec<_>>().join("\n")
    };
    let found = told(false);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).expect("a writable story");
    } else {
        assert_eq!(found, text, "{name}; UPDATE=1 rewrites it");
    }
    assert_eq!(told(true), found, "{name}: a checkpoint at any place and the rest equal the whole");
}

macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        })*

        #[test]
        fn every_story_is_told() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
            let files = std::fs::read_dir(folder).expect("a readable folder").count();
            assert_eq!(files, [$(stringify!($name)),*].len());
        }
    };
}
stories!(
    pending_and_firing,
    keep_firing,
    recording,
    errors,
    reload,
    dry_run,
    silent,
    unknown,
    unknown_chain,
    unknown_stream,
    missed,
    occurrence,
    stream,
    absence,
    absence_stream,
    labels_and_templates
);
