use super::*;

#[test]
fn frame_round_trip_parses() {
    let frame = job_frame(7, "square", b"12");
    let (body, taken) = split(&frame).unwrap().unwrap();
    assert_eq!((parse_job(body), taken), (Some((7, "square", &b"12"[..])), frame.len()));
    for end in 0..frame.len() {
        assert_eq!(split(&frame[..end]).unwrap(), None, "a part of a frame is none");
    }
    let frame = reply_frame(b'D', 7, b"144");
    let (body, _) = split(&frame).unwrap().unwrap();
    assert_eq!(parse_reply(body), Ok(Reply::Done(7, b"144")));
}

#[test]
fn malformed_frame_is_refused() {
    assert!(split(&[0; 4]).is_err(), "a frame has a kind at least");
    assert!(split(&((FRAME_LIMIT + 1) as u32).to_le_bytes()).is_err());
    for frame in [&b"H"[..], b"H12345", b"D123", b"U12345678x", b"Z12345678", b"GET / HTTP/1.1"] {
        assert!(parse_reply(frame).is_err(), "{}", frame.escape_ascii());
    }
    for frame in [&b"J"[..], b"J12345678\xff\xffab", b"K12345678\0\0", b"J12345678\x01\0\xff"] {
        assert!(parse_job(frame).is_none(), "{}", frame.escape_ascii());
    }
}
