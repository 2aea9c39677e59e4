//! Finds the bracket around the knee: doubles or halves the rate, then bisects.

/// No server of files answers faster.
pub(super) const FASTEST: f64 = 4e6;

/// Slower than this is not served.
const SLOWEST: f64 = 1.0;

/// Whether the bound holds at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The bound holds.
    Holds,
    /// The server breaks it.
    Breaks,
    /// The generator could not keep the rate up, so nothing is known of the server.
    Unknown,
}

/// Between which rates the bound begins to break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bracket {
    /// The highest rate that held; 0 if none did.
    pub(super) holds: f64,
    /// The lowest that did not, and why it did not: the server ([`Verdict::Breaks`]) or the generator
    /// ([`Verdict::Unknown`]); none if every rate held.
    pub(super) fails: Option<(f64, Verdict)>,
}

/// Finds the bracket, beginning at `start`.
///
/// # Errors
///
/// `judge` has one.
pub(super) fn bisect<E>(
    start: f64,
    precision: f64,
    mut judge: impl FnMut(f64) -> Result<Verdict, E>,
) -> Result<Bracket, E> {
    let mut rate = start.clamp(SLOWEST, FASTEST);
    let mut bracket = Bracket { holds: 0.0, fails: None };
    loop {
        match judge(rate)? {
            Verdict::Holds => bracket.holds = rate,
            why => bracket.fails = Some((rate, why)),
        }
        rate = match bracket {
            Bracket { fails: None, holds } if holds >= FASTEST => return Ok(bracket),
            Bracket { fails: None, holds } => (holds * 2.0).min(FASTEST),
            Bracket { fails: Some((high, _)), holds: 0.0 } if high <= SLOWEST => {
                return Ok(bracket);
            }
            Bracket { fails: Some((high, _)), holds: 0.0 } => (high / 2.0).max(SLOWEST),
            Bracket { fails: Some((high, _)), holds } => {
                if high / holds <= 1.0 + precision.max(0.001) {
                    return Ok(bracket);
                }
                (holds * high).sqrt()
            }
        };
    }
}
