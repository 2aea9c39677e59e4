//! Listings on their way out. A reply is produced from a snapshot of the directory, piece by piece as the client reads
//! it, so that a client that does not read holds the snapshot and one piece.

use super::reply::{HEADER_CAPACITY, ok_line};
use super::{Phase, Protocol, Reply, Session, Step};
use crate::http::{self, Page, View};
use crate::protocol::{Code, RelPath, encode_name};
use crate::room::{Place, Share};
use crate::service::Service;
use crate::store::{Entry, Failure, Kind, Listed, Listing, Size};
use crate::transport::{Interest, Peer};
use std::io::Write;
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How much of a reply is produced at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// Up to this size, in bytes, a snapshot needs no [`Room`](crate::room::Room): a client costs as much anyway.
const SMALL: usize = 64 * 1024;

/// How often a listing that waits for room looks whether there is some.
const QUEUE_LOOK: Duration = Duration::from_millis(20);

/// The form of a listing.
#[derive(Debug)]
pub(super) enum Form {
    Lines,
    Page { view: View, host: Option<Box<[u8]>> },
    Json,
}

/// The work for a listing.
#[derive(Debug)]
pub(super) struct ListWork {
    path: RelPath,
    directory: OwnedFd,
    form: Form,
    /// What the snapshot will take, and the room for it.
    room: Option<(Size, Share)>,
}

/// The outcome of the work.
#[derive(Debug)]
pub(super) enum ListOutcome {
    Ready(Document),
    /// There is no room for the snapshot at the moment.
    Queued(Box<QueuedListing>),
}

/// A listing that waits for room.
#[derive(Debug)]
pub(super) struct QueuedListing {
    work: Box<ListWork>,
    size: Size,
    place: Place,
}

/// A whole listing: what is known of it before it is sent.
#[derive(Debug)]
pub(super) struct Document {
    length: u64,
    first: Vec<u8>,
    /// What follows the first piece.
    rest: Option<Box<Pieces>>,
}

/// The rest of a listing, as pieces of text.
///
/// The listing is a sequence of parts: the head, one for each entry, the foot. Pieces are cut from that sequence.
#[derive(Debug)]
pub(super) struct Pieces {
    path: RelPath,
    form: Form,
    listing: Listing,
    /// The number of the part that comes next.
    next: usize,
    /// The part before that, of which `taken` bytes are in a piece already.
    part: Vec<u8>,
    taken: usize,
    _room: Option<Share>,
}

impl ListWork {
    pub(super) fn new(path: RelPath, directory: OwnedFd, form: Form) -> Box<ListWork> {
        Box::new(ListWork { path, directory, form, room: None })
    }

    /// Makes the snapshot and the first piece, unless the snapshot must wait for room. `proceed` is called with each entry,
    /// and its failure ends the work.
    pub(super) fn run(
        mut self: Box<ListWork>,
        service: &Service,
        proceed: impl Fn() -> Result<(), Failure> + Copy,
    ) -> Result<ListOutcome, Failure> {
        let (path, directory) = (&self.path, &self.directory);
        let store = service.store();
        let (size, mut share) = match self.room.take() {
            Some(room) => room,
            None => match store.list_within(SMALL, path, directory, proceed)? {
                Listed::Whole(listing) => return self.ready(service, listing, None, proceed),
                Listed::Larger(size) => match service.room().take(size.bytes as u64, None) {
                    Some(share) => (size, share),
                    None => {
                        let place = service.room().queue_up().ok_or(Code::Busy)?;
                        let queued = QueuedListing { work: self, size, place };
                        return Ok(ListOutcome::Queued(Box::new(queued)));
                    }
                },
            },
        };
        let listing = store.list_larger(size, path, directory, proceed)?;
        share.resize(listing.size() as u64);
        self.ready(service, listing, Some(share), proceed)
    }

    fn ready(
        self,
        service: &Service,
        mut listing: Listing,
        room: Option<Share>,
        proceed: impl Fn() -> Result<(), Failure>,
    ) -> Result<ListOutcome, Failure> {
        if let Form::Page { view, .. } = self.form {
            http::sort(&mut listing, view);
        }
        let (path, form) = (self.path, self.form);
        let mut pieces =
            Pieces { path, form, listing, next: 0, part: Vec::new(), taken: 0, _room: room };
        let mut first = Vec::new();
        let has_more = pieces.fill(service, &mut first);
        let length = first.len() as u64 + pieces.length(service, proceed)?;
        let rest = has_more.then(|| Box::new(pieces));
        Ok(ListOutcome::Ready(Document { length, first, rest }))
    }
}

