//! `ringfence hook`: what packages call, unattended.
//!
//! - Never a question, and nothing that waits longer than some seconds; twice or at once is as good as once.
//! - Whatever cannot be done leaves in force what was in force, and says why.
//! - Where the network is another machine's (a chroot, an image that is being built), or not to be changed (a container
//!   without the right), nothing is done, and that is no failure.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::apply::{self, bring};
use super::host::{HostArguments, no_right};
use super::input::Input;
use super::output::{Undone, log, print};
use super::{boot, check, live, remove, status};
use crate::cluster::Cluster;
use crate::host::apply::Host;
use crate::host::store::Place;
use crate::host::through::saved::{make_sets, saved};
use crate::host::{Backend, pending, place, read, record};
use crate::outcome::Outcome;

/// The settings of the package.
const SETTINGS: &str = "/etc/default/ringfence";
/// In the state folder: this program, for the time when the package has none any more.
const LEFT_BEHIND: &str = "purge";

/// What packages call when they are installed and removed, and what the units call.
///
/// Nothing here asks anything or waits longer than some seconds, and doing it twice or at once is as good as once.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    PostInstall(PostInstall),
    Check(Check),
    BeforeLoad(BeforeLoad),
    PreRemove(PreRemove),
    Purge(Purge),
}

/// Show what changes on this host, and bring the rules of the cluster file into force.
///
/// For the post-install script of any package. The first rules on a host are refused while they would block an open session from a
/// private network into a port that only peers use (cut-peer): nobody is there to confirm them. It ends as wanted, too, where
/// there is nothing to do, and says why: no cluster file, a chroot, no right to change the network; `--require` makes that a failure. Where the file has errors, or
/// the change is refused or has to wait, what was in force before still is.
#[derive(Args)]
struct PostInstall {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    host: HostArguments,
    /// End with an error, too, where nothing is done: no cluster file, a chroot or an image, no right to change the network.
    #[arg(long)]
    require: bool,
}

/// Look whether what was applied last is in force, and bring it back if it is not.
///
/// For the units. While rules are in force the cluster file is not looked at: what nobody applied stays so. Where none are, and
/// what was applied last cannot be used, what `ringfence apply --boot` would do is done. It ends as wanted where what was applied
/// last is in force, perhaps again, and where nothing was ever applied, or a change waits to be confirmed; not while the ports are
/// closed, or while nobody applied what the start of the machine brought in.
#[derive(Args)]
struct Check {
    #[command(flatten)]
    host: HostArguments,
    /// Where `METRICS=FILE` is looked for, into which metrics are written afterwards, as `ringfence status --metrics` does.
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    settings: PathBuf,
}

/// Before another program loads rules that somebody saved with ringfence's among them: make the ipsets that these ask.
///
/// For the drop-ins of the units that load them when the machine starts: without its sets nothing of such a file would be loaded. They
/// are empty, so that nobody gets in by them, until `ringfence apply` fills them.
#[derive(Args)]
struct BeforeLoad {
    #[command(flatten)]
    host: HostArguments,
}

/// Before the package goes: leave the rules in force, or take them away where the settings say `ON_REMOVE=remove`.
#[derive(Args)]
struct PreRemove {
    #[command(flatten)]
    host: HostArguments,
    /// Where `ON_REMOVE=keep` or `ON_REMOVE=remove` is looked for.
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    settings: PathBuf,
}

/// Take the rules, the reserved ports and the state away, as `ringfence remove` does, but not from within a chroot.
#[derive(Args)]
struct Purge {
    #[command(flatten)]
    host: HostArguments,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        Verb::PostInstall(arguments) => post_install(arguments),
        Verb::Check(arguments) => look(arguments),
        Verb::BeforeLoad(arguments) => before_load(&arguments.host.host()),
        Verb::PreRemove(arguments) => pre_remove(arguments),
        Verb::Purge(arguments) => purge(&arguments.host),
    }
}

