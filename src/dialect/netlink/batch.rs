//! A transaction: all messages between a beginning and an end, sent as one datagram. The kernel makes all of the changes
//! or none (nfnetlink's batches, net/netfilter/nfnetlink.c).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use thiserror::Error;

use super::attributes::{Malformed, Message, Writer, attributes, find, messages, text_of};
use super::constants::*;
use super::socket::{Refusal, RequestError, Socket, refusal};
use super::update::Changes;

/// Why a transaction did not happen, or may not have.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Somebody else changed the ruleset after it was read. Nothing happened.
    #[error("the ruleset changed between reading and writing")]
    Changed,
    /// The kernel refuses one of the changes. Nothing happened.
    #[error("{refusal}, for {subject}")]
    Refused {
        /// What it was about.
        subject: String,
        /// Why.
        refusal: Refusal,
    },
    /// The kernel lacks something that our rules are made of. Nothing happened.
    #[error("{0}")]
    Missing(Missing),
    /// The kernel took the transaction, said nothing, and did nothing.
    #[error("the kernel neither made the change nor said why")]
    Silent,
    /// The kernel's answer was lost, so that only reading the ruleset again can tell what happened.
    #[error("the kernel's answer was lost; what it did is not known")]
    Lost,
    /// The first of several transactions happened, and a later one did not. Each leaves rules that mean what the old ones
    /// did or what the new ones do.
    #[error("only a part of the change was made: {0}")]
    Partly(Box<CommitError>),
    /// The transaction could not be sent. Nothing happened.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A part of nf_tables that not every kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Tables for both families.
    Family,
    /// Chains of the type that ours have.
    BaseChains,
    /// One kind of expression, by its name.
    Expression(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family => f.write_str("this kernel has no tables of the family inet (CONFIG_NF_TABLES_INET)")?,
            Self::BaseChains => {
                f.write_str("this kernel has no chains of the type filter in tables of the family inet")?
            }
            Self::Expression(name) => {
                write!(f, "this kernel lacks the expression {name} of nf_tables: its module is nft_{name}")?;
                // Where one module is not enough.
                if matches!(name.as_str(), "fib" | "reject") {
                    write!(f, " with nft_{name}_inet, nft_{name}_ipv4 and nft_{name}_ipv6")?;
                }
            }
        }
        f.write_str(
            "; look for a package with the rest of the kernel's modules (linux-modules-extra, kernel-modules), or use \
             `--backend iptables`",
        )
    }
}

impl Changes {
    /// How many bytes the longest transaction has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.later.iter().map(Self::len).fold(self.writer.bytes().len(), usize::max)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Makes the changes, if the ruleset still has this generation. Several transactions follow each other only if nobody
    /// else changes anything in between; the rules that an error leaves mean what the old ones did or what the new ones do.
    ///
    /// # Errors
    /// Where nothing happened, or not all, or where that is not known; see [`CommitError`].
    pub fn commit(&self, socket: &mut Socket, generation: u32) -> Result<(), CommitError> {
        self.transaction(socket, generation)?;
        let mut generation = generation;
        for next in &self.later {
            generation = super::read::next(generation);
            next.transaction(socket, generation).map_err(|error| CommitError::Partly(Box::new(error)))?;
        }
        Ok(())
    }