impl Pieces {
    /// Appends the next piece to `piece`, which is empty. Returns whether more follow.
    pub(super) fn fill(&mut self, service: &Service, piece: &mut Vec<u8>) -> bool {
        let Pieces { path, form, listing, next, part, taken, .. } = self;
        let writer = Writer::new(path, form, service);
        loop {
            let rest = &part[*taken..];
            let count = rest.len().min(PIECE - piece.len());
            piece.extend_from_slice(&rest[..count]);
            *taken += count;
            if *taken < part.len() {
                return true;
            }
            part.clear();
            *taken = 0;
            if !writer.write(listing, *next, part) {
                return false;
            }
            *next += 1;
        }
    }

    /// The length of all pieces that follow, in bytes. Calls `proceed` for each entry.
    fn length(
        &self,
        service: &Service,
        proceed: impl Fn() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let writer = Writer::new(&self.path, &self.form, service);
        let mut length = (self.part.len() - self.taken) as u64;
        let mut part = Vec::new();
        let mut next = self.next;
        while writer.write(&self.listing, next, &mut part) {
            length += part.len() as u64;
            part.clear();
            next += 1;
            proceed()?;
        }
        Ok(length)
    }
}

/// Writes the parts of a listing.
enum Writer<'a> {
    Lines,
    Page(Page<'a>),
    Json,
}

impl Writer<'_> {
    fn new<'a>(path: &'a RelPath, form: &'a Form, service: &'a Service) -> Writer<'a> {
        match form {
            Form::Lines => Writer::Lines,
            Form::Json => Writer::Json,
            Form::Page { view, host } => {
                Writer::Page(Page::new(path, *view, server_info(service, host.as_deref())))
            }
        }
    }

    /// Writes a part to `out`, which is empty. Returns whether there is such a part.
    fn write(&self, listing: &Listing, part: usize, out: &mut Vec<u8>) -> bool {
        let foot = listing.len() + 1;
        match self {
            _ if part > foot => return false,
            Writer::Lines if part == 0 || part == foot => {}
            Writer::Lines => push_line(out, listing.entry(part - 1)),
            Writer::Json if part == 0 => out.push(b'['),
            Writer::Json if part == foot => out.extend_from_slice(b"]\n"),
            Writer::Json => {
                if part > 1 {
                    out.push(b',');
                }
                http::push_json(out, listing.entry(part - 1));
            }
            Writer::Page(page) => {
                // Nothing is in it, so nothing is checked.
                let mut html = String::from_utf8(std::mem::take(out)).unwrap_or_default();
                if part == 0 {
                    page.push_head(&mut html, listing);
                } else if part == foot {
                    page.push_foot(&mut html, listing);
                } else {
                    page.push_row(&mut html, listing.entry(part - 1));
                }
                *out = html.into_bytes();
            }
        }
        true
    }
}

/// What the page of a directory shows of its server.
fn server_info<'a>(service: &'a Service, host: Option<&'a [u8]>) -> http::ServerInfo<'a> {
    let settings = service.settings();
    http::ServerInfo {
        model: settings.model.as_ref().map(|model| (model.name, model.unit)),
        upload_limit: service.store().is_writable().then_some(settings.max_file_size),
        host,
    }
}

/// Appends an entry as a line of the file protocol.
fn push_line(out: &mut Vec<u8>, Entry { kind, size, mtime, name }: Entry<'_>) {
    let kind = match kind {
        Kind::File => 'f',
        Kind::Directory => 'd',
    };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{kind} {size} {mtime} ");
    encode_name(name, out);
    out.push(b'\n');
}

/// Returns a listing in the file protocol: one line for each entry.
pub(crate) fn lines(listing: &Listing) -> Vec<u8> {
    let mut text = Vec::with_capacity(listing.len() * 48);
    listing.iter().for_each(|entry| push_line(&mut text, entry));
    text
}

impl Session {
    /// Has a listing wait for room.
    pub(super) fn queue_listing(&mut self, queued: Box<QueuedListing>) {
        tracing::debug!(peer = %self.peer, bytes = queued.size.bytes, "listing waits for room");
        self.phase = Phase::Queued(queued);
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
    }

