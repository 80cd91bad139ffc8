//! Loops over tables: a table in row-major order beside a smaller one that lacks some of its variables.
//!
//! [`Axes`] says, for each variable of the large table from the fastest on, how many states it has and how far the small
//! table moves per state (0 when it lacks the variable). Neighbours that move together are joined, so that most loops become
//! long and plain. Sums run in one fixed order: the same tables give the same bits.
use crate::weight::Weight;

/// Enough for 2^31 entries when every joined axis has at least two states.
const AXES_MAX: usize = 32;

/// The loops of one table pair, fastest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    len: usize,
    count: [u32; AXES_MAX],
    stride: [u32; AXES_MAX],
}

impl Axes {
    pub(crate) fn new() -> Axes {
        Axes { len: 0, count: [1; AXES_MAX], stride: [0; AXES_MAX] }
    }

    /// Adds the next slower variable: `count` states, each moving the small table by `stride`.
    #[inline]
    pub(crate) fn push(&mut self, count: u32, stride: u32) {
        if count == 1 {
            return;
        }
        if self.len > 0 {
            let last = self.len - 1;
            let joins = (stride == 0) == (self.stride[last] == 0) && stride == self.stride[last] * self.count[last];
            if joins {
                self.count[last] *= count;
                return;
            }
        }
        self.count[self.len] = count;
        self.stride[self.len] = stride;
        self.len += 1;
    }

    /// Entries that the two fastest loops cover.
    fn block(&self) -> usize {
        self.count[0] as usize * self.count[1] as usize
    }

    /// Calls `visit(block, offset)` for each run of the two fastest loops: its number in the large table and the small table's offset.
    #[inline(always)]
    fn blocks(&self, mut visit: impl FnMut(usize, usize)) {
        let mut at = [0u32; AXES_MAX];
        let (mut block, mut offset) = (0, 0usize);
        loop {
            visit(block, offset);
            block += 1;
            let mut axis = 2;
            loop {
                if axis >= self.len {
                    return;
                }
                offset += self.stride[axis] as usize;
                at[axis] += 1;
                if at[axis] < self.count[axis] {
                    break;
                }
                offset -= self.stride[axis] as usize * self.count[axis] as usize;
                at[axis] = 0;
                axis += 1;
            }
        }
    }
}

/// Calls `$function::<N, _>` with the run's length as a constant where it is a usual one (so that the loop over it unrolls), else
/// with 0: then the length is `$axes.count[0]`. The sums and their order are the same either way.
macro_rules! by_run {
    ($axes:expr, $function:ident($($argument:expr),*)) => {
        match $axes.count[0] {
            2 => $function::<2, _>($($argument),*),
            3 => $function::<3, _>($($argument),*),
            4 => $function::<4, _>($($argument),*),
            5 => $function::<5, _>($($argument),*),
            6 => $function::<6, _>($($argument),*),
            7 => $function::<7, _>($($argument),*),
            8 => $function::<8, _>($($argument),*),
            9 => $function::<9, _>($($argument),*),
            _ => $function::<0, _>($($argument),*),
        }
    };
}

/// Adds `large` into `small`, summing over the variables that `small` lacks.
pub(crate) fn sum_onto<W: Weight>(large: &[W], axes: &Axes, small: &mut [W]) {
    by_run!(axes, sum_runs(large, axes, small));
}

fn sum_runs<const N: usize, W: Weight>(large: &[W], axes: &Axes, small: &mut [W]) {
    let n0 = if N > 0 { N } else { axes.count[0] as usize };
    let (s0, s1) = (axes.stride[0] as usize, axes.stride[1] as usize);
    let (n1, size) = (axes.count[1] as usize, axes.block());
    axes.blocks(|block, offset| {
        let block = &large[block * size..(block + 1) * size];
        match (s0, s1) {
            (0, 1) => {
                for (run, cell) in block.chunks_exact(n0).zip(&mut small[offset..offset + n1]) {
                    *cell = cell.plus(total(run));
                }
            }
            (0, _) => {
                for (k, run) in block.chunks_exact(n0).enumerate() {
                    small[offset + k * s1] = small[offset + k * s1].plus(total(run));
                }
            }
            // The same cells for every run: they stay in registers.
            (1, 0) if N > 0 => {
                let cells = &mut small[offset..offset + N];
                let mut sums = [W::ZERO; N];
                sums.copy_from_slice(cells);
                for run in block.chunks_exact(N) {
                    for (sum, &value) in sums.iter_mut().zip(run) {
                        *sum = sum.plus(value);
                    }
                }
                cells.copy_from_slice(&sums);
            }
            (1, _) => {
                for (k, run) in block.chunks_exact(n0).enumerate() {
                    let start = offset + k * s1;
                    for (cell, &value) in small[start..start + n0].iter_mut().zip(run) {
                        *cell = cell.plus(value);
                    }
                }
            }
            _ => {
                for (k, run) in block.chunks_exact(n0).enumerate() {
                    for (j, &value) in run.iter().enumerate() {
                        let cell = &mut small[offset + k * s1 + j * s0];
                        *cell = cell.plus(value);
                    }
                }
            }
        }
    });
}

