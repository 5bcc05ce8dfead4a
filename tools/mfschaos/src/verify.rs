//! Waiting until everything is well again, and looking at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use antler_e2e::{Chunk, ChunkFile, Mount};
use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::cluster::{Cluster, GOAL};
use crate::content::Expected;
use crate::crew::{Crew, Paused};
use crate::fault::Damaged;
use crate::log::say;
use crate::writer::Shared;

/// How long the master may take to bring all chunks to their goals: two turns of its loop, and
/// what copying takes.
const SETTLE: Duration = Duration::from_secs(180);

/// How often it is asked.
const ASK: Duration = Duration::from_millis(200);

/// All files whose content is certain, and what they need.
fn needs(paused: &Paused<'_>) -> Vec<(PathBuf, usize)> {
    paused
        .writers
        .iter()
        .flat_map(|writer| {
            writer
                .files
                .iter()
                .filter(|(_, entry)| entry.expected.is_certain())
                .map(|(name, entry)| (Path::new(&writer.name).join(name), entry.goal))
        })
        .collect()
}

/// The paths of all files whose content is certain.
pub(crate) fn certain(paused: &Paused<'_>) -> Vec<PathBuf> {
    needs(paused).into_iter().map(|(path, _)| path).collect()
}

/// Asks until all chunks have as many copies as they need, damaged ones not counted, and the
/// given damage is gone; tells how long that took.
///
/// # Errors
/// When it does not happen in time: what is missing.
pub(crate) fn wait_for_goal(
    cluster: &Cluster,
    paused: &Paused<'_>,
    crew: &Crew,
    damage: &[Damaged],
) -> Result<Duration> {
    let start = Instant::now();
    let mut needs = needs(paused);
    let shared = crew.shared.expected();
    if shared.is_certain() && shared.content.size() > 0 {
        needs.push((PathBuf::from(Shared::NAME), GOAL));
    }
    let names: Vec<&PathBuf> = needs.iter().map(|(path, _)| path).collect();
    loop {
        let missing = match cluster.chunks(&names) {
            Ok(files) => lacking(&needs, &files).or_else(|| {
                damage
                    .iter()
                    .find(|damaged| is_there(damaged, cluster))
                    .map(|damaged| format!("{damaged:?} is still there"))
            }),
            Err(error) => Some(error.to_string()),
        };
        let Some(missing) = missing else {
            return Ok(start.elapsed());
        };
        ensure!(
            start.elapsed() < SETTLE,
            "not all chunks have their copies after {SETTLE:?}: {missing}"
        );
        std::thread::sleep(ASK);
    }
}

/// Waits until the master has found all damage and has enough copies elsewhere.
///
/// # Errors
/// When that does not happen in time.
pub(crate) fn wait_for_replacement(
    cluster: &Cluster,
    paused: &Paused<'_>,
    crew: &Crew,
    damage: &[Damaged],
) -> Result<()> {
    let names = certain(paused);
    let counts = |chunk: &Chunk| {
        damage.iter().any(|damaged| {
            let address = cluster.servers[damaged.server].program.address();
            damaged.chunk == chunk.id
                && is_there(damaged, cluster)
                && chunk.valid().contains(&address)
        })
    };
    let start = Instant::now();
    while cluster.chunks(&names)?.iter().flatten().any(counts) {
        ensure!(
            start.elapsed() < SETTLE,
            "damage still counts as a valid copy after {SETTLE:?}: {damage:?}"
        );
        std::thread::sleep(ASK);
    }
    wait_for_goal(cluster, paused, crew, &[])?;
    Ok(())
}

fn lacking(needs: &[(PathBuf, usize)], files: &[Vec<Chunk>]) -> Option<String> {
    let bad: Vec<String> = needs
        .iter()
        .zip(files)
        .flat_map(|((path, goal), chunks)| {
            chunks
                .iter()
                .filter(|chunk| chunk.valid().len() < *goal)
                .map(move |chunk| format!("{} (goal {goal}): {chunk:?}", path.display()))
        })
        .collect();
    let first = bad.first()?;
    Some(format!("{} chunks, the first: {first}", bad.len()))
}

/// Whether a wrong byte is still where it was put.
fn is_there(damaged: &Damaged, cluster: &Cluster) -> bool {
    let server = &cluster.servers[damaged.server].program;
    server
        .chunks()
        .iter()
        .filter(|file| file.id == damaged.chunk)
        .any(|file| {
            let mut byte = [0];
            File::open(&file.path)
                .and_then(|file| file.read_exact_at(&mut byte, damaged.offset))
                .is_ok()
                && byte[0] == damaged.byte
        })
}

