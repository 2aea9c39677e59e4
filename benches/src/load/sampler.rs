//! The server from outside: what `/proc` says of its whole process tree, ten times a second.
//!
//! Any server can be watched, since nothing is asked of it but that it runs. Some of what is looked at is
//! cheap and some is not: PSS makes the kernel walk page tables, and context switches have to be read from
//! every thread. So three sorts of looks are told apart, and each of the two dear ones waits until its
//! share of the time is below [`SHARE`]; between two of them the last figures stand. With few processes
//! that is every time, with 1,000 of them every second or so for the switches and every few for PSS. There
//! are more looks at the moments that count: when the tree has grown or shrunk and stands still again, and
//! when [`Sampler::sample_threads`] and [`Sampler::sample_all`] ask for it.
//!
//! What cannot be seen from outside is not in the figures: the switches and waits of threads and processes
//! that live for less than the time between two looks. Their processor time and page faults *are* in
//! them as soon as somebody waits for them. The listen queue's overflows are those of all sockets in the
//! server's network namespace: the kernel counts no other way.

use super::recording::Sample;
use crate::Placement;
use rustix::process::Pid;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time between two samples.
pub const PERIOD: Duration = Duration::from_millis(100);

/// The part of a core that each dear sort of look may take.
pub const SHARE: f64 = 0.02;

/// Kernel memory that every thread has for its stack, on the usual architectures.
const KERNEL_STACK: u64 = 16 * 1024;

/// So often those who were found not to belong to the server are looked at again.
const FORGET: u64 = 10;

/// Somebody who watches. Dropping it ends that.
#[derive(Debug)]
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<TimeSeries>>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct TimeSeries {
    /// When the watch began.
    begin: Option<Instant>,
    /// Which of the samples were asked for.
    asked: Vec<usize>,
    /// The first of all, before anybody came.
    pub first: Sample,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// The processor time that it took to look, over the whole watch.
    pub cpu_time: Duration,
    /// How long was watched.
    pub duration: Duration,
    /// How many of the samples have a look at memory of their own.
    pub memory_samples: u64,
    /// How many of the samples have a look at every thread of their own.
    pub thread_samples: u64,
}

impl TimeSeries {
    /// The share of a core that it took to look.
    pub fn cpu_share(&self) -> f64 {
        self.cpu_time.as_secs_f64() / self.duration.as_secs_f64().max(1e-9)
    }

    /// The samples of a stretch of the watch, on an axis that begins with it: from the one that is nearest to
    /// its beginning to the one that is nearest to its end.
    pub fn between(&self, from: f64, to: f64) -> Vec<Sample> {
        let nearest = |at: f64| {
            let distance = |sample: &Sample| ((sample.at - at).abs() * 1e9) as u64;
            (0..self.samples.len()).min_by_key(|&nth| distance(&self.samples[nth]))
        };
        let (Some(first), Some(last)) = (nearest(from), nearest(to)) else { return Vec::new() };
        let shifted = |sample: &Sample| Sample { at: sample.at - from, ..*sample };
        self.samples[first..=last.max(first)].iter().map(shifted).collect()
    }

    /// What a reader must know of the watch itself, in a line.
    pub fn summary(&self) -> String {
        let share = 100.0 * self.cpu_share();
        format!(
            "{} samples, {} of them with PSS and {} with switches of their own; watching took {share:.1}% of a core",
            self.samples.len(),
            self.memory_samples,
            self.thread_samples,
        )
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ends: Condvar,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    latest: Option<Sample>,
    wanted: Wanted,
}

/// What is to be looked at whatever it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    #[default]
    Nothing,
    Threads,
    All,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    /// Watches `root` and its descendants from the generator's core. The first look is over when this returns: whoever comes
    /// afterwards is no part of it.
    ///
    /// # Errors
    ///
    /// There is no such process, or the system gives no thread.
    pub fn start(root: Pid, placement: Placement) -> io::Result<Sampler> {
        let shared = Arc::new(Shared::default());
        let mut watcher = Watcher::new(root)?;
        let begin = Instant::now();
        let first = watcher.look(0.0, Wanted::All);
        shared.lock().latest = Some(first);
        let (theirs, builder) = (shared.clone(), thread::Builder::new().name("sampler".into()));
        // A thread begins on the cores of the one that starts it.
        let thread = placement
            .on_client_core(|| builder.spawn(move || watch(watcher, begin, first, &theirs)))?;
        Ok(Sampler { shared, thread: Some(thread) })
    }

