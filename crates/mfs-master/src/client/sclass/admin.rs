//! Administration of storage classes (spec 04 §7.12, spec 07 §7.7.1).

use mfs_meta::op::{Op, ScSetArgs};
use mfs_meta::records::{LabelMasks, SclassDef, SessionParams};
use mfs_meta::{Metadata, Status};
use mfs_proto::client::Reply;
use mfs_proto::client::sclass::{
    ClassChange, ClassDef, Label, MAX_LABELS, SclassChange, SclassChangeReply, SclassCreate,
    SclassDelete, SclassEntry, SclassList, SclassListReply, SclassPair, chgmask,
};
use mfs_proto::wire::List;

use crate::client::rights;
use crate::context::Ctx;

/// Classes below this one change only by force. The original leaves class 9 out, and so do we.
const FIRST_FREE: u8 = 9;

fn need_admin(params: &SessionParams) -> Result<(), Status> {
    if rights::is_admin(params) {
        Ok(())
    } else {
        Err(Status::EpermNotadmin)
    }
}

fn good_name(name: &[u8]) -> Result<(), Status> {
    if name.is_empty() || name.contains(&0) {
        Err(Status::Einval)
    } else {
        Ok(())
    }
}

fn masks(set: &List<'_, Label>) -> Vec<LabelMasks> {
    set.iter().map(|label| label.0).collect()
}

fn labels(masks: &[LabelMasks]) -> Vec<Label> {
    masks.iter().map(|&mask| Label(mask)).collect()
}

fn definition(def: &ClassDef<'_>) -> SclassDef {
    SclassDef {
        admin_only: def.admin_only,
        mode: def.mode,
        arch_delay: def.arch_delay,
        create: masks(&def.create),
        keep: masks(&def.keep),
        archive: masks(&def.arch),
    }
}

fn line<'a>(name: &'a [u8], new: bool, def: SclassDef) -> Op<'a> {
    Op::ScSet(Box::new(ScSetArgs {
        name: name.into(),
        new,
        create: def.create,
        keep: def.keep,
        archive: def.archive,
        mode: def.mode,
        delay: def.arch_delay,
        admin: def.admin_only,
    }))
}

/// SCLASS_CREATE 350.
pub(in crate::client) fn create(ctx: &Ctx<'_>, r: &SclassCreate<'_>) -> Result<(), Status> {
    need_admin(&ctx.conn.params)?;
    let def = r.def.as_ref().ok_or(Status::Einval)?;
    good_name(r.name)?;
    let mut txn = ctx.begin();
    if txn.meta().sclass_by_name(r.name).is_some() {
        return Err(Status::ClassExists);
    }
    if txn.meta().sclasses().count() >= usize::from(u8::MAX) {
        return Err(Status::ClassLimitReach);
    }
    if !def.has_legal_counts() {
        return Err(Status::Einval);
    }
    txn.apply(&line(r.name, true, definition(def))).map(drop)
}

/// SCLASS_CHANGE 352: also shows a class, to everybody.
pub(in crate::client) fn change(
    ctx: &Ctx<'_>,
    r: &SclassChange<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let change = r.change.as_ref().ok_or(Status::Einval)?;
    if change.mask == 0 {
        good_name(r.name)?;
        return show(&ctx.read().meta, ctx, r, out);
    }
    need_admin(&ctx.conn.params)?;
    good_name(r.name)?;
    let mut txn = ctx.begin();
    let id = txn
        .meta()
        .sclass_by_name(r.name)
        .ok_or(Status::NoSuchClass)?;
    if id < FIRST_FREE && change.mask & chgmask::FORCE == 0 {
        return Err(Status::Eperm);
    }
    let class = txn.meta().sclass(id).ok_or(Status::NoSuchClass)?;
    let def = changed(&class.def, change)?;
    txn.apply(&line(r.name, false, def))?;
    show(txn.meta(), ctx, r, out)
}

