//! One number in shared memory.

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize, Ordering,
};

use super::memory::Shared;

mod sealed {
    /// An atomic of the standard library, and the plain type of the same bits.
    pub trait Scalar: Copy {
        type Atomic: Sync;
        type Bits: Copy;
        const NAME: &'static str;
        fn bits(self) -> Self::Bits;
        fn from_bits(bits: Self::Bits) -> Self;
        fn load(atomic: &Self::Atomic) -> Self::Bits;
        fn store(atomic: &Self::Atomic, bits: Self::Bits);
        fn swap(atomic: &Self::Atomic, bits: Self::Bits) -> Self::Bits;
        fn exchange(
            atomic: &Self::Atomic,
            current: Self::Bits,
            new: Self::Bits,
        ) -> Result<Self::Bits, Self::Bits>;
    }
}

/// What a [`Cell`] can hold: an integer of any size, `bool`, `f32` or `f64`.
pub trait Scalar: sealed::Scalar {}

/// Integers, which can be added to in one step.
pub trait Integer: Scalar {
    #[doc(hidden)]
    fn add(atomic: &Self::Atomic, value: Self) -> Self;
    #[doc(hidden)]
    fn subtract(atomic: &Self::Atomic, value: Self) -> Self;
}

macro_rules! scalar {
    ($type:ty, $atomic:ty, $bits:ty, $to:expr, $from:expr) => {
        impl Scalar for $type {}
        impl sealed::Scalar for $type {
            type Atomic = $atomic;
            type Bits = $bits;
            const NAME: &'static str = stringify!($type);
            #[inline]
            fn bits(self) -> $bits {
                ($to)(self)
            }
            #[inline]
            fn from_bits(bits: $bits) -> Self {
                ($from)(bits)
            }
            #[inline]
            fn load(atomic: &$atomic) -> $bits {
                atomic.load(Ordering::SeqCst)
            }
            #[inline]
            fn store(atomic: &$atomic, bits: $bits) {
                atomic.store(bits, Ordering::SeqCst);
            }
            #[inline]
            fn swap(atomic: &$atomic, bits: $bits) -> $bits {
                atomic.swap(bits, Ordering::SeqCst)
            }
            #[inline]
            fn exchange(atomic: &$atomic, current: $bits, new: $bits) -> Result<$bits, $bits> {
                atomic.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            }
        }
    };
}

macro_rules! integer {
    ($($type:ty, $atomic:ty;)*) => {$(
        scalar!($type, $atomic, $type, |value| value, |bits| bits);
        impl Integer for $type {
            #[inline]
            fn add(atomic: &$atomic, value: Self) -> Self {
                atomic.fetch_add(value, Ordering::SeqCst)
            }
            #[inline]
            fn subtract(atomic: &$atomic, value: Self) -> Self {
                atomic.fetch_sub(value, Ordering::SeqCst)
            }
        }
    )*};
}

integer! {
    u8, AtomicU8; i8, AtomicI8;
    u16, AtomicU16; i16, AtomicI16;
    u32, AtomicU32; i32, AtomicI32;
    u64, AtomicU64; i64, AtomicI64;
    usize, AtomicUsize; isize, AtomicIsize;
}
// Not `AtomicBool`: a byte of 2 in shared memory would be undefined behaviour there, and is just true here.
scalar!(bool, AtomicU8, u8, u8::from, |bits| bits != 0);
scalar!(f32, AtomicU32, u32, f32::to_bits, f32::from_bits);
scalar!(f64, AtomicU64, u64, f64::to_bits, f64::from_bits);

/// A number in shared memory, which all processes may read and write at the same time.
///
/// Each call is one indivisible step in an order that all agree on (sequentially consistent). Two calls
/// are two steps: **`set(get() + 1)` loses updates**, since others may come in between. Say
/// [`fetch_add`](Self::fetch_add) or [`fetch_update`](Self::fetch_update), or hold a
/// [lock](crate::lock::Mutex).
#[repr(transparent)]
pub struct Cell<T: Scalar>(T::Atomic);

// SAFETY: an atomic integer, for which any bits are valid.
unsafe impl<T: Scalar> Shared for Cell<T> {}

impl<T: Scalar> Cell<T> {
    /// Reads it.
    #[inline]
    pub fn get(&self) -> T {
        T::from_bits(T::load(&self.0))
    }

    /// Writes it.
    #[inline]
    pub fn set(&self, value: T) {
        T::store(&self.0, value.bits());
    }

    /// Writes it, and returns what it was.
    #[inline]
    pub fn swap(&self, value: T) -> T {
        T::from_bits(T::swap(&self.0, value.bits()))
    }

    /// Writes `new` if it is `current`, compared bit by bit, and returns what it was.
    ///
    /// # Errors
    ///
    /// What it is, if that is not `current`; then nothing was written.
    #[inline]
    pub fn compare_exchange(&self, current: T, new: T) -> Result<T, T> {
        T::exchange(&self.0, current.bits(), new.bits()).map(T::from_bits).map_err(T::from_bits)
    }

    /// Replaces it by `change` of it, in one step: `change` is called again if another process was
    /// faster. Returns what it was.
    pub fn fetch_update(&self, mut change: impl FnMut(T) -> T) -> T {
        let mut bits = T::load(&self.0);
        loop {
            match T::exchange(&self.0, bits, change(T::from_bits(bits)).bits()) {
                Ok(before) => return T::from_bits(before),
                Err(now) => bits = now,
            }
        }
    }
}

impl<T: Integer> Cell<T> {
    /// Adds to it, wrapping around at the end, and returns what it was.
    #[inline]
    pub fn fetch_add(&self, value: T) -> T {
        T::add(&self.0, value)
    }

    /// Subtracts from it, wrapping around at the end, and returns what it was.
    #[inline]
    pub fn fetch_sub(&self, value: T) -> T {
        T::subtract(&self.0, value)
    }
}

impl<T: Scalar + std::fmt::Debug> std::fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
