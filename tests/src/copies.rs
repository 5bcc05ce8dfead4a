//! Where the copies of a file's chunks are, as `mfsfileinfo` tells.

use std::path::Path;

use crate::command::Tool;
use crate::net::Namespace;
use crate::programs::real;

/// A copy of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// `IP:PORT` of its chunkserver.
    pub address: String,
    /// `VALID`, `MARKED FOR REMOVAL`, `WRONG VERSION`, `INVALID`, ...
    pub status: String,
}

/// A chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its place in the file, in chunks of 64 MiB.
    pub index: u32,
    /// Its number.
    pub id: u64,
    /// The version that the master holds for the right one.
    pub version: u32,
    /// All copies that the master knows.
    pub copies: Vec<Copy>,
}

impl Chunk {
    /// The addresses of the copies that count.
    pub fn valid(&self) -> Vec<&str> {
        self.with_status("VALID")
    }

    /// The addresses of the copies of one status.
    pub fn with_status(&self, status: &str) -> Vec<&str> {
        self.copies
            .iter()
            .filter(|copy| copy.status == status)
            .map(|copy| copy.address.as_str())
            .collect()
    }
}

/// The chunks of files, in the order of the paths; holes have none.
///
/// # Errors
/// What `mfsfileinfo` printed when it failed or when its output makes no sense.
pub fn chunks_of(
    place: &impl Namespace,
    files: &[impl AsRef<Path>],
) -> Result<Vec<Vec<Chunk>>, String> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let run = Tool::inside(place, real("mfsfileinfo"))
        .args(files.iter().map(AsRef::as_ref))
        .run();
    if run.code != Some(0) {
        return Err(run.to_string());
    }
    let parsed = parse(&run.stdout).ok_or_else(|| run.to_string())?;
    if parsed.len() == files.len() {
        Ok(parsed)
    } else {
        Err(run.to_string())
    }
}

/// One list for each line that is not indented: `PATH:`.
fn parse(text: &str) -> Option<Vec<Vec<Chunk>>> {
    let mut files: Vec<Vec<Chunk>> = Vec::new();
    for line in text.lines() {
        if let Some(copy) = line.strip_prefix("\t\tcopy ") {
            // copy 1: 10.0.0.1:9422 (status:VALID)
            let (address, status) = copy.split_once(": ")?.1.split_once(" (status:")?;
            files.last_mut()?.last_mut()?.copies.push(Copy {
                address: address.to_owned(),
                status: status.trim_end_matches(')').to_owned(),
            });
        } else if let Some(chunk) = line.strip_prefix("\tchunk ") {
            // chunk 0: 0000000000000001_00000001 / (id:1 ver:1)
            let (index, rest) = chunk.split_once(": ")?;
            let Some((id, version)) = rest
                .split_once("(id:")
                .and_then(|(_, numbers)| numbers.trim_end_matches(')').split_once(" ver:"))
            else {
                continue;
            };
            files.last_mut()?.push(Chunk {
                index: index.parse().ok()?,
                id: id.parse().ok()?,
                version: version.parse().ok()?,
                copies: Vec::new(),
            });
        } else if !line.starts_with('\t') && !line.is_empty() {
            if !line.ends_with(':') {
                return None;
            }
            files.push(Vec::new());
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_mfsfileinfo() {
        let text = "/m/a:\n\tchunk 0: 0000000000000001_00000002 / (id:1 ver:2)\n\
                    \t\tcopy 1: 10.0.0.1:9422 (status:VALID)\n\
                    \t\tcopy 2: 10.0.0.2:9422 (status:MARKED FOR REMOVAL)\n\
                    \tchunk 1: empty\n\
                    \tchunk 2: 0000000000000011_00000001 / (id:17 ver:1)\n\
                    \t\tno valid copies !!!\n\
                    /m/b:\n\tno chunks - empty file\n";
        let files = parse(text).expect("it is well-formed");
        assert_eq!(files.len(), 2);
        assert_eq!(files[1], []);
        let [first, second] = &files[0][..] else {
            panic!("two chunks: {files:?}");
        };
        assert_eq!((first.index, first.id, first.version), (0, 1, 2));
        assert_eq!(first.valid(), ["10.0.0.1:9422"]);
        assert_eq!(first.with_status("MARKED FOR REMOVAL"), ["10.0.0.2:9422"]);
        assert_eq!((second.index, second.id, second.copies.len()), (2, 17, 0));
        assert_eq!(parse("/m/a: No such file"), None);
    }
}
