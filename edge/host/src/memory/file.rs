//! A file of the memory disk: its content now, its content after a power cut, and the changes between.
use super::{MemoryDisk, Sync, eio};
use crate::disk::File;
use std::io;

/// Content of one file.
#[derive(Clone, Default)]
pub(super) struct Node {
    /// As the running process sees it.
    pub live: Vec<u8>,
    /// As a power cut leaves it.
    pub durable: Vec<u8>,
    /// Changes that wait for a sync, in order.
    pub waiting: Vec<(u64, Change)>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Size(u64),
}

impl Change {
    pub fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                let (start, end) = (*at as usize, *at as usize + bytes.len());
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(bytes);
            }
            Change::Size(size) => content.resize(*size as usize, 0),
        }
    }
}

pub(super) struct MemoryFile {
    pub disk: MemoryDisk,
    pub id: u64,
    pub process: u64,
    pub writable: bool,
}

impl MemoryFile {
    fn change(&self, change: Change, end: u64) -> io::Result<()> {
        let mut inner = self.disk.lock_inner();
        if !self.writable || inner.process != self.process {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (mut change, mut result) = (change, inner.operation());
        let stopped = inner.running().is_err();
        let growth = end.saturating_sub(inner.nodes[&self.id].live.len() as u64);
        if result.is_ok() && growth > 0 && inner.used() + growth > inner.capacity {
            result = Err(io::ErrorKind::StorageFull.into());
        }
        match (&result, &mut change) {
            (Ok(()), _) => {}
            (Err(_), Change::Write { bytes, .. }) if !stopped && growth == 0 => bytes.truncate(bytes.len() / 2),
            (Err(_), _) => return result,
        }
        let sequence = inner.next_sequence();
        let node = inner.nodes.get_mut(&self.id).expect("an open file has a node");
        change.apply(&mut node.live);
        node.waiting.push((sequence, change));
        result
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let inner = self.disk.lock_inner();
        if inner.process != self.process {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        inner.running()?;
        let content = &inner.nodes[&self.id].live;
        let start = (at as usize).min(content.len());
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.change(Change::Write { at, bytes: bytes.to_vec() }, at + bytes.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.lock_inner();
        if inner.process != self.process {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let sync = inner.sync()?;
        let node = inner.nodes.get_mut(&self.id).expect("an open file has a node");
        match sync {
            Sync::Ignored => Ok(()),
            Sync::Lost => {
                node.waiting.clear();
                Err(eio())
            }
            Sync::Done => {
                for (_, change) in std::mem::take(&mut node.waiting) {
                    change.apply(&mut node.durable);
                }
                Ok(())
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        let inner = self.disk.lock_inner();
        inner.running()?;
        Ok(inner.nodes[&self.id].live.len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Change::Size(size), size)
    }
}
