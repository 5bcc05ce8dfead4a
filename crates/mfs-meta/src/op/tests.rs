//! Facts of spec 03 §3 and §6 about the text, most of them checked against the original's restore.

use super::*;

fn op(text: &str) -> Op<'_> {
    entry(text).0
}

fn entry(text: &str) -> (Op<'_>, Option<Outcome>) {
    parse_op(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn error(text: &str) -> LineErrorKind {
    match parse_op(text.as_bytes()) {
        Ok(parsed) => panic!("{text} was read as {parsed:?}"),
        Err(error) => error.kind,
    }
}

fn printed(text: &str) -> String {
    let (op, recorded) = entry(text);
    let mut out = Vec::new();
    write_op(0, &op, &recorded.unwrap_or(Outcome::None), &mut out);
    String::from_utf8(out).unwrap().split_off(2)
}

fn borrowed(bytes: &Bytes<'_>) -> bool {
    matches!(bytes, Cow::Borrowed(_))
}

#[test]
fn operations_stay_small() {
    assert!(size_of::<Op<'_>>() <= 64);
    assert!(size_of::<Outcome>() <= 32);
    assert!(size_of::<Line<'_>>() <= 112);
}

#[test]
fn a_line_has_version_time_operation_and_results() {
    let line = parse_line(b"12: 1600000055|CREATE(2,f1,1,438,18,7,8,9):4\n").unwrap();
    assert_eq!((line.version, line.ts), (12, 1_600_000_055));
    assert_eq!(line.recorded, Some(Outcome::Inode(4)));
    assert_eq!(
        line.op,
        Op::Create {
            parent: 2,
            name: Cow::Borrowed(b"f1"),
            kind: 1,
            mode: 438,
            umask: 18,
            uid: 7,
            gid: 8,
            rdev: 9
        }
    );
    let text = b"1600000055|CREATE(2,f1,1,438,18,7,8,9):4\0";
    assert_eq!(parse_text(12, text).unwrap(), line);
}

#[test]
fn names_borrow_from_the_line_unless_escaped() {
    let (Op::Unlink { name, .. }, _) = entry("UNLINK(1,plain name):5") else {
        panic!()
    };
    assert!(borrowed(&name));
    let (Op::Unlink { name, .. }, _) = entry("UNLINK(1,%C3%A9):5") else {
        panic!()
    };
    assert!(!borrowed(&name));
    assert_eq!(name.as_ref(), "é".as_bytes());
}

#[test]
fn versions_are_leading_digits() {
    assert_eq!(parse_version(b"0012: 5|IDLE()"), (12, &b": 5|IDLE()"[..]));
    assert_eq!(parse_version(b"x"), (0, &b"x"[..]));
    assert_eq!(parse_version(b" 1"), (0, &b" 1"[..]));
    assert_eq!(parse_version(b"99999999999999999999:").0, u64::MAX);
    assert_eq!(parse_version(b"18446744073709551615:").0, u64::MAX);
}

#[test]
fn line_framing_is_one_colon_one_blank_and_a_bar() {
    for (text, missing, offset) in [
        ("1 1|IDLE()", b':', 1),
        ("1:1|IDLE()", b' ', 2),
        ("1: 1IDLE()", b'|', 4),
        ("1: 1 |IDLE()", b'|', 4),
        ("", b':', 0),
    ] {
        let error = parse_line(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind, LineErrorKind::Expected(missing), "{text}");
        assert_eq!(error.offset, offset, "{text}");
        assert!(!error.is_fatal());
    }
    // Any white space may precede the numbers.
    let line = parse_line(b"0003:   1600000009|IDLE()").unwrap();
    assert_eq!((line.version, line.ts), (3, 1_600_000_009));
    assert_eq!(parse_line(b"4: -5|IDLE()").unwrap().ts, 4_294_967_291);
    assert_eq!(parse_line(b"4: 4294967300|IDLE()").unwrap().ts, 4);
    assert_eq!(parse_line(b"4: |IDLE()").unwrap().ts, 0);
}

#[test]
fn numbers_follow_strtoull() {
    for (text, value) in [
        ("7", 7),
        ("0007", 7),
        ("+5", 5),
        (" \t\x0B\x0C\r6", 6),
        ("", 0),
        ("-1", u64::MAX),
        ("-18446744073709551615", 1),
        ("9999999999999999999", 9_999_999_999_999_999_999),
        ("18446744073709551615", u64::MAX),
        ("18446744073709551616", u64::MAX),
        ("-99999999999999999999999", u64::MAX),
        ("0000000000000000000000000000012", 12),
    ] {
        assert_eq!(
            op(&format!("UNLOCK({text})")),
            Op::Unlock { chunk: value },
            "{text:?}"
        );
    }
    for text in ["- 1", "+", " ", "-", "5 ", "0x5", "+-5"] {
        assert_eq!(
            error(&format!("UNLOCK({text})")),
            LineErrorKind::Expected(b')'),
            "{text:?}"
        );
    }
}

#[test]
fn narrow_fields_keep_low_bits_or_refuse() {
    assert_eq!(op("ACCESS(4294967297)"), Op::Access { inode: 1 });
    assert_eq!(op("ACCESS(-1)"), Op::Access { inode: u32::MAX });
    assert_eq!(
        op("SETSCLASS(3,0,258,259,256):1,0,0"),
        Op::SetSclass {
            inode: 3,
            uid: 0,
            src: 2,
            dst: 3,
            smode: 0
        }
    );
    assert_eq!(
        op("ATTR(3,66047,0,0,5,6,257,69632)"),
        Op::Attr {
            inode: 3,
            mode: 0o777,
            uid: 0,
            gid: 0,
            atime: 5,
            mtime: 6,
            winattr: 1,
            aclmode: 4096
        }
    );
    assert_eq!(
        op("WRITE(2,0,256,4294967296):1"),
        Op::Write {
            inode: 2,
            index: 0,
            opflag: false,
            canmod: false
        }
    );
    for (text, value, max) in [
        ("WRITE(2,0,1,256):1", 256, 255),
        ("LENGTH(2,10,256)", 256, 255),
        ("ARCHCHG(1,0,256):0,0,0", 256, 255),
        ("CSDBOP(256,1,1,1)", 256, 255),
        ("CSDBOP(0,1,65536,1)", 65536, 65535),
        ("CREATE(2,x,1,65536,0,0,0,0):4", 65536, 65535),
        ("CREATE(2,x,256,1,0,0,0):4", 256, 255),
        ("SCSET(c,1,W266,K1,A1,1,0,0):10", 266, 255),
    ] {
        assert_eq!(
            error(text),
            LineErrorKind::ValueTooBig { value, max },
            "{text}"
        );
    }
    // The test looks at the low 32 bits only.
    let (Op::Create { kind, mode, .. }, _) = entry("CREATE(1,g,4294967297,4294967716,0,0,0,0):3")
    else {
        panic!()
    };
    assert_eq!((kind, mode), (1, 420));
}

#[test]
fn strings_decode_upper_case_hex_only() {
    for text in ["a%2c", "a%zz", "a%2", "a%", "a%%41"] {
        assert_eq!(
            error(&format!("UNLINK(1,{text}):2")),
            LineErrorKind::HexExpected,
            "{text}"
        );
    }
    assert_eq!(
        op("UNLINK(1,a%2Cb%28c%29%25):2"),
        Op::Unlink {
            parent: 1,
            name: Cow::Borrowed(b"a,b(c)%")
        }
    );
}

#[test]
fn strings_end_at_their_own_terminator() {
    assert_eq!(
        op("LINK(3,1,a,b)"),
        Op::Link {
            inode: 3,
            parent: 1,
            name: Cow::Borrowed(b"a,b")
        }
    );
    let (Op::Create { name, .. }, _) = entry("CREATE(2,x)y,1,420,0,0,0,0):4") else {
        panic!()
    };
    assert_eq!(name.as_ref(), b"x)y");
    for stop in ["\0", "\r", "\n"] {
        for escape in ["", "%41"] {
            assert_eq!(
                error(&format!("SYMLINK(1,a{escape}{stop}b,x,0,0):2")),
                LineErrorKind::Expected(b',')
            );
            assert_eq!(
                error(&format!("SETPATH(1,a{escape}{stop}b)")),
                LineErrorKind::Expected(b')')
            );
        }
    }
    assert_eq!(error("UNLINK(1,abc"), LineErrorKind::Expected(b')'));
}

#[test]
fn names_have_255_bytes_paths_any_number() {
    let name = |text: &str| parse_op(format!("UNLINK(1,{text}):2").as_bytes()).map(|_| ());
    for unit in ["n", "%41"] {
        assert_eq!(name(&unit.repeat(255)), Ok(()));
        let error = name(&unit.repeat(256)).unwrap_err();
        assert_eq!(error.kind, LineErrorKind::Expected(b')'));
        assert_eq!(error.offset, "UNLINK(1,".len() + 255 * unit.len());
    }
    // What stands behind the 255th byte is not decoded any more.
    assert_eq!(
        name(&format!("{}%zz", "n".repeat(255))).unwrap_err().kind,
        LineErrorKind::Expected(b')')
    );
    let text = format!("SYMLINK(1,a,{},0,0):2", "p".repeat(5000));
    let (Op::Symlink { path, .. }, _) = entry(&text) else {
        panic!()
    };
    assert_eq!(path.len(), 5000);
}

#[test]
fn nul_cuts_names_and_paths_but_not_data() {
    let (Op::SetXattr { name, value, .. }, _) = entry("SETXATTR(1,a%00b,c%00d,0)") else {
        panic!()
    };
    assert_eq!(name.as_ref(), b"a");
    assert_eq!(value.as_ref(), b"c\0d");
    let (Op::Symlink { name, path, .. }, _) = entry("SYMLINK(1,%00,x%00y,0,0):2") else {
        panic!()
    };
    assert_eq!(name.as_ref(), b"");
    assert_eq!(path.as_ref(), b"x");
}

#[test]
fn unknown_operations_are_fatal_malformed_ones_are_not() {
    for text in [
        "FROB(1)",
        "FROBNICATE(1)",
        "LIN",
        "LINk(1,1,a)",
        "link(1,1,a)",
        " IDLE()",
        "",
        "ACCE(1)",
        "ACCES(1)",
        "CHUNKX(1)",
        "SYMLI(1)",
        "SESD(1)",
        "SESX(1)",
        "EMPTYX()",
        "SETQ(1)",
    ] {
        let error = parse_op(text.as_bytes()).unwrap_err();
        assert!(error.is_fatal(), "{text}");
        assert_eq!(
            error.kind.to_string(),
            format!("unknown entry '{text}'"),
            "{text}"
        );
    }
    for text in ["LINKX(3,1,a)", "CREATE", "IDLE ()", "RENUMERATEEDGESX"] {
        assert_eq!(error(text), LineErrorKind::Expected(b'('), "{text}");
    }
    for (text, byte) in [
        ("AMTIME(1,2,3)", b','),
        ("CREATE(1,a,1,1,1,1,1,1)", b':'),
        ("SNAPSHOT(2,1,s,2,8,777,[01],18):1", b','),
        ("EMPTYTRASH(5):0", b','),
        ("EMPTYTRASH(x):0,0,0", b')'),
        ("EMPTYTRASH( ):0,0,0", b')'),
        ("SESSION()", b':'),
        ("REPAIR(1,0)", b':'),
        ("SCSET(c,1,w1,K1,A1,1,0,0,0,0,0,0):1", b'W'),
    ] {
        let error = parse_op(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind, LineErrorKind::Expected(byte), "{text}");
        assert!(!error.is_fatal());
    }
}

#[test]
fn an_unknown_entry_keeps_a_bounded_part_of_the_text() {
    let text = "X".repeat(100_000);
    let error = parse_op(text.as_bytes()).unwrap_err();
    assert_eq!(
        error.kind,
        LineErrorKind::UnknownEntry(text.as_bytes()[..MAX_ENTRY_TEXT].to_vec())
    );
}

#[test]
fn messages_are_those_of_the_original_with_a_position() {
    let message = |text: &str| parse_op(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(message("UNLOCK(1"), "')' expected (at byte 8)");
    assert_eq!(message("UNLINK(1,%zz)"), "hex expected (at byte 9)");
    assert_eq!(
        message("LENGTH(2,10,256)"),
        "value too big (256 - 0-255 expected) (at byte 15)"
    );
    assert_eq!(
        message("SESADD(#5,1,8,0778,0"),
        "wrong session umask ('778' - octal number expected) (at byte 15)"
    );
}

#[test]
fn text_behind_the_last_element_is_ignored() {
    assert_eq!(op("IDLE() x"), Op::Idle);
    assert_eq!(op("IDLE()   # anything"), Op::Idle);
    assert_eq!(entry("UNLINK(1,a):5\r\n").1, Some(Outcome::Inode(5)));
    assert_eq!(entry("UNLINK(1,a):5 trailing").1, Some(Outcome::Inode(5)));
    assert_eq!(op("IDLE():7"), Op::Idle);
}

#[test]
fn old_type_letters_mean_no_umask() {
    for (letter, number) in [
        ("f", 1),
        ("d", 2),
        ("l", 3),
        ("q", 4),
        ("b", 5),
        ("c", 6),
        ("s", 7),
        ("x", 0),
        ("102", 1),
        ("100", 2),
        ("16", 0),
        ("255", 0),
    ] {
        let text = format!("CREATE(1,n,{letter},493,1,2,3):9");
        let (
            Op::Create {
                kind,
                mode,
                umask,
                uid,
                gid,
                rdev,
                ..
            },
            recorded,
        ) = entry(&text)
        else {
            panic!()
        };
        assert_eq!(
            (kind, mode, umask, uid, gid, rdev),
            (number, 493, 0, 1, 2, 3),
            "{letter}"
        );
        assert_eq!(recorded, Some(Outcome::Inode(9)));
    }
    // Only a digit starts a number here.
    for kind in [" 2", "+2", "", "dd", "15"] {
        let text = format!("CREATE(1,n,{kind},493,0,0,0):9");
        assert_eq!(error(&text), LineErrorKind::Expected(b','), "{kind:?}");
    }
}

#[test]
fn old_forms_are_read_as_current_ones() {
    for (old, current) in [
        ("AQUIRE(2,3)", "ACQUIRE(2,3)"),
        ("EMPTYRESERVED(5):1,2", "EMPTYSUSTAINED(5):1,2"),
        ("EMPTYSUSTAINED():1", "EMPTYSUSTAINED(4294967295):1,0"),
        ("EMPTYTRASH():2,1", "EMPTYTRASH(4294967295):2,1,0"),
        ("EMPTYTRASH():2,1,9", "EMPTYTRASH(4294967295):2,1,9"),
        ("EMPTYTRASH(3):2,1", "EMPTYTRASH(3):2,1,0"),
        ("FREEINODES():3", "FREEINODES(86400):3,0,0"),
        ("FREEINODES(300):3,1", "FREEINODES(300):3,1,0"),
        ("SETGOAL(2,0,3,4):1,2,3", "SETSCLASS(2,0,3,3,4):1,2,3"),
        ("CUSTOMER():8", "SESSION():8"),
        ("CSADD(5,9422)", "CSDBOP(0,5,9422,0)"),
        ("CSDEL(5,9422)", "CSDBOP(1,5,9422,0)"),
        ("WRITE(2,0):1", "WRITE(2,0,1,1):1"),
        ("WRITE(2,0,0):1", "WRITE(2,0,0,1):1"),
        ("LENGTH(2,100)", "LENGTH(2,100,1)"),
        ("APPEND(2,3)", "APPEND(2,3,4294967295,0)"),
        ("ATTR(3,384,1,2,5,6)", "ATTR(3,384,1,2,5,6,0,384)"),
        ("ATTR(3,384,1,2,5,6,7)", "ATTR(3,384,1,2,5,6,0,7)"),
        (
            "QUOTA(2,1,1,9,1000,0,0,0,0,0,0,0)",
            "QUOTA(2,1,1,9,1000,0,0,0,0,0,0,0,0)",
        ),
        ("FLOCK(2,1,7,S)", "FLOCK(2,1,7,R)"),
        ("FLOCK(2,1,7,e)", "FLOCK(2,1,7,W)"),
        ("POSIXLOCK(2,1,7,u,0,9,5)", "POSIXLOCK(2,1,7,U,0,9,5)"),
        (
            "SESADD(1,8,5,6,7,8,1,9,0,60,77,old):4",
            "SESADD(#0,1,8,0000,5,6,7,8,1,9,0,60,0x00000000,77,old):4",
        ),
        (
            "SESADD(#9,1,8,0077,5,6,7,8,1,9,0,60,77,old2):5",
            "SESADD(#9,1,8,0077,5,6,7,8,1,9,0,60,0x00000000,77,old2):5",
        ),
        (
            "SESCHANGED(3,#9,1,264,5,6,7,8,257,265,0,60,0xff,77,%00)",
            "SESCHANGED(3,#9,1,8,0000,5,6,7,8,1,9,0,60,0x000000FF,77,%00)",
        ),
    ] {
        assert_eq!(printed(old), current, "{old}");
        assert_eq!(entry(old), entry(current), "{old}");
    }
}

#[test]
fn free_inodes_tests_open_files_only_if_some_were_counted() {
    for (text, expected) in [
        ("FREEINODES(300):3", false),
        ("FREEINODES(300):3,0,5", false),
        ("FREEINODES(300):3,1,5", true),
    ] {
        let Op::FreeInodes { keep_open, .. } = op(text) else {
            panic!()
        };
        assert_eq!(keep_open, expected, "{text}");
    }
}

#[test]
fn lock_commands_are_one_character() {
    let cmd = |text: &str| match op(text) {
        Op::Flock { cmd, .. } => cmd,
        other => panic!("{other:?}"),
    };
    for (chars, expected) in [
        ("Uu", LockCmd::Unlock),
        ("RrSs", LockCmd::Shared),
        ("WwEe", LockCmd::Exclusive),
    ] {
        for char in chars.chars() {
            assert_eq!(cmd(&format!("FLOCK(,,,{char})")), expected);
        }
    }
    assert_eq!(cmd("FLOCK(1,2,3,X)"), LockCmd::Invalid(b'X'));
    assert_eq!(cmd("FLOCK(1,2,3,))"), LockCmd::Invalid(b')'));
    assert_eq!(cmd("FLOCK(1,2,3,,)"), LockCmd::Invalid(b','));
    assert_eq!(error("FLOCK(1,2,3,)"), LineErrorKind::Expected(b')'));
    assert_eq!(error("FLOCK(1,2,3,UU)"), LineErrorKind::Expected(b')'));
    assert!(parse_op(b"FLOCK(1,2,3,\0)").is_err());
    assert!(parse_op(b"FLOCK(1,2,3,").is_err());
}

fn gids(list: &str) -> Result<Vec<u32>, LineErrorKind> {
    let text = format!("SNAPSHOT(2,1,s,2,8,777,{list},18):1,2,3,4,5,6");
    match parse_op(text.as_bytes()) {
        Ok((Op::Snapshot(args), recorded)) => {
            assert_eq!(args.umask, 18);
            assert!(recorded.is_some());
            Ok(args.gids)
        }
        Ok((other, _)) => panic!("{other:?}"),
        Err(error) => Err(error.kind),
    }
}

#[test]
fn snapshot_group_lists_keep_their_first_digits() {
    assert_eq!(gids("[1234,56,7]"), Ok(vec![1234, 56, 7]));
    assert_eq!(gids("[01234,056,00]"), Ok(vec![1234, 56, 0]));
    assert_eq!(gids("[0]"), Ok(vec![0]));
    assert_eq!(gids("[01,,02]"), Ok(vec![1, 2]));
    assert_eq!(gids("[099999999999]"), Ok(vec![1_215_752_191]));
    assert_eq!(gids("[]"), Ok(vec![]));
    for list in ["[ 1]", "[-12]", "[01x]", "[0-1]", "[1"] {
        assert_eq!(
            gids(list),
            Err(LineErrorKind::NumberOrCommaExpected),
            "{list}"
        );
    }
    assert_eq!(
        printed("SNAPSHOT(2,1,s,2,8,777,[1234,0,7],18):1,2,3,4,5,6"),
        "SNAPSHOT(2,1,s,2,8,777,[01234,0,07],18):1,2,3,4,5,6"
    );
}

#[test]
fn snapshot_old_group_forms() {
    assert_eq!(gids("42"), Ok(vec![42]));
    assert_eq!(gids("-1"), Ok(vec![u32::MAX]));
    assert_eq!(gids("1,%05%00%00%00"), Ok(vec![5]));
    assert_eq!(gids("2,%05%00%00%00%07%01%00%00"), Ok(vec![5, 263]));
    // The wrong length, and no group at all, are for applying to refuse.
    assert_eq!(gids("2,%05%00%00%00"), Ok(vec![]));
    assert_eq!(gids("0,"), Ok(vec![]));
    assert_eq!(gids("4294967295,%05"), Ok(vec![]));
    assert_eq!(entry("SNAPSHOT(2,1,s,2,8,777,42,18)").1, None);
}

#[test]
fn storage_classes_list_their_terms() {
    let (Op::ScSet(args), recorded) =
        entry("SCSET(c,1,W1,K2,A1,2,30,1,1,0,0,0,2,0,0,0,3,0,0,0,4,5,6,4294967295):10")
    else {
        panic!()
    };
    assert_eq!(args.create, [[1, 0, 0, 0]]);
    assert_eq!(args.keep, [[2, 0, 0, 0], [3, 0, 0, 0]]);
    assert_eq!(args.archive, [[4, 5, 6, u32::MAX]]);
    assert_eq!(
        (args.new, args.mode, args.delay, args.admin),
        (true, 2, 30, 1)
    );
    assert_eq!(recorded, Some(Outcome::ClassId(10)));
    // No terms at all have a sign of their own.
    assert_eq!(
        printed("SCSET(c,0,W0,K0,A0,1,0,0,-):10"),
        "SCSET(c,0,W0,K0,A0,1,0,0,-):10"
    );
    assert_eq!(
        error("SCSET(c,0,W0,K0,A0,1,0,0):10"),
        LineErrorKind::Expected(b',')
    );
    assert_eq!(
        error("SCSET(c,0,W1,K0,A0,1,0,0,-):10"),
        LineErrorKind::Expected(b',')
    );
    // Too many are refused by applying, whatever follows.
    let (Op::ScSet(args), recorded) = entry("SCSET(c,1,W10,K1,A1,1,0,0):10") else {
        panic!()
    };
    assert_eq!(
        (args.create.len(), args.keep.len(), args.archive.len()),
        (10, 1, 1)
    );
    assert_eq!(recorded, None);
}

#[test]
fn sessions_have_octal_and_hex_fields() {
    let text = "SESADD(#-5,1,8,0027,0,0,0,0,1,9,0,1,0xDEADBEEF,172819201,in%2Cfo%00):3";
    let (Op::SesAdd(args), recorded) = entry(text) else {
        panic!()
    };
    assert_eq!(args.csum, u64::MAX - 4);
    assert_eq!(args.umask, 0o27);
    assert_eq!(args.disables, 0xDEAD_BEEF);
    assert_eq!(args.info.as_ref(), b"in,fo\0");
    assert_eq!(recorded, Some(Outcome::SessionId(3)));
    let disables = |hex: &str| {
        let text = format!("SESADD(#5,1,8,0777,0,0,0,0,1,9,0,1,{hex},1,x):1");
        match parse_op(text.as_bytes()) {
            Ok((Op::SesAdd(args), _)) => Some(args.disables),
            _ => None,
        }
    };
    assert_eq!(disables("0xff"), Some(0xFF));
    assert_eq!(disables("0xFFFFFFFFF"), Some(u32::MAX));
    assert_eq!(disables("0x-1"), Some(u32::MAX));
    assert_eq!(disables("0x 1"), Some(1));
    assert_eq!(disables("0x0x1f"), Some(0x1F));
    assert_eq!(disables("0x"), Some(0));
    assert_eq!(disables("0X1"), None);
    // Exactly three digits behind the 0.
    for umask in ["00777", "077", "0888"] {
        let text = format!("SESADD(#5,1,8,{umask},0,0,0,0,1,9,0,1,0x1,1,x):1");
        assert!(parse_op(text.as_bytes()).is_err(), "{umask}");
    }
}

#[test]
fn escaping_leaves_exactly_the_literal_set() {
    let all: Vec<u8> = (0..=255).collect();
    let mut out = Vec::new();
    escape_into(&all, &mut out);
    let expected: String = all
        .iter()
        .map(|&b| {
            if !(0x20..0x7F).contains(&b) || b",%()".contains(&b) {
                format!("%{b:02X}")
            } else {
                char::from(b).to_string()
            }
        })
        .collect();
    assert_eq!(out, expected.as_bytes());
}

#[test]
fn recorded_results_are_compared_with_their_exceptions() {
    let trash = |freed, sustained, xor| Outcome::EmptyTrash {
        freed,
        sustained,
        xor,
    };
    let sustained = |freed, xor| Outcome::EmptySustained { freed, xor };
    let inodes = |freed, sustained, xor| Outcome::FreeInodes {
        freed,
        sustained,
        xor,
    };
    let snapshot = |xor, new| Outcome::Snapshot {
        xor,
        removed: 0,
        same: 0,
        existing: 0,
        hardlinks: 0,
        new,
    };
    let archive = |changed, same, denied| Outcome::ArchChg {
        changed,
        same,
        denied,
    };
    let strict = |computed: Outcome, recorded| computed.matches(Some(&recorded), Tolerance::Strict);
    for (computed, recorded, expected) in [
        (Outcome::Inode(5), Outcome::Inode(5), true),
        (Outcome::Inode(5), Outcome::Inode(6), false),
        (Outcome::Inode(5), Outcome::Inode(0), false),
        (Outcome::Inode(5), Outcome::Chunk(5), false),
        (trash(1, 2, 3), trash(1, 2, 3), true),
        (trash(1, 2, 3), trash(1, 2, 0), true),
        (trash(1, 2, 3), trash(1, 2, 4), false),
        (trash(1, 2, 3), trash(1, 1, 0), false),
        (trash(1, 2, 0), trash(1, 2, 3), false),
        (sustained(1, 3), sustained(1, 0), true),
        (sustained(1, 3), sustained(2, 0), false),
        (inodes(1, 2, 3), inodes(1, 2, 0), true),
        (inodes(1, 2, 3), inodes(0, 2, 3), false),
        (snapshot(7, 2), snapshot(7, 2), true),
        (snapshot(7, 2), snapshot(0, 0), true),
        (snapshot(7, 2), snapshot(0, 2), false),
        (snapshot(0, 0), snapshot(7, 2), false),
        (archive(1, 2, 0), archive(1, 2, 0), true),
        (archive(1, 2, 0), archive(2, 1, 0), false),
    ] {
        assert_eq!(
            strict(computed, recorded),
            expected,
            "{computed:?} {recorded:?}"
        );
    }
    // Nothing recorded, nothing to compare.
    assert!(snapshot(7, 2).matches(None, Tolerance::Strict));
    // The archive walk of the original (spec 03 §9.2) never records a refusal; a tool's line may.
    let original =
        |computed: Outcome, recorded| computed.matches(Some(&recorded), Tolerance::Original);
    assert!(original(archive(2, 1, 0), archive(1, 0, 0)));
    assert!(original(archive(0, 0, 1), archive(3, 0, 0)));
    assert!(!original(archive(2, 1, 0), archive(2, 0, 1)));
    assert!(!original(Outcome::Inode(5), Outcome::Inode(6)));
}
