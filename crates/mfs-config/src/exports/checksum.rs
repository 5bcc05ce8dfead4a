//! The checksum of an exports list (spec 07 §7.1.6).

use super::{ExportRule, ExportTarget, Exports};

impl Exports {
    /// A number that sessions carry: a session whose checksum is not that of the current rules must
    /// register again. It is the sum over all rules, so their order does not matter to it.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        self.rules
            .iter()
            .map(rule_checksum)
            .fold(0, u64::wrapping_add)
    }
}

fn rule_checksum(rule: &ExportRule) -> u64 {
    let record = record(rule);
    let path: &[u8] = match &rule.target {
        ExportTarget::Meta => &[],
        ExportTarget::Directory(path) => path,
    };
    let mut crc = crc32fast::Hasher::new_with_initial(u32::MAX);
    crc.update(&record);
    crc.update(path);
    let mut murmur = murmur3(&record, 0);
    if !path.is_empty() {
        murmur = murmur3(path, murmur);
    }
    u64::from(crc.finalize()) << 32 | u64::from(murmur)
}

/// The 62 bytes that stand for a rule without its path.
fn record(rule: &ExportRule) -> Vec<u8> {
    let session = &rule.session;
    let bits = u8::from(rule.alldirs) << 3
        | u8::from(rule.password.is_some()) << 2
        | u8::from(rule.target == ExportTarget::Meta) << 1
        | u8::from(rule.maproot_given);
    let mut record = Vec::with_capacity(62);
    record.extend(rule.addresses.first.octets());
    record.extend(rule.addresses.last.octets());
    record.extend(rule.min_version.to_be_bytes());
    record.extend(rule.password.unwrap_or_default());
    record.extend([bits, session.flags, session.min_goal, session.max_goal]);
    record.extend(session.umask.to_be_bytes());
    for word in [
        session.min_trash_time,
        session.max_trash_time,
        session.root_uid,
        session.root_gid,
        session.mapall_uid,
        session.mapall_gid,
        session.disables,
    ] {
        record.extend(word.to_be_bytes());
    }
    record
}

/// MurmurHash3 x86-32, except that the words of the body are read big-endian.
fn murmur3(data: &[u8], seed: u32) -> u32 {
    fn scramble(word: u32) -> u32 {
        word.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    }
    let mut words = data.chunks_exact(4);
    let mut hash = seed;
    for word in &mut words {
        hash ^= scramble(
            word.iter()
                .fold(0, |word, &byte| word << 8 | u32::from(byte)),
        );
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        hash ^= scramble(
            tail.iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u32::from(byte)),
        );
    }
    // The algorithm is defined on a 32-bit length; no path is that long.
    hash ^= data.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
