//! From text to [`Line`] (spec 03 §3, §6).

mod admin;
mod data;
mod tree;

use self::admin::*;
use self::data::*;
use self::tree::*;
use super::error::MAX_ENTRY_TEXT;
use super::scan::{Fail, Scan};
use super::{Line, LineError, LineErrorKind, Op, Outcome};

/// An operation together with what its line recorded.
type Entry<'a> = (Op<'a>, Option<Outcome>);

/// The line's number, read as merging does: leading digits, 0 if there are none, the largest number if
/// they do not fit. Also gives what follows.
pub fn parse_version(line: &[u8]) -> (u64, &[u8]) {
    let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = line.split_at(digits);
    (Scan::new(number).number(), rest)
}

/// Parses a whole line, `VERSION: TIMESTAMP|OP(args):results`. The line end may be there or not, and
/// text behind the last element is ignored.
///
/// # Errors
/// See [`LineError::is_fatal`] for the two kinds. Offsets count from the start of `line`.
pub fn parse_line(line: &[u8]) -> Result<Line<'_>, LineError> {
    let mut scan = Scan::new(line);
    let version = scan.number();
    scan.expect(b':')
        .and_then(|()| scan.expect(b' '))
        .and_then(|()| line_text(&mut scan, version))
        .map_err(|fail| line_error(line, &scan, fail))
}

/// Parses a line that comes with its number apart, as followers get it: `TIMESTAMP|OP(args):results`.
///
/// # Errors
/// As [`parse_line`]; offsets count from the start of `text`.
pub fn parse_text(version: u64, text: &[u8]) -> Result<Line<'_>, LineError> {
    let mut scan = Scan::new(text);
    line_text(&mut scan, version).map_err(|fail| line_error(text, &scan, fail))
}

/// Parses what stands behind `|`: the operation and what the line recorded.
///
/// # Errors
/// As [`parse_line`]; offsets count from the start of `text`.
pub fn parse_op(text: &[u8]) -> Result<(Op<'_>, Option<Outcome>), LineError> {
    let mut scan = Scan::new(text);
    entry(&mut scan).map_err(|fail| line_error(text, &scan, fail))
}

/// Runs a line of arbitrary bytes through parser and printer, for fuzzing: whatever can be read must
/// be read as the same again after it was printed.
///
/// # Panics
/// When the text that was printed for a line is read as something else, or not at all.
pub fn fuzz_line(line: &[u8]) {
    let (_, _) = parse_version(line);
    let Ok(parsed) = parse_line(line) else {
        return;
    };
    let mut text = Vec::new();
    parsed.write(&mut text);
    assert_eq!(parse_line(&text).as_ref(), Ok(&parsed));
}

#[cold]
fn line_error(text: &[u8], scan: &Scan<'_>, fail: Fail) -> LineError {
    let rest = scan.rest();
    let kind = match fail {
        Fail::Expected(byte) => LineErrorKind::Expected(byte),
        Fail::Hex => LineErrorKind::HexExpected,
        Fail::NumberOrComma => LineErrorKind::NumberOrCommaExpected,
        Fail::Umask => LineErrorKind::WrongUmask(rest.iter().take(3).copied().collect()),
        Fail::TooBig { value, max } => LineErrorKind::ValueTooBig { value, max },
        Fail::Unknown => {
            LineErrorKind::UnknownEntry(rest.iter().take(MAX_ENTRY_TEXT).copied().collect())
        }
    };
    LineError {
        offset: text.len() - rest.len(),
        kind,
    }
}

#[inline(always)]
fn line_text<'a>(scan: &mut Scan<'a>, version: u64) -> Result<Line<'a>, Fail> {
    let ts = scan.u32();
    scan.expect(b'|')?;
    let (op, recorded) = entry(scan)?;
    Ok(Line {
        version,
        ts,
        op,
        recorded,
    })
}

/// The first four bytes of a keyword as one number.
const fn key(bytes: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*bytes)
}

macro_rules! keys {
    ($($name:ident = $text:literal;)*) => {
        $(const $name: u32 = key($text);)*
    };
}

