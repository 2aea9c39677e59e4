//! The requests and replies of a run, over the connections of all its clients.

use super::client::{BUFFER, Exchange, Progress, Stage};
use super::clients::Clients;
use super::incidents::Outage;
use super::network::Network;
use super::phases::Phases;
use super::requests::Requests;
use super::{CONNECTING, RunError, Target, nanos};
use crate::load::codec::{Codec, Reply, Request};
use crate::load::content::Upload;
use crate::load::recording::{ErrorKind, Totals};
use crate::load::schedule::Verb;
use crate::load::workload::Workload;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

/// How often it is tried again to connect to a server that refuses connections, and how long a client waits after a
/// connection that this machine could not make, in nanoseconds.
const RETRY: u64 = 5_000_000;

/// How often further clients connect to a server that accepts connections again, in nanoseconds.
const RECONNECT: u64 = 1_000_000;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As was announced: what is pending is sent again on the next connection.
    Agreed,
    /// Something went wrong: what is pending failed like this.
    Failed(ErrorKind),
}

/// Sends requests and reads replies, and records both.
pub(super) struct Traffic {
    /// The zero of all times here.
    origin: Instant,
    codec: Codec,
    pub(super) requests: Requests,
    network: Network,
    pub(super) clients: Clients,
    pub(super) phases: Phases,
    /// No more requests are made.
    pub(super) draining: bool,
    /// Some connection was made.
    pub(super) ever_open: bool,
    /// The error of the last connection attempt, if it failed.
    pub(super) refused: Option<Errno>,
    /// No client is connected, and the server did not listen for too long.
    pub(super) server_ended: bool,
    /// Since when connections are refused, and whether no client has had one meanwhile.
    outage: Option<(u64, bool)>,
    /// When the next client whose connection was refused tries again.
    retry_at: u64,
    /// How long a client pauses after an error, in nanoseconds.
    pause: u64,
    /// The address of the server.
    pub(super) addr: SocketAddr,
    /// Requests that are measured and have no reply yet.
    pub(super) outstanding: u64,
    /// All requests that have no reply yet, apart from those of slow clients, and how many an open loop may have.
    in_flight: usize,
    most_in_flight: usize,
    /// In nanoseconds.
    timeout: u64,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl Traffic {
    /// For a run against `target` at `addr`, one of its addresses.
    pub(super) fn new(
        workload: &Workload,
        target: &Target,
        addr: SocketAddr,
    ) -> Result<Traffic, RunError> {
        let network = Network::new(workload, addr).map_err(epoll_failed)?;
        let clients = Clients::new(workload);
        let phases = Phases::new(workload, clients.active());
        Ok(Traffic {
            codec: Codec::new(workload, &target.host_field()),
            requests: Requests::new(workload),
            network,
            clients,
            phases,
            draining: false,
            ever_open: false,
            refused: None,
            server_ended: false,
            outage: None,
            retry_at: 0,
            pause: nanos(workload.pause_after_error),
            addr,
            outstanding: 0,
            in_flight: 0,
            most_in_flight: workload.in_flight().unwrap_or(usize::MAX),
            timeout: nanos(workload.timeout),
            buffer: Vec::with_capacity(BUFFER),
            events: Vec::with_capacity(256),
            origin: Instant::now(),
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// The moment that is so many nanoseconds after the beginning.
    pub(super) fn instant(&self, nanos: u64) -> Instant {
        self.origin + std::time::Duration::from_nanos(nanos)
    }

    /// Waits for events, `timeout` nanoseconds at most, and handles them. Before that, clients go on whose pause is over
    /// or that may try again to connect.
    pub(super) fn wait(&mut self, timeout: u64) -> Result<(), RunError> {
        let now = self.now();
        self.wake(now);
        let wake =
            [self.clients.next_pause_end(), self.clients.any_refused().then_some(self.retry_at)];
        let wake = wake.into_iter().flatten().min().unwrap_or(u64::MAX);
        let timeout = timeout.min(wake.saturating_sub(now));
        let mut events = mem::take(&mut self.events);
        self.network.wait(timeout, &mut events).map_err(epoll_failed)?;
        for event in &events {
            let (tag, flags) = (event.data.u64(), event.flags);
            let client = (tag & 0xffff_ffff) as usize;
            if self.clients[client].generation == (tag >> 32) as u32 {
                self.handle(client, flags);
            }
        }
        self.events = events;
        Ok(())
    }

    fn handle(&mut self, client: usize, flags: epoll::EventFlags) {
        use epoll::EventFlags;
        let hung_up = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        let this = &self.clients[client];
        if this.stage == Stage::Connecting {
            let error = match &this.socket {
                Some(socket) if flags.intersects(EventFlags::ERR | EventFlags::HUP) => {
                    sockopt::socket_error(socket)
                }
                _ => Ok(Ok(())),
            };
            match error {
                Ok(Ok(())) if flags.intersects(EventFlags::OUT | EventFlags::IN) => {
                    self.connected(client);
                }
                Ok(Ok(())) => return,
                Ok(Err(errno)) | Err(errno) => return self.not_connected(client, errno),
            }
        }
        if flags.contains(EventFlags::OUT) && !self.clients[client].output.is_empty() {
            self.send(client);
        }
        if hung_up || flags.contains(EventFlags::IN) {
            let this = &mut self.clients[client];
            if this.slow.is_some() && !this.broken {
                this.set_readable(true);
            } else {
                self.read(client, hung_up, usize::MAX);
            }
        }
    }

    fn wake(&mut self, now: u64) {
        while let Some(client) = self.clients.take_paused(now) {
            self.refill(client);
        }
        if now < self.retry_at {
            return;
        }
        // While connections are refused, one client tries.
        let mut tries = match self.outage {
            Some(_) => 1,
            None => CONNECTING.saturating_sub(self.clients.connecting),
        };
        while tries > 0
            && let Some(client) = self.clients.take_refused(self.draining)
        {
            self.try_connect(client);
            if matches!(self.clients[client].stage, Stage::Connecting | Stage::Open) {
                self.send(client);
            }
            tries -= 1;
        }
        self.retry_at = now + if self.outage.is_some() { RETRY } else { RECONNECT };
    }

    /// Begins a connection. What the client is to send goes out as soon as it is made. While the server refuses
    /// connections, the client waits.
    pub(super) fn connect(&mut self, client: usize) {
        self.clients[client].connect_began = self.now();
        if self.outage.is_some() {
            return self.refuse(client);
        }
        self.try_connect(client);
    }

    fn try_connect(&mut self, client: usize) {
        let now = self.now();
        let this = &mut self.clients[client];
        this.connect_tried = now;
        let tag = client as u64 | u64::from(this.generation) << 32;
        match self.network.connect(tag, this.slow.is_some()) {
            Ok(begun) => {
                this.socket = Some(begun.socket);
                this.stage = Stage::Connecting;
                self.clients.connecting += 1;
                if begun.made {
                    self.connected(client);
                }
            }
            Err(errno) => {
                this.stage = Stage::Closed;
                self.not_connected(client, errno);
            }
        }
    }

    fn connected(&mut self, client: usize) {
        self.clients[client].stage = Stage::Open;
        self.clients[client].made = true;
        self.clients.connecting -= 1;
        self.clients.open += 1;
        self.ever_open = true;
        self.refused = None;
        // A connection that was begun before the first was refused shows nothing.
        if self.outage.is_some_and(|(since, _)| self.clients[client].connect_tried >= since) {
            self.end_outage();
        }
        self.refill(client);
    }

    /// Connections are not refused any longer.
    fn end_outage(&mut self) {
        self.record_outage();
        self.outage = None;
        self.retry_at = 0;
    }

    /// Records the outage so far as one of the current phase.
    fn record_outage(&mut self) {
        let begin = self.phases.current.begin;
        let now = self.now();
        if let Some((since, total)) = self.outage
            && now > begin
        {
            let from = since.max(begin);
            let outage = Outage { from: from - begin, length: now.saturating_sub(from), total };
            self.phases.current.incidents.outage(outage);
        }
    }

    /// The connection of a client is refused: the client keeps what it has to send, and waits to try again.
    fn refuse(&mut self, client: usize) {
        if self.clients[client].stage == Stage::Connecting {
            self.clients.connecting -= 1;
        }
        self.clients.refuse(client);
        let total = self.clients.open == 0;
        if self.outage.is_none() {
            let now = self.now();
            self.outage = Some((now, total));
            self.retry_at = now + RETRY;
        }
        if total {
            self.outage_is_total();
        }
    }

    /// Connections are refused, and no client has one: arrivals of an open loop wait for one.
    fn outage_is_total(&mut self) {
        let Some((_, total)) = &mut self.outage else { return };
        *total = true;
        if self.requests.is_open_loop() {
            for client in self.clients.refused() {
                if self.clients[client].slow.is_none() {
                    self.clients.queue(client);
                }
            }
        }
    }

    /// Whether connections are refused and no client has one.
    pub(super) fn is_away(&self) -> bool {
        self.outage.is_some() && self.clients.open == 0
    }

    /// The server does not come back: all that still waits has failed.
    pub(super) fn give_up(&mut self) {
        self.server_ended = true;
        let now = self.now();
        for client in 0..self.clients.count() {
            let this = &mut self.clients[client];
            let mut waiting = mem::take(&mut this.pending);
            waiting.append(&mut this.again);
            self.fail_all(client, &waiting, ErrorKind::Connect, now);
        }
    }

    /// Counts errors, one for each of `exchanges`.
    fn fail_all(
        &mut self,
        client: usize,
        exchanges: &VecDeque<Exchange>,
        kind: ErrorKind,
        now: u64,
    ) {
        exchanges.iter().for_each(|exchange| self.settle(client, exchange));
        let phase = exchanges.front().and_then(|exchange| exchange.phase);
        self.phases.fail(kind, exchanges.len() as u64, now, phase);
    }

    fn not_connected(&mut self, client: usize, errno: Errno) {
        if matches!(errno, Errno::CONNRESET | Errno::PIPE) {
            // It was connected, and the server has ended it since.
            self.clients[client].closing = true;
            self.connected(client);
            return self.end(client, End::Failed(ErrorKind::Lost));
        }
        let gone = matches!(errno, Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH);
        self.refused = Some(errno);
        if gone && self.ever_open {
            return self.refuse(client);
        }
        self.end(client, End::Failed(ErrorKind::Connect));
        let alone = self.clients.open == 0 && self.clients.connecting == 0;
        if gone && alone && self.requests.has_started() {
            self.server_ended = true;
        }
    }

    /// Gives a client requests to send, if it can take any: in a closed loop at once, in an open loop by
    /// queueing it for the next arrival.
    pub(super) fn refill(&mut self, client: usize) {
        self.send_again(client);
        if self.draining || self.server_ended {
            return;
        }
        if client >= self.clients.active() {
            return self.retire(client);
        }
        let this = &self.clients[client];
        if self.requests.is_open_loop() && this.slow.is_none() {
            return self.clients.queue(client);
        }
        let connects = matches!(this.stage, Stage::Connecting | Stage::Refused);
        if connects || !self.clients.can_take(client) {
            return;
        }
        let now = self.now();
        if now >= self.phases.current.end && self.phases.is_last() {
            return;
        }
        while self.clients.can_take(client) {
            self.request(client, now, now);
        }
        self.flush(client);
    }

    /// Sends what the server has not answered before it closed a connection as announced.
    fn send_again(&mut self, client: usize) {
        let this = &self.clients[client];
        if this.again.is_empty() || !matches!(this.stage, Stage::Closed | Stage::Open) {
            return;
        }
        let now = self.now();
        while self.clients[client].can_send()
            && let Some(exchange) = self.clients[client].again.pop_front()
        {
            self.push(client, Exchange { sent: now, ..exchange });
        }
        self.flush(client);
    }

    /// Ends the connection of a client that is no longer to work, if nothing is under way.
    pub(super) fn retire(&mut self, client: usize) {
        if self.clients[client].is_idle() {
            self.end(client, End::Agreed);
        }
    }

    /// Sends all arrivals of an open loop that are due.
    pub(super) fn dispatch(&mut self, now: u64) {
        while let Some(planned) = self.requests.next_arrival() {
            let over = self.draining || self.server_ended;
            if planned > now || planned >= self.phases.current.end || over {
                return;
            }
            self.requests.advance();
            let counts = planned >= self.phases.current.begin;
            // With pipelining the connections could have more under way.
            let has_room = self.in_flight < self.most_in_flight;
            let ready = if has_room { self.clients.take_ready() } else { None };
            let sent = self.now();
            let current = &mut self.phases.current;
            if counts {
                current.end_intervals(planned);
                current.arrive(planned, ready.map(|_| sent - planned));
            }
            let Some(client) = ready else { continue };
            // One more may have been made for it.
            let asked = &mut current.totals.connections_asked;
            *asked = (*asked).max(self.clients.active() as u64);
            self.request(client, planned, sent);
            self.flush(client);
            self.refill(client);
        }
    }

    /// Adds a request to what a client is to send.
    fn request(&mut self, client: usize, planned: u64, sent: u64) {
        let request = self.requests.draw();
        let phase = self.phases.of(planned);
        self.push(client, Exchange { request, planned, sent, phase });
        if self.clients[client].slow.is_some() {
            return;
        }
        self.in_flight += 1;
        if phase.is_some() {
            self.outstanding += 1;
            let closed = !self.requests.is_open_loop();
            self.phases.current.totals.planned += u64::from(closed);
        }
    }

    fn push(&mut self, client: usize, exchange: Exchange) {
        let Request { verb, name, last } = exchange.request;
        let this = &mut self.clients[client];
        this.output.push(&self.codec, &exchange.request);
        if verb == Verb::Put {
            let content = &self.codec.content;
            let upload = Upload::new(content, name, self.requests.next_version());
            this.output.push_upload(content, upload);
        }
        this.closing |= last;
        this.pending.push_back(exchange);
    }

    /// Sends what a client has to send, over a new connection if it has none.
    fn flush(&mut self, client: usize) {
        match self.clients[client].stage {
            Stage::Open => self.send(client),
            Stage::Closed => {
                self.connect(client);
                if self.clients[client].stage == Stage::Connecting {
                    // On this machine the connection is made by now, though `connect` does not say so.
                    self.send(client);
                }
            }
            Stage::Connecting | Stage::Refused => {}
        }
    }

    fn send(&mut self, client: usize) {
        // Without a warm-up the first requests are sent before the loop of the run begins.
        let counts = self.now() >= self.phases.current.begin;
        let this = &mut self.clients[client];
        let (sent, progress) = this.send(&self.codec.content);
        if counts {
            self.phases.current.totals.bytes_out += sent;
        }
        match progress {
            Progress::Complete { upload } => {
                if upload && self.clients.depth() > 1 {
                    self.refill(client);
                }
            }
            Progress::Blocked => {}
            // The socket reports an error once, and this was the time.
            Progress::Failed(errno) if this.stage == Stage::Connecting => {
                self.not_connected(client, errno);
            }
            Progress::Failed(_) => {
                this.broken = true;
                self.read(client, true, usize::MAX);
            }
        }
    }

    /// Reads what has arrived, `most` bytes at the most. Returns how much that was.
    fn read(&mut self, client: usize, hung_up: bool, most: usize) -> usize {
        let generation = self.clients[client].generation;
        let mut buffer = mem::take(&mut self.buffer);
        let mut total = 0;
        loop {
            let wanted = BUFFER.min(most - total);
            let this = &mut self.clients[client];
            let got = match this.receive(&mut buffer, wanted) {
                None => break,
                Some(Ok(0)) => {
                    self.closed_by_server(client);
                    break;
                }
                Some(Ok(got)) => got,
                Some(Err(Errno::INTR)) => continue,
                Some(Err(Errno::AGAIN)) => {
                    this.set_readable(false);
                    if this.broken {
                        self.end(client, End::Failed(ErrorKind::Lost));
                    }
                    break;
                }
                Some(Err(_)) => {
                    self.end(client, End::Failed(ErrorKind::Lost));
                    break;
                }
            };
            total += got;
            let now = self.now();
            self.feed(client, &buffer[..got], now);
            if self.clients[client].generation != generation {
                break;
            }
            if got < wanted && !hung_up {
                // The socket is empty; what comes later makes an event of its own.
                self.clients[client].set_readable(false);
                break;
            }
            if total == most {
                break;
            }
        }
        self.buffer = buffer;
        // Arrivals that fall due while the events of many clients are handled are not kept waiting.
        if self.requests.is_open_loop() {
            self.dispatch(self.now());
        }
        total
    }

    fn feed(&mut self, client: usize, mut input: &[u8], now: u64) {
        if now >= self.phases.current.begin {
            self.phases.current.totals.bytes_in += input.len() as u64;
        }
        let mut finished = false;
        while !input.is_empty() {
            let this = &mut self.clients[client];
            let request = this.pending.front().map(|exchange| &exchange.request);
            let (used, reply) = this.reader.feed(&self.codec, request, input);
            input = &input[used..];
            if let Some(reply) = reply {
                finished = true;
                if self.finish(client, reply, now) {
                    return;
                }
            }
        }
        if finished {
            self.refill(client);
        }
    }

    /// Takes a reply; returns whether it was the connection's last.
    fn finish(&mut self, client: usize, reply: Reply, now: u64) -> bool {
        let this = &mut self.clients[client];
        let exchange = this.pending.pop_front();
        match (reply.result, exchange) {
            (Ok(()), Some(exchange)) => self.record(client, &exchange, now),
            // The notice at the end of an idle connection, to which no reply was owed.
            (Err(ErrorKind::Timeout), None) | (Ok(()), None) => {}
            (Err(kind), exchange) => {
                if kind != ErrorKind::WrongBody {
                    let excerpt = this.reader.last_error();
                    let tls = excerpt.expects_tls().then(|| self.addr.to_string());
                    self.phases.current.incidents.error(|| excerpt.line(), tls);
                }
                if let Some(exchange) = exchange {
                    self.settle(client, &exchange);
                }
                self.phases.fail(kind, 1, now, exchange.and_then(|exchange| exchange.phase));
                if kind == ErrorKind::Malformed {
                    // What follows cannot be understood.
                    self.end(client, End::Failed(ErrorKind::Lost));
                    return true;
                }
                self.pause_after_error(client, now, reply.retry_after);
            }
        }
        if reply.closes || exchange.is_some_and(|exchange| exchange.request.last) {
            self.end(client, End::Agreed);
            return true;
        }
        false
    }

    /// Has a client pause after an error, for as long as the workload sets or, with such a pause, the server asks for.
    fn pause_after_error(&mut self, client: usize, now: u64, retry_after: Option<u32>) {
        let asked = retry_after.map(|seconds| u64::from(seconds) * 1_000_000_000);
        let pause = asked.unwrap_or(self.pause);
        if self.pause == 0 || pause == 0 {
            return;
        }
        self.clients.pause(client, now + pause);
        if now >= self.phases.current.begin {
            self.phases.current.incidents.pause(pause, asked.is_some());
        }
    }

    /// Notes that a request need not be waited for any longer.
    fn settle(&mut self, client: usize, exchange: &Exchange) {
        if self.clients[client].slow.is_some() {
            return;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if exchange.phase.is_some() {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    fn record(&mut self, client: usize, exchange: &Exchange, now: u64) {
        let mut exchange = *exchange;
        if self.clients[client].slow.is_none() && !self.requests.is_open_loop() {
            self.phases.record_share(exchange.planned, now);
            let current = &mut self.phases.current;
            // The end may be noticed only after this.
            let spans = exchange.planned < current.begin && now >= current.end;
            if exchange.phase.is_none() && spans && current.measures_spanning() {
                current.add_spanning();
                exchange.phase = Some(self.phases.number() as u32);
                self.outstanding += 1;
            }
        }
        self.settle(client, &exchange);
        let Some(phase) = exchange.phase else { return };
        let this = &mut self.clients[client];
        let measurement = match self.phases.past_mut(phase) {
            Some(past) => {
                past.count_late_reply(client);
                past
            }
            None => {
                this.finished += 1;
                &mut self.phases.current
            }
        };
        if this.slow.is_none() {
            let service = self.requests.is_open_loop().then(|| now.saturating_sub(exchange.sent));
            measurement.record(now, now.saturating_sub(exchange.planned), service);
        }
    }

    fn closed_by_server(&mut self, client: usize) {
        if let Some(reply) = self.clients[client].reader.finish(&self.codec) {
            let now = self.now();
            if self.finish(client, reply, now) {
                return;
            }
        }
        let end = match self.clients[client].pending.is_empty() {
            // Idle for too long, or refused: there was a notice, or no reply was owed.
            true => End::Agreed,
            false => End::Failed(ErrorKind::Lost),
        };
        self.end(client, end);
    }

    /// Ends a connection. What is pending on it has failed.
    fn end(&mut self, client: usize, end: End) {
        let now = self.now();
        let stage = self.clients[client].stage;
        match stage {
            Stage::Connecting => self.clients.connecting -= 1,
            Stage::Open => self.clients.open -= 1,
            Stage::Closed | Stage::Refused => {}
        }
        let mut pending = self.clients[client].disconnect();
        self.clients[client].stage = Stage::Closed;
        match end {
            End::Agreed => {
                let again = &mut self.clients[client].again;
                pending.drain(..).rev().for_each(|exchange| again.push_front(exchange));
            }
            End::Failed(kind) => {
                self.fail_all(client, &pending, kind, now);
                if pending.is_empty() && stage != Stage::Open {
                    self.phases.fail(kind, 1, now, None);
                }
                pending.clear();
            }
        }
        // The next connection uses the same room.
        self.clients[client].pending = pending;
        if self.is_away() {
            self.outage_is_total();
        }
        match end {
            End::Agreed => self.refill(client),
            End::Failed(kind) => {
                self.pause_after_error(client, now, None);
                let this = &self.clients[client];
                let queues = self.requests.is_open_loop() && this.slow.is_none();
                if kind == ErrorKind::Connect && stage != Stage::Refused {
                    self.clients.pause(client, now + RETRY);
                } else if queues && this.again.is_empty() {
                    self.refill(client);
                } else {
                    // Later, since the next connection may end at once, too.
                    self.clients.pause(client, now);
                }
            }
        }
    }

    /// Fails what has waited too long.
    pub(super) fn check_times(&mut self, now: u64) {
        if let Some((since, _)) = self.outage
            && self.is_away()
            && since + self.timeout <= now
        {
            return self.give_up();
        }
        for client in 0..self.clients.count() {
            if let Some((since, connecting)) = self.clients[client].waits_since()
                && since + self.timeout <= now
            {
                let kind = if connecting { ErrorKind::Connect } else { ErrorKind::Timeout };
                self.end(client, End::Failed(kind));
            }
        }
    }

    /// Lets every slow client read `share` bytes more.
    pub(super) fn read_slowly(&mut self, share: f64) {
        for at in 0..self.clients.slow().len() {
            let client = self.clients.slow()[at] as usize;
            let Some(slow) = &mut self.clients[client].slow else { continue };
            // What was not used is not saved up for long.
            slow.budget = (slow.budget + share).min(2.0 * share.max(1.0));
            if slow.readable && slow.budget >= 1.0 {
                let most = slow.budget as usize;
                let read = self.read(client, false, most).max(1) as f64;
                if let Some(slow) = &mut self.clients[client].slow {
                    slow.budget -= read.min(most as f64);
                }
            }
        }
    }

    /// Measures the requests of a closed loop that have been under way since before the phase began, if no other was
    /// sent within it.
    pub(super) fn measure_spanning(&mut self) {
        if self.requests.is_open_loop() || !self.phases.current.measures_spanning() {
            return;
        }
        let phase = self.phases.number() as u32;
        for client in 0..self.clients.active() {
            let this = &mut self.clients[client];
            if this.slow.is_some() {
                continue;
            }
            for exchange in this.pending.iter_mut().filter(|exchange| exchange.phase.is_none()) {
                exchange.phase = Some(phase);
                self.outstanding += 1;
                self.phases.current.add_spanning();
            }
        }
    }

    /// The totals of the current phase so far.
    pub(super) fn totals(&self) -> Totals {
        self.clients.count_into(self.phases.current.totals, self.phases.is_ramp())
    }

    /// Closes the measurement of the current phase; the first `clients` have taken part in it.
    pub(super) fn close_phase(&mut self, clients: usize) {
        self.record_outage();
        self.phases.close(self.totals(), self.clients.finished(clients));
    }
}

fn epoll_failed(errno: Errno) -> RunError {
    RunError::Unusable(format!("epoll: {errno}"))
}