    fn transaction(&self, socket: &mut Socket, generation: u32) -> Result<(), CommitError> {
        let (first, last) = (0, self.subjects.len() as u32 + 1);
        let mut writer = Writer::with_capacity(self.writer.bytes().len() + 80);
        let subsystem = NFNL_SUBSYS_NFTABLES.to_be_bytes();
        let frame = |writer: &mut Writer| writer.raw(&[NFPROTO_UNSPEC, 0, subsystem[0], subsystem[1]]);
        writer.message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, first, |writer| {
            frame(writer);
            writer.u32(NFNL_BATCH_GENID, generation);
        });
        writer.raw(self.writer.bytes());
        // Only the end is acknowledged: answers to each message would not fit into the receive buffer. Kernels before
        // 6.10 do not acknowledge it (seen on 5.10 and 6.1), and errors come before `sendto` returns; so there is nothing to
        // wait for, but no answer is no good answer either.
        writer.message(NFNL_MSG_BATCH_END, NLM_F_REQUEST | NLM_F_ACK, last, frame);
        socket.send(writer.bytes())?;
        if self.answers(socket, last)? {
            return Ok(());
        }
        match super::read::generation(socket) {
            Ok(now) if now == generation => Err(CommitError::Silent),
            Ok(_) => Ok(()),
            Err(_) => Err(CommitError::Lost),
        }
    }

    /// Reads what the kernel said; whether it acknowledged the end.
    fn answers(&self, socket: &mut Socket, last: u32) -> Result<bool, CommitError> {
        let mut refused: Option<Refusal> = None;
        let mut acknowledged = false;
        loop {
            // The batch was sent: whatever goes wrong from here on, the kernel may have made the change.
            let datagram = match socket.receive(false) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(_) => return Err(CommitError::Lost),
            };
            for message in messages(datagram) {
                let message = message.map_err(|_| CommitError::Lost)?;
                if message.kind == NLMSG_ERROR && message.sequence <= last {
                    let said = refusal(&message).map_err(|_| CommitError::Lost)?;
                    acknowledged |= said.is_none() && message.sequence == last;
                    // The first one names the cause.
                    refused = refused.or(said);
                }
            }
        }
        match refused {
            None => Ok(acknowledged),
            Some(refusal) if refusal.errno == Errno::ERESTART => Err(CommitError::Changed),
            Some(refusal) if refusal.errno == Errno::EPERM && refusal.sequence == 0 => {
                Err(RequestError::Refused(refusal).into())
            }
            Some(refusal) => {
                if let Some(missing) = self.missing(&refusal) {
                    return Err(CommitError::Missing(missing));
                }
                let subject = self.subject(&refusal).unwrap_or_else(|| "the transaction".to_owned());
                Err(CommitError::Refused { subject, refusal })
            }
        }
    }

    /// What a refused message was about, down to the element where the kernel says which.
    fn subject(&self, refusal: &Refusal) -> Option<String> {
        let position = refusal.sequence.checked_sub(1)? as usize;
        let subject = self.subjects.get(position)?.clone();
        let element = refusal.offset.and_then(|offset| self.element(position, offset as usize).ok().flatten());
        Some(match element {
            Some(element) => format!("{element} in the {subject}"),
            None => format!("the {subject}"),
        })
    }

    /// What the kernel lacks, where that is why it refused.
    fn missing(&self, refusal: &Refusal) -> Option<Missing> {
        let position = refusal.sequence.checked_sub(1)? as usize;
        let message = messages(self.writer.bytes()).nth(position)?.ok()?;
        let body = message.payload.get(4..)?;
        match (message.kind & 0xff, refusal.errno) {
            (NFT_MSG_NEWTABLE, Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => Some(Missing::Family),
            (NFT_MSG_NEWCHAIN, Errno::ENOENT | Errno::EOPNOTSUPP) if find(body, NFTA_CHAIN_HOOK).ok()?.is_some() => {
                Some(Missing::BaseChains)
            }
            (NFT_MSG_NEWRULE, Errno::ENOENT | Errno::EOPNOTSUPP) => {
                expression_at(&message, refusal.offset? as usize).map(Missing::Expression)
            }
            _ => None,
        }
    }

    fn element(&self, position: usize, offset: usize) -> Result<Option<String>, Malformed> {
        let Some(message) = messages(self.writer.bytes()).nth(position).transpose()? else { return Ok(None) };
        let Some(list) = find(message.payload.get(4..).unwrap_or_default(), NFTA_SET_ELEM_LIST_ELEMENTS)? else {
            return Ok(None);
        };
        // Where the list begins, counted as the kernel counts.
        let mut at = message.whole.len() - list.len();
        for element in attributes(list) {
            let (_, value) = element?;
            let end = at + (4 + value.len()).next_multiple_of(4);
            if (at..end).contains(&offset) {
                let key = find(find(value, NFTA_SET_ELEM_KEY)?.unwrap_or_default(), NFTA_DATA_VALUE)?;
                return Ok(key.map(key_text));
            }
            at = end;
        }
        Ok(None)
    }
}

/// The name of the expression at this place of a rule's message, counted as the kernel counts.
fn expression_at(message: &Message<'_>, offset: usize) -> Option<String> {
    let list = find(message.payload.get(4..)?, NFTA_RULE_EXPRESSIONS).ok()??;
    let mut at = (list.as_ptr() as usize).checked_sub(message.whole.as_ptr() as usize)?;
    for one in attributes(list) {
        let (_, value) = one.ok()?;
        let end = at + (4 + value.len()).next_multiple_of(4);
        if (at..end).contains(&offset) {
            return find(value, NFTA_EXPR_NAME).ok()?.map(text_of);
        }
        at = end;
    }
    None
}

/// A key as people write it.
fn key_text(key: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(key) {
        Ipv4Addr::from(octets).to_string()
    } else if let Ok(octets) = <[u8; 16]>::try_from(key) {
        Ipv6Addr::from(octets).to_string()
    } else if let Ok(octets) = <[u8; 2]>::try_from(key) {
        u16::from_be_bytes(octets).to_string()
    } else {
        format!("{key:02x?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 5.10 answers where the module nft_fib_inet is not there.
    #[test]
    fn what_the_kernel_lacks_is_named() {
        let mut changes = Changes::default();
        super::super::read::message(&mut changes.writer, NFT_MSG_NEWRULE, 0, NFPROTO_INET, 1, |writer| {
            writer.text(NFTA_RULE_TABLE, "ringfence");
            writer.nest(NFTA_RULE_EXPRESSIONS, |writer| {
                for name in ["meta", "fib"] {
                    writer.nest(NFTA_LIST_ELEM, |writer| writer.text(NFTA_EXPR_NAME, name));
                }
            });
        });
        changes.subjects.push("rule".to_owned());
        let last = changes.writer.bytes().len() - 12;
        let refusal = |errno, offset| Refusal { errno, sequence: 1, offset, words: None };
        let found = |errno, offset: usize| changes.missing(&refusal(errno, Some(offset as u32)));
        assert_eq!(found(Errno::ENOENT, last), Some(Missing::Expression("fib".to_owned())));
        assert_eq!(found(Errno::ENOENT, last - 16), Some(Missing::Expression("meta".to_owned())));
        // Something else that is not there, a table for example; and something else that is wrong.
        assert_eq!(found(Errno::ENOENT, 20), None);
        assert_eq!(found(Errno::EINVAL, last), None);
        assert_eq!(changes.missing(&refusal(Errno::ENOENT, None)), None);
        let said = Missing::Expression("fib".to_owned()).to_string();
        assert!(said.contains("nft_fib_inet") && said.contains("--backend iptables"), "{said}");
    }
}