    /// The last sample, if there is one; its time counts from the beginning of the watch.
    pub fn latest(&self) -> Option<Sample> {
        self.shared.lock().latest
    }

    /// Takes a last sample, ends the watch and puts all on the axis that begins at `origin`.
    ///
    /// Of the samples before that only the last is kept: it is what the sums of the others count from.
    pub fn finish(mut self, origin: Instant) -> TimeSeries {
        let mut series = self.end();
        let begin = series.begin.unwrap_or(origin);
        let shift = origin.saturating_duration_since(begin).as_secs_f64();
        series.samples.iter_mut().for_each(|sample| sample.at -= shift);
        series.first = series.samples.first().copied().unwrap_or_default();
        // Best is one that was asked for at that moment: all of it is of that moment.
        let soon = PERIOD.as_secs_f64() * 1.5;
        let beginning = |at: f64| (0.0..soon).contains(&at);
        let asked = series.asked.iter().find(|&&nth| beginning(series.samples[nth].at));
        let before = series.samples.iter().take_while(|sample| sample.at <= 0.0).count();
        let begin = asked.copied().unwrap_or(before.saturating_sub(1));
        series.samples.drain(..begin);
        series
    }

    /// Has every thread's counts looked at now. Returns at once.
    pub fn sample_threads(&self) {
        self.want(Wanted::Threads);
    }

    /// Has everything looked at now, memory too. Returns at once.
    pub fn sample_all(&self) {
        self.want(Wanted::All);
    }

    fn want(&self, what: Wanted) {
        let mut state = self.shared.lock();
        state.wanted = state.wanted.max(what);
        self.shared.ends.notify_all();
    }

    fn end(&mut self) -> TimeSeries {
        self.shared.lock().over = true;
        self.shared.ends.notify_all();
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn watch(mut watcher: Watcher, begin: Instant, first: Sample, shared: &Shared) -> TimeSeries {
    let mut series = TimeSeries { samples: vec![first], asked: vec![0], ..TimeSeries::default() };
    let mut due = begin;
    let mut over = false;
    while !over {
        // Late is late: what was missed is not made up for.
        due = (due + PERIOD).max(Instant::now());
        let mut state = shared.lock();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if state.over || state.wanted != Wanted::Nothing || wait.is_zero() {
                break;
            }
            let (next, _) =
                shared.ends.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
        over = state.over;
        // The last look is a full one: the sums must be those of the end.
        let wanted = if over { Wanted::All } else { std::mem::take(&mut state.wanted) };
        drop(state);
        let sample = watcher.look(begin.elapsed().as_secs_f64(), wanted);
        if wanted != Wanted::Nothing {
            series.asked.push(series.samples.len());
        }
        series.samples.push(sample);
        shared.lock().latest = Some(sample);
    }
    series.begin = Some(begin);
    series.duration = begin.elapsed();
    series.cpu_time = own_cpu();
    series.memory_samples = watcher.memory.looks;
    series.thread_samples = watcher.threads.looks;
    series
}

/// The processor time of the calling thread.
fn own_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// When a dear look is due.
#[derive(Debug, Default)]
struct Budget {
    next: f64,
    distance: f64,
    /// How many threads there were.
    size: u64,
    looks: u64,
}

impl Budget {
    /// Does `work` if it is due and reckons when it will be again. `settled` is the size of a tree that
    /// stands still: if it is another than last time, a tenth of the usual distance will do.
    fn spend(&mut self, now: f64, anyway: bool, settled: Option<u64>, work: impl FnOnce()) {
        let other = settled.is_some_and(|size| size.abs_diff(self.size) > self.size / 10);
        let due = if other { self.next - 0.9 * self.distance } else { self.next };
        if now < due && !anyway {
            return;
        }
        self.size = settled.unwrap_or(self.size);
        let begin = own_cpu();
        work();
        let cost = own_cpu().saturating_sub(begin).as_secs_f64();
        self.distance = cost / SHARE;
        self.next = now + self.distance;
        self.looks += 1;
    }
}

/// What adds up, of one process or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    user: u64,
    system: u64,
    faults: u64,
}

impl Sums {
    fn plus(self, other: Sums) -> Sums {
        Sums {
            user: self.user + other.user,
            system: self.system + other.system,
            faults: self.faults + other.faults,
        }
    }

