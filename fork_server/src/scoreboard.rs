//! What the children of a prefork server have done, in memory that they share with their parent.
//!
//! Each child has a row, and is the only one to write its counts there, so nothing is locked. A row outlives its
//! child: the replacement counts on. The memory is the one thing that these processes share; what a child writes
//! there when it crashes is at worst a wrong number. (Apache's server calls the same thing so.)

use ipc::shared::{Array, Cell, Location};
use std::fmt;
use std::io;

/// A row is as long as a cache line: two children that wrote to the same one would wait for each other.
const ROW: usize = 64 / size_of::<u64>();

const PID: usize = 0;
const CONNECTIONS: usize = 1;
const REQUESTS: usize = 2;
const RESTARTS: usize = 3;

/// The counts of all children.
pub(crate) struct Scoreboard {
    cells: Array<u64>,
    rows: usize,
}

impl Scoreboard {
    /// With a row for each of so many children.
    pub(crate) fn new(rows: usize) -> io::Result<Scoreboard> {
        let cells = Array::create(Location::Memfd("scoreboard".into()), rows * ROW)?;
        Ok(Scoreboard { cells, rows })
    }

    /// A child begins in this row.
    pub(crate) fn begin(&self, row: usize, pid: u32) {
        if self.row(row)[PID].swap(pid.into()) != 0 {
            self.row(row)[RESTARTS].fetch_add(1);
        }
    }

    /// The child has a client. Gives the cell of its requests, and how many were there before.
    pub(crate) fn connected(&self, row: usize) -> (&Cell<u64>, u64) {
        let row = self.row(row);
        row[CONNECTIONS].fetch_add(1);
        (&row[REQUESTS], row[REQUESTS].get())
    }

    fn row(&self, row: usize) -> &[Cell<u64>] {
        &self.cells[row * ROW..][..ROW]
    }
}

/// A table: a line for each child, and their sums.
impl fmt::Display for Scoreboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |child: &str, counts: [&str; 4]| {
            let [pid, connections, requests, restarts] = counts;
            writeln!(f, "{child:>5} {pid:>10} {connections:>12} {requests:>12} {restarts:>9}")
        };
        line("child", ["pid", "connections", "requests", "restarts"])?;
        let mut sums = [0; 4];
        for number in 0..self.rows {
            let counts =
                [PID, CONNECTIONS, REQUESTS, RESTARTS].map(|at| self.row(number)[at].get());
            line(
                &(number + 1).to_string(),
                counts.map(|n| n.to_string()).each_ref().map(|n| &n[..]),
            )?;
            (0..4).for_each(|at| sums[at] += counts[at]);
        }
        sums[PID] = 0;
        let [_, connections, requests, restarts] = sums.map(|n| n.to_string());
        line("all", ["", &connections, &requests, &restarts])
    }
}
