//! Every rule of the protocol as a named case.
//!
//! The catalogue below is the table of contents: one line per case says what it checks and what it
//! needs of the server. [`conformance!`](crate::conformance!) makes one `#[test]` of each; [`run`]
//! runs one by name for anybody else.
//!
//! A case fails by panicking. It starts the servers that it needs, with the options that it needs,
//! each on a folder and a port of its own, so that cases may run side by side in any order. What
//! the protocol leaves open, no case asserts.

mod bodies;
mod busy;
mod conditions;
mod deadlines;
mod fairness;
mod first_line;
mod framing;
mod get;
mod http;
mod jobs;
mod landing;
mod lifecycle;
mod limits;
mod list;
mod listings;
mod logging;
mod page;
mod paths;
mod put;
mod shrinking;
mod slow_files;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::root::pattern;
use crate::subject::Need::{self, Clients, Fuse, Nothing, OwnUser, PrivateMount, ProcessPerClient};
use crate::wire::{Conn, show};
use crate::{Launch, Root, Server, Subject, oracles};

/// One rule, and how to hold a server against it.
#[derive(Clone, Copy)]
pub struct Case {
    /// The module and the function, as in `put::read_only`.
    pub name: &'static str,
    /// What it checks, in a sentence.
    pub what: &'static str,
    /// What it needs.
    pub need: Need,
    check: fn(&Subject),
}

impl Case {
    /// Runs the case, or gives the reason why it cannot be run. Panics where the server is wrong.
    pub fn run(&self, subject: &Subject) -> Result<(), String> {
        match subject.lacks(self.need) {
            Some(reason) => Err(reason),
            None => {
                (self.check)(subject);
                Ok(())
            }
        }
    }
}

/// Runs the case of this name; a skipped one says so on standard error.
pub fn run(name: &str, subject: &Subject) {
    let case = CASES.iter().find(|case| case.name == name).expect("a name of the catalogue");
    if let Err(reason) = case.run(subject) {
        eprintln!("SKIPPED {name}: {reason}");
    }
}

/// Writes the catalogue once and makes two things of it: the table [`CASES`], and the macro that
/// turns it into tests. (`$dollar` stands for the dollar signs of the macro within the macro.)
macro_rules! catalogue {
    ($dollar:tt $($module:ident { $(#[doc = $what:literal] $case:ident: $need:expr,)+ })+) => {
        /// All cases, in the order of the catalogue.
        pub static CASES: &[Case] = &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            what: $what,
            need: $need,
            check: $module::$case,
        },)+)+];

        /// One `#[test]` for every case, against the [`Subject`](crate::Subject) that the
        /// expression gives. Variants of a server go into modules of their own:
        ///
        /// ```ignore
        /// use harness::Subject;
        ///
        /// fn server() -> Subject {
        ///     Subject::new(env!("CARGO_BIN_EXE_pool_server"))
        /// }
        ///
        /// mod steal {
        ///     harness::conformance!(super::server().args(["--pool", "steal"]));
        /// }
        /// ```
        #[macro_export]
        macro_rules! conformance {
            ($dollar subject:expr) => {
                fn conformance_subject() -> $crate::Subject {
                    $dollar subject
                }
                $(mod $module {
                    $(#[test]
                    fn $case() {
                        let name = concat!(stringify!($module), "::", stringify!($case));
                        $crate::conformance::run(name, &super::conformance_subject());
                    })+
                })+
            };
        }
    };
}

