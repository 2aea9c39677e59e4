//! The requests and replies of a run, over the connections of all its clients.

use super::client::{BUFFER, Exchange, Progress, Stage};
use super::clients::Clients;
use super::network::Network;
use super::phases::Phases;
use super::requests::Requests;
use super::{RunError, Target, nanos};
use crate::load::codec::{Codec, Reply};
use crate::load::content::Upload;
use crate::load::recording::{ErrorKind, Totals};
use crate::load::schedule::Verb;
use crate::load::workload::Workload;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::mem;
use std::time::Instant;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As was agreed.
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
    /// Nobody is connected and nobody listens.
    pub(super) server_ended: bool,
    /// Requests that are measured and have no reply yet.
    pub(super) outstanding: u64,
    /// In nanoseconds.
    timeout: u64,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl Traffic {
    pub(super) fn new(workload: &Workload, target: &Target) -> Result<Traffic, RunError> {
        let network = Network::new(workload, target.addr).map_err(epoll_failed)?;
        let clients = Clients::new(workload);
        let phases = Phases::new(workload, clients.active());
        Ok(Traffic {
            codec: Codec::new(workload, target.addr),
            requests: Requests::new(workload),
            network,
            clients,
            phases,
            draining: false,
            ever_open: false,
            refused: None,
            server_ended: false,
            outstanding: 0,
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

    /// Waits for events, `timeout` nanoseconds at most, and handles them.
    pub(super) fn wait(&mut self, timeout: u64) -> Result<(), RunError> {
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

    /// Begins a connection. What the client is to send goes out as soon as it is made.
    pub(super) fn connect(&mut self, client: usize) {
        let now = self.now();
        let this = &mut self.clients[client];
        this.connect_began = now;
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
            Err(errno) => self.not_connected(client, errno),
        }
    }

    fn connected(&mut self, client: usize) {
        self.clients[client].stage = Stage::Open;
        self.clients[client].made = true;
        self.clients.connecting -= 1;
        self.clients.open += 1;
        self.ever_open = true;
        self.refused = None;
        self.refill(client);
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
        self.end(client, End::Failed(ErrorKind::Connect));
        let alone = self.clients.open == 0 && self.clients.connecting == 0;
        if gone && alone && self.requests.has_started() {
            self.server_ended = true;
        }
    }

    /// Gives a client requests to send, if it can take any: in a closed loop at once, in an open loop by
    /// queueing it for the next arrival.
    pub(super) fn refill(&mut self, client: usize) {
        if self.draining {
            return;
        }
        if client >= self.clients.active() {
            return self.retire(client);
        }
        let this = &self.clients[client];
        if self.requests.is_open_loop() && this.slow.is_none() {
            return self.clients.queue(client);
        }
        if this.stage == Stage::Connecting || !self.clients.can_take(client) {
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

    /// Ends the connection of a client that is no longer to work, if nothing is under way.
    pub(super) fn retire(&mut self, client: usize) {
        if self.clients[client].is_idle() {
            self.end(client, End::Agreed);
        }
    }

    /// Sends all arrivals of an open loop that are due.
    pub(super) fn dispatch(&mut self, now: u64) {
        while let Some(planned) = self.requests.next_arrival() {
            if planned > now || planned >= self.phases.current.end || self.draining {
                return;
            }
            self.requests.advance();
            let counts = planned >= self.phases.current.begin;
            let ready = self.clients.take_ready();
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
        let this = &mut self.clients[client];
        this.output.push(&self.codec, &request);
        if request.verb == Verb::Put {
            let content = &self.codec.content;
            let upload = Upload::new(content, request.name, self.requests.next_version());
            this.output.push_upload(content, upload);
        }
        this.closing |= request.last;
        let phase = self.phases.of(planned);
        this.pending.push_back(Exchange { request, planned, sent, phase });
        if phase.is_some() && this.slow.is_none() {
            self.outstanding += 1;
            let closed = !self.requests.is_open_loop();
            self.phases.current.totals.planned += u64::from(closed);
        }
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
            Stage::Connecting | Stage::Resting => {}
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
                if kind == ErrorKind::Busy {
                    this.made = false;
                }
                if let Some(exchange) = exchange {
                    self.settle(client, &exchange);
                }
                self.phases.fail(kind, 1, now, exchange.and_then(|exchange| exchange.phase));
                if reply.closes {
                    self.end(client, End::Failed(ErrorKind::Lost));
                    return true;
                }
            }
        }
        if reply.closes || exchange.is_some_and(|exchange| exchange.request.last) {
            self.end(client, End::Agreed);
            return true;
        }
        false
    }

    /// Notes that a request need not be waited for any longer.
    fn settle(&mut self, client: usize, exchange: &Exchange) {
        if exchange.phase.is_some() && self.clients[client].slow.is_none() {
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
            Stage::Closed | Stage::Resting => {}
        }
        let mut pending = self.clients[client].disconnect();
        for exchange in &pending {
            self.settle(client, exchange);
        }
        let kind = match end {
            End::Agreed => ErrorKind::Lost,
            End::Failed(kind) => kind,
        };
        let phase = pending.front().and_then(|exchange| exchange.phase);
        let mut failed = pending.len() as u64;
        if failed == 0 && stage != Stage::Open && end != End::Agreed {
            failed = 1;
        }
        self.phases.fail(kind, failed, now, phase);
        // The next connection uses the same room.
        pending.clear();
        self.clients[client].pending = pending;
        match end {
            End::Agreed => {
                self.clients[client].stage = Stage::Closed;
                self.refill(client);
            }
            End::Failed(_) => self.clients.rest(client, now),
        }
    }

    /// Fails what has waited too long, and wakes the clients that have rested.
    pub(super) fn check_times(&mut self, now: u64) {
        for client in 0..self.clients.count() {
            if let Some((since, connecting)) = self.clients[client].waits_since()
                && since + self.timeout <= now
            {
                let kind = if connecting { ErrorKind::Connect } else { ErrorKind::Timeout };
                self.end(client, End::Failed(kind));
            }
        }
        while let Some(client) = self.clients.take_rested(now) {
            self.refill(client);
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
        self.phases.close(self.totals(), self.clients.finished(clients));
    }
}

fn epoll_failed(errno: Errno) -> RunError {
    RunError::Unusable(format!("epoll: {errno}"))
}