/// Compares every byte of every file, read through a mount, with what was acknowledged, and the
/// names with those that must be there.
///
/// # Errors
/// The first differences.
pub(crate) fn all_files(mount: &Mount, paused: &Paused<'_>, crew: &Crew) -> Result<()> {
    let mut wrong = Vec::new();
    let mut bytes = 0;
    let mut files = 0;
    for writer in &paused.writers {
        let dir = mount.join(&writer.name);
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {dir:?}"))? {
            found.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        for name in found
            .iter()
            .filter(|name| !writer.files.contains_key(*name))
        {
            wrong.push(format!("{}/{name} should not exist", writer.name));
        }
        for (name, entry) in &writer.files {
            if !found.contains(name) {
                if !entry.expected.may_be_absent {
                    wrong.push(format!("{}/{name} is missing", writer.name));
                }
                continue;
            }
            files += 1;
            bytes += entry.expected.content.size();
            wrong.extend(compare(&dir.join(name), &entry.expected));
        }
    }
    let shared = crew.shared.expected();
    files += 1;
    bytes += shared.content.size();
    wrong.extend(compare(&mount.join(Shared::NAME), &shared));
    if wrong.is_empty() {
        say!("{files} files with {bytes} bytes are right");
        return Ok(());
    }
    bail!("{} differences:\n  {}", wrong.len(), wrong.join("\n  "))
}

fn compare(path: &Path, expected: &Expected) -> Option<String> {
    match File::open(path).and_then(|file| expected.check(&file)) {
        Ok(Ok(())) => None,
        Ok(Err(difference)) => Some(format!("{}: {difference}", path.display())),
        Err(error) => Some(format!("{}: {error}", path.display())),
    }
}

/// Compares all valid copies of each chunk of certain files, on the disks.
///
/// # Errors
/// Two copies that differ though the master holds both for valid, or one that is not there.
pub(crate) fn all_copies(cluster: &Cluster, paused: &Paused<'_>) -> Result<()> {
    let names = certain(paused);
    let mut stored: BTreeMap<(&str, u64, u32), PathBuf> = BTreeMap::new();
    for server in &cluster.servers {
        for file in server.program.chunks() {
            let key = (server.program.address(), file.id, file.version);
            stored.insert(key, file.path);
        }
    }
    let mut compared = 0;
    for (name, chunk) in names
        .iter()
        .zip(cluster.chunks(&names)?)
        .flat_map(|(name, chunks)| chunks.into_iter().map(move |chunk| (name, chunk)))
    {
        let mut first: Option<(String, Vec<u8>)> = None;
        for address in chunk.valid() {
            let file = stored.get(&(address, chunk.id, chunk.version));
            let Some(data) = file.and_then(|path| data_of(path)) else {
                // The master may just be moving it; then it is not listed there any more.
                ensure!(
                    is_moving(cluster, name, &chunk, address)?,
                    "{}: chunk {} has no file on {address} though the copy counts as valid",
                    name.display(),
                    chunk.id
                );
                continue;
            };
            compared += 1;
            match &first {
                None => first = Some((address.to_owned(), data)),
                Some((other, expected)) => {
                    if let Some(at) = difference(expected, &data) {
                        bail!(
                            "{}: the copies of chunk {} version {} on {other} and {address} differ at byte {at}",
                            name.display(),
                            chunk.id,
                            chunk.version
                        );
                    }
                }
            }
        }
    }
    say!("{compared} copies are equal on the disks");
    Ok(())
}

/// Whether a copy is no longer where it was said to be.
fn is_moving(cluster: &Cluster, name: &Path, old: &Chunk, address: &str) -> Result<bool> {
    let files = cluster.chunks(&[name])?;
    Ok(!files
        .iter()
        .flatten()
        .any(|chunk| chunk.id == old.id && chunk.version == old.version
            && chunk.valid().contains(&address))
        // Or it just came.
        || cluster.server_at(address).is_some_and(|server| {
            server.program.chunks().iter().any(|file| file.id == old.id)
        }))
}

/// The data of a copy, without header and checksums.
fn data_of(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes.split_off((ChunkFile::DATA as usize).min(bytes.len())))
}

/// The first byte that differs; what a copy does not reach is zero.
fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let common = one.len().min(other.len());
    if one[..common] != other[..common] {
        return one.iter().zip(other).position(|(a, b)| a != b);
    }
    let (_, rest) = if one.len() > other.len() { one } else { other }.split_at(common);
    rest.iter()
        .position(|byte| *byte != 0)
        .map(|at| common + at)
}

/// Removes the files whose content is not certain, through the first mount, and forgets them.
///
/// # Errors
/// When one cannot be removed.
pub(crate) fn drop_uncertain(
    cluster: &Cluster,
    paused: &mut Paused<'_>,
    crew: &Crew,
) -> Result<()> {
    let remove = |path: PathBuf| match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    };
    let root = cluster.root();
    for writer in &mut paused.writers {
        let dir = root.join(&writer.name);
        let uncertain: Vec<String> = writer
            .files
            .iter()
            .filter(|(_, entry)| !entry.expected.is_certain())
            .map(|(name, _)| name.clone())
            .collect();
        for name in uncertain {
            remove(dir.join(&name))?;
            writer.files.remove(&name);
        }
    }
    if !crew.shared.expected().is_certain() {
        remove(root.join(Shared::NAME))?;
        File::create(root.join(Shared::NAME))?;
        crew.shared.forget();
    }
    Ok(())
}