/// Why the network of this process is not to be changed by a package that is installed.
fn not_this_machine() -> Option<String> {
    // Who lacks the right is not told of what else may be wrong: that is what has to be mended first.
    no_right().or_else(|| match place::is_chroot() {
        Ok(false) => None,
        Ok(true) => Some("this is a chroot, and the network that is seen from here is another machine's".to_owned()),
        Err((path, error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("there is no {path} here, as where an image is built"))
        }
        Err((path, error)) => Some(format!("cannot tell whether this is a chroot ({path}: {error})")),
    })
}

/// Whether rules are in force where nothing was changed, as far as that can be seen from here.
fn guarded() -> &'static str {
    let may_be_here = place::is_chroot().is_err_and(|(_, error)| error.kind() != std::io::ErrorKind::NotFound);
    // Elsewhere the network is another machine's, or nothing is known of it.
    if !may_be_here || read(Backend::Nft).is_err() {
        return "";
    }
    still_guarded()
}

/// The same on this machine.
fn still_guarded() -> &'static str {
    if check::in_force() { "; what was in force still is" } else { "; NOTHING IS GUARDED" }
}

fn post_install(arguments: &PostInstall) -> anyhow::Result<Outcome> {
    let PostInstall { input, host, require } = arguments;
    let config = &input.config;
    let nothing_done = if *require { Outcome::Unusable } else { Outcome::Success };
    anyhow::ensure!(config != Path::new("-"), "a hook needs a file: it is read again at boot");
    if fs::symlink_metadata(config).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        let file = config.display();
        if check::in_force() {
            let what = match record::kept(&host.host().store, record::GOOD) {
                Ok(Some(_)) => "what was applied last stays in force",
                Ok(None) | Err(_) => "what is in force stays so",
            };
            log(&format!("there is no {file}; {what}"));
            return Ok(nothing_done);
        }
        log(&format!(
            "there is no {file}, so no port is guarded: `ringfence import -o {file}` makes one from Riak's files"
        ));
        log(
            "then `ringfence diff` shows what would change, and `ringfence apply --confirm-within 60s` brings it into force",
        );
        return Ok(nothing_done);
    }
    let plain = apply::Arguments::plain(input.clone(), host.clone());
    let (wait, host) = (&host.wait, host.host());
    if let Some(why) = not_this_machine() {
        // What is wrong with the file is worth knowing all the same.
        let found = input.load_to(Undone::Changed, |_| Vec::new());
        let file = config.display();
        let then = if matches!(found, Ok(Some(_))) {
            format!("what {file} says is applied when its machine starts")
        } else {
            format!(
                "{file} cannot be used: mend it, or its machine starts with what was applied last, else with closed ports"
            )
        };
        log(&format!("nothing was changed: {why}{}; {then}", guarded()));
        return Ok(nothing_done);
    }
    // The file is read under the lock: whoever had it may have applied a newer one.
    let lock = wait.lock(&host, "ringfence hook post-install")?;
    let Some(cluster) = input.load_to(Undone::Changed, |_| Vec::new())? else {
        log(&format!("{} has errors, see above{}", config.display(), still_guarded()));
        log("mend it, then run `ringfence apply`");
        return Ok(Outcome::Unusable);
    };
    // While it waits, that is what `bring` says.
    if matches!(pending::waiting(&host.store), Ok(None))
        && let Some(why) = boot::unconfirmed(&host, &cluster)
    {
        log(&why);
        log("the rules from before are still in force; `ringfence apply --confirm-within 60s` tries the file again");
        return Ok(Outcome::Unconfirmed);
    }
    let plain = plain.where_routes_are_no_news(&cluster, &host);
    // What would change is worth knowing; what is done does not rest on it.
    if let Err(error) = show(&plain, &cluster, &host) {
        log(&format!("what would change cannot be shown: {error:#}"));
    }
    let outcome = bring(&plain, &cluster, &host, lock, None)?;
    // Rules that only log are in force and end so, too.
    if matches!(outcome, Outcome::No) && !cluster.guard().is_staged() {
        log("the next start of the machine will try this file again: mend it, or move it away");
    }
    if matches!(outcome, Outcome::Success) && !place::systemd_is_init() {
        log("there is no systemd here: have `ringfence apply --boot` run at the start of the machine");
    }
    Ok(outcome)
}

