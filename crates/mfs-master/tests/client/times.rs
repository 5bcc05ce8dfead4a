//! Times that clients report of what they have read and written (spec 04 §7.3).

use mfs_proto::client::session::{Amtime, AmtimeInodes};
use mfs_proto::client::{Request, tree};
use mfs_proto::wire::List;
use mfs_proto::{Status, Version};

use crate::open::mount_at;
use crate::ours::{create, mkdir, root, status};
use crate::server::TestServer;

#[test]
fn a_mount_whose_folder_is_gone_reports_in_vain() {
    let server = TestServer::with_exports("127.0.0.1 / rw,alldirs,maproot=0:0\n");
    let (mut client, _) = server.mount();
    let f = create(&mut client, 1, "f");
    let dir = mkdir(&mut client, 1, "dir");
    let mut inside = mount_at(&server, Version::new(3, 0, 117), b"/dir");
    let mut report = |mtime: u32| {
        let times = [Amtime {
            inode: f,
            atime: 0,
            mtime,
        }];
        inside.send(&Request::AmtimeInodes(AmtimeInodes {
            inodes: List::from(&times[..]),
        }));
        // What is answered comes behind it.
        let remove = Request::Rmdir(tree::Remove {
            mid: 1,
            parent: 1,
            name: b"nothing",
            cred: root(),
        });
        assert_eq!(status(&mut inside, &remove), Status::ENOENT);
        server.master.read().meta.node(f).unwrap().mtime()
    };
    let now = server.master.read().meta.node(dir).unwrap().mtime();
    assert_eq!(report(now + 100), now + 100);
    let remove = Request::Rmdir(tree::Remove {
        mid: 1,
        parent: 1,
        name: b"dir",
        cred: root(),
    });
    assert_eq!(status(&mut client, &remove), Status::OK);
    assert_eq!(report(now + 200), now + 100);
}
