//! Big-endian integers at constant places of fixed-size records.

/// Byte at `at`. The offsets are constants of the layouts, checked by the tests of every section.
#[inline(always)]
pub(super) fn u8_at<const N: usize>(record: &[u8; N], at: usize) -> u8 {
    record[at]
}

/// Big-endian `u16` at `at`.
#[inline(always)]
pub(super) fn u16_at<const N: usize>(record: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([record[at], record[at + 1]])
}

/// Big-endian `u32` at `at`.
#[inline(always)]
pub(super) fn u32_at<const N: usize>(record: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

/// Big-endian `u64` at `at`.
#[inline(always)]
pub(super) fn u64_at<const N: usize>(record: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(record, at)) << 32 | u64::from(u32_at(record, at + 4))
}

/// Writes `bytes` at `at`, the counterpart of the readers above.
#[inline(always)]
pub(super) fn put<const N: usize, const M: usize>(record: &mut [u8; N], at: usize, bytes: [u8; M]) {
    record[at..at + M].copy_from_slice(&bytes);
}