/// Shows what would change. What speaks against it is said once, by whoever refuses it.
fn show(plain: &apply::Arguments, cluster: &Cluster, host: &Host) -> anyhow::Result<()> {
    let asking = live::Asking { allowed: &|_| false, say: &|_| {}, agrees: false, tells_of_waiting: false };
    match live::ahead(cluster, plain.site(), host, &asking)? {
        Ok(ahead) => print(&ahead.planned.text(true)),
        Err(_) => Ok(()),
    }
}

fn look(arguments: &Check) -> anyhow::Result<Outcome> {
    let outcome = check::run(&arguments.host);
    let text = fs::read_to_string(&arguments.settings).unwrap_or_default();
    if let Some(file) = setting(&text, "METRICS").filter(|file| !file.is_empty())
        && let Err(error) = status::note_metrics(Path::new(file), arguments.host.state())
    {
        log(&format!("warning: {error:#}"));
    }
    outcome
}

fn before_load(host: &Host) -> anyhow::Result<Outcome> {
    if not_this_machine().is_none() {
        make_sets(&host.root)?;
    }
    Ok(Outcome::Success)
}

fn pre_remove(arguments: &PreRemove) -> anyhow::Result<Outcome> {
    let host = arguments.host.host();
    if not_this_machine().is_some() || check::is_untouched(&host) && !check::in_force() {
        return Ok(Outcome::Success);
    }
    let text = fs::read_to_string(&arguments.settings).unwrap_or_default();
    let mut failed = None;
    match setting(&text, "ON_REMOVE") {
        Some("remove") => {
            log(&format!("the rules go, as {} says", arguments.settings.display()));
            match purge(&arguments.host) {
                Ok(outcome) => return Ok(outcome),
                Err(error) => failed = Some(error),
            }
        }
        None | Some("keep") => {}
        Some(other) => log(&format!(
            "{}: `ON_REMOVE={}` is neither `keep` nor `remove`",
            arguments.settings.display(),
            other.escape_debug()
        )),
    }
    let place = leave_program_behind(&host).context("cannot keep the program for the time when the rules are to go")?;
    match &failed {
        None => log("the rules stay in force until the package is purged or the machine starts again;"),
        Some(_) => log("not all could be taken away;"),
    }
    log(&format!("to take them away: {} hook purge", place.display()));
    saved(&host.root).iter().for_each(|one| log(&format!("warning: {one}")));
    failed.map_or(Ok(Outcome::Success), Err)
}

/// The last setting counts, as in a shell.
fn setting<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(|value| value.trim().trim_matches(['"', '\'']))
}

/// What purges later must be able to read the kernel's rules and the state as this version does.
fn leave_program_behind(host: &Host) -> anyhow::Result<PathBuf> {
    // The file that runs, whatever has its name by now.
    let program = fs::read("/proc/self/exe")?;
    Ok(host.store.write_program(Place::State, LEFT_BEHIND, &program)?)
}

fn purge(host: &HostArguments) -> anyhow::Result<Outcome> {
    if let Some(why) = not_this_machine() {
        log(&format!("no rule was taken away: {why}"));
        return Ok(Outcome::Success);
    }
    let outcome = remove::take_away(host)?;
    host.host().store.remove(Place::State, LEFT_BEHIND)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_counts() {
        let of = |text| setting(text, "ON_REMOVE");
        assert_eq!(of(""), None);
        assert_eq!(of("# ON_REMOVE=remove\nREMOVE=remove\n"), None);
        assert_eq!(of("ON_REMOVE=keep\n  ON_REMOVE=\"remove\" \n"), Some("remove"));
        assert_eq!(of("ON_REMOVE=remove\nON_REMOVE=\n"), Some(""));
    }
}
