//! The one way from a site to rules that may be used: compiled, written down, read back, and every claim proved on what was
//! read. What `compile` prints, `diff` compares and `apply` brings in is an [`Emitted`], and only [`nft`] and [`iptables`] make
//! one.

mod opened;
mod said;

use thiserror::Error;

use crate::cluster::Site;
use crate::compile::{self, SetsMode};
use crate::dialect::{self, ReadError};
use crate::ir::{Family, Ruleset};
use crate::semantics::TooLarge;
use crate::verify::{Families, NotVerified, Report, Verified, proves_alike, verify};

pub use opened::{OpenedIptables, opened_iptables, opened_nft, openings_hold};
pub use said::{Hash, Remark, remarks, saved, untrue};

/// Proven rules and their texts.
#[derive(Clone, Debug)]
pub struct Emitted {
    compiled: Ruleset,
    verified: Verified,
    texts: Vec<(Text, String)>,
}

/// A text of a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// For `nft -f`.
    Nft,
    /// For `iptables-restore`.
    Iptables,
    /// For `ip6tables-restore`.
    Ip6tables,
    /// For `ipset restore`.
    Ipset,
}

impl Text {
    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Nft => "ringfence.nft",
            Self::Iptables => "ringfence.iptables",
            Self::Ip6tables => "ringfence.ip6tables",
            Self::Ipset => "ringfence.ipset",
        }
    }
}

/// Why there are no rules. Each of these is a mistake of this program, but for rules that a dialect cannot express.
#[derive(Debug, Error)]
pub enum NotEmitted {
    /// The dialect cannot say it.
    #[error("{0}")]
    Unwritable(String),
    /// What was written is no ruleset.
    #[error("what was written cannot be read back: {0}")]
    Unreadable(#[from] ReadError),
    /// What was read back does not do what the cluster file says.
    #[error("what was compiled does not do what the cluster file says")]
    NotProved {
        /// What came of the claims.
        report: Box<Report>,
        /// What was read back.
        ruleset: Box<Ruleset>,
    },
    /// What is to let through whom the guard admits lets through somebody else, or not everybody.
    #[error(
        "what was compiled does not let through exactly whom the cluster file admits; this is a mistake in ringfence, please report it \
         with the cluster file and this: {0}"
    )]
    NotOpened(String),
    /// There are more kinds of packets than can be gone through.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Emitted {
    /// The rules as they were read back, on which everything was proved.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The rules that the texts were written from.
    #[must_use]
    pub fn compiled(&self) -> &Ruleset {
        &self.compiled
    }

    /// A text; `None` if these rules have none of the kind.
    #[must_use]
    pub fn text(&self, wanted: Text) -> Option<&str> {
        self.texts.iter().find(|(own, _)| *own == wanted).map(|(_, text)| text.as_str())
    }

    /// A text as it is for another site of which the same is proved (see [`crate::verify::proves_alike`]): the same rules to the byte under
    /// the header of that site. `None` where that cannot be said, and the rules of the other site have to be made and proved by themselves.
    #[must_use]
    pub fn text_for(&self, wanted: Text, site: &Site<'_>, other: &Site<'_>) -> Option<String> {
        let proved = [&self.compiled, self.verified.ruleset()];
        let text = self.text(wanted).filter(|_| proved.into_iter().all(|rules| proves_alike(rules, site, other)))?;
        let header = compile::header(other);
        // What a header says must not leave its comment, here as anywhere: see `Ruleset::unfit_text`.
        let fit = Ruleset { header: header.clone(), ..Ruleset::default() }.unfit_text().is_none();
        let (own, new) = (comment(&self.compiled.header), comment(&header));
        match wanted {
            // Sets have none.
            Text::Ipset => Some(text.to_owned()),
            Text::Nft | Text::Iptables | Text::Ip6tables => {
                let (before, rules) = text.split_once(&own)?;
                let all_comments = before.lines().all(|line| line.starts_with('#'));
                (fit && all_comments).then(|| [before, &new, rules].concat())
            }
        }
    }

    /// The rules as JSON, which is written from what was compiled: so all claims are proved on that, too.
    ///
    /// # Errors
    /// Where a claim is not proved.
    pub fn json(&self, site: &Site<'_>) -> Result<String, NotEmitted> {
        let verified = proved(self.compiled.clone(), site)?;
        dialect::json::write(verified.ruleset()).map_err(|error| NotEmitted::Unwritable(error.to_string()))
    }

    /// The proof, and the texts.
    #[must_use]
    pub fn into_parts(self) -> (Verified, Vec<(Text, String)>) {
        (self.verified, self.texts)
    }

    /// The proof and the rules for what brings them in: proved on what was read back and on what it was written from.
    ///
    /// # Errors
    /// Where a claim is not proved.
    pub fn of_both(self, site: &Site<'_>) -> Result<(Verified, Vec<(Text, String)>), NotEmitted> {
        Ok((proved(self.compiled, site)?, self.texts))
    }
}

