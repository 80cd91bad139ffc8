//! Explains evidence that `cargo xtask eval rca --keep FOLDER` kept, and says where the truth stands: `again FOLDER [CASE]`.
use faultline_explain::explain;
use faultline_model::{Canonical, facts::Evidence};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    let only = std::env::args().nth(2).unwrap_or_default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.sort();
    let (mut first, mut three, mut named, mut count) = (0, 0, 0, 0);
    for file in files {
        let name = file.file_name().map_or(String::new(), |name| name.to_string_lossy().replace('|', "/"));
        let (case, truth) = name.rsplit_once('=').unwrap_or((&name, "-"));
        if !case.contains(&only) {
            continue;
        }
        let evidence = Evidence::from_bytes(&std::fs::read(&file)?)?;
        let verdict = explain(&evidence);
        let rank = verdict.causes.iter().position(|cause| cause.entity.rsplit(" -> ").next() == Some(truth));
        count += 1;
        first += usize::from(rank == Some(0));
        three += usize::from(rank.is_some_and(|rank| rank < 3));
        named += usize::from(!verdict.unknown);
        let causes: Vec<String> = verdict
            .causes
            .iter()
            .map(|cause| {
                format!("{} {:.3} {:.3} {:.2}", cause.entity, cause.posterior, cause.responsibility, cause.share)
            })
            .collect();
        println!(
            "{} {case} {truth}: {}{}",
            rank.map_or("-".into(), |rank| (rank + 1).to_string()),
            if verdict.unknown { "unknown: " } else { "" },
            causes.join("; ")
        );
        if !only.is_empty() {
            println!("{evidence:#?}\n{verdict:#?}");
        }
    }
    println!("{count} cases, first {first}, among three {three}, named {named}");
    Ok(())
}
