//! Numbers that processes share.

use std::ops::Deref;

use super::cell::{Cell, Scalar};
use super::location::Location;
use super::memory::{Memory, Part};
use crate::error::{Error, Result};

/// One number that processes share; it is used as a [`Cell`].
///
/// ```
/// use ipc::shared::{Location, Value};
///
/// let name = format!("/doc-value-{}", std::process::id());
/// let sum = Value::create(name.as_str(), 0.5)?;
/// // In another process:
/// let same = Value::<f64>::open(name.as_str())?;
/// same.fetch_update(|sum| sum + 1.0);
///
/// assert_eq!(sum.get(), 1.5);
/// # Ok::<(), ipc::Error>(())
/// ```
pub struct Value<T: Scalar>(Part<Cell<T>>);

impl<T: Scalar> Value<T> {
    /// Makes it, with an initial value. It replaces an object of this name or key that was left behind: one of this user,
    /// whose creator has ended, and that no process uses. A name that carries the pid of a dead process is never met
    /// here; the command `ipc` removes those.
    ///
    /// # Errors
    ///
    /// `EEXIST` from the kernel if the name is taken; [`Error::InvalidName`] if it cannot be a name; [`Error::Unusable`] if
    /// it cannot get its name without `/proc`; the kernel's other reasons (no memory, no permission).
    pub fn create(location: impl Into<Location>, value: T) -> Result<Self> {
        let size = size_of::<Cell<T>>() as u64;
        let memory =
            Memory::create(location.into(), &holds::<T>("value"), size, [1, 0, 0], |memory| {
                memory.object::<Cell<T>>(Memory::CONTENT)?.set(value);
                Ok(())
            })?;
        Ok(Self(memory.part(Memory::CONTENT)?))
    }

    /// Opens one that another process made.
    ///
    /// # Errors
    ///
    /// `ENOENT` from the kernel if there is none; [`Error::Unusable`] if what is there was not made by this
    /// library, is not complete, holds something else, has another size, or was left behind by a process
    /// that is dead. Then nothing in it has been changed.
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, _) = Memory::open(location.into(), &holds::<T>("value"))?;
        Ok(Self(memory.part(Memory::CONTENT)?))
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.0.memory()
    }
}

impl<T: Scalar> Deref for Value<T> {
    type Target = Cell<T>;

    #[inline]
    fn deref(&self) -> &Cell<T> {
        &self.0
    }
}

/// A row of numbers that processes share; it is used as a slice of [`Cell`]s.
///
/// ```
/// use ipc::shared::{Array, Location};
///
/// let squares = Array::<u32>::create(Location::Memfd("squares".into()), 10)?;
/// // In another process, which was given this address or the descriptor:
/// let same = Array::<u32>::open(squares.memory().address().parse::<Location>()?)?;
/// for (number, square) in (0..).zip(same.iter()) {
///     square.set(number * number);
/// }
///
/// assert_eq!(squares[9].get(), 81);
/// assert!(squares.get(10).is_none());
/// # Ok::<(), ipc::Error>(())
/// ```
pub struct Array<T: Scalar>(Part<[Cell<T>]>);

impl<T: Scalar> Array<T> {
    /// Makes it with `length` numbers, all zero.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a length of zero or beyond all memory; else as for [`Value::create`].
    pub fn create(location: impl Into<Location>, length: usize) -> Result<Self> {
        let length = length as u64;
        let range = 1..=isize::MAX as u64 / 16;
        Error::check_range("array in shared memory", "length", length, range)?;
        let size = length * size_of::<Cell<T>>() as u64;
        let holds = holds::<T>("array");
        let memory = Memory::create(location.into(), &holds, size, [length, 0, 0], |_| Ok(()))?;
        Ok(Self(memory.parts(Memory::CONTENT, length)?))
    }

    /// Opens one that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`].
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, [length, ..]) = Memory::open(location.into(), &holds::<T>("array"))?;
        Ok(Self(memory.parts(Memory::CONTENT, length)?))
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.0.memory()
    }
}

impl<T: Scalar> Deref for Array<T> {
    type Target = [Cell<T>];

    #[inline]
    fn deref(&self) -> &[Cell<T>] {
        &self.0
    }
}

impl<T: Scalar + std::fmt::Debug> std::fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The content, as the header has it.
fn holds<T: Scalar>(kind: &str) -> String {
    format!("{kind} of {}", T::NAME)
}
