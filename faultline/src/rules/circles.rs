//! Rules that read one another in a circle.
use faultline_model::RuleFiles;
use faultline_rules::{RuleSet, reads};

/// Names of a circle's rules that are told, at most.
const TOLD_MAX: usize = 5;

/// Circles of rules, each in words with the place of its first rule: whatever stands first in one reads what the others gave an
/// evaluation before. A rule that reads itself is none: that is how totals are kept.
pub fn circles(set: &RuleSet) -> Vec<String> {
    let rules: Vec<_> = set.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule))).collect();
    let mut edges = vec![Vec::new(); rules.len()];
    for reading in reads(set).iter().filter(|reading| reading.reader != reading.writer) {
        edges[reading.reader].push(reading.writer);
    }
    let all = components(&edges, 0..rules.len());
    let mut circles: Vec<Vec<usize>> = all.into_iter().filter(|component| component.len() > 1).collect();
    circles.sort();
    let told = |circle: &Vec<usize>| {
        let (group, first) = rules[circle[0]];
        let mut names: Vec<&str> = circle.iter().take(TOLD_MAX).map(|rule| &*rules[*rule].1.name).collect();
        if circle.len() > TOLD_MAX {
            names.push("...");
        }
        format!(
            "{}:{}: rules read one another in a circle: {}; {} reads what was recorded one evaluation before, as in Prometheus",
            group.file,
            first.line,
            names.join(", "),
            first.name
        )
    };
    circles.iter().map(told).collect()
}

/// The same of files; none of files that cannot be put in force.
pub fn circles_of(files: &RuleFiles) -> Vec<String> {
    faultline_rules::parse(files).map(|set| circles(&set)).unwrap_or_default()
}

/// Strongly connected components of what is reached, each in order of number, and what they lead to before them.
///
/// Source: Kosaraju's algorithm (Sharir, 1981): components of the reversed graph, taken in the order in which walks over the graph end.
pub fn components(edges: &[Vec<usize>], starts: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let wanted = after(edges, starts);
    let mut reversed: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for &from in &wanted {
        edges[from].iter().for_each(|to| reversed[*to].push(from));
    }
    let (mut found, mut seen) = (Vec::new(), vec![false; edges.len()]);
    for &last in wanted.iter().rev() {
        let mut component = walk(&reversed, last, &mut seen);
        if !component.is_empty() {
            component.sort();
            found.push(component);
        }
    }
    found.reverse();
    found
}

/// Everything that is reached, in the order in which walks end: what is reached from a place stands before it, but in circles.
fn after(edges: &[Vec<usize>], starts: impl Iterator<Item = usize>) -> Vec<usize> {
    let (mut order, mut seen) = (Vec::new(), vec![false; edges.len()]);
    for start in starts {
        order.extend(walk(edges, start, &mut seen));
    }
    order
}

fn walk(edges: &[Vec<usize>], start: usize, seen: &mut [bool]) -> Vec<usize> {
    let (mut order, mut open) = (Vec::new(), Vec::new());
    if !std::mem::replace(&mut seen[start], true) {
        open.push((start, 0));
    }
    while let Some((at, next)) = open.last_mut() {
        match edges[*at].get(*next) {
            Some(&to) => {
                *next += 1;
                if !std::mem::replace(&mut seen[to], true) {
                    open.push((to, 0));
                }
            }
            None => {
                order.push(*at);
                open.pop();
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::RuleFile;

    #[test]
    fn circles_are_told() {
        let check = |rules: &[&str], expected: &[&str]| {
            let text = format!("groups:\n- name: g\n  rules:\n  - {{{}}}\n", rules.join("}\n  - {"));
            let files = vec![RuleFile { name: "r.yml".into(), text }];
            let files = RuleFiles { files, default_interval: 60_000, ..RuleFiles::default() };
            let told = circles_of(&files);
            let told: Vec<&str> = told.iter().map(|circle| circle.split(';').next().expect("some text")).collect();
            assert_eq!(told, expected, "{rules:?}");
        };
        let (a, b, c) = ("record: a, expr: b + 1", "record: b, expr: c * 2", "record: c, expr: a or x");
        check(&[a, b], &[]);
        check(&["record: a, expr: a + x"], &[]);
        check(&[a, b, c], &["r.yml:4: rules read one another in a circle: a, b, c"]);
        check(
            &["record: p, expr: q", "record: z, expr: p", "record: q, expr: p", a, b, c],
            &[
                "r.yml:4: rules read one another in a circle: p, q",
                "r.yml:7: rules read one another in a circle: a, b, c",
            ],
        );
        check(
            &["alert: A, expr: n > 1", "record: n, expr: count(ALERTS)"],
            &["r.yml:4: rules read one another in a circle: A, n"],
        );
        // Two that may write the same series read nothing of one another.
        check(&["record: a, expr: x", "record: a, expr: y", "record: b, expr: a"], &[]);
    }
}