    /// What is in `self` and not in `other`; nothing is less than nothing.
    fn beyond(self, other: Sums) -> Sums {
        Sums {
            user: self.user.saturating_sub(other.user),
            system: self.system.saturating_sub(other.system),
            faults: self.faults.saturating_sub(other.faults),
        }
    }
}

/// The fields of `/proc/PID/stat` that are wanted here.
#[derive(Clone, Debug)]
struct Stat {
    pid: i32,
    name: Vec<u8>,
    zombie: bool,
    parent: i32,
    group: i32,
    own: Sums,
    reaped: Sums,
    threads: u64,
    start: u64,
    /// In pages.
    resident: u64,
}

fn parse(text: &[u8]) -> Option<Stat> {
    // The name is in parentheses and may hold anything, parentheses too; field 3 comes after it.
    let (open, close) =
        (text.iter().position(|&b| b == b'(')?, text.iter().rposition(|&b| b == b')')?);
    let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let mut fields = [""; 22];
    for (field, word) in fields.iter_mut().zip(rest.split_ascii_whitespace()) {
        *field = word;
    }
    let field = |number: usize| fields[number - 3];
    let number = |at: usize| field(at).parse::<u64>().ok();
    Some(Stat {
        pid,
        name: text[open + 1..close].to_vec(),
        zombie: matches!(field(3), "Z" | "X"),
        parent: field(4).parse().ok()?,
        group: field(5).parse().ok()?,
        own: Sums { user: number(14)?, system: number(15)?, faults: number(10)? },
        reaped: Sums { user: number(16)?, system: number(17)?, faults: number(11)? },
        threads: number(20)?,
        start: number(22)?,
        resident: number(24)?,
    })
}

/// What adds up of one thread.
#[derive(Clone, Copy, Debug, Default)]
struct Task {
    voluntary: u64,
    involuntary: u64,
    /// Processor time, in nanoseconds.
    run: u64,
    wait: u64,
    /// When it was last seen.
    seen: u64,
}

#[derive(Debug)]
struct Watcher {
    root: Stat,
    /// Who may take in the root's orphans: the first process and all ancestors but its parent.
    fosters: HashSet<i32>,
    /// The tree as it was last time.
    tree: HashMap<i32, Stat>,
    /// Processes that are not the server's, so as not to read them ten times a second.
    others: HashSet<i32>,
    /// What processes have taken with them that nobody waited for.
    lost: Sums,
    /// What was said last, so that no sum goes backwards.
    said: Sums,
    /// User and system time as they were said last.
    times: (f64, f64),
    tasks: HashMap<(i32, i32), Task>,
    /// What the tasks have added so far, those that have ended among them.
    switches: Task,
    pss: u64,
    page_tables: u64,
    descriptors: u64,
    memory: Budget,
    threads: Budget,
    round: u64,
    /// How many threads there were last time.
    size: u64,
    page: u64,
    ticks: f64,
    buffer: Vec<u8>,
}

impl Watcher {
    fn new(root: Pid) -> io::Result<Watcher> {
        let mut buffer = Vec::with_capacity(8192);
        read(&format!("/proc/{}/stat", root.as_raw_pid()), &mut buffer)?;
        let root = parse(&buffer).ok_or_else(|| io::Error::other("/proc is not as expected"))?;
        let mut fosters = HashSet::from([1]);
        let mut next = root.parent;
        while read(&format!("/proc/{next}/stat"), &mut buffer).is_ok()
            && let Some(parent) = parse(&buffer).map(|stat| stat.parent)
            && fosters.insert(parent)
        {
            next = parent;
        }
        Ok(Watcher {
            root,
            fosters,
            tree: HashMap::new(),
            others: HashSet::new(),
            lost: Sums::default(),
            said: Sums::default(),
            times: (0.0, 0.0),
            tasks: HashMap::new(),
            switches: Task::default(),
            pss: 0,
            page_tables: 0,
            descriptors: 0,
            memory: Budget::default(),
            threads: Budget::default(),
            round: 0,
            size: 0,
            page: rustix::param::page_size() as u64,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            buffer,
        })
    }

