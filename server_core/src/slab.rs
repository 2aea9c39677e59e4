//! A table of values under small keys that are never mistaken for one another.
//!
//! A key names a slot and how many values that slot has held before. So an event that arrives late, for a
//! client that has left, does not reach the next client in the same slot.

/// The name of a value in a [`Slab`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The key of a reserved slot, for an event loop's own descriptors; see [`Slab::with_reserved`].
    pub const fn reserved(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    /// The slot, from 0 up.
    pub fn index(self) -> u32 {
        self.index
    }

    /// The key as one number: the generation above, the slot in the lower `index_bits` bits.
    pub fn to_bits(self, index_bits: u32) -> u64 {
        u64::from(self.generation) << index_bits | u64::from(self.index)
    }

    /// The key of this number.
    pub fn from_bits(bits: u64, index_bits: u32) -> Key {
        let index = (bits & ((1 << index_bits) - 1)) as u32;
        Key { index, generation: (bits >> index_bits) as u32 }
    }
}

/// Values in slots that are used again.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// Wraps after four billion values; no event is as late as that.
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::with_reserved(0)
    }
}

impl<T> Slab<T> {
    /// Creates an empty slab whose first `reserved` slots are never used: no value has their keys.
    pub fn with_reserved(reserved: u32) -> Slab<T> {
        let slots = (0..reserved).map(|_| Slot { generation: 0, value: None }).collect();
        Slab { slots, free: Vec::new(), len: 0 }
    }

    /// Adds a value and returns its key.
    pub fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        self.len += 1;
        Key { index, generation: slot.generation }
    }

    /// Returns the value of `key`, unless it was removed.
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// Returns the value of `key` to be changed, unless it was removed.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// Removes the value of `key` and returns it, unless it was removed before.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the values, in the order of their slots, with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let key = Key { index, generation: slot.generation };
            slot.value.as_ref().map(|value| (key, value))
        })
    }

    /// Returns the values like [`iter`](Slab::iter), to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots.iter_mut().zip(0..).filter_map(|(slot, index)| {
            let key = Key { index, generation: slot.generation };
            slot.value.as_mut().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_key_is_ignored() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.get(first), Some(&"first"));
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.get(first), None);
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index(), "a free slot is used again");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn key_survives_conversion_to_bits() {
        let mut slab = Slab::default();
        let first = slab.insert(());
        slab.remove(first);
        let keys = [first, slab.insert(()), slab.insert(())];
        for key in keys {
            for bits in [29, 32] {
                assert_eq!(Key::from_bits(key.to_bits(bits), bits), key);
            }
        }
    }

    #[test]
    fn reserved_key_names_no_value() {
        let mut slab = Slab::with_reserved(2);
        let first = slab.insert(());
        assert_eq!(first.index(), 2);
        assert_eq!(slab.get(Key::reserved(0)), None);
        assert_eq!(slab.remove(Key::reserved(1)), None);
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
    }

    #[test]
    fn iter_skips_free_slots() {
        let mut slab = Slab::default();
        let keys = [slab.insert(1), slab.insert(2), slab.insert(3)];
        slab.remove(keys[1]);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(keys[0], &1), (keys[2], &3)]);
    }
}