/// The definition of a class after a change.
fn changed(old: &SclassDef, change: &ClassChange<'_>) -> Result<SclassDef, Status> {
    let has = |bit: u16| change.mask & bit != 0;
    let set = |bit: u16, new: &List<'_, Label>, old: &Vec<LabelMasks>| {
        if !has(bit) {
            Ok(old.clone())
        } else if (1..=MAX_LABELS).contains(&new.len()) {
            Ok(masks(new))
        } else {
            Err(Status::Einval)
        }
    };
    let new = &change.def;
    Ok(SclassDef {
        admin_only: if has(chgmask::ADMIN_ONLY) {
            new.admin_only
        } else {
            old.admin_only
        },
        mode: if has(chgmask::MODE) {
            new.mode
        } else {
            old.mode
        },
        arch_delay: if has(chgmask::ARCH_DELAY) {
            new.arch_delay
        } else {
            old.arch_delay
        },
        create: set(chgmask::CREATE, &new.create, &old.create)?,
        keep: set(chgmask::KEEP, &new.keep, &old.keep)?,
        archive: set(chgmask::ARCH, &new.arch, &old.archive)?,
    })
}

fn show(
    meta: &Metadata,
    ctx: &Ctx<'_>,
    r: &SclassChange<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let class = meta
        .sclass_by_name(r.name)
        .and_then(|id| meta.sclass(id))
        .ok_or(Status::NoSuchClass)?;
    with_definition(&class.def, |def| {
        Reply::SclassChange(SclassChangeReply { def }).encode(r.mid, ctx.version(), out);
    });
    Ok(())
}

/// Shows a definition in the form of the wire.
fn with_definition(def: &SclassDef, show: impl FnOnce(ClassDef<'_>)) {
    let (create, keep, arch) = (labels(&def.create), labels(&def.keep), labels(&def.archive));
    show(ClassDef {
        admin_only: def.admin_only,
        mode: def.mode,
        arch_delay: def.arch_delay,
        create: List::from(&create),
        keep: List::from(&keep),
        arch: List::from(&arch),
    });
}

/// SCLASS_DELETE 354.
pub(in crate::client) fn delete(ctx: &Ctx<'_>, r: &SclassDelete<'_>) -> Result<(), Status> {
    need_admin(&ctx.conn.params)?;
    good_name(r.name)?;
    let op = Op::ScDel {
        name: r.name.into(),
    };
    ctx.begin().apply(&op).map(drop)
}

/// SCLASS_DUPLICATE 356.
pub(in crate::client) fn duplicate(ctx: &Ctx<'_>, r: &SclassPair<'_>) -> Result<(), Status> {
    need_admin(&ctx.conn.params)?;
    good_name(r.old)?;
    good_name(r.new)?;
    let op = Op::ScDup {
        old: r.old.into(),
        new: r.new.into(),
    };
    ctx.begin().apply(&op).map(drop)
}

/// SCLASS_RENAME 358.
pub(in crate::client) fn rename(ctx: &Ctx<'_>, r: &SclassPair<'_>) -> Result<(), Status> {
    need_admin(&ctx.conn.params)?;
    good_name(r.old)?;
    good_name(r.new)?;
    let op = Op::ScRen {
        old: r.old.into(),
        new: r.new.into(),
    };
    ctx.begin().apply(&op).map(drop)
}

/// SCLASS_LIST 360.
pub(in crate::client) fn list(
    ctx: &Ctx<'_>,
    r: &SclassList,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let state = ctx.read();
    let head = Reply::SclassList(SclassListReply {
        classes: List::EMPTY,
    });
    let sets: Vec<[Vec<Label>; 3]> = state
        .meta
        .sclasses()
        .map(|(_, class)| {
            let def = &class.def;
            [&def.create, &def.keep, &def.archive].map(|set| labels(set))
        })
        .collect();
    let mut frame = mfs_proto::client::ListFrame::begin(&head, r.mid, ctx.version(), out);
    for ((_, class), [create, keep, arch]) in state.meta.sclasses().zip(&sets) {
        let def = ClassDef {
            admin_only: class.def.admin_only,
            mode: class.def.mode,
            arch_delay: class.def.arch_delay,
            create: List::from(create),
            keep: List::from(keep),
            arch: List::from(arch),
        };
        frame.push(&SclassEntry {
            name: &class.name,
            def: r.with_definitions().then_some(def),
        });
    }
    frame.finish();
    Ok(())
}
