//! The elements that the series of a leaf give.
use super::Delta;
use super::map::nameless;
use crate::eval::group_key;
use crate::expr::Grouping;
use crate::{Element, EvalError};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::table::Kept;
use faultline_model::{Labels, Number};

/// One element that a series gives. Series that give none take no memory.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Of the series: numbers of series are used again.
    pub(super) series: Labels,
    /// Of the element, or of the group that it goes into.
    pub(super) labels: Labels,
    /// Number of that group: derived.
    group: u32,
    pub(super) value: Number,
}

impl Cell {
    fn delta(&self, old: Option<Number>, new: Option<Number>) -> Option<Delta> {
        Delta::between(&self.labels, old, new).map(|delta| Delta { group: self.group, ..delta })
    }

    /// That it left.
    fn gone(&self) -> Option<Delta> {
        self.delta(Some(self.value.clone()), None)
    }

    /// That it came.
    fn come(&self) -> Option<Delta> {
        self.delta(None, Some(self.value.clone()))
    }
}

/// Elements by the number of their series.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    drops_name: bool,
    /// What the elements go into, where that is an aggregation.
    grouping: Option<Grouping>,
    /// Groups of elements by number, so that elements of one share its labels: derived.
    groups: BTreeMap<Labels, u32>,
    held: Kept<u32, Cell>,
}

impl Cells {
    pub(super) fn new(drops_name: bool) -> Cells {
        Cells { drops_name, grouping: None, groups: BTreeMap::new(), held: Kept::default() }
    }

    /// Gives elements the labels of their groups.
    pub(super) fn group_by(&mut self, grouping: &Grouping) {
        self.grouping = Some(grouping.clone());
    }

    /// How elements are grouped, where they are.
    pub(super) fn grouping(&self) -> Option<&Grouping> {
        self.grouping.as_ref()
    }

    pub(super) fn kept(&self) -> &Kept<u32, Cell> {
        &self.held
    }

    pub(super) fn kept_mut(&mut self) -> &mut Kept<u32, Cell> {
        &mut self.held
    }

    /// The cell of a series; nothing where its number was that of another.
    #[inline]
    pub(super) fn of(&self, id: u32, series: &Labels) -> Option<&Cell> {
        self.held.get(&id).filter(|cell| cell.series == *series)
    }

    /// A cell for a series that has none.
    pub(super) fn fresh(&self, series: &Labels, value: Number) -> Result<Cell, EvalError> {
        let labels = if self.drops_name { nameless(series)? } else { series.clone() };
        let labels = self.grouping.as_ref().map_or_else(|| labels.clone(), |it| group_key(it, &labels));
        Ok(Cell { series: series.clone(), labels, group: 0, value: value.canonical() })
    }

    /// The cell with its group's number and labels.
    fn numbered(&mut self, cell: Cell) -> Cell {
        if self.grouping.is_none() {
            return cell;
        }
        let number = self.groups.len() as u32;
        match self.groups.get_key_value(&cell.labels) {
            Some((labels, group)) => Cell { labels: labels.clone(), group: *group, ..cell },
            None => {
                self.groups.insert(cell.labels.clone(), number);
                Cell { group: number, ..cell }
            }
        }
    }

    /// Puts the cell of a series in the place of what its number had: what that changes, what leaves first.
    pub(super) fn put(&mut self, id: u32, cell: Option<Cell>) -> Vec<Delta> {
        let (before, now) = match cell {
            Some(cell) => {
                let cell = self.numbered(cell);
                (self.held.insert(id, cell.clone()), Some(cell))
            }
            None => (self.held.remove(&id), None),
        };
        match (before, now) {
            (Some(old), Some(new)) if old.labels == new.labels => {
                Vec::from_iter(new.delta(Some(old.value), Some(new.value.clone())))
            }
            (old, new) => old.iter().filter_map(Cell::gone).chain(new.iter().filter_map(Cell::come)).collect(),
        }
    }

    /// Gives the cell of a series another value.
    pub(super) fn set(&mut self, id: u32, value: Number) -> Option<Delta> {
        let cell = self.held.get(&id)?;
        let delta = cell.delta(Some(cell.value.clone()), Some(value))?;
        if let (Some(cell), Some(value)) = (self.held.get_mut(&id), &delta.new) {
            cell.value = value.clone();
        }
        Some(delta)
    }

    /// Takes in what all series give: what that changes, what leaves first.
    ///
    /// - `values`: of series that have a cell.
    /// - `fresh`: cells of the others.
    pub(super) fn take_in(&mut self, mut values: Vec<(u32, Number)>, fresh: Vec<(u32, Cell)>) -> Vec<Delta> {
        let (mut deltas, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        values.sort_by_key(|(id, _)| *id);
        let mut values = values.into_iter().peekable();
        self.held.each_mut(&mut |id, mut cell| match values.next_if(|(series, _)| series == id) {
            Some((_, value)) => {
                if let Some(delta) = cell.delta(Some(cell.value.clone()), Some(value)) {
                    delta.new.iter().for_each(|value| cell.to_mut().value = value.clone());
                    changed.push(delta);
                }
            }
            None => gone.push(*id),
        });
        gone.into_iter().for_each(|id| deltas.extend(self.put(id, None)));
        deltas.append(&mut changed);
        for (id, cell) in fresh {
            deltas.extend(self.put(id, Some(cell)));
        }
        deltas
    }

    /// Numbers groups anew where most of them are empty; whether it did. What goes by their numbers is then out of date.
    pub(super) fn forget_groups(&mut self) -> bool {
        if self.groups.len() <= 2 * self.held.len() + 16 {
            return false;
        }
        self.groups.clear();
        let all = self.held.iter().map(|(id, cell)| (*id, cell.clone())).collect();
        self.restore(all);
        true
    }

    /// Puts cells in the place of all.
    pub(super) fn restore(&mut self, all: Vec<(u32, Cell)>) {
        let numbered = all.into_iter().map(|(id, cell)| (id, self.numbered(cell))).collect();
        self.held.replace(numbered);
    }

    /// The elements.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.held.values().map(|cell| Element { labels: cell.labels.clone(), value: cell.value.clone() })
    }

    /// Number of its series, number of its group, labels of the series, and value of each, by series.
    pub(super) fn members(&self) -> impl Iterator<Item = (u32, u32, &Labels, &Number)> {
        self.held.iter().map(|(series, cell)| (*series, cell.group, &cell.series, &cell.value))
    }

    /// Number of its group, labels of that, and value of each.
    pub(super) fn by_group(&self) -> impl Iterator<Item = (u32, &Labels, &Number)> {
        self.held.values().map(|cell| (cell.group, &cell.labels, &cell.value))
    }
}