keys! {
    ACCE = b"ACCE"; ACQU = b"ACQU"; AMTI = b"AMTI"; APPE = b"APPE"; AQUI = b"AQUI"; ARCH = b"ARCH";
    ATTR = b"ATTR"; CHUN = b"CHUN"; CREA = b"CREA"; CSAD = b"CSAD"; CSDB = b"CSDB"; CSDE = b"CSDE";
    CUST = b"CUST"; EMPT = b"EMPT"; FLOC = b"FLOC"; FREE = b"FREE"; IDLE = b"IDLE"; INCV = b"INCV";
    LENG = b"LENG"; LINK = b"LINK"; MOVE = b"MOVE"; NEXT = b"NEXT"; POSI = b"POSI"; PURG = b"PURG";
    QUOT = b"QUOT"; RELE = b"RELE"; RENU = b"RENU"; REPA = b"REPA"; ROLL = b"ROLL"; SCDE = b"SCDE";
    SCDU = b"SCDU"; SCRE = b"SCRE"; SCSE = b"SCSE"; SESA = b"SESA"; SESC = b"SESC"; SESD = b"SESD";
    SESS = b"SESS"; SETA = b"SETA"; SETE = b"SETE"; SETF = b"SETF"; SETG = b"SETG"; SETM = b"SETM";
    SETP = b"SETP"; SETS = b"SETS"; SETT = b"SETT"; SETV = b"SETV"; SETX = b"SETX"; SNAP = b"SNAP";
    SYML = b"SYML"; TRUN = b"TRUN"; UNDE = b"UNDE"; UNLI = b"UNLI"; UNLO = b"UNLO"; WRIT = b"WRIT";
}

