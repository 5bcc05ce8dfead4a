//! The next requests: random, mostly meaningful, sometimes hostile.

mod attr;
mod data;
mod hostile;
mod lock;
mod property;
mod tree;
mod upkeep;
mod world;
mod xattr;

use fastrand::Rng;
use mfs_proto::client::FileType;

pub(crate) use attr::LONGEST;

use crate::duel::Outcome;
use crate::script::{Action, Body, Label, Message, Ref, Step};
use crate::slots::{ADMIN, Role, SLOTS, STRANGER, SUB};
use mfs_proto::msg;
use world::{Entry, NodeId, Place, ROOT, SUB_DIR, World};

/// Requests of one slot in a row at most.
const LONGEST_RUN: usize = 40;

/// No more trees are copied beyond this number of inodes, and fewer objects made.
const MANY_INODES: u32 = 12_000;

/// What a success means for the [`World`].
#[derive(Debug, Clone)]
enum Effect {
    None,
    Made {
        place: Place,
        kind: FileType,
    },
    /// A created file is open at once.
    Created {
        place: Place,
        slot: usize,
    },
    Linked {
        node: NodeId,
        place: Place,
    },
    Removed(Place),
    Moved {
        from: Place,
        to: Place,
    },
    Listed {
        dir: NodeId,
    },
    /// Deleted files, seen by a meta mount.
    Detached,
    Paged {
        dir: NodeId,
    },
    Opened {
        node: NodeId,
        slot: usize,
    },
    Closed {
        slot: usize,
        kept: Vec<NodeId>,
    },
}

/// A request without its slot and label.
struct Made {
    msg: u32,
    mid: bool,
    solo: bool,
    body: Body,
    effect: Effect,
}

fn made(msg: u32, body: Body) -> Made {
    Made {
        msg,
        mid: true,
        solo: false,
        body,
        effect: Effect::None,
    }
}

impl Made {
    fn effect(mut self, effect: Effect) -> Made {
        self.effect = effect;
        self
    }

    fn without_mid(mut self) -> Made {
        self.mid = false;
        self
    }

    fn solo(mut self) -> Made {
        self.solo = true;
        self
    }
}

/// The state of generation.
pub(crate) struct Generator {
    rng: Rng,
    world: World,
    label: Label,
    effects: Vec<(Label, Effect)>,
    now: u32,
    /// A tick of the clock every so many steps.
    tick_every: usize,
    until_tick: usize,
}

type Make = fn(&mut Generator, usize) -> Option<Made>;

/// Requests of mounts: weight and maker.
const MOUNT: &[(u32, Make)] = &[
    (60, tree::mkdir),
    (60, tree::mknod),
    (70, tree::create),
    (25, tree::symlink),
    (60, tree::lookup),
    (12, tree::readlink),
    (30, tree::link),
    (55, tree::unlink),
    (25, tree::rmdir),
    (45, tree::rename),
    (35, tree::readdir),
    (12, tree::snapshot),
    (6, tree::remove_snapshot),
    (30, attr::getattr),
    (25, attr::access),
    (60, attr::setattr),
    (45, attr::open),
    (50, attr::truncate),
    (20, data::read_chunk),
    (10, data::write_chunk),
    (10, data::write_chunk_end),
    (12, data::append),
    (6, data::repair),
    (12, data::check),
    (12, data::dirstats),
    (8, data::parents),
    (12, data::paths),
    (10, data::node_info),
    (6, data::statfs),
    (8, property::get_trashtime),
    (14, property::set_trashtime),
    (8, property::get_sclass),
    (14, property::set_sclass),
    (8, property::get_eattr),
    (16, property::set_eattr),
    (8, property::archive),
    (20, property::quota),
    (5, property::create_class),
    (6, property::change_class),
    (3, property::delete_class),
    (2, property::duplicate_class),
    (2, property::rename_class),
    (3, property::list_classes),
    (30, xattr::set),
    (25, xattr::get),
    (25, xattr::set_acl),
    (15, xattr::get_acl),
    (35, lock::flock),
    (45, lock::posix),
    (6, lock::sustained),
    (8, upkeep::amtime),
    (2, upkeep::time_sync),
    (2, upkeep::version),
    (2, upkeep::config),
    (3, upkeep::trash),
    (3, upkeep::heal),
    (3, hostile::mutated),
    (1, hostile::unknown),
    (1, hostile::close_session),
];