/// Multiplies each entry of `large` by the entry of `small` that it falls on.
pub(crate) fn multiply<W: Weight>(large: &mut [W], axes: &Axes, small: &[W]) {
    by_run!(axes, multiply_runs(large, axes, small));
}

fn multiply_runs<const N: usize, W: Weight>(large: &mut [W], axes: &Axes, small: &[W]) {
    let n0 = if N > 0 { N } else { axes.count[0] as usize };
    let (s0, s1) = (axes.stride[0] as usize, axes.stride[1] as usize);
    let (n1, size) = (axes.count[1] as usize, axes.block());
    axes.blocks(|block, offset| {
        let block = &mut large[block * size..(block + 1) * size];
        match (s0, s1) {
            (0, 1) => {
                for (run, &factor) in block.chunks_exact_mut(n0).zip(&small[offset..offset + n1]) {
                    for value in run {
                        *value = value.times(factor);
                    }
                }
            }
            (0, _) => {
                for (k, run) in block.chunks_exact_mut(n0).enumerate() {
                    let factor = small[offset + k * s1];
                    for value in run {
                        *value = value.times(factor);
                    }
                }
            }
            (1, _) => {
                for (k, run) in block.chunks_exact_mut(n0).enumerate() {
                    let start = offset + k * s1;
                    for (value, &factor) in run.iter_mut().zip(&small[start..start + n0]) {
                        *value = value.times(factor);
                    }
                }
            }
            _ => {
                for (k, run) in block.chunks_exact_mut(n0).enumerate() {
                    for (j, value) in run.iter_mut().enumerate() {
                        *value = value.times(small[offset + k * s1 + j * s0]);
                    }
                }
            }
        }
    });
}

/// Copies into `small` (dense, in loop order) the entries of `stored` that the axes reach from `base`, each made by `new`.
pub(crate) fn gather<S: Copy, W: Weight>(
    stored: &[S],
    base: usize,
    axes: &Axes,
    small: &mut [W],
    new: impl Fn(S) -> W + Copy,
) {
    let (n0, s0, s1) = (axes.count[0] as usize, axes.stride[0] as usize, axes.stride[1] as usize);
    let size = axes.block();
    axes.blocks(|block, offset| {
        let cells = &mut small[block * size..(block + 1) * size];
        for (k, run) in cells.chunks_exact_mut(n0).enumerate() {
            let start = base + offset + k * s1;
            for (j, cell) in run.iter_mut().enumerate() {
                *cell = new(stored[start + j * s0]);
            }
        }
    });
}

/// The sum of a run, in four interleaved partial sums added pairwise.
#[inline(always)]
pub(crate) fn total<W: Weight>(run: &[W]) -> W {
    let (fours, rest) = run.as_chunks::<4>();
    let mut sum = [W::ZERO; 4];
    for four in fours {
        for (sum, &value) in sum.iter_mut().zip(four) {
            *sum = sum.plus(value);
        }
    }
    let mut last = W::ZERO;
    for &value in rest {
        last = last.plus(value);
    }
    sum[0].plus(sum[1]).plus(sum[2].plus(sum[3])).plus(last)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Every pattern of kept and dropped variables against an index loop, with integers so that the order of sums cannot show.
    #[test]
    fn loops_equal_index_arithmetic() {
        let counts = [2u32, 3, 1, 2, 5];
        for kept in 0..32u32 {
            let size: u32 = counts.iter().product();
            let large: Vec<f64> = (0..size).map(|i| f64::from(i * 7 % 101)).collect();
            let mut axes = Axes::new();
            let mut stride = 1;
            for (axis, &count) in counts.iter().enumerate() {
                let keep = kept >> axis & 1 == 1;
                axes.push(count, if keep { stride } else { 0 });
                stride *= if keep { count } else { 1 };
            }
            let place = |entry: u32| {
                let (mut rest, mut place, mut stride) = (entry, 0, 1);
                for (axis, &count) in counts.iter().enumerate() {
                    if kept >> axis & 1 == 1 {
                        place += rest % count * stride;
                        stride *= count;
                    }
                    rest /= count;
                }
                place as usize
            };
            let mut expected = vec![0.0; stride as usize];
            for entry in 0..size {
                expected[place(entry)] += large[entry as usize];
            }
            let mut found = vec![0.0; stride as usize];
            sum_onto(&large, &axes, &mut found);
            assert_eq!(found, expected, "kept {kept:b}");

            let small: Vec<f64> = (0..stride).map(|i| f64::from(i + 1)).collect();
            let mut scaled = large.clone();
            multiply(&mut scaled, &axes, &small);
            for entry in 0..size {
                assert_eq!(scaled[entry as usize], large[entry as usize] * small[place(entry)], "kept {kept:b}");
            }
        }
    }
}
