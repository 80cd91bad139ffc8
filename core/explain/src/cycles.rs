//! Cycles among calls, opened where they are weakest: a network must not have any.
//!
//! Arcs are taken strongest first, and one that would close a cycle is left out: what is lost is the least. Only arcs within
//! a cycle are looked at, so that a graph without cycles costs one pass.
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::float;

/// An arc between variables, from effect to cause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub effect: usize,
    pub cause: usize,
    pub strength: f64,
}

/// Which arcs to leave out so that none of `count` variables causes itself; indices into `links`, rising.
pub(crate) fn weakest(count: usize, links: &[Link]) -> Vec<usize> {
    let (tangled, _) = peel(count, links);
    let mut order: Vec<usize> =
        (0..links.len()).filter(|&i| tangled[links[i].effect] && tangled[links[i].cause]).collect();
    order.sort_by(|&a, &b| float::order(links[b].strength, links[a].strength).then(a.cmp(&b)));
    let mut causes: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut dropped = Vec::new();
    for at in order {
        let Link { effect, cause, .. } = links[at];
        if reaches(&causes, cause, effect) { dropped.push(at) } else { causes[effect].push(cause) }
    }
    dropped.sort();
    dropped
}

/// An order in which every cause comes before its effects; of those that could come next, the lowest. None is left out
/// where no cycle is.
pub(crate) fn order(count: usize, links: &[Link]) -> Vec<usize> {
    peel(count, links).1
}

/// Takes away variables whose causes are all taken away; says which are left, and the order of the others.
fn peel(count: usize, links: &[Link]) -> (Vec<bool>, Vec<usize>) {
    let (mut waiting, mut effects) = (vec![0_usize; count], vec![Vec::new(); count]);
    for link in links {
        waiting[link.effect] += 1;
        effects[link.cause].push(link.effect);
    }
    let mut ready: alloc::collections::BTreeSet<usize> = (0..count).filter(|&at| waiting[at] == 0).collect();
    let (mut left, mut order) = (vec![true; count], Vec::with_capacity(count));
    while let Some(at) = ready.pop_first() {
        left[at] = false;
        order.push(at);
        for &effect in &effects[at] {
            waiting[effect] -= 1;
            if waiting[effect] == 0 {
                ready.insert(effect);
            }
        }
    }
    (left, order)
}

fn reaches(causes: &[Vec<usize>], from: usize, to: usize) -> bool {
    let (mut seen, mut stack) = (vec![false; causes.len()], vec![from]);
    while let Some(at) = stack.pop() {
        if at == to {
            return true;
        }
        if !core::mem::replace(&mut seen[at], true) {
            stack.extend(&causes[at]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_arc_of_each_cycle_goes() {
        let links = |arcs: &[(usize, usize, f64)]| -> Vec<Link> {
            arcs.iter().map(|&(effect, cause, strength)| Link { effect, cause, strength }).collect()
        };
        for (arcs, expected) in [
            (&[(0, 1, 0.9), (1, 2, 0.1)][..], &[][..]),
            (&[(0, 1, 0.9), (1, 2, 0.2), (2, 0, 0.3)], &[1]),
            (&[(0, 1, 0.5), (1, 0, 0.5)], &[1]),
            // Two cycles over one arc: it is the strongest, so both others go.
            (&[(0, 1, 0.9), (1, 0, 0.2), (1, 2, 0.8), (2, 0, 0.3)], &[1, 3]),
        ] {
            let links = links(arcs);
            assert_eq!(weakest(3, &links), expected, "{arcs:?}");
            let kept: Vec<Link> = (0..links.len()).filter(|at| !expected.contains(at)).map(|at| links[at]).collect();
            let order = order(3, &kept);
            let place = |at: usize| order.iter().position(|&other| other == at).expect("every variable has a place");
            assert!(kept.iter().all(|link| place(link.cause) < place(link.effect)));
        }
    }
}