/// Requests that tools may send too.
const TOOLS: &[(u32, Make)] = &[
    (10, data::read_chunk),
    (10, data::append),
    (10, data::check),
    (10, data::dirstats),
    (8, property::get_trashtime),
    (10, property::set_trashtime),
    (8, property::get_sclass),
    (10, property::set_sclass),
    (8, property::get_eattr),
    (10, property::set_eattr),
    (8, property::archive),
    (12, property::quota),
    (5, property::change_class),
    (3, property::list_classes),
    (10, attr::truncate),
    (5, data::repair),
    (5, tree::snapshot),
    (2, upkeep::version),
    (1, hostile::mutated),
    (1, hostile::unknown),
];

/// Requests of meta mounts.
const META: &[(u32, Make)] = &[
    (60, upkeep::trash),
    (6, data::paths),
    (6, data::check),
    (6, data::dirstats),
    (6, property::set_trashtime),
    (6, property::get_sclass),
    (6, property::set_sclass),
    (4, property::set_eattr),
    (4, attr::getattr),
    (4, attr::setattr),
    (3, attr::access),
    (3, attr::truncate),
    (3, tree::lookup),
    (2, tree::create),
    (2, tree::readdir),
    (2, tree::rename),
    (2, property::quota),
    (2, xattr::get),
    (2, xattr::set),
    (2, data::statfs),
    (2, data::node_info),
    (2, upkeep::time_sync),
    (1, hostile::mutated),
];

