//! What the state machine asks about the network (spec 05 §25); the answer is the configuration's matter.

/// Where addresses are.
pub trait Topology: Send + Sync {
    /// Number of the rack of an address; 0 = not known.
    fn rack(&self, ip: u32) -> u32;
    /// Distance of two addresses: 0 the same, 1 the same rack, more beyond.
    fn distance(&self, a: u32, b: u32) -> u32;
}

/// A network without racks: every address is as far as any other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flat;

impl Topology for Flat {
    fn rack(&self, _: u32) -> u32 {
        0
    }

    fn distance(&self, a: u32, b: u32) -> u32 {
        u32::from(a != b)
    }
}