catalogue! { $
    framing {
        /// Replies are exactly `OK <n>`, LF and n bytes.
        replies_are_exact: Nothing,
        /// Verbs match without regard to case.
        verbs_ignore_case: Nothing,
        /// One CR before the LF is dropped, and only one.
        a_cr_before_the_lf_is_dropped: Nothing,
        /// Unknown verbs, empty lines and lines that are not UTF-8: `bad-command`, goes on.
        unknown_commands: Nothing,
        /// Two spaces in a row or a trailing one: `bad-argument`, goes on.
        empty_fields: Nothing,
        /// Too few or too many arguments: `bad-argument`, goes on.
        argument_counts: Nothing,
        /// Numbers have 1 to 19 digits, no sign, no leading zero, and end at 2^63-1.
        numbers: Nothing,
        /// A malformed `PUT` line: `bad-argument`, closes, since its body has no known end.
        bad_put_closes: Nothing,
        /// A line of 4,096 bytes with its LF is a request.
        the_longest_line: Nothing,
        /// No LF within 4,096 bytes: `line-too-long`, closes without a reset.
        a_line_too_long: Nothing,
        /// 1,000 requests in one write: 1,000 replies in order.
        a_thousand_requests_in_one_write: Nothing,
        /// A request that arrives while the reply before it is stuck is answered after it.
        a_request_during_a_blocked_reply: Nothing,
        /// A stream of requests cut in two at every byte: the same replies.
        every_split_gives_the_same_replies: Nothing,
        /// The same for HTTP, and for whatever either protocol refuses.
        every_split_gives_the_same_responses: Nothing,
        /// Every byte read by itself: the same replies, in both protocols.
        one_byte_at_a_time: Nothing,
        /// After the client's FIN every complete request is answered in full, then the server closes.
        half_close_is_answered_in_full: Nothing,
        /// Clients that say nothing and leave, politely or not, are borne.
        nothing_sent_nothing_answered: Nothing,
        /// `QUIT` is answered, then the server closes; what comes after it is not.
        quit_ends_the_conversation: Nothing,
        /// Messages are printable text whatever was sent.
        messages_are_printable: Nothing,
        /// The first line decides the protocol of the connection.
        the_first_line_decides: Nothing,
        /// An unfinished line is not answered, and a finished conversation is let go.
        a_quiet_client_gets_no_answer: Nothing,
    }
    get {
        /// Files of every size, around every buffer's edge.
        files_of_every_size: Nothing,
        /// Every offset with every length.
        offset_and_length: Nothing,
        /// An offset at the end is empty, one beyond it is `bad-range`.
        beyond_the_end: Nothing,
        /// `HASH` is SHA-256 in lower-case hex with an LF.
        hashes: Nothing,
        /// Folders, FIFOs, sockets and devices: `not-a-file` or `not-a-directory`, without blocking.
        only_regular_files_are_read: Nothing,
        /// A file that shrinks while it is sent: a short body, then the shorter file.
        a_file_that_shrinks: Nothing,
        /// A file that is replaced while it is sent: the old one, whole.
        a_file_that_is_replaced: Nothing,
        /// Nothing there, or a path through a file: `not-found`.
        what_is_not_there: Nothing,
        /// What the operating system refuses: `denied`, 403; the conversation goes on.
        what_is_forbidden: Nothing,
        /// A full disk: `no-space`, 507; the old file stays, the room comes back.
        a_full_disk: PrivateMount,
    }
    first_line {
        /// What is nearly HTTP is refused as HTTP; fields and body of a foreign page are not executed.
        nearly_http_is_refused: Nothing,
        /// HTTP/1.2 and above are answered as 1.1; other major versions are 505.
        versions: Nothing,
        /// First lines near 4,096 and 8,192 bytes, in either protocol.
        long_lines: Nothing,
        /// An empty line at the beginning: skipped before HTTP, else `bad-command`.
        an_empty_line_at_the_beginning: Nothing,
        /// One empty line before a later request of HTTP is skipped; a second one is 400.
        an_empty_line_between_requests: Nothing,
        /// An empty line that nothing follows is answered at the deadline of a header.
        an_empty_line_and_nothing_else: Nothing,
        /// An empty line behind a request of HTTP does not begin another.
        an_empty_line_keeps_a_client_idle: Nothing,
        /// Neither protocol turns into the other.
        protocols_do_not_change: Nothing,
        /// The host of an absolute target counts, not `Host`, for what a page may write.
        the_host_in_the_target: Nothing,
    }
    bodies {
        /// Chunked uploads of every size, in chunks of every size, with extensions and trailers.
        chunked_uploads: Nothing,
        /// A request behind a chunked body is the next one, however it is cut.
        requests_behind_chunks: Nothing,
        /// `Expect: 100-continue` before chunks.
        chunks_on_demand: Nothing,
        /// Malformed chunks: 400, closes, nothing stored, nothing behind them answered.
        malformed_chunks: Nothing,
        /// Chunks above `--max-file-size`: 413, closes, nothing stored.
        chunks_above_the_limit: Nothing,
        /// A refused chunked upload is read to its end.
        refused_chunks_are_read_to_their_end: Nothing,
        /// Chunks that end too early, or stop: nothing stored.
        chunks_cut_short_leave_nothing: Nothing,
        /// All other codings: 400 or 501, closes.
        transfer_codings: Nothing,
        /// A chunked body of another method is not executed.
        chunks_of_other_methods: Nothing,
        /// `PUT` with `Content-Range`: 400, the old content stays.
        a_part_is_not_stored: Nothing,
    }
    list {
        /// Sizes, times, kinds, and the order of bytes.
        format_and_order: Nothing,
        /// Folders, with and without slashes; an empty one is an empty listing.
        folders_and_slashes: Nothing,
        /// Only what must be encoded is, and every name can be sent back.
        names_are_encoded: Nothing,
        /// Names with control bytes and special files are left out.
        what_no_request_could_address_is_left_out: Nothing,
        /// Links show what they point to; those that leave, loop or dangle are left out.
        links: Nothing,
        /// 3,000 entries.
        a_large_folder: Nothing,
        /// A folder in which files are renamed: no partial line, nothing that stays is missing.
        a_folder_that_changes: Nothing,
    }
    listings {
        /// A listing that is not read costs its snapshot, and nothing once the client has left.
        an_unread_listing_costs_a_snapshot: Nothing,
        /// A client that stops in the middle of an upload costs no buffer.
        an_upload_that_stops_holds_no_buffer: Nothing,
        /// Large listings wait for room, first come, first served; small ones do not.
        listings_wait_for_room_in_order: Clients(13),
        /// A listing that waits for the transfer timeout: `busy`, 503, and the connection stays.
        listings_without_room_are_busy: Clients(9),
    }
    paths {
        /// Everything that the rules refuse is `bad-path` for every verb.
        refused_by_the_rules: Nothing,
        /// Strange names that are names all the same, raw and encoded.
        allowed_by_the_rules: Nothing,
        /// The root itself, for every verb.
        the_root_itself: Nothing,
        /// Links are followed inside the root and refused where they leave it.
        links: Nothing,
        /// Thousands of spellings of a file outside, in both protocols.
        no_spelling_leads_out: Nothing,
        /// A folder that is swapped with a link to the outside, over and over.
        a_folder_swapped_with_a_link: Nothing,
    }
    put {
        /// Files of every size, new and replaced.
        files_of_every_size: Nothing,
        /// A name of 255 bytes can be written, and one of any bytes.
        names_as_long_as_they_may_be: Nothing,
        /// A refused body is thrown away and the conversation goes on.
        a_refused_upload_is_read_to_its_end: Nothing,
        /// Folders, FIFOs, sockets, devices and the root are not replaced.
        only_regular_files_are_replaced: Nothing,
        /// A link is replaced, not followed; a folder behind a link is reached.
        a_link_is_replaced: Nothing,
        /// Above the limit: `too-large` at once, closes.
        too_large_is_refused_at_once: Nothing,
        /// A client that listens only when all is sent can read the refusal, in both protocols.
        too_large_is_read_without_a_reset: Nothing,
        /// A refused client that neither stops nor closes is let go.
        draining_ends: Nothing,
        /// Cut short: nothing visible, nothing left when the client sees the end.
        an_upload_cut_short_leaves_nothing: Nothing,
        /// Uploads in progress are neither listed nor addressable, and the old file is seen.
        an_upload_under_way_is_invisible: Clients(4),
        /// Of two uploads the last to finish stays.
        the_last_to_finish_wins: Clients(2),
        /// 8 writers and 8 readers of one name, in both protocols: never a mix.
        writers_and_readers: Nothing,
        /// kill -9 in mid-upload: the old files, and nothing left after the next start.
        killed_in_mid_upload: Nothing,
        /// What was acknowledged survives kill -9.
        acknowledged_uploads_survive_a_kill: Nothing,
        /// Starting a second server on a root does not touch the uploads of the first.
        a_second_server_spares_live_uploads: Nothing,
        /// `--read-only`: `PUT` is refused, the rest works, in both protocols.
        read_only: Nothing,
        /// Where several rules are broken, the order of checks decides.
        order_of_checks: Nothing,
        /// `--max-file-size` in bytes, KiB, MiB, GiB; 1 GiB without it.
        size_limits_have_suffixes: Nothing,
    }
    shrinking {
        /// 1 MiB, truncated while it is sent, in both protocols: short, and a reset.
        a_truncated_download_is_reset: Nothing,
        /// Whatever has not reached the socket when a file is truncated never makes a body whole.
        what_is_held_back_is_not_padded: Nothing,
        /// `--copy`: files of every size, truncated while they are sent: no byte that is not the file's.
        copied_bytes_are_never_cleared: Nothing,
        /// `--copy` changes nothing else: every size, every range.
        copied_files_are_whole: Nothing,
        /// Files whose size is a fiction: `not-a-file`, 409, and not listed; the log has the reason.
        a_size_that_is_a_fiction: Nothing,
        /// The same where such a file system is mounted below the root.
        a_fiction_below_the_root: PrivateMount,
    }
    slow_files {
        /// File calls that are interrupted (EINTR) are made again: every request, both protocols.
        interrupted_calls_are_repeated: Fuse,
        /// The same with `--copy`, and where reads and writes come short.
        calls_that_come_short: Fuse,
        /// A change of a name that was executed and interrupted all the same is not made twice.
        executed_changes_are_not_repeated: Fuse,
        /// A file system that interrupts without end: an error, and no thread spins.
        endless_interruptions_are_an_error: Fuse,
        /// Whatever ends a large upload, no other client waits for its removal, and its own client learns of the end after it.
        dropped_upload_stalls_no_other_client: Fuse,
        /// A large upload that lands, or a large file that is replaced, holds up no other client.
        large_landing_stalls_no_other_client: Fuse,
        /// A read, a listing or a flush that stalls: `timeout`, 408 from helper threads, else a late reply; others are served.
        stalled_work_ends_in_timeout: Fuse,
        /// No stall is noticed much later than the transfer timeout says.
        stalled_work_ends_in_time: Fuse,
        /// A pause of the whole server for longer than the transfer timeout ends no work that is under way.
        pause_of_server_is_no_stall: Fuse,
        /// An upload whose flush stalled takes no name afterwards, and leaves nothing.
        stalled_upload_is_not_stored: Fuse,
        /// Slow work that goes on is not cut, however long it takes in all.
        slow_work_that_goes_on_is_finished: Fuse,
        /// Work that waits behind stalled work does not count as stalled.
        queued_work_is_not_stalled: Fuse,
    }
    deadlines {
        /// An idle client is told `timeout` and cut, not too early.
        idle: Nothing,
        /// Whole seconds are accepted everywhere.
        whole_seconds: Nothing,
        /// An unfinished line is cut.
        header: Nothing,
        /// The header deadline counts from the first byte, however many follow.
        header_of_a_dribbling_client: Nothing,
        /// An upload that stops is cut, and leaves nothing.
        upload: Nothing,
        /// An upload that never quite stops is not.
        upload_that_dribbles_on: Nothing,
        /// A reader that stalls is cut.
        download: Nothing,
        /// It is cut within 1.2 times the timeout after its kernel has acknowledged the last byte.
        stalled_download_is_cut_in_time: Nothing,
        /// A slow reader that goes on is not.
        download_that_goes_on: Nothing,
        /// One that reads 1 KiB every 0.2 s is not, with a timeout of 1 s.
        slow_reader_with_progress_is_served: Nothing,
        /// The whole server stops until after the deadline: what came in time is served, and the rest is refused at once.
        pause_of_server_refuses_no_request: Nothing,
        /// No deadline falls on another's business.
        deadlines_keep_to_their_business: Nothing,
        /// HTTP: 408 and the end for heads and bodies, the end for idle clients.
        http: Nothing,
        /// HTTP: a head that dribbles is cut.
        http_head_of_a_dribbling_client: Nothing,
    }
    jobs {
        /// While eight clients wait for endless hashes: listings, pages and files come.
        listing_overtakes_hashes: Clients(10),
        /// A reset ends the hash that its client has asked for.
        reset_ends_hash: Nothing,
        /// Clients that have ended their side get their hashes, and those of the others go on.
        half_closed_hash_is_answered: Nothing,
        /// Where helper threads hash, at most two of them do it for clients that have ended their side.
        half_closed_hashes_run_in_pairs: Clients(6),
    }
    limits {
        /// Above `--max-connections`: `busy`, unasked; the others are served.
        more_clients_than_allowed: Clients(4),
        /// A refused client that talks before it listens reads `busy`, not a reset.
        busy_is_no_reset: Clients(2),
        /// A client that leaves, in whatever way, makes room.
        a_place_is_freed: Clients(2),
        /// The soft limit on descriptors is raised, and lowers `--max-connections` with a warning.
        descriptor_limits: Clients(6),
        /// No descriptors left: no spinning, everybody served or `busy`, full recovery.
        descriptors_run_out: Clients(100),
        /// A spare descriptor that another use took away: clients are refused again as soon as one is free.
        lost_spare_descriptor_is_regained: Clients(110),
        /// Hundreds of short connections: no zombies, no descriptors, no processes left.
        a_storm_of_short_connections: Nothing,
        /// Clients that vanish in mid-transfer: no death, nothing left.
        clients_that_vanish: Nothing,
        /// A stalled reader of 100 MiB: no processor time, others served, every byte right.
        a_reader_that_stalls: Nothing,
        /// Many stalled readers: others served.
        many_readers_that_stall: Clients(8),
        /// Idle clients keep nobody from being served and cost no processor time.
        idle_clients_starve_nobody: Clients(8),
        /// Announced sizes, unread replies and endless lines cost no memory.
        memory_is_bounded: Nothing,
        /// Signals that mean nothing, in mid-upload.
        stray_signals: Nothing,
        /// No thread or process to be had while serving: served, or `busy`; others go on; drained, exit code 0.
        no_thread_while_serving: OwnUser,
        /// A child holds its own connection and nothing else; the parent holds none.
        a_child_holds_only_its_own_socket: ProcessPerClient,
        /// A child that is killed costs its client alone, and its place is freed.
        a_child_that_is_killed: ProcessPerClient,
        /// Children whose parent is killed end in bounded time.
        children_whose_parent_is_killed: ProcessPerClient,
    }
    fairness {
        /// Clients that pipeline `GET` without end: another is served after two shares of each at most.
        pipelined_files_starve_nobody: Clients(9),
        /// The same with listings, which a server may hand to other threads.
        pipelined_listings_starve_nobody: Clients(9),
        /// The same with small uploads.
        pipelined_uploads_starve_nobody: Clients(9),
    }
    busy {
        /// HTTP: 503 with `Retry-After`, whole and without a reset, whatever follows the first line.
        an_http_client_gets_503: Clients(2),
        /// A first line of HTTP that comes in pieces, or in part: 503.
        an_http_request_in_pieces: Clients(2),
        /// A first line that is not HTTP, or none: the line of the file protocol.
        others_get_the_line: Clients(2),
        /// A client that sends nothing gets the line when the wait for a first line is over.
        a_silent_client_gets_the_line: Clients(2),
        /// Refused clients that are silent delay no other client, however many they are.
        silent_clients_delay_no_other: Clients(2),
        /// A refused client that never stops sending is slowed down: it costs the server little.
        refused_sender_is_slowed: Clients(2),
        /// `curl` understands the refusal.
        curl_shows_503: Clients(2),
    }
    lifecycle {
        /// The first line of output, and nothing before it.
        it_says_where_it_listens: Nothing,
        /// Without `--root` the current folder is served.
        the_root_is_the_current_folder: Nothing,
        /// A bad option, root or address: one line on standard error, exit code 2.
        a_bad_command_line: Nothing,
        /// All options go together.
        every_option_at_once: Nothing,
        /// SIGTERM, SIGINT: idle connections close, exit code 0.
        idle_connections_close: Nothing,
        /// SIGTERM, SIGINT without clients: exit code 0.
        without_clients_it_ends_at_once: Nothing,
        /// SIGTERM in mid-download: the port is closed at once, the download is finished.
        a_download_is_finished: Nothing,
        /// SIGTERM in mid-upload: the upload is finished, in both protocols.
        an_upload_is_finished: Nothing,
        /// Ctrl-C in a terminal reaches all processes and is one signal all the same.
        a_signal_from_the_terminal: Nothing,
        /// After the drain timeout the server ends with a warning and exit code 0.
        draining_has_an_end: Nothing,
        /// A second signal ends it at once, with 128 plus its number.
        a_second_signal: Nothing,
        /// The port can be bound again at once, after an orderly end and after kill -9.
        the_port_is_free_again: Nothing,
        /// The same when the parent alone is killed, as soon as it listens.
        port_is_free_after_parent_is_killed: Nothing,
        /// No thread or process to be had at the start: one line, exit code 1; where it is tried again, a warning.
        no_thread_at_start: OwnUser,
        /// Without `-v` ordinary business is not logged.
        the_log_is_quiet: Nothing,
        /// `-v` logs connections.
        the_log_tells_of_connections: Nothing,
        /// `-vv`: one line per event whatever bytes a client sends.
        the_log_keeps_one_line_per_event: Nothing,
        /// `--sync` changes nothing that a client could see.
        syncing: Nothing,
    }
    http {
        /// Files of every size.
        files: Nothing,
        /// Content types by name.
        content_types: Nothing,
        /// `HEAD` is `GET` without the body.
        head: Nothing,
        /// 1.1 goes on, `Connection: close` and 1.0 do not.
        connections_persist: Nothing,
        /// 800 requests in one write, uploads among them.
        pipelining: Nothing,
        /// Single ranges: 206, 416, or ignored where they are none.
        ranges: Nothing,
        /// `PUT` creates and replaces.
        uploads: Nothing,
        /// `PUT` refused: the status, and a conversation that stays in step.
        refused_uploads: Nothing,
        /// `Expect: 100-continue` is answered before the body, unless the answer is no.
        expect_continue: Nothing,
        /// `OPTIONS` tells what is allowed; the rest is 405.
        options_and_other_methods: Nothing,
        /// Every error of the store has its status.
        error_statuses: Nothing,
        /// The page of a folder: names escaped, every link good.
        folder_pages: Nothing,
        /// `?sort=` and `order=`: folders first, then as asked; JSON is not touched.
        folder_pages_are_sorted: Nothing,
        /// The page's policy allows its own script and style by their hashes, and nothing else.
        folder_pages_are_confined: Nothing,
        /// `--read-only`: the page offers no upload.
        read_only_pages: Nothing,
        /// HTML, SVG, XML are offered for saving and sandboxed; `?download` does it for any file.
        what_browsers_could_run_is_saved: Nothing,
        /// `PUT` from the server's own page, by address and localhost, and from programs.
        a_page_writes_to_its_own_server: Nothing,
        /// `PUT` from any other page: 403, the body thrown away, nothing written; rebound names too.
        foreign_pages_cannot_write: Nothing,
        /// `PUT` from a page under the name in `--addr`.
        the_name_that_the_server_was_started_with: Nothing,
        /// What foreign pages may send is never taken for other requests, and nothing is shared with them.
        browsers_cannot_smuggle: Nothing,
        /// The same as JSON.
        folders_as_json: Nothing,
        /// Malformed heads: 400, closes, nothing smuggled behind them is answered.
        malformed_heads: Nothing,
        /// Ambiguous or malformed lengths and transfer codings: 400 or 501, closes.
        ambiguous_lengths: Nothing,
        /// More than 16 KiB or 100 fields: 431.
        heads_too_large: Nothing,
        /// A request line of more than 8,192 bytes: 414.
        targets_too_long: Nothing,
        /// Both protocols work on the same files.
        one_store: Nothing,
        /// After the client's FIN every complete request is answered.
        half_close: Nothing,
    }
    conditions {
        /// `ETag`, `Last-Modified`, and 304.
        validators: Nothing,
        /// A file that is replaced or rewritten, with its size and time put back: never an old tag again.
        old_tags_stay_old: Nothing,
        /// `If-Range` joins no two versions, neither by tag nor by date.
        if_range_never_joins_versions: Nothing,
        /// All three forms of dates, those before 1970, and second 60; what is no date is ignored.
        all_forms_of_dates: Nothing,
        /// `Last-Modified` before 1970 is the true one.
        a_file_older_than_1970: Nothing,
        /// `PUT` with a malformed list of entity tags: 400, and nothing is stored.
        malformed_lists_of_tags: Nothing,
        /// A listing exists and has no tag and no date.
        listings: Nothing,
        /// 400, 404 and 409 win over 412 and 304; these win over 416.
        the_order_of_refusals: Nothing,
    }
    page {
        /// A program that follows every link fetches each file and each folder once, without a query.
        mirror_fetches_each_entry_once: Nothing,
        /// Buttons sort and save; they need no script.
        buttons_sort_and_save: Nothing,
        /// JSON: `encoded` is distinct for each entry and leads to it by either protocol.
        json_names_are_exact: Nothing,
        /// Types registered in the last ten years, for files that run nothing.
        types_follow_the_registry: Nothing,
        /// The page marks odd spaces, invisible characters and bytes that are not UTF-8.
        different_names_look_different: Nothing,
        /// Where uploads are taken, the page shows how to upload to its address without scripts.
        uploads_without_scripts_are_explained: Nothing,
    }
    landing {
        /// Of two create-only uploads of one name the first to finish stays, and the other is 412.
        create_only_uploads_race: Clients(2),
        /// Of two uploads that replace one version the second to finish is 412.
        replacements_of_one_version_race: Clients(2),
        /// A file that is created, replaced or removed during an upload fails its condition.
        changes_during_an_upload_count: Clients(4),
        /// A name exists whatever has it, whether the server can read it or not.
        existence_goes_by_name: Nothing,
        /// A condition on a link is judged by the tag that `GET` returns for it.
        a_link_has_the_tag_of_its_file: Nothing,
        /// 400, 404 and 409 win over 412.
        errors_come_before_conditions: Nothing,
        /// The tag in the reply to a `PUT` is that of the stored file.
        the_reply_to_an_upload_has_its_tag: Nothing,
        /// Two servers on one root: no read-modify-write with `If-Match` is lost.
        two_processes_lose_no_update: Nothing,
        /// An upload waits for a lock, other clients do not, and then it lands.
        a_held_lock_delays_only_its_uploads: Clients(3),
        /// A lock that is held for the transfer timeout: `timeout`, 408, closes, and nothing left.
        a_lock_kept_too_long_fails_the_upload: Nothing,
        /// Without file locks uploads land, and no live upload is taken for a leftover.
        uploads_land_without_locks: Clients(2),
        /// A killed server's temporary behind a link is gone after the next start.
        leftovers_behind_links_are_removed: Nothing,
        /// The same below paths that no link's text can hold, where files can be replaced, too.
        leftovers_below_long_paths_are_removed: Nothing,
    }
    logging {
        /// Standard error on a full disk: clients are served, exit codes stay.
        log_on_full_disk_is_lost: Nothing,
        /// Standard error whose reader is gone: the same.
        log_without_reader_is_lost: Nothing,
        /// Standard error whose reader does not read: the same, and the pipe stays in blocking mode.
        unread_log_delays_no_client: Nothing,
        /// The same where the server cannot open standard error again: a socket, another user's pipe.
        unread_log_is_never_reopened: Nothing,
        /// When standard error works again, a line has the number of those that are missing.
        lost_lines_are_counted: Nothing,
        /// A log on the served disk, which uploads fill: lines are missing, and none is glued to another.
        log_on_served_disk_recovers: PrivateMount,
        /// An upload without space, while standard error is full, too: `no-space`, and it goes on.
        upload_without_space_or_log: Nothing,
        /// Standard output without a reader, or on a full disk: clients are served, exit codes stay.
        output_without_reader_is_lost: Nothing,
        /// Standard output whose reader does not read holds up neither the start nor the end.
        unread_output_delays_no_end: Nothing,
        /// A trace on a full disk: one warning, whatever the number of processes, and serving goes on.
        full_trace_is_one_warning: Nothing,
        /// A FIFO, a socket, a directory or a full device as a trace: one line, exit code 2.
        trace_needs_a_file: Nothing,
    }
}

