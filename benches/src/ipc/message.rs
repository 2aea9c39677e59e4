//! Messages that show by themselves whether they are the expected ones.

use ipc::baseline::TYPE;
use ipc::queue::HIGHEST_PRIORITY;

/// A message of a row, and the model that its receiver compares it with.
///
/// Sender and receiver keep one each, and both take it on by [`advance`](Self::advance): it then differs from the one before in
/// its number, which stands at its beginning; in the number's complement at its end; and in one word between, which
/// moves. So a message that is lost, doubled, out of order, cut, or of which a part is that of an older one is noticed, at
/// the price of three words written and three compared, whatever its size.
pub struct Message {
    /// The type of a System V message, then the bytes.
    whole: Vec<u8>,
    number: u64,
    changing: usize,
}

const WORD: usize = 8;

impl Message {
    /// The message before the first. It has at least 8 bytes.
    pub fn new(size: usize) -> Message {
        // The type that the library gives to a message without urgency.
        let mut whole = (u64::from(HIGHEST_PRIORITY) + 1).to_ne_bytes()[..TYPE].to_vec();
        whole.extend((0..size.max(WORD)).map(|at| (at * 31 + 7) as u8));
        Message { whole, number: 0, changing: WORD }
    }

    /// Becomes the next one.
    #[inline]
    pub fn advance(&mut self) -> &Message {
        self.number += 1;
        let (number, at) = (self.number, self.changing);
        let bytes = &mut self.whole[TYPE..];
        let size = bytes.len();
        bytes[..WORD].copy_from_slice(&number.to_le_bytes());
        if size >= 2 * WORD {
            bytes[size - WORD..].copy_from_slice(&(!number).to_le_bytes());
        }
        if size >= 3 * WORD {
            let next = if at + 3 * WORD <= size { at + WORD } else { WORD };
            bytes[next..next + WORD].copy_from_slice(&number.rotate_left(32).to_le_bytes());
            self.changing = next;
        }
        self
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.whole[TYPE..]
    }

    /// Its bytes behind the type of a System V message.
    #[inline]
    pub fn typed(&self) -> &[u8] {
        &self.whole
    }

    /// Its number, from 1.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether `got` is this message, as far as three words and the length can tell.
    #[inline]
    pub fn resembles(&self, got: &[u8]) -> bool {
        let own = self.bytes();
        let size = own.len();
        let last = size - WORD;
        let at = if size >= 3 * WORD { self.changing } else { 0 };
        got.len() == size
            && got[..WORD] == own[..WORD]
            && got[last..] == own[last..]
            && got[at..at + WORD] == own[at..at + WORD]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_message_is_noticed() {
        for size in [8, 16, 24, 64, 100, 1024] {
            let (mut sent, mut model) = (Message::new(size), Message::new(size));
            for round in 0..300 {
                let before = sent.bytes().to_vec();
                sent.advance();
                model.advance();
                assert!(model.resembles(sent.bytes()) && model.bytes() == sent.bytes(), "{size}");
                assert!(!model.resembles(&before), "the one before, {size} bytes, round {round}");
                assert!(!model.resembles(&sent.bytes()[..size - 1]), "cut");
                let mut half = sent.bytes().to_vec();
                half[size / 2..].copy_from_slice(&before[size / 2..]);
                assert!(size < 16 || !model.resembles(&half), "a half of the one before");
            }
            assert_eq!(sent.number(), 300);
        }
    }

    #[test]
    fn changing_word_reaches_every_offset() {
        let mut message = Message::new(100);
        let mut places: Vec<usize> = (0..40).map(|_| message.advance().changing).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, (1..=10).map(|word| word * 8).collect::<Vec<_>>());
    }
}
