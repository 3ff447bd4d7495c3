//! How far it is, for whoever waits at a terminal longer than a moment.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nobody needs to be told before.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that shows itself when somebody waits.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    /// Of so many things, called so.
    pub fn new(count: usize, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}} of {{len}} {what}, {{eta}} to go"))
        {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now() }
    }

    /// So many more are done.
    pub fn more(&self, count: usize) {
        self.bar.inc(count as u64);
        if self.bar.is_hidden() && self.started.elapsed() > PATIENCE {
            // On anything but a terminal it stays hidden by itself.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
