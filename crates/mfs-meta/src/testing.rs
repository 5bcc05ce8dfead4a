//! Small namespaces for unit tests.

use crate::op::{Op, Outcome};
use crate::state::Metadata;

/// Makes an object of a type of CREATE (1 = file, 2 = directory); its inode.
pub(crate) fn make(m: &mut Metadata, parent: u32, name: &str, kind: u8) -> u32 {
    let op = Op::Create {
        parent,
        name: name.as_bytes().into(),
        kind,
        mode: 0o755,
        umask: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
    };
    match m.apply(10, &op).unwrap() {
        Outcome::Inode(inode) => inode,
        other => panic!("{other:?}"),
    }
}

/// Takes a name away, as UNLINK does for objects of every type.
pub(crate) fn unlink(m: &mut Metadata, parent: u32, name: &str) {
    let op = Op::Unlink {
        parent,
        name: name.as_bytes().into(),
    };
    m.apply(20, &op).unwrap();
}