    fn look(&mut self, at: f64, wanted: Wanted) -> Sample {
        self.round += 1;
        let tree = self.find();
        self.mourn(&tree);
        self.tree = tree;
        let alive: Vec<i32> = self.tree.values().filter(|p| !p.zombie).map(|p| p.pid).collect();

        let size = self.tree.values().map(|process| process.threads).sum();
        let settled = (size == self.size).then_some(size);
        self.size = size;
        let mut threads = std::mem::take(&mut self.threads);
        let looks = threads.looks;
        threads.spend(at, wanted >= Wanted::Threads, settled, || {
            alive.iter().for_each(|&pid| self.count_tasks(pid))
        });
        if threads.looks > looks {
            let round = self.round;
            self.tasks.retain(|_, task| task.seen == round);
        }
        self.threads = threads;
        let mut memory = std::mem::take(&mut self.memory);
        memory.spend(at, wanted == Wanted::All, settled, || self.weigh(&alive));
        self.memory = memory;

        let sums = self.tree.values().fold(self.lost, |sum, p| sum.plus(p.own).plus(p.reaped));
        // What is in neither for a moment (a child that was waited for between two reads) is not gone.
        self.said = Sums {
            user: sums.user.max(self.said.user),
            system: sums.system.max(self.said.system),
            faults: sums.faults.max(self.said.faults),
        };
        // Ticks are whole for each process, so that many who have used little seem to have used nothing.
        // What the scheduler says of threads is exact, and leaves out those that nobody has looked at.
        let (user, system) =
            (self.said.user as f64 / self.ticks, self.said.system as f64 / self.ticks);
        let share = if user + system > 0.0 { user / (user + system) } else { 0.5 };
        let unseen = (self.switches.run as f64 / 1e9 - user - system).max(0.0);
        let (user, system) = (user + share * unseen, system + (1.0 - share) * unseen);
        self.times = (user.max(self.times.0), system.max(self.times.1));
        let (user, system) = self.times;
        let living = || self.tree.values().filter(|process| !process.zombie);
        let threads = living().map(|process| process.threads).sum();
        Sample {
            at,
            processes: alive.len() as u64,
            threads,
            pss: self.pss,
            rss: living().map(|process| process.resident * self.page).sum(),
            page_tables: self.page_tables,
            kernel_stacks: threads * KERNEL_STACK,
            user,
            system,
            voluntary: self.switches.voluntary,
            involuntary: self.switches.involuntary,
            run_queue_wait: self.switches.wait as f64 / 1e9,
            descriptors: self.descriptors,
            zombies: (self.tree.len() - alive.len()) as u64,
            minor_faults: self.said.faults,
            listen_overflows: overflows(self.root.pid, &mut self.buffer),
        }
    }