    /// Goes on with a listing if there is room for it by now, or refuses it if it has waited for too long.
    pub(super) fn wait_for_room(&mut self, peer: Peer) -> ControlFlow<Step> {
        let Phase::Queued(queued) = &self.phase else { return Continue(()) };
        let now = Instant::now();
        let share = self.service.room().take(queued.size.bytes as u64, Some(&queued.place));
        if share.is_none() && peer != Peer::Gone && now < self.deadline {
            self.next_look = now + QUEUE_LOOK;
            return Break(Step::Wait(Interest::Job));
        }
        let Phase::Queued(queued) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return Continue(());
        };
        match share {
            _ if peer == Peer::Gone => {
                tracing::debug!(peer = %self.peer, "the client has left before its listing");
            }
            Some(share) => {
                let QueuedListing { mut work, size, .. } = *queued;
                work.room = Some((size, share));
                self.offload_listing(work);
            }
            None => self.refuse(Code::Busy, false),
        }
        Continue(())
    }

    /// Replies with a listing, in the protocol of the connection.
    pub(super) fn reply_listing(&mut self, document: Document) {
        let Document { length, mut first, mut rest } = document;
        let mut header = match self.protocol {
            Protocol::Http(options) => {
                let mut header = Vec::with_capacity(HEADER_CAPACITY);
                http::write_document_header(&mut header, length, options.json, options.keep_alive);
                if options.is_head {
                    (first, rest) = (Vec::new(), None);
                }
                header
            }
            Protocol::Unknown | Protocol::File => ok_line(length, first.len()),
        };
        header.append(&mut first);
        let then = self.after_reply();
        self.begin_reply(Reply { bytes: header, sent: 0, range: None, pieces: rest, then });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Store};
    use proptest::prelude::*;

    fn snapshot(names: &[Vec<u8>]) -> Listing {
        let mut listing = Listing::default();
        for (number, name) in names.iter().enumerate() {
            let kind = if number % 5 == 0 { Kind::Directory } else { Kind::File };
            listing.push(Entry { kind, size: 1 << (number % 60), mtime: number as i64, name });
        }
        listing
    }

    /// The whole listing as one text, and then as pieces.
    fn both_ways(service: &Service, form: Form, listing: &Listing) -> (Vec<u8>, Vec<Vec<u8>>) {
        let path = RelPath::decode(b"/a%20b/c").unwrap().directory();
        let mut whole = Vec::new();
        let mut sorted = listing.clone();
        if let Form::Page { view, .. } = form {
            http::sort(&mut sorted, view);
        }
        for part in 0..sorted.len() + 2 {
            let mut text = Vec::new();
            assert!(Writer::new(&path, &form, service).write(&sorted, part, &mut text));
            whole.append(&mut text);
        }
        let directory = std::fs::File::open("/").unwrap().into();
        let work = ListWork::new(path, directory, form);
        let ready = work.ready(service, listing.clone(), None, || Ok(()));
        let Ok(ListOutcome::Ready(document)) = ready else {
            panic!("it need not wait");
        };
        assert_eq!(document.length, whole.len() as u64);
        let mut pieces = vec![document.first];
        let mut rest = document.rest;
        while let Some(more) = &mut rest {
            let mut piece = Vec::new();
            if !more.fill(service, &mut piece) {
                rest = None;
            }
            pieces.push(piece);
        }
        (whole, pieces)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn pieces_make_up_the_whole(
            names in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..255), 0..600),
            form in 0..3,
        ) {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(root.path(), true, false).unwrap();
            let service = Service::new(store, Settings::default());
            let form = match form {
                0 => Form::Lines,
                1 => Form::Json,
                _ => Form::Page { view: View::default(), host: Some((*b"h").into()) },
            };
            let (whole, pieces) = both_ways(&service, form, &snapshot(&names));
            let (last, others) = pieces.split_last().unwrap();
            prop_assert!(others.iter().all(|piece| piece.len() == PIECE));
            prop_assert!(last.len() <= PIECE && (others.is_empty() || !last.is_empty()));
            prop_assert!(pieces.concat() == whole);
        }
    }

    #[test]
    fn json_is_an_array() {
        let root = tempfile::tempdir().unwrap();
        let service =
            Service::new(Store::open(root.path(), false, false).unwrap(), Settings::default());
        for names in [vec![], vec![b"a".to_vec()], vec![b"a".to_vec(), b"b".to_vec()]] {
            let (_, pieces) = both_ways(&service, Form::Json, &snapshot(&names));
            let items: Vec<String> = (names.iter().enumerate())
                .map(|(at, _)| {
                    let mut item = Vec::new();
                    http::push_json(&mut item, snapshot(&names).entry(at));
                    String::from_utf8(item).unwrap()
                })
                .collect();
            let json = String::from_utf8(pieces.concat()).unwrap();
            assert_eq!(json, format!("[{}]\n", items.join(",")));
        }
    }
}