/// Recognises the operation by its first four bytes, then by the whole keyword (spec 03 §3.4).
#[inline(always)]
fn entry<'a>(scan: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let Some(first) = scan.rest().first_chunk() else {
        return Err(Fail::Unknown);
    };
    let s = scan;
    match key(first) {
        ACCE => keyword(s, b"ACCESS").and_then(|()| access(s)),
        ACQU => keyword(s, b"ACQUIRE").and_then(|()| acquire(s)),
        AMTI => keyword(s, b"AMTIME").and_then(|()| amtime(s)),
        APPE => keyword(s, b"APPEND").and_then(|()| append(s)),
        AQUI => keyword(s, b"AQUIRE").and_then(|()| acquire(s)),
        ARCH => keyword(s, b"ARCHCHG").and_then(|()| archchg(s)),
        ATTR => keyword(s, b"ATTR").and_then(|()| attr(s)),
        CHUN => {
            if s.take_all(b"CHUNKADD") {
                s.expect(b'(').and_then(|()| chunkadd(s))
            } else {
                keyword(s, b"CHUNKDEL").and_then(|()| chunkdel(s))
            }
        }
        CREA => keyword(s, b"CREATE").and_then(|()| create(s)),
        CSAD => keyword(s, b"CSADD").and_then(|()| csdbop_old(s, 0)),
        CSDB => keyword(s, b"CSDBOP").and_then(|()| csdbop(s)),
        CSDE => keyword(s, b"CSDEL").and_then(|()| csdbop_old(s, 1)),
        CUST => keyword(s, b"CUSTOMER").and_then(|()| session(s)),
        EMPT => {
            if s.take_all(b"EMPTYTRASH") {
                s.expect(b'(').and_then(|()| emptytrash(s))
            } else if s.take_all(b"EMPTYSUSTAINED") {
                s.expect(b'(').and_then(|()| emptysustained(s))
            } else {
                keyword(s, b"EMPTYRESERVED").and_then(|()| emptysustained(s))
            }
        }
        FLOC => keyword(s, b"FLOCK").and_then(|()| flock(s)),
        FREE => keyword(s, b"FREEINODES").and_then(|()| freeinodes(s)),
        IDLE => keyword(s, b"IDLE").and_then(|()| idle(s)),
        INCV => keyword(s, b"INCVERSION").and_then(|()| incversion(s)),
        LENG => keyword(s, b"LENGTH").and_then(|()| length(s)),
        LINK => keyword(s, b"LINK").and_then(|()| link(s)),
        MOVE => keyword(s, b"MOVE").and_then(|()| move_(s)),
        NEXT => keyword(s, b"NEXTCHUNKID").and_then(|()| nextchunkid(s)),
        POSI => keyword(s, b"POSIXLOCK").and_then(|()| posixlock(s)),
        PURG => keyword(s, b"PURGE").and_then(|()| purge(s)),
        QUOT => keyword(s, b"QUOTA").and_then(|()| quota(s)),
        RELE => keyword(s, b"RELEASE").and_then(|()| release(s)),
        RENU => keyword(s, b"RENUMERATEEDGES").and_then(|()| renumerateedges(s)),
        REPA => keyword(s, b"REPAIR").and_then(|()| repair(s)),
        ROLL => keyword(s, b"ROLLBACK").and_then(|()| rollback(s)),
        SCDE => keyword(s, b"SCDEL").and_then(|()| scdel(s)),
        SCDU => keyword(s, b"SCDUP").and_then(|()| scdup(s)),
        SCRE => keyword(s, b"SCREN").and_then(|()| scren(s)),
        SCSE => keyword(s, b"SCSET").and_then(|()| scset(s)),
        SESA => keyword(s, b"SESADD").and_then(|()| sesadd(s)),
        SESC => keyword(s, b"SESCHANGED").and_then(|()| seschanged(s)),
        SESD => {
            if s.take_all(b"SESDEL") {
                s.expect(b'(').and_then(|()| sesdel(s))
            } else {
                keyword(s, b"SESDISCONNECTED").and_then(|()| sesdisconnected(s))
            }
        }
        SESS => keyword(s, b"SESSION").and_then(|()| session(s)),
        SETA => keyword(s, b"SETACL").and_then(|()| setacl(s)),
        SETE => keyword(s, b"SETEATTR").and_then(|()| seteattr(s)),
        SETF => keyword(s, b"SETFILECHUNK").and_then(|()| setfilechunk(s)),
        SETG => keyword(s, b"SETGOAL").and_then(|()| setgoal(s)),
        SETM => keyword(s, b"SETMETAID").and_then(|()| setmetaid(s)),
        SETP => keyword(s, b"SETPATH").and_then(|()| setpath(s)),
        SETS => keyword(s, b"SETSCLASS").and_then(|()| setsclass(s)),
        SETT => keyword(s, b"SETTRASHTIME").and_then(|()| settrashtime(s)),
        SETV => keyword(s, b"SETVERSION").and_then(|()| setversion(s)),
        SETX => keyword(s, b"SETXATTR").and_then(|()| setxattr(s)),
        SNAP => keyword(s, b"SNAPSHOT").and_then(|()| snapshot(s)),
        SYML => keyword(s, b"SYMLINK").and_then(|()| symlink(s)),
        TRUN => keyword(s, b"TRUNC").and_then(|()| trunc(s)),
        UNDE => keyword(s, b"UNDEL").and_then(|()| undel(s)),
        UNLI => keyword(s, b"UNLINK").and_then(|()| unlink(s)),
        UNLO => keyword(s, b"UNLOCK").and_then(|()| unlock(s)),
        WRIT => keyword(s, b"WRITE").and_then(|()| write(s)),
        _ => Err(Fail::Unknown),
    }
}

/// Takes the whole keyword and its `(`. An incomplete keyword is an unknown operation, anything but
/// `(` behind it a parse error.
#[inline(always)]
fn keyword(s: &mut Scan<'_>, word: &[u8]) -> Result<(), Fail> {
    if !s.take_all(word) {
        return Err(Fail::Unknown);
    }
    s.expect(b'(')
}

/// End of an operation without results.
#[inline(always)]
fn done<'a>(s: &mut Scan<'a>, op: Op<'a>) -> Result<Entry<'a>, Fail> {
    s.expect(b')')?;
    Ok((op, None))
}

/// End of the arguments and start of the results.
#[inline(always)]
fn results(s: &mut Scan<'_>) -> Result<(), Fail> {
    s.expect(b')')?;
    s.expect(b':')
}

/// A result that old lines do not have; 0 then, which is not compared.
fn optional_result(s: &mut Scan<'_>) -> u32 {
    if s.take(b',') { s.u32() } else { 0 }
}