    /// The tree now: the root, all who descend from it, and all who did.
    fn find(&mut self) -> HashMap<i32, Stat> {
        if self.round.is_multiple_of(FORGET) {
            self.others.clear();
        }
        let mut found = HashMap::new();
        let mut strangers = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            if self.others.contains(&pid) {
                continue;
            }
            if read(&format!("/proc/{pid}/stat"), &mut self.buffer).is_err() {
                continue;
            }
            let Some(stat) = parse(&self.buffer) else { continue };
            // A child whose parent has died is still the server's.
            let known = self.tree.get(&pid).is_some_and(|before| before.start == stat.start);
            let root = pid == self.root.pid && stat.start == self.root.start;
            if known || root {
                found.insert(pid, stat);
            } else {
                strangers.insert(pid, stat);
            }
        }
        // Children are not always younger numbers than their parents, so until nothing more is found.
        loop {
            let ours = |stat: &Stat| found.contains_key(&stat.parent);
            let adopted: Vec<i32> = strangers
                .values()
                .filter(|stat| ours(stat) || self.fostered(stat))
                .map(|stat| stat.pid)
                .collect();
            if adopted.is_empty() {
                break;
            }
            found.extend(adopted.iter().filter_map(|pid| strangers.remove_entry(pid)));
        }
        // A process that was born between two reads may seem a stranger; it is none for long.
        self.others.extend(strangers.keys());
        found
    }

    /// Whether a process that descends from nobody known was forked by the server in two steps: it runs the
    /// same program in the same group, and was left to one who takes orphans in.
    fn fostered(&self, stat: &Stat) -> bool {
        stat.start >= self.root.start
            && stat.group == self.root.group
            && stat.name == self.root.name
            && self.fosters.contains(&stat.parent)
    }

    /// Keeps what those who have ended since last time had used, as far as nobody has waited for them.
    fn mourn(&mut self, now: &HashMap<i32, Stat>) {
        let lives = |pid: i32| {
            let then = &self.tree[&pid];
            now.get(&pid).is_some_and(|stat| stat.start == then.start)
        };
        let mut missing: HashMap<i32, Sums> = HashMap::new();
        for ended in self.tree.values().filter(|process| !lives(process.pid)) {
            // Whoever of the ancestors lives may have it in what it has waited for.
            let mut heir = ended.parent;
            while let Some(parent) = self.tree.get(&heir)
                && !lives(heir)
                && parent.parent != heir
            {
                heir = parent.parent;
            }
            let sum = missing.entry(heir).or_default();
            *sum = sum.plus(ended.own).plus(ended.reaped);
        }
        for (heir, sum) in missing {
            let gained = match (self.tree.get(&heir), now.get(&heir)) {
                (Some(then), Some(now)) => now.reaped.beyond(then.reaped),
                _ => Sums::default(),
            };
            self.lost = self.lost.plus(sum.beyond(gained));
        }
    }

    fn count_tasks(&mut self, pid: i32) {
        let folder = format!("/proc/{pid}/task");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(tid) = name.parse() else { continue };
            let Some(mut task) = task(&format!("{folder}/{name}"), &mut self.buffer) else {
                continue;
            };
            task.seen = self.round;
            let then = self.tasks.insert((pid, tid), task).unwrap_or_default();
            // Less than before: a new task has the number of an old one.
            let more = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
            self.switches.voluntary += more(task.voluntary, then.voluntary);
            self.switches.involuntary += more(task.involuntary, then.involuntary);
            self.switches.run += more(task.run, then.run);
            self.switches.wait += more(task.wait, then.wait);
        }
    }

    fn weigh(&mut self, alive: &[i32]) {
        (self.pss, self.page_tables, self.descriptors) = (0, 0, 0);
        for pid in alive {
            let mut kib = |file: &str, name: &[u8]| {
                read(&format!("/proc/{pid}/{file}"), &mut self.buffer).ok()?;
                number_after(&self.buffer, name)
            };
            self.pss += kib("smaps_rollup", b"\nPss:").unwrap_or(0) * 1024;
            self.page_tables += kib("status", b"\nVmPTE:").unwrap_or(0) * 1024;
            self.descriptors += descriptors(*pid);
        }
    }
}

fn task(folder: &str, buffer: &mut Vec<u8>) -> Option<Task> {
    read(&format!("{folder}/status"), buffer).ok()?;
    let voluntary = number_after(buffer, b"\nvoluntary_ctxt_switches:")?;
    let involuntary = number_after(buffer, b"\nnonvoluntary_ctxt_switches:")?;
    read(&format!("{folder}/schedstat"), buffer).ok()?;
    let mut times = std::str::from_utf8(buffer).ok()?.split_whitespace();
    let (run, wait) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(Task { voluntary, involuntary, run, wait, seen: 0 })
}

