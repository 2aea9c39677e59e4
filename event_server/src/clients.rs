//! The table of a worker's clients.

use crate::poller::{Token, Watch};
use file_service::{Connection, Session};

/// A client of this worker.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) session: Session,
    /// What the poller watches the connection for.
    pub(crate) watched: Watch,
    /// It is in the list of those whose turn comes.
    pub(crate) queued: bool,
    /// The connection was reported while the client was in the list: what the session saw is outdated.
    pub(crate) news: bool,
    /// The end of stream was announced. It may have come together with the last bytes.
    pub(crate) hung_up: bool,
}

impl Client {
    pub(crate) fn new(connection: Connection, session: Session) -> Client {
        Client {
            connection,
            session,
            watched: Watch::Nothing,
            queued: false,
            news: false,
            hung_up: false,
        }
    }
}

/// Clients by place. A place that is free again is taken by the next one, who has another number there: what is
/// said of a client that has left reaches nobody.
pub(crate) struct Places<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    number: u32,
    client: Option<T>,
}

impl<T> Places<T> {
    pub(crate) fn new() -> Places<T> {
        Places { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn enter(&mut self, client: T) -> Token {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { number: 0, client: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[at as usize];
        place.client = Some(client);
        Token { place: at + Token::FIRST, number: place.number }
    }

    pub(crate) fn find(&mut self, token: Token) -> Option<&mut T> {
        let at = token.place.checked_sub(Token::FIRST)?;
        let place = self.places.get_mut(at as usize)?;
        if place.number == token.number { place.client.as_mut() } else { None }
    }

    pub(crate) fn leave(&mut self, token: Token) -> Option<T> {
        self.find(token)?;
        let at = token.place - Token::FIRST;
        let place = &mut self.places[at as usize];
        place.number = place.number.wrapping_add(1);
        self.free.push(at);
        place.client.take()
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_who_left_reaches_nobody() {
        let mut places = Places::new();
        let first = places.enter("first");
        assert_eq!(places.find(first), Some(&mut "first"));
        assert_eq!(places.leave(first), Some("first"));
        assert_eq!(places.find(first), None);
        let second = places.enter("second");
        assert_eq!(second.place, first.place, "a free place is taken again");
        assert_eq!(places.find(first), None, "and is not the first one's any more");
        assert_eq!(places.leave(first), None);
        assert_eq!(places.find(second), Some(&mut "second"));
        assert_eq!(places.count(), 1);
    }

    #[test]
    fn the_door_and_the_bell_are_no_clients() {
        let mut places = Places::new();
        let token = places.enter(());
        assert_eq!(Token::from_bits(token.to_bits()), token);
        assert_eq!(places.find(Token::DOOR), None);
        assert_eq!(places.find(Token::BELL), None);
    }
}