/// How often something is tried again that the machine has held up.
const ATTEMPTS: usize = 20;

/// For how long in all a server goes on reading from a client that it has refused.
const LINGER: Duration = Duration::from_secs(1);

/// A new connection whose first bytes the server has read before it would have cut an idle client, and the moment at which the
/// connecting began. Where this process or the server was held up in between for as long as that, it is tried again: the
/// deadline has fallen rightly then, and on nobody's mistake.
#[track_caller]
fn begun(
    connect: impl Fn() -> Conn,
    bytes: impl AsRef<[u8]>,
    idle_timeout: Duration,
) -> (Conn, Instant) {
    for _ in 0..ATTEMPTS {
        let start = Instant::now();
        let mut conn = connect();
        let sent = conn.try_send(&bytes).is_ok() && oracles::until_read(&conn);
        if start.elapsed() < idle_timeout {
            assert!(sent, "nobody reads what a new client sends");
            return (conn, start);
        }
    }
    panic!("a client that sends at once is too late for {idle_timeout:?}, {ATTEMPTS} times");
}

/// A new connection over which all of this was sent to a server that need not take all of it. Where that took longer than a
/// server has to go on reading, because this process or the server was held up, it is tried again.
#[track_caller]
fn said_to_the_end(server: &Server, bytes: impl AsRef<[u8]>) -> Conn {
    for _ in 0..ATTEMPTS {
        let start = Instant::now();
        let mut conn = server.connect();
        match conn.try_send(&bytes) {
            Ok(()) => return conn,
            Err(error) => assert!(start.elapsed() >= LINGER, "sending: {error}"),
        }
    }
    panic!("the server stops reading before all is sent, {ATTEMPTS} times");
}

