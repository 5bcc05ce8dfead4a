//! Cut, flipped and random bytes: an error or other records, never a panic.

use mfs_store::image::{ReadFault, ReadOptions, fuzz_read};
use proptest::prelude::*;

use crate::data::{RECORDED, bytes, images, path, streamed};
use crate::model::Model;

#[test]
fn a_cut_image_is_refused_wherever_it_is_cut() {
    for name in [
        "live.mfs",
        "synthetic/handmade-2.0.mfs",
        "synthetic/handmade-1.5.mfs",
        "synthetic/handmade-1.7.mfs",
    ] {
        let image = bytes(name);
        for image in [
            image.clone(),
            if name.contains("1.5") || name.contains("1.7") {
                image
            } else {
                streamed(&image)
            },
        ] {
            fuzz_read(&image).unwrap();
            for length in 0..image.len() {
                let error = fuzz_read(&image[..length]).unwrap_err();
                assert!(
                    matches!(error.fault, ReadFault::Eof),
                    "{name} {length}: {error}"
                );
                assert!(
                    error.place.offset <= length as u64,
                    "{name} {length}: {error}"
                );
            }
        }
    }
}

#[test]
fn every_byte_may_be_wrong() {
    for name in [
        "live.mfs",
        "synthetic/handmade-2.0.mfs",
        "synthetic/handmade-1.5.mfs",
        "synthetic/handmade-1.7.mfs",
    ] {
        let mut image = bytes(name);
        let mut refused = 0;
        for at in 0..image.len() {
            let right = image[at];
            for wrong in [0, 1, 0x7f, 0x80, 0xff, right ^ 1, right ^ 0x80] {
                image[at] = wrong;
                refused += usize::from(fuzz_read(&image).is_err());
            }
            image[at] = right;
        }
        assert!(refused > image.len() / 20, "{name}: {refused}");
    }
}

fn any_image() -> impl Strategy<Value = Vec<u8>> {
    let mut names: Vec<String> = RECORDED.iter().map(|name| format!("{name}.mfs")).collect();
    names.extend(
        images("synthetic")
            .iter()
            .map(|name| format!("synthetic/{name}")),
    );
    proptest::sample::select(names).prop_map(|name| bytes(&name))
}

proptest! {
    #[test]
    fn flipped_and_moved_bytes(
        mut image in any_image(),
        bytes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<(proptest::sample::Index, proptest::sample::Index)>(),
    ) {
        for (at, byte) in bytes {
            let at = at.index(image.len());
            image[at] = byte;
        }
        let (a, b) = (cut.0.index(image.len()), cut.1.index(image.len()));
        if a < b && b - a < 200 {
            image.drain(a..b);
        }
        let _ = fuzz_read(&image);
    }

    #[test]
    fn random_sections(
        section in proptest::sample::select(vec![
            "SESS 1.0", "SESS 1.1", "SESS 1.2", "SESS 1.5", "SCLA 1.6", "LABS 1.0", "LABS 1.2", "LABS 1.4", "LABS 1.5",
            "NODE 1.0", "NODE 1.1", "NODE 1.2", "NODE 1.3", "NODE 1.4", "EDGE 1.0", "EDGE 1.1", "FREE 1.0", "QUOT 1.0",
            "QUOT 1.1", "XATR 1.0", "PACL 1.0", "PACL 1.1", "OPEN 1.0", "FLCK 1.0", "PLCK 1.0", "CSDB 1.0", "CSDB 1.3",
            "CHNK 1.0", "CHNK 1.1", "XXXX 1.0", "NODE 0.9",
        ]),
        length in prop_oneof![Just(u64::MAX), 0..4000u64, any::<u64>()],
        payload in proptest::collection::vec(prop_oneof![3 => Just(0), 3 => 0u8..10, 2 => any::<u8>(), 1 => Just(0xff)], 0..3000),
    ) {
        let mut image = b"MFSM 2.0".to_vec();
        image.extend([0; 16]);
        image.extend(section.bytes());
        image.extend(length.to_be_bytes());
        image.extend(payload);
        image.extend(b"[MFS EOF MARKER]");
        let _ = fuzz_read(&image);
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(fuzz_read(&bytes).is_err());
        let old = [b"MFSM 1.5", &bytes[..]].concat();
        let _ = fuzz_read(&old);
    }

    #[test]
    fn random_sessions_file(
        kind in 0u8..6,
        bytes in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..700),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sessions.mfs");
        std::fs::write(&file, [b"MFSS \x01\x06", &[kind][..], &bytes].concat()).unwrap();
        let options = ReadOptions { sessions_mfs: Some(file), ..ReadOptions::default() };
        let image = std::fs::read(path("synthetic/handmade-1.7.mfs")).unwrap();
        let loaded = Model::read(&image, &options).unwrap();
        prop_assert_eq!(loaded.model.nodes.len(), 11);
    }
}
