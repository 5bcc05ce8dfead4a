//! Reading an image: the frame around the sections (spec 02 §2, §3, §19.1, §19.2).

mod attributes;
mod clients;
mod error;
mod input;
mod old;
mod servers;
mod tree;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mfs_meta::records::ImageSink;

use self::input::{Ahead, Blocks, Input};
use super::check::{Checked, check_file, decode_head};
use super::section::{Section, SectionHeader};
use super::{FORMAT_CURRENT, FORMAT_SECTIONS, SIGNATURE_NEW, TAIL, UNKNOWN_LENGTH, format_of};

pub use error::{Place, ReadError, ReadFault};

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Tolerate what `-i` tolerates in the framing (spec 02 §19). The sink has its own switch.
    pub ignore: bool,
    /// Current time, taken where old formats lack one.
    pub now: u32,
    /// The `sessions.mfs` that belongs to an image of format 1.x (spec 02 §21); may be missing.
    pub sessions_mfs: Option<PathBuf>,
}

/// What happens during a read.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A section begins: `loading {title} ...`.
    Begin(Section),
    /// It was read.
    End(&'a SectionReport),
    /// Something odd that does not stop the read, for the log.
    Notice(&'a str),
}

/// A section that was read.
#[derive(Clone, Copy, Debug)]
pub struct SectionReport {
    /// Which.
    pub section: Section,
    /// Its version `0xMm` in the file.
    pub version: u8,
    /// Bytes of payload.
    pub bytes: u64,
    /// Number of records.
    pub records: u64,
    /// Time taken, including that of the sink.
    pub time: Duration,
}

/// A completed read.
#[derive(Clone, Debug)]
pub struct ReadReport {
    /// What the file was. After `New` the sink has got nothing.
    pub head: Checked,
    /// Sections in file order.
    pub sections: Vec<SectionReport>,
    /// Bytes up to the end of the tail.
    pub bytes: u64,
}

/// Reads the image at `path` after the quick check of head and tail.
///
/// # Errors
/// See [`ReadError`].
pub fn read_path<S: ImageSink>(
    path: &Path,
    options: &ReadOptions,
    sink: &mut S,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ReadReport, ReadError> {
    let start = |fault| ReadError {
        place: Place {
            section: None,
            record: 0,
            offset: 0,
        },
        fault,
    };
    let file = File::open(path).map_err(|source| {
        start(ReadFault::Check(match source.kind() {
            std::io::ErrorKind::NotFound => super::CheckError::Missing(path.to_owned()),
            _ => super::CheckError::Io {
                path: path.to_owned(),
                source,
            },
        }))
    })?;
    read_file(&file, path, options, sink, progress)
}

/// Reads the image in an open file, positioned at its start, after the quick check of head and tail.
/// `path` is for the errors.
///
/// # Errors
/// See [`ReadError`].
pub fn read_file<S: ImageSink>(
    file: &File,
    path: &Path,
    options: &ReadOptions,
    sink: &mut S,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ReadReport, ReadError> {
    check_file(file, path).map_err(|e| ReadError {
        place: Place {
            section: None,
            record: 0,
            offset: 0,
        },
        fault: ReadFault::Check(e),
    })?;
    read(file, options, sink, progress)
}

/// Reads an image from a stream, up to its tail; what comes behind is not looked at. A second thread reads
/// ahead.
///
/// # Errors
/// See [`ReadError`].
pub fn read<R: Read + Send, S: ImageSink>(
    from: R,
    options: &ReadOptions,
    sink: &mut S,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ReadReport, ReadError> {
    std::thread::scope(|scope| {
        Reader::new(
            Input::new(Ahead::start(scope, from)),
            options,
            sink,
            progress,
        )
        .run()
    })
}

/// As [`read`], without a thread and with blocks of `block` bytes: for small inputs and for tests.
pub(super) fn read_direct<R: Read, S: ImageSink>(
    from: R,
    block: usize,
    options: &ReadOptions,
    sink: &mut S,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ReadReport, ReadError> {
    Reader::new(Input::direct(from, block), options, sink, progress).run()
}

/// What the sections need beside the input.
struct Context<'a, S> {
    sink: &'a mut S,
    options: &'a ReadOptions,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl<S> Context<'_, S> {
    fn notice(&mut self, text: &str) {
        (self.progress)(Progress::Notice(text));
    }

    /// A fault that `-i` turns into a notice.
    fn tolerate(&mut self, fault: ReadFault) -> Result<(), ReadFault> {
        if !self.options.ignore {
            return Err(fault);
        }
        self.notice(&format!("{fault} - ignored"));
        Ok(())
    }
}

struct Reader<'a, B, S> {
    input: Input<B>,
    cx: Context<'a, S>,
    /// Section of the next error.
    section: Option<super::SectionName>,
    seen_nodes: bool,
    sections: Vec<SectionReport>,
}

impl<'a, B: Blocks, S: ImageSink> Reader<'a, B, S> {
    fn new(
        input: Input<B>,
        options: &'a ReadOptions,
        sink: &'a mut S,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Reader<'a, B, S> {
        let cx = Context {
            sink,
            options,
            progress,
        };
        Reader {
            input,
            cx,
            section: None,
            seen_nodes: false,
            sections: Vec::new(),
        }
    }

    fn run(mut self) -> Result<ReadReport, ReadError> {
        match self.image() {
            Ok(head) => Ok(ReadReport {
                head,
                sections: self.sections,
                bytes: self.input.offset(),
            }),
            Err(fault) => {
                let Input {
                    record,
                    record_at: offset,
                    ..
                } = self.input;
                Err(ReadError {
                    place: Place {
                        section: self.section,
                        record,
                        offset,
                    },
                    fault,
                })
            }
        }
    }

    fn image(&mut self) -> Result<Checked, ReadFault> {
        let signature = self.input.array::<8>()?;
        if signature == *SIGNATURE_NEW {
            return Ok(Checked::New);
        }
        let format = format_of(&signature).ok_or(ReadFault::BadHeader)?;
        let head = self.input.array::<16>()?;
        let (version, meta_id) = decode_head(format, &head);
        self.cx.sink.head(version, meta_id)?;
        let old = (format < FORMAT_CURRENT).then(|| old::OldHead::decode(&head));
        if let Some(old) = &old {
            self.cx.sink.next_session(old.next_session)?;
            self.old_sessions()?;
        }
        match old {
            Some(old) if format < FORMAT_SECTIONS => self.bare_sections(old)?,
            old => while self.next_section(old)? {},
        }
        Ok(Checked::Image {
            format,
            version,
            meta_id,
        })
    }

    /// Reads one section with its header. False: the tail was found.
    fn next_section(&mut self, old: Option<old::OldHead>) -> Result<bool, ReadFault> {
        self.section = None;
        self.input.begin_section();
        let raw = self.input.array::<{ SectionHeader::SIZE }>()?;
        if raw == *TAIL {
            return Ok(false);
        }
        let SectionHeader {
            name,
            version,
            length,
        } = SectionHeader::decode(&raw);
        self.section = Some(name);
        let Some(section) = Section::from_name(name) else {
            let fault = ReadFault::UnknownSection {
                name,
                version,
                length,
            };
            if length == UNKNOWN_LENGTH {
                return Err(fault); // nobody knows where it ends
            }
            self.cx.tolerate(fault)?;
            self.input.skip(length)?;
            return Ok(true);
        };
        if !(0x10..=section.version()).contains(&version) {
            return Err(ReadFault::SectionVersion {
                version,
                supported: section.version(),
            });
        }
        let consumed = self.timed(section, version, |reader| {
            reader.payload(section, version, old)
        })?;
        if length != UNKNOWN_LENGTH && length != consumed {
            self.input.begin_section();
            self.cx.tolerate(ReadFault::SectionLength {
                stated: length,
                consumed,
            })?;
        }
        Ok(true)
    }

    /// The records of the formats before 1.6, which have no section headers (spec 02 §21).
    fn bare_sections(&mut self, old: old::OldHead) -> Result<(), ReadFault> {
        for section in [Section::Node, Section::Edge, Section::Free, Section::Chnk] {
            self.section = Some(section.name());
            self.timed(section, 0x10, |reader| {
                reader.payload(section, 0x10, Some(old))
            })?;
        }
        Ok(())
    }

    /// Runs the part of a section and reports it. Gives the bytes consumed.
    fn timed(
        &mut self,
        section: Section,
        version: u8,
        part: impl FnOnce(&mut Self) -> Result<(), ReadFault>,
    ) -> Result<u64, ReadFault> {
        (self.cx.progress)(Progress::Begin(section));
        self.input.begin_section();
        let (start, started) = (self.input.offset(), Instant::now());
        part(self)?;
        let bytes = self.input.offset() - start;
        let report = SectionReport {
            section,
            version,
            bytes,
            records: self.input.record,
            time: started.elapsed(),
        };
        (self.cx.progress)(Progress::End(&report));
        self.sections.push(report);
        Ok(bytes)
    }

    fn payload(
        &mut self,
        section: Section,
        version: u8,
        old: Option<old::OldHead>,
    ) -> Result<(), ReadFault> {
        let (input, cx) = (&mut self.input, &mut self.cx);
        match section {
            Section::Sess => clients::sessions(input, cx, version),
            Section::Scla => servers::sclasses(input, cx, version),
            Section::Node => {
                self.seen_nodes = true;
                tree::nodes(input, cx, version, old.map(|old| old.max_inode))
            }
            Section::Edge => tree::edges(input, cx, version),
            // Free numbers need the allocation map that NODE sizes (spec 02 §3).
            Section::Free if !self.seen_nodes => Err(ReadFault::SectionOrder(Section::Node.name())),
            Section::Free => tree::free_inodes(input, cx),
            Section::Quot => attributes::quotas(input, cx, version),
            Section::Xatr => attributes::xattrs(input, cx),
            Section::Pacl => attributes::acls(input, cx, version),
            Section::Open => clients::opens(input, cx),
            Section::Flck => clients::flocks(input, cx),
            Section::Plck => clients::posix_locks(input, cx),
            Section::Csdb => servers::chunkservers(input, cx, version),
            Section::Chnk => servers::chunks(input, cx, version),
        }
    }

    /// Sessions of the file beside an old image. Clients whose session is lost must be restarted, so a
    /// missing or broken file is no reason to refuse the metadata (spec 02 §21).
    fn old_sessions(&mut self) -> Result<(), ReadFault> {
        let Some(path) = &self.cx.options.sessions_mfs else {
            return Ok(());
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) => {
                self.cx
                    .notice(&format!("{}: {e}: no sessions", path.display()));
                return Ok(());
            }
        };
        let mut input = Input::direct(file, input::BLOCK);
        let result = self.timed_sessions(&mut input);
        match result {
            Err(ReadFault::Structure(e)) => Err(ReadFault::Structure(e)),
            Err(e) => {
                let place = Place {
                    section: None,
                    record: input.record,
                    offset: input.record_at,
                };
                self.cx.notice(&format!(
                    "{}: {place}: {e}: sessions from there on are lost",
                    path.display()
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn timed_sessions<F: Blocks>(&mut self, input: &mut Input<F>) -> Result<(), ReadFault> {
        (self.cx.progress)(Progress::Begin(Section::Sess));
        let started = Instant::now();
        input.begin_section();
        let version = old::sessions_file(input, &mut self.cx)?;
        let (bytes, records) = (input.offset(), input.record);
        let report = SectionReport {
            section: Section::Sess,
            version,
            bytes,
            records,
            time: started.elapsed(),
        };
        (self.cx.progress)(Progress::End(&report));
        self.sections.push(report);
        Ok(())
    }
}
