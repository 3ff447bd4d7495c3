//! `ringfence diff --out` and `ringfence apply --plan`: a change that was looked at, to be brought in later or not at all.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::files::only_over;
use super::host::SiteArguments;
use super::input::Input;
use super::live;
use super::output::{fail, say};
use crate::diagnostic::Code;
use crate::host::agreed::{NoPlan, Plan};
use crate::host::apply::Host;
use crate::host::record;
use crate::host::store::read_trusted;
use crate::outcome::Outcome;

/// A plan has some hundred bytes and a path.
const LARGEST: u64 = 1 << 16;

/// Shows what would change, and writes a plan of it.
pub fn write(
    input: &Input,
    arguments: &SiteArguments,
    host: &Host,
    meaning_only: bool,
    out: &Path,
) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        input.config != Path::new("-"),
        "a plan needs a cluster file with a name: `ringfence apply --plan` reads it again"
    );
    let asking = live::Asking { allowed: &|_| false, say: &say, agrees: true, tells_of_waiting: true };
    let (ahead, outcome) = match live::shown(input, arguments, host, meaning_only, &asking)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    let agreed = ahead.agreed.context("it is not known on what the plan would be made")?;
    let plan = Plan::new(record::absolute(&input.config), ahead.planned.node, ahead.planned.backend, agreed)?;
    put(out, &plan.text()?)?;
    say(&format!("the plan is in {}: `ringfence apply --plan {}` brings it in", out.display(), out.display()));
    Ok(outcome)
}

/// For its owner alone, whole or not at all. A link of that name is replaced, and not followed.
fn put(out: &Path, text: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!out.is_dir(), "{} is a folder; name a file for the plan", out.display());
    let is_plan = |bytes: &[u8]| bytes.is_empty() || String::from_utf8_lossy(bytes).contains("ringfence/plan/");
    only_over(out, is_plan, "a plan")?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = NamedTempFile::new_in(folder).and_then(|mut file| {
        // Made with mode 0600.
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(out).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    });
    written.with_context(|| format!("cannot write the plan {}", out.display()))
}

/// A plan for this host; or how it ends that a file is none, which was said then.
pub fn read(path: &Path) -> anyhow::Result<Result<Plan, Outcome>> {
    let name = path.display();
    let bytes = match read_trusted(path, LARGEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(refuse(Code::BadPlan, &format!("there is no plan {name}"))),
        Err(error) => return Ok(refuse(Code::BadPlan, &error.to_string())),
    };
    let why = match Plan::read(&bytes)? {
        Ok(plan) => return Ok(Ok(plan)),
        Err(why) => why,
    };
    let code = match why {
        NoPlan::Broken(_) => Code::BadPlan,
        NoPlan::Version(_) | NoPlan::Machine => Code::ForeignPlan,
    };
    Ok(refuse(code, &format!("{name}: {why}; make another one with `ringfence diff --out {name}`")))
}

fn refuse(code: Code, words: &str) -> Result<Plan, Outcome> {
    fail(code.as_str(), format!("{code}: {words}; nothing was changed"));
    Err(Outcome::Unusable)
}