/// The rules of a site for nft.
///
/// # Errors
/// Where they cannot be written or not be proved.
pub fn nft(site: &Site<'_>) -> Result<Emitted, NotEmitted> {
    let compiled = compile::nft(site);
    let text = written(&compiled)?;
    let verified = proved(dialect::nft::read(&text)?.ruleset, site)?;
    Ok(Emitted { compiled, verified, texts: vec![(Text::Nft, text)] })
}

/// The same for whoever makes something else of the text, such as a digest, and keeps nothing but the rules: of 100,000 members each text
/// is some megabytes.
///
/// # Errors
/// As [`nft`].
pub fn nft_by<T>(site: &Site<'_>, of_text: impl FnOnce(String) -> T) -> Result<(Verified, T), NotEmitted> {
    let text = written(&compile::nft(site))?;
    let read = dialect::nft::read(&text)?.ruleset;
    let made = of_text(text);
    Ok((proved(read, site)?, made))
}

fn written(compiled: &Ruleset) -> Result<String, NotEmitted> {
    dialect::nft::write(compiled).map_err(|error| NotEmitted::Unwritable(error.to_string()))
}

/// The rules of a site for iptables and ipset.
///
/// # Errors
/// Where they cannot be written (a notice to the sender) or not be proved.
pub fn iptables(site: &Site<'_>, sets: SetsMode) -> Result<Emitted, NotEmitted> {
    let compiled = compile::iptables(site, sets);
    let unwritable = |error: dialect::iptables::WriteError| NotEmitted::Unwritable(error.to_string());
    let v4 = dialect::iptables::write(&compiled, Family::Ip).map_err(unwritable)?;
    let v6 = dialect::iptables::write(&compiled, Family::Ip6).map_err(unwritable)?;
    let ipset = ipset(&compiled)?;
    let mut read = dialect::iptables::read(&v4, Family::Ip)?.ruleset;
    read.tables.extend(dialect::iptables::read(&v6, Family::Ip6)?.ruleset.tables);
    read.sets = dialect::ipset::read(&ipset)?.0;
    let verified = proved(read, site)?;
    let texts = vec![(Text::Iptables, v4), (Text::Ip6tables, v6), (Text::Ipset, ipset)];
    Ok(Emitted { compiled, verified, texts })
}

/// The ipsets alone: proved with the rules that use them, wherever iptables can have these.
///
/// # Errors
/// As [`iptables`].
pub fn ipsets(site: &Site<'_>, sets: SetsMode) -> Result<String, NotEmitted> {
    if site.cluster().guard().reject_span().is_none() {
        return Ok(iptables(site, sets)?.text(Text::Ipset).unwrap_or_default().to_owned());
    }
    ipset(&compile::iptables(site, sets))
}

/// A header as the files have it, with the ends of the lines around it.
fn comment(header: &[String]) -> String {
    let lines = header.iter().map(|line| if line.is_empty() { "#".to_owned() } else { format!("# {line}") });
    format!("\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

fn ipset(compiled: &Ruleset) -> Result<String, NotEmitted> {
    dialect::ipset::write(compiled).map_err(|error| NotEmitted::Unwritable(error.to_string()))
}

fn proved(ruleset: Ruleset, site: &Site<'_>) -> Result<Verified, NotEmitted> {
    verify(ruleset, site, Families::Both).map_err(|error| match error {
        NotVerified::Claims { report, ruleset } => NotEmitted::NotProved { report, ruleset },
        NotVerified::TooLarge(error) => NotEmitted::TooLarge(error),
    })
}