/// A launch of the server on `root` as a user who may not read everything. For the superuser that is another user, with a
/// copy of the binary that this user can reach.
fn unprivileged(subject: &Subject, root: &Arc<Root>) -> Launch {
    let launch = subject.launch().root(root);
    if !rustix::process::geteuid().is_root() {
        return launch;
    }
    as_user(subject, root, 65_534)
}

/// A launch of the server on `root` as this user, with a copy of the binary that the user can reach.
fn as_user(subject: &Subject, root: &Arc<Root>, user: u32) -> Launch {
    root.open_to_all();
    let copy = root.path().with_file_name("server");
    // In a process of its own: a child that another test's thread forks meanwhile would keep the copy open to write,
    // and so busy.
    let cp = Command::new("cp").arg(subject.binary()).arg(&copy).status();
    assert!(cp.is_ok_and(|status| status.success()), "no copy of the server");
    subject.launch().root(root).binary(copy).user(user)
}

/// The connection is still there and in step: the next reply is the one to the next request.
#[track_caller]
fn stays(conn: &mut Conn) {
    let reply = conn.ask("HASH surely-not-there");
    assert!(reply.is("not-found"), "out of step: {reply:?}");
}

/// The request is refused with this code, and the connection stays.
#[track_caller]
fn refused(conn: &mut Conn, request: impl AsRef<[u8]>, code: &str) {
    let request = request.as_ref();
    let reply = conn.ask(request);
    assert!(reply.is(code), "{}: expected {code}, got {reply:?}", show(request));
    stays(conn);
}

/// The upload is refused with this code, its body is thrown away, and the connection stays.
#[track_caller]
fn refused_put(conn: &mut Conn, path: &str, body: &[u8], code: &str) {
    let reply = conn.put(path, body);
    assert!(reply.is(code), "PUT {path:?}: expected {code}, got {reply:?}");
    stays(conn);
}

/// Bytes in which no two places look alike, always the same ones.
fn noise(size: usize) -> Vec<u8> {
    let block = pattern();
    let mut noise = block.repeat(size.div_ceil(block.len()));
    noise.truncate(size);
    noise
}

/// A `GET` of HTTP.
fn http_get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A `PUT` of HTTP with its body.
fn http_put(target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Does something when it is dropped, in a panic too: stops a thread that others wait for.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
