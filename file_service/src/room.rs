//! The bound on what the snapshots of directories take in memory, over all sessions of a process.
//!
//! A snapshot lives until its client has read the reply, which the client decides. So many of them could fill the
//! memory. A snapshot that is not small takes its bytes from the [`Room`] before it is made. While there are too few,
//! it waits in a queue, first come, first served. Nobody is woken: each waiting listing asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many listings may wait at a time.
const QUEUE: usize = 256;

/// The memory that snapshots may take.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many bytes all snapshots may take together. One alone may take more: the largest directory can be listed.
    most: u64,
    taken: AtomicU64,
    /// How many listings have ever waited.
    tickets: AtomicU64,
    /// The tickets of those that wait, in no order; 0 where no one does.
    queue: Box<[AtomicU64]>,
}

/// A part of the room, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    bytes: u64,
}

/// A place in the queue, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    ticket: u64,
    slot: usize,
}

impl Room {
    pub(crate) fn new(most: u64) -> Arc<Room> {
        let queue = (0..QUEUE).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Room { most, taken: AtomicU64::new(0), tickets: AtomicU64::new(0), queue })
    }

    /// Takes `bytes` of the room, if there are so many and no listing waits that came before: before the one in
    /// `place`, or at all.
    pub(crate) fn take(self: &Arc<Room>, bytes: u64, place: Option<&Place>) -> Option<Share> {
        let own = place.map_or(u64::MAX, |place| place.ticket);
        let tickets = self.queue.iter().map(|ticket| ticket.load(Ordering::SeqCst));
        if tickets.filter(|&ticket| ticket != 0).any(|ticket| ticket < own) {
            return None;
        }
        let take = |taken: u64| (taken == 0 || taken + bytes <= self.most).then(|| taken + bytes);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        Some(Share { room: Arc::clone(self), bytes })
    }

    /// Takes the last place in the queue, unless the queue is full.
    pub(crate) fn queue_up(self: &Arc<Room>) -> Option<Place> {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let take = |slot: &AtomicU64| {
            slot.compare_exchange(0, ticket, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        let slot = self.queue.iter().position(take)?;
        Some(Place { room: Arc::clone(self), ticket, slot })
    }
}

impl Share {
    /// Takes or gives back what is missing or left over for `bytes`: a directory may change between two looks.
    pub(crate) fn resize(&mut self, bytes: u64) {
        self.room.taken.fetch_add(bytes, Ordering::SeqCst);
        self.room.taken.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::SeqCst);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.queue[self.slot].store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 1000;

    #[test]
    fn room_is_bounded() {
        let room = Room::new(ROOM);
        let most = room.take(ROOM - 1, None).unwrap();
        assert!(room.take(2, None).is_none());
        let last = room.take(1, None).unwrap();
        drop((most, last));
        // One alone may take more than all.
        let mut alone = room.take(2 * ROOM, None).unwrap();
        assert!(room.take(1, None).is_none());
        alone.resize(ROOM - 3);
        assert!(room.take(4, None).is_none());
        assert!(room.take(3, None).is_some());
        drop(alone);
        assert_eq!(room.taken.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn first_in_queue_goes_first() {
        let room = Room::new(ROOM);
        let all = room.take(ROOM, None).unwrap();
        let (first, second, third) = (room.queue_up(), room.queue_up(), room.queue_up());
        drop(all);
        // Even where there is room, no one overtakes.
        assert!(room.take(1, None).is_none() && room.take(1, second.as_ref()).is_none());
        let share = room.take(1, first.as_ref());
        assert!(share.is_some());
        drop((first, second)); // the one has its share, the other has given up
        assert!(room.take(1, third.as_ref()).is_some());
        drop(third);
        assert!(room.take(1, None).is_some());
    }

    #[test]
    fn queue_is_bounded() {
        let room = Room::new(ROOM);
        let mut places: Vec<Place> = std::iter::from_fn(|| room.queue_up()).collect();
        assert_eq!(places.len(), QUEUE);
        places.swap_remove(QUEUE / 2);
        let last = room.queue_up().unwrap();
        assert!(places.iter().all(|place| place.ticket < last.ticket));
    }
}
