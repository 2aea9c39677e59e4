//! The bar of one transfer: drawn on standard error where that is a terminal, else silent.

use std::ffi::OsStr;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::eprint_line;
use crate::text::printable;

/// A bar for the file `name`, without a length so far.
///
/// `to_terminal` says that the file itself goes to a terminal, where the bar would be in its way.
pub(crate) fn bar(name: &OsStr, to_terminal: bool) -> ProgressBar {
    let target =
        if to_terminal { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    set_style(&bar, "{bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left");
    bar.set_prefix(printable(name.as_encoded_bytes()));
    bar
}

/// Says that the bytes are through and the server computes the hash of its file.
pub(crate) fn verifying(bar: &ProgressBar) {
    set_style(bar, "{bytes} verifying");
    bar.tick();
}

/// Leaves one line where the bar was, for a person who watches.
pub(crate) fn finish(bar: &ProgressBar, line: &str) {
    let watched = !bar.is_hidden();
    bar.finish_and_clear();
    if watched {
        eprint_line(line);
    }
}

fn set_style(bar: &ProgressBar, numbers: &str) {
    // The templates are constants; should indicatif ever refuse one, its default will do.
    if let Ok(style) = ProgressStyle::with_template(&format!("{{prefix}} [{{wide_bar}}] {numbers}"))
    {
        bar.set_style(style.progress_chars("=> "));
    }
}
