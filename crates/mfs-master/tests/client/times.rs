//! Times that clients report of what they have read and written (spec 04 §7.3).

use mfs_proto::Status;
use mfs_proto::client::register::{NewMetaSession, Register};
use mfs_proto::client::session::{Amtime, AmtimeInodes};
use mfs_proto::client::{Request, tree};
use mfs_proto::wire::List;

use crate::ours::{create, root, status};
use crate::server::{Client, TestServer};

/// Reports a time of modification; gives the one that the file has then.
fn report(server: &TestServer, client: &mut Client, inode: u32, mtime: u32) -> u32 {
    let times = [Amtime {
        inode,
        atime: 0,
        mtime,
    }];
    client.send(&Request::AmtimeInodes(AmtimeInodes {
        inodes: List::from(&times[..]),
    }));
    // What is answered comes behind it.
    assert_eq!(remove(client, "nothing"), Status::ENOENT);
    server.master.read().meta.node(inode).unwrap().mtime()
}

fn remove(client: &mut Client, name: &str) -> Status {
    let request = Request::Unlink(tree::Remove {
        mid: 1,
        parent: 1,
        name: name.as_bytes(),
        cred: root(),
    });
    status(client, &request)
}

#[test]
fn a_meta_session_reports_in_vain_of_what_has_a_name() {
    let server = TestServer::with_exports("127.0.0.1 / rw,maproot=0:0\n127.0.0.1 . rw\n");
    let (mut client, _) = server.mount();
    let mut meta = server.client();
    meta.register(Register::NewMetaSession(NewMetaSession {
        version: meta.version,
        info: b"/mnt/meta",
        resume: None,
        digest: None,
    }));
    let f = create(&mut client, 1, "f");
    let now = server.master.read().meta.node(f).unwrap().mtime();
    assert_eq!(report(&server, &mut meta, f, now + 100), now);
    assert_eq!(report(&server, &mut client, f, now + 100), now + 100);
    assert_eq!(remove(&mut client, "f"), Status::OK);
    // In the trash, or kept by an open file.
    assert_eq!(report(&server, &mut meta, f, now + 200), now + 200);
}
