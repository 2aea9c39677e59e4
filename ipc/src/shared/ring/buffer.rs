//! A ring, of which processes become sender and receiver.

use std::marker::PhantomData;
use std::sync::Arc;

use super::algorithm::{Algorithm, Parts, Shape};
use super::receiver::Receiver;
use super::sender::Sender;
use super::waiting::WaitStrategy;
use crate::error::{Error, Result};
use crate::shared::location::Location;
use crate::shared::memory::Memory;

/// A ring of messages: a [`Ring`](super::Ring) or a [`RingMany`](super::RingMany).
pub struct RingBuffer<A> {
    memory: Arc<Memory>,
    pub(super) shape: Shape,
    wait: WaitStrategy,
    algorithm: PhantomData<fn(A)>,
}

impl<A: Algorithm> RingBuffer<A> {
    pub(super) fn create_with(
        location: Location,
        shape: Shape,
        wait: WaitStrategy,
    ) -> Result<Self> {
        let size = Parts::<A>::BYTES as u64 + shape.count * shape.stride;
        let memory = Memory::create(location, A::HOLDS, size, A::facts(shape, wait), |_| Ok(()))?;
        Ok(Self { memory, shape, wait, algorithm: PhantomData })
    }

    /// Opens a ring that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open).
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, facts) = Memory::open(location.into(), A::HOLDS)?;
        let (shape, wait) = A::from_facts(&memory, facts)?;
        memory.content(Parts::<A>::BYTES, shape.count * shape.stride)?;
        Ok(Self { memory, shape, wait, algorithm: PhantomData })
    }

    /// Becomes the sender, or one of the senders.
    ///
    /// # Errors
    ///
    /// In a [`Ring`](super::Ring), [`Error::Unusable`] if there is one already, and it lives. In a
    /// [`RingMany`](super::RingMany), [`Error::WouldBlock`] if there are 64 already, and they live.
    /// [`Error::Unusable`] in another pid namespace than that of the ring's creator.
    pub fn sender(&self) -> Result<Sender<A>> {
        self.memory.require_own_namespace()?;
        let parts = Parts::new(&self.memory, self.shape, self.wait)?;
        let unfinished = |number| A::has_unfinished(self.shape, &parts, number);
        let number = parts.ends.claim_sender(&self.memory, unfinished)?;
        Ok(Sender { writer: A::writer(self.shape, &parts, number), parts, number })
    }

    /// Becomes the receiver.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] if there is one already, and it lives; or in another pid namespace than that of the ring's
    /// creator.
    pub fn receiver(&self) -> Result<Receiver<A>> {
        self.memory.require_own_namespace()?;
        let parts = Parts::new(&self.memory, self.shape, self.wait)?;
        parts.ends.claim_receiver(&self.memory)?;
        Ok(Receiver { reader: A::reader(self.shape, &parts), parts, torn: 0 })
    }

    /// The longest message in bytes. In a [`Ring`](super::Ring) half of the capacity less eight, which finds room
    /// wherever the last one ended.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.shape.longest as usize
    }

    /// How its ends wait.
    #[must_use]
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.wait
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// [`Error::OutOfRange`] for a size of a ring.
pub(crate) fn check_size(
    quantity: &'static str,
    given: usize,
    [least, most]: [u64; 2],
) -> Result<u64> {
    let given = given as u64;
    Error::check_range("ring in shared memory", quantity, given, least..=most)?;
    Ok(given)
}