/// How many descriptors are open: the size of the folder, where the kernel says it (since Linux 6.2).
fn descriptors(pid: i32) -> u64 {
    let folder = format!("/proc/{pid}/fd");
    match fs::metadata(&folder).map(|folder| folder.size()) {
        Ok(0) => fs::read_dir(&folder).map_or(0, |entries| entries.count() as u64),
        Ok(size) => size,
        Err(_) => 0,
    }
}

fn overflows(pid: i32, buffer: &mut Vec<u8>) -> u64 {
    let find = |text: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let mut both = names.split(' ').zip(values.split(' '));
        both.find(|(name, _)| *name == "ListenOverflows")?.1.parse().ok()
    };
    let _ = read(&format!("/proc/{pid}/net/netstat"), buffer);
    std::str::from_utf8(buffer).ok().and_then(find).unwrap_or(0)
}

/// Reads a small file whole, into a buffer that is used again.
fn read(path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer).map(drop)
}

/// The number behind `name`, which begins with the end of the line before.
fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let at = text.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = text[at..].iter().copied().skip_while(|byte| !byte.is_ascii_digit());
    let number = digits.take_while(u8::is_ascii_digit);
    Some(number.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    /// A script that ends when its standard input does, which says so when it is ready.
    fn python(script: &str) -> Option<Child> {
        use io::BufRead;
        let mut child = Command::new("python3")
            .args(["-c", script])
            // Of its own, so that nobody's orphans but its own are taken for its.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        io::BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        (line == "ready\n").then_some(child)
    }

    fn samples_of(child: &Child, count: usize) -> Vec<Sample> {
        let mut watcher = Watcher::new(Pid::from_child(child)).unwrap();
        (0..count).map(|at| watcher.look(at as f64, Wanted::All)).collect()
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn threads_and_descriptors() {
        let script = "import threading, sys, os\n\
            e = threading.Event()\n\
            for _ in range(6): threading.Thread(target=e.wait, daemon=True).start()\n\
            kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(20)]\n\
            print('ready', flush=True); sys.stdin.read()";
        let Some(child) = python(script) else { return };
        let sample = samples_of(&child, 1)[0];
        assert_eq!((sample.processes, sample.threads, sample.zombies), (1, 7, 0), "{sample:?}");
        assert_eq!(sample.kernel_stacks, 7 * KERNEL_STACK);
        assert!((23..40).contains(&sample.descriptors), "{sample:?}");
        assert!(sample.pss > 1 << 20 && sample.rss >= sample.pss, "{sample:?}");
        assert!(sample.page_tables > 0 && sample.minor_faults > 0, "{sample:?}");
        assert!(sample.voluntary > 0, "{sample:?}");
        end(child);
    }

    #[test]
    fn children_and_zombies() {
        let script = "import os, sys\n\
            for _ in range(3):\n\
            \x20   if os.fork() == 0: sys.stdin.read(); os._exit(0)\n\
            dead = [os.fork() or os._exit(0) for _ in range(2)]\n\
            for pid in dead: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n\
            print('ready', flush=True); sys.stdin.read()";
        let Some(child) = python(script) else { return };
        let sample = samples_of(&child, 1)[0];
        assert_eq!((sample.processes, sample.zombies), (4, 2), "{sample:?}");
        end(child);
    }

    /// A child that is waited for, one that is not, and one that was forked in two steps.
    #[test]
    fn the_dead_keep_what_they_used() {
        for how in ["wait", "ignore", "double"] {
            let script = format!(
                "import os, sys, signal, time\n\
                 def burn():\n\
                 \x20   while time.process_time() < 0.3: pass\n\
                 \x20   os.write(w, b'x'); os.read(r2, 1)\n\
                 how = '{how}'\n\
                 r, w = os.pipe(); r2, w2 = os.pipe()\n\
                 if how == 'ignore': signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
                 pid = os.fork()\n\
                 if pid == 0:\n\
                 \x20   if how == 'double' and os.fork() != 0: os._exit(0)\n\
                 \x20   burn(); os.write(w, b'y'); os._exit(0)\n\
                 os.read(r, 1)\n\
                 if how == 'double': os.waitpid(pid, 0)\n\
                 print('ready', flush=True); sys.stdin.readline(); os.write(w2, b'x')\n\
                 os.read(r, 1)\n\
                 if how == 'wait': os.waitpid(pid, 0)\n\
                 if how != 'wait':\n\
                 \x20   while os.path.exists(f'/proc/{{pid}}'): time.sleep(0.01)\n\
                 print('done', flush=True); sys.stdin.read()"
            );
            let mut child = Command::new("python3")
                .args(["-c", &script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let Ok(child) = &mut child else { return };
            let mut output = io::BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            io::BufRead::read_line(&mut output, &mut line).unwrap();
            assert_eq!(line, "ready\n");
            let mut watcher = Watcher::new(Pid::from_child(child)).unwrap();
            let before = watcher.look(0.0, Wanted::All);
            assert_eq!(before.processes, 2, "{how}: {before:?}");
            assert!(before.user + before.system >= 0.25, "{how}: {before:?}");
            let mut input = child.stdin.take().unwrap();
            io::Write::write_all(&mut input, b"go\n").unwrap();
            io::BufRead::read_line(&mut output, &mut line).unwrap();
            let after = watcher.look(1.0, Wanted::All);
            assert!(after.user + after.system >= before.user + before.system, "{how}: {after:?}");
            assert!(after.voluntary >= before.voluntary, "{how}: {after:?}");
            assert!(after.minor_faults >= before.minor_faults, "{how}: {after:?}");
            drop(input);
            child.wait().unwrap();
            // Of two steps, the second process was nobody's to wait for: it may still be on its way out.
            let mut gone = watcher.look(2.0, Wanted::All);
            harness::wait::within(harness::wait::PATIENCE, || {
                gone = watcher.look(2.0, Wanted::All);
                gone.processes == 0
            });
            assert_eq!((gone.processes, gone.threads), (0, 0), "{how}: {gone:?}");
            assert!(gone.user + gone.system >= after.user + after.system, "{how}: {gone:?}");
        }
    }

    #[test]
    fn the_axis_begins_where_it_is_told() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // Before the watch, whose own times begin a moment later.
        let begin = Instant::now();
        let sampler = Sampler::start(Pid::from_child(&child), Placement::Unpinned).unwrap();
        // Until the last look, which is one that is asked for, cannot be taken for one that was asked for at the beginning.
        let patience = harness::wait::PATIENCE;
        let late = || sampler.latest().is_some_and(|sample| sample.at > 0.35);
        assert!(harness::wait::within(patience, late));
        let series = sampler.finish(begin + Duration::from_millis(150));
        assert!(series.samples.len() >= 2, "{series:?}");
        let times: Vec<f64> = series.samples.iter().map(|sample| sample.at).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times[0] <= 0.0 && times[1] > 0.0, "{times:?}");
        assert_eq!(series.first.processes, 1);
        assert!(series.summary().contains("samples"));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Sampler::start(Pid::from_child(&child), Placement::Unpinned).is_err());
    }

    #[test]
    fn names_may_hold_anything() {
        let text = b"12 (a) b (c) S 3 4 4 0 -1 0 5 6 0 0 7 8 9 10 20 0 11 0 12 4096 13 0";
        let stat = parse(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_slice(), stat.parent), (12, &b"a) b (c"[..], 3));
        assert_eq!(stat.own, Sums { user: 7, system: 8, faults: 5 });
        assert_eq!(stat.reaped, Sums { user: 9, system: 10, faults: 6 });
        assert_eq!((stat.threads, stat.start, stat.resident), (11, 12, 13));
        assert!(parse(b"").is_none());
    }
}
