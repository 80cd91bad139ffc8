//! The journal against crashes, damage and full disks; checkpoints, cursors and the data folder.
mod crash;
mod damage;
mod faults;
mod folder;
mod sealed;
mod small;
mod world;