/// What strangers try.
const STRANGERS: &[(u32, Make)] = &[
    (5, upkeep::version),
    (5, upkeep::config),
    (20, hostile::register),
    (3, hostile::unknown),
    (2, hostile::mutated),
];

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        let mut rng = Rng::with_seed(seed);
        let tick_every = rng.usize(1200..3000);
        Generator {
            rng,
            world: World::new(),
            label: 0,
            effects: Vec::new(),
            now: 0,
            tick_every,
            until_tick: tick_every,
        }
    }

    /// The steps that every script begins with.
    pub(crate) fn preamble(&mut self) -> Vec<Step> {
        let body = Body::new().u32(1).name(crate::slots::SUBFOLDER.as_bytes());
        let body = body.u16(0o777).u16(0).u32(0).u32(1).u32(0).u8(1);
        let mkdir = made(msg::CLTOMA_FUSE_MKDIR, body);
        vec![self.send(ADMIN, mkdir)]
    }

    /// The next step.
    fn step(&mut self, action: Action) -> Step {
        let label = self.label;
        self.label += 1;
        Step { label, action }
    }

    fn send(&mut self, slot: usize, made: Made) -> Step {
        let step = self.step(Action::Send(Message {
            slot,
            msg: made.msg,
            mid: made.mid,
            body: made.body,
            solo: made.solo,
        }));
        if !matches!(made.effect, Effect::None) {
            self.effects.push((step.label, made.effect));
        }
        step
    }

    /// The next steps, which belong to one slot. `now` is the time of the masters.
    pub(crate) fn next(&mut self, now: u32) -> Vec<Step> {
        self.now = now;
        if self.until_tick == 0 {
            self.until_tick = self.tick_every;
            // Never more than a second: the original makes up for what it missed, ours runs late, once.
            return vec![self.step(Action::Tick(1))];
        }
        let slot = pick(&mut self.rng, SLOTS.iter().map(|slot| slot.weight));
        let makers = match SLOTS[slot].role {
            Role::Mount(_) | Role::Second(_) => MOUNT,
            Role::Meta => META,
            Role::Tools(_) => TOOLS,
            Role::Stranger => STRANGERS,
        };
        let mut steps = Vec::new();
        let count =
            self.rng
                .usize(1..=LONGEST_RUN)
                .min(if slot == STRANGER { 4 } else { usize::MAX });
        for _ in 0..count {
            let at = pick(&mut self.rng, makers.iter().map(|m| m.0));
            if let Some(made) = (makers[at].1)(self, slot) {
                steps.push(self.send(slot, made));
            }
        }
        if slot == STRANGER || slot != ADMIN && self.rng.u8(..200) == 0 {
            steps.push(self.step(Action::Drop(slot)));
        }
        self.until_tick = self.until_tick.saturating_sub(steps.len());
        steps
    }

    /// Learns from what steps led to.
    pub(crate) fn learn(&mut self, outcomes: Vec<(Label, Outcome)>, inodes: u32) {
        self.world.inodes = inodes;
        let mut outcomes: std::collections::HashMap<Label, Outcome> =
            outcomes.into_iter().collect();
        for (label, effect) in std::mem::take(&mut self.effects) {
            let Some(outcome) = outcomes.remove(&label).filter(|outcome| outcome.ok) else {
                continue;
            };
            self.take_effect(label, effect, outcome);
        }
    }

    fn take_effect(&mut self, label: Label, effect: Effect, outcome: Outcome) {
        let Generator { rng, world, .. } = self;
        let told = |at: usize| {
            let inode = outcome.inodes.get(at).copied().unwrap_or_default();
            (Ref::Node(label, at as u16), inode)
        };
        let below = |world: &World, parent: NodeId| parent == SUB_DIR || world.node(parent).in_sub;
        match effect {
            Effect::None => {}
            Effect::Made { place, kind } => {
                let in_sub = below(world, place.dir);
                let child = world.add(rng, told(0), kind, in_sub);
                world.enter(rng, place, child);
            }
            Effect::Created { place, slot } => {
                let in_sub = below(world, place.dir);
                let child = world.add(rng, told(0), FileType::File, in_sub);
                world.enter(rng, place, child);
                world.open(slot, child);
            }
            Effect::Linked { node, place } => world.enter(rng, place, node),
            Effect::Removed(place) => world.leave(&place),
            Effect::Moved { from, to } => {
                let child = world.find(&from);
                world.leave(&to);
                if let Some(child) = child {
                    world.forget(&from);
                    world.enter(rng, to, child);
                }
            }
            Effect::Listed { dir } => {
                let in_sub = below(world, dir);
                for _ in 0..4 {
                    let at = rng.usize(..outcome.listed.len().max(1));
                    let Some((name, Some(kind))) = outcome.listed.get(at) else {
                        continue;
                    };
                    let special = name == b"." || name == b".." || name == b"sub";
                    let name = name.clone();
                    let place = Place { dir, name };
                    if special || world.find(&place).is_some() {
                        continue;
                    }
                    let child = world.add(rng, told(at), *kind, in_sub);
                    world.enter(rng, place, child);
                }
            }
            Effect::Detached => {
                for _ in 0..3 {
                    let at = rng.usize(..outcome.listed.len().max(1));
                    if at < outcome.listed.len().min(60_000) {
                        let node = world.add(rng, told(at), FileType::File, false);
                        world.gone.push(node);
                    }
                }
            }
            Effect::Paged { dir } => {
                if outcome.goes_on {
                    world.pages.push((dir, label));
                    if world.pages.len() > 20 {
                        world.pages.remove(0);
                    }
                }
            }
            Effect::Opened { node, slot } => world.open(slot, node),
            Effect::Closed { slot, kept } => world.opened[slot] = kept,
        }
    }

    // Fields that many requests have.

    /// A number for the place of an inode: that of a node as the slot sees it, or now and then another.
    fn inode(&mut self, body: Body, slot: usize, node: NodeId) -> Body {
        match self.rng.u8(..60) {
            0 => {
                let wild = [0, 1, 2, 3, u32::MAX, 0x7FFF_FFFF, self.rng.u32(2..300)];
                let at = self.rng.usize(..wild.len());
                body.u32(wild[at])
            }
            1 | 2 if !self.world.gone.is_empty() => {
                let at = self.rng.usize(..self.world.gone.len());
                let gone = self.world.gone[at];
                self.exact(body, slot, gone)
            }
            _ => self.exact(body, slot, node),
        }
    }

    /// The number of a node.
    fn exact(&mut self, body: Body, slot: usize, node: NodeId) -> Body {
        match self.world.node(node).reference {
            None => body.u32(1),
            Some(_) if slot == SUB && node == SUB_DIR => body.u32(1),
            Some(reference) => body.hole(reference),
        }
    }

    /// A directory, and an edge of it where a listing may go on.
    fn page(&mut self, slot: usize) -> Option<(NodeId, Ref)> {
        let pages = &self.world.pages;
        let &(dir, label) = pages.get(self.rng.usize(..pages.len().max(1)))?;
        // Which directory it is of, the original does not look at (README, "Not sent").
        let visible = slot != SUB && !SLOTS[slot].is_meta();
        visible.then_some((dir, Ref::Edge(label)))
    }

    /// The place of an entry, or any.
    fn place(&mut self, slot: usize, entry: Option<Entry>) -> Place {
        match entry {
            Some(entry) => entry.place,
            None => Place {
                dir: self.world.dir(&mut self.rng, slot),
                name: self.name(),
            },
        }
    }

    /// A directory and a name in it.
    fn named(&mut self, body: Body, slot: usize, place: &Place) -> Body {
        self.inode(body, slot, place.dir).name(&place.name)
    }

    /// The place that a slot means by a place of its own.
    fn seen_place(&self, slot: usize, place: Place) -> Place {
        Place {
            dir: self.seen(slot, place.dir),
            ..place
        }
    }

    /// The directory that a node number means to a slot.
    fn seen(&self, slot: usize, dir: NodeId) -> NodeId {
        if slot == SUB && dir == ROOT {
            SUB_DIR
        } else {
            dir
        }
    }

    fn uid(&mut self) -> u32 {
        match self.rng.u8(..20) {
            0..13 => 0,
            13..18 => self.rng.u32(1000..1003),
            18 => 2000,
            _ => u32::MAX,
        }
    }

    fn gid(&mut self) -> u32 {
        [0, 100, 101, 200][self.rng.usize(..4)]
    }

    /// Credentials: user and groups.
    fn cred(&mut self, body: Body) -> Body {
        let uid = self.uid();
        let count = match self.rng.u8(..40) {
            0..25 => 1,
            25..38 => self.rng.u32(2..5),
            _ => self.rng.u32(5..40),
        };
        let mut body = body.u32(uid).u32(count);
        for _ in 0..count {
            body = body.u32(self.gid());
        }
        body
    }

    /// Old form: one group, no count.
    fn old_cred(&mut self, body: Body) -> Body {
        let (uid, gid) = (self.uid(), self.gid());
        body.u32(uid).u32(gid)
    }

    /// Credentials, in the old form now and then.
    fn caller(&mut self, body: Body) -> Body {
        if self.is_old() {
            self.old_cred(body)
        } else {
            self.cred(body)
        }
    }

    /// Of who makes something: umask and credentials, or the old form, which has no umask.
    fn maker(&mut self, body: Body) -> Body {
        if self.is_old() {
            self.old_cred(body)
        } else {
            let umask = self.umask();
            self.cred(body.u16(umask))
        }
    }

    fn is_old(&mut self) -> bool {
        self.rng.u8(..25) == 0
    }

    /// A name for something new, or that may exist.
    fn name(&mut self) -> Vec<u8> {
        match self.rng.u8(..100) {
            0 => Vec::new(),
            1 => b".".to_vec(),
            2 => b"..".to_vec(),
            3 => b"with/slash".to_vec(),
            4 => b"with\0zero".to_vec(),
            5 => vec![b'L'; 255],
            6 => vec![b'M'; self.rng.usize(240..255)],
            7 => (0..self.rng.usize(1..9))
                .map(|_| self.rng.u8(1..))
                .collect(),
            8..20 => format!("c{}", self.rng.u8(..8)).into_bytes(),
            _ => format!("n{}", self.rng.u16(..400)).into_bytes(),
        }
    }

    fn mode(&mut self) -> u16 {
        match self.rng.u8(..10) {
            0..6 => 0o777,
            6 => 0o755,
            7 => 0o640,
            8 => 0o1777,
            _ => self.rng.u16(..),
        }
    }

    fn umask(&mut self) -> u16 {
        [0, 0, 0o022, 0o077, 0o007][self.rng.usize(..5)]
    }

    /// A time around now, or far from it.
    fn time(&mut self) -> u32 {
        match self.rng.u8(..8) {
            0 => 0,
            1 => u32::MAX,
            2 => self.rng.u32(..),
            3 => self.now,
            _ => (self.now - 200_000) + self.rng.u32(..400_000),
        }
    }
}

/// An index with the given weights.
fn pick(rng: &mut Rng, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let total: u32 = weights.clone().sum();
    let mut left = rng.u32(..total);
    for (at, weight) in weights.enumerate() {
        if left < weight {
            return at;
        }
        left -= weight;
    }
    0
}
