//! A table as the kernel tells it, and as it has to be told.
//!
//! Everything is kept as the attributes that it came in, without those that only the kernel can give (handles, counts of
//! uses), so that a table can be given back to the kernel just as it was, with parts that nobody here understands. What
//! is compared is what the attributes say, never their bytes: other programs write the same in other ways.
//!
//! An anonymous set belongs to one rule and has no name of its own. Here it is called after the order in which rules use
//! them, so that two tables can be compared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::attributes::{
    Malformed, Message, Writer, attributes, find, flagged_attributes, messages, text_of, u32_of, u64_of,
};
use super::constants::*;
use super::expression::Expression;

/// What stands for the number that the kernel gives to an anonymous set.
pub const ANONYMOUS: &str = "__set%d";

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The family's number (NFPROTO_…).
    pub family: u8,
    /// Its name.
    pub name: String,
    /// NFT_TABLE_F_…
    pub flags: u32,
    /// What `nft` keeps with it.
    pub userdata: Vec<u8>,
    /// The number that the kernel gave it; no other table ever has it.
    pub handle: u64,
    /// Its sets.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// How many objects the kernel counts in it, of whatever kind.
    pub uses: u32,
    /// Its helpers of connection tracking, where these were asked for.
    pub helpers: Vec<Helper>,
}

/// A helper of connection tracking, as an object of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Helper {
    /// The object's name.
    pub name: String,
    /// What the kernel calls the helper.
    pub kind: String,
    /// The transport protocol that it is for.
    pub protocol: Option<u8>,
}

/// A set.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// NFT_SET_…
    pub flags: u32,
    /// What it holds, in `nft`'s numbers.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_length: u32,
    /// Room for so many elements.
    pub size: Option<u32>,
    /// What it is told besides its table, name and number.
    pub attributes: Vec<u8>,
    /// Its elements, each an attribute. What is known of a set of 100,000 goes from one look to the next, and is not copied for that.
    pub elements: Arc<Vec<u8>>,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it by themselves.
    pub base: Option<Base>,
    /// NFT_CHAIN_…, but for the one that says that it is a base chain.
    pub flags: u32,
    /// What it is told besides its table and name.
    pub attributes: Vec<u8>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// The hook's number (NF_INET_…).
    pub hook: u32,
    /// From the lowest to the highest.
    pub priority: i32,
    /// NF_DROP or NF_ACCEPT.
    pub policy: i32,
    /// Whether only packets of some devices enter it.
    pub on_devices: bool,
    /// The names of these, or with a star behind it how they begin; `None` for one that cannot be told.
    pub devices: Vec<Option<String>>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The number that the kernel gave it; 0 for a rule that is not there yet.
    pub handle: u64,
    /// Its expressions, as one attribute's value.
    pub expressions: Vec<u8>,
    /// What `nft` keeps with it.
    pub userdata: Vec<u8>,
}

impl Set {
    /// Whether it belongs to a rule.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.flags & NFT_SET_ANONYMOUS != 0
    }
}

impl Rule {
    /// What it does.
    ///
    /// # Errors
    /// Where the attributes are none.
    pub fn program(&self) -> Result<Vec<Expression>, Malformed> {
        Expression::list(&self.expressions)
    }

    /// Its comment.
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        let mut rest = self.userdata.as_slice();
        while let [kind, length, behind @ ..] = rest {
            let (value, behind) = behind.split_at_checked(usize::from(*length))?;
            if *kind == NFTNL_UDATA_RULE_COMMENT {
                return Some(text_of(value));
            }
            rest = behind;
        }
        None
    }
}

/// The name of a set. Among anonymous ones that are still to be made only the number tells them apart.
pub fn set_name(name: &str, id: Option<u32>) -> String {
    match id {
        Some(id) if name == ANONYMOUS => format!("__set{id}"),
        _ => name.to_owned(),
    }
}

/// Puts tables together from the messages that make them, in whatever order.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Table>,
    /// Where the last chain and the last set were found: what belongs together comes together.
    recent: (usize, usize),
}

impl Tables {
    /// One that is known, for more of it.
    #[must_use]
    pub fn of(table: Table) -> Self {
        Self { tables: vec![table], ..Self::default() }
    }

    /// The table, once all is there.
    #[must_use]
    pub fn finish(self) -> Vec<Table> {
        self.finish_naming(|_| true)
    }

    /// The same; only in some tables are anonymous sets called after the order of their use.
    #[must_use]
    pub fn finish_naming(mut self, wanted: impl Fn(&Table) -> bool) -> Vec<Table> {
        self.tables.iter_mut().filter(|table| wanted(table)).for_each(Table::name_anonymous);
        // They are kept for long, and grew by leaps.
        for set in self.tables.iter_mut().flat_map(|table| &mut table.sets) {
            Arc::get_mut(&mut set.elements).into_iter().for_each(Vec::shrink_to_fit);
        }
        self.tables
    }

    /// Takes in one message. What belongs to a table that was not announced is left out.
    ///
    /// # Errors
    /// Where the message is cut short.
    pub fn take(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let [family, _, _, _, body @ ..] = message.payload else { return Err(Malformed) };
        if message.kind >> 8 != NFNL_SUBSYS_NFTABLES {
            return Ok(());
        }
        let kind = message.kind & 0xff;
        if ![NFT_MSG_NEWTABLE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWOBJ]
            .contains(&kind)
        {
            return Ok(());
        }
        // In each of these the attribute 1 names the table.
        let name = text_of(find(body, NFTA_TABLE_NAME)?.ok_or(Malformed)?);
        let known = self.tables.iter_mut().find(|table| table.family == *family && table.name == name);
        match (kind, known) {
            (NFT_MSG_NEWTABLE, None) => {
                let flags = find(body, NFTA_TABLE_FLAGS)?.map(u32_of).transpose()?.unwrap_or(0);
                let handle = find(body, NFTA_TABLE_HANDLE)?.map(u64_of).transpose()?.unwrap_or(0);
                let uses = find(body, NFTA_TABLE_USE)?.map(u32_of).transpose()?.unwrap_or(0);
                let userdata = find(body, NFTA_TABLE_USERDATA)?.unwrap_or_default().to_vec();
                self.tables.push(Table { family: *family, name, flags, userdata, handle, uses, ..Table::default() });
            }
            (NFT_MSG_NEWSET, Some(table)) => table.sets.push(Set::read(body)?),
            (NFT_MSG_NEWSETELEM, Some(table)) => table.take_elements(body, &mut self.recent.1)?,
            (NFT_MSG_NEWCHAIN, Some(table)) => table.chains.push(Chain::read(body)?),
            (NFT_MSG_NEWRULE, Some(table)) => table.take_rule(body, &mut self.recent.0)?,
            (NFT_MSG_NEWOBJ, Some(table)) => table.helpers.extend(Helper::read(body)?),
            _ => {}
        }
        Ok(())
    }

    /// Leaves out sets.
    pub fn keep_sets(&mut self, wanted: impl Fn(&Table, &Set) -> bool) {
        for table in &mut self.tables {
            let sets = std::mem::take(&mut table.sets);
            table.sets = sets.into_iter().filter(|set| wanted(table, set)).collect();
        }
    }

    /// The tables.
    #[must_use]
    pub fn so_far(&self) -> &[Table] {
        &self.tables
    }
}

impl Table {
    /// The one table that some messages make.
    ///
    /// # Errors
    /// Where they are no messages, or make no table or several.
    pub fn from_messages(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut tables = Tables::default();
        for message in messages(bytes) {
            tables.take(&message?)?;
        }
        let mut tables = tables.finish();
        match (tables.pop(), tables.pop()) {
            (Some(table), None) => Ok(table),
            _ => Err(Malformed),
        }
    }

    /// Whether it holds objects of kinds that are not read: flow tables, named counters and the like.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.uses as usize > self.chains.len() + self.sets.len()
    }

    /// The set of a name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// The chain of a name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// Each rule with its chain.
    pub fn rules(&self) -> impl Iterator<Item = (&Chain, &Rule)> {
        self.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)))
    }

    fn take_elements(&mut self, body: &[u8], recent: &mut usize) -> Result<(), Malformed> {
        let id = find(body, NFTA_SET_ELEM_LIST_SET_ID)?.map(u32_of).transpose()?;
        let name = set_name(&text_of(find(body, NFTA_SET_ELEM_LIST_SET)?.ok_or(Malformed)?), id);
        let list = find(body, NFTA_SET_ELEM_LIST_ELEMENTS)?.unwrap_or_default();
        let set = found(&mut self.sets, recent, |set| set.name == name).ok_or(Malformed)?;
        let elements = Arc::make_mut(&mut set.elements);
        elements.extend_from_slice(list);
        elements.resize(elements.len().next_multiple_of(4), 0);
        Ok(())
    }

    fn take_rule(&mut self, body: &[u8], recent: &mut usize) -> Result<(), Malformed> {
        let chain = text_of(find(body, NFTA_RULE_CHAIN)?.ok_or(Malformed)?);
        let chain = found(&mut self.chains, recent, |own| own.name == chain).ok_or(Malformed)?;
        chain.rules.push(Rule {
            handle: find(body, NFTA_RULE_HANDLE)?.map(u64_of).transpose()?.unwrap_or(0),
            expressions: find(body, NFTA_RULE_EXPRESSIONS)?.unwrap_or_default().to_vec(),
            userdata: find(body, NFTA_RULE_USERDATA)?.unwrap_or_default().to_vec(),
        });
        Ok(())
    }

    /// Calls anonymous sets after the order of their use.
    fn name_anonymous(&mut self) {
        let anonymous: HashSet<&str> =
            self.sets.iter().filter(|set| set.is_anonymous()).map(|set| set.name.as_str()).collect();
        if anonymous.is_empty() {
            return;
        }
        let mut names: HashMap<String, String> = HashMap::new();
        for (_, rule) in self.rules() {
            for expression in rule.program().unwrap_or_default() {
                if let Expression::Lookup { set, .. } = expression
                    && anonymous.contains(set.as_str())
                {
                    let number = names.len();
                    names.entry(set).or_insert_with(|| format!("__set{number}"));
                }
            }
        }
        // Whatever else has such a name: a named set, or one that only something unknown uses.
        let taken = |new: &String| self.sets.iter().any(|set| set.name == *new && !names.contains_key(&set.name));
        if names.values().any(taken) {
            return;
        }
        for set in self.sets.iter_mut().filter(|set| set.is_anonymous()) {
            if let Some(name) = names.get(&set.name) {
                set.name.clone_from(name);
            }
        }
        for rule in self.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            if let Ok(expressions) =
                rename_lookups(&rule.expressions, |name| names.get(name).map(|new| (new.clone(), None)))
            {
                rule.expressions = expressions;
            }
        }
    }
}

/// One that is wanted, looked for from where the last one was found: the kernel tells of them in one order.
fn found<'l, T>(list: &'l mut [T], recent: &mut usize, wanted: impl Fn(&T) -> bool) -> Option<&'l mut T> {
    let start = (*recent).min(list.len());
    let (before, behind) = list.split_at_checked(start)?;
    let later = behind.iter().position(&wanted).map(|at| at + start);
    *recent = later.or_else(|| before.iter().position(&wanted))?;
    list.get_mut(*recent)
}

/// A rule's expressions with other names for sets; `rename` gives the new name, and the number of a set that is still to
/// be made.
///
/// # Errors
/// Where the bytes are no attributes.
pub fn rename_lookups(
    expressions: &[u8],
    rename: impl Fn(&str) -> Option<(String, Option<u32>)>,
) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::with_capacity(expressions.len() + 32);
    for element in attributes(expressions) {
        let (_, value) = element?;
        let data = find(value, NFTA_EXPR_DATA)?.unwrap_or_default();
        let new = match find(value, NFTA_EXPR_NAME)? {
            Some(b"lookup\0") => {
                let set = find(data, NFTA_LOOKUP_SET)?.map(text_of).unwrap_or_default();
                rename(&set_name(&set, find(data, NFTA_LOOKUP_SET_ID)?.map(u32_of).transpose()?))
            }
            _ => None,
        };
        let Some((name, id)) = new else {
            writer.nest(NFTA_LIST_ELEM, |writer| writer.raw(value));
            continue;
        };
        let rest = attributes(data).collect::<Result<Vec<_>, _>>()?;
        writer.nest(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, "lookup");
            writer.nest(NFTA_EXPR_DATA, |writer| {
                writer.text(NFTA_LOOKUP_SET, &name);
                if let Some(id) = id {
                    writer.u32(NFTA_LOOKUP_SET_ID, id);
                }
                let rest = rest.iter().filter(|(kind, _)| ![NFTA_LOOKUP_SET, NFTA_LOOKUP_SET_ID].contains(kind));
                rest.for_each(|(kind, value)| writer.attribute(*kind, value));
            });
        });
    }
    Ok(writer.bytes().to_vec())
}

/// Some of the attributes. Newer kernels tell more than they want to be told.
fn only(body: &[u8], kept: &[u16]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::with_capacity(body.len());
    // Kernels may insist on the flag that says that an attribute holds others.
    for (attribute, flagged) in attributes(body).zip(flagged_attributes(body)) {
        let ((kind, _), (flagged, value)) = (attribute?, flagged?);
        if kept.contains(&kind) {
            writer.attribute(flagged, value);
        }
    }
    Ok(writer.bytes().to_vec())
}

impl Set {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let number = |kind| find(body, kind).and_then(|value| value.map(u32_of).transpose());
        let description = find(body, NFTA_SET_DESC)?.unwrap_or_default();
        Ok(Self {
            name: set_name(&text_of(find(body, NFTA_SET_NAME)?.ok_or(Malformed)?), number(NFTA_SET_ID)?),
            flags: number(NFTA_SET_FLAGS)?.unwrap_or(0),
            key_type: number(NFTA_SET_KEY_TYPE)?.unwrap_or(0),
            key_length: number(NFTA_SET_KEY_LEN)?.unwrap_or(0),
            size: find(description, NFTA_SET_DESC_SIZE)?.map(u32_of).transpose()?,
            attributes: only(body, &SET_SETTINGS)?,
            elements: Arc::default(),
        })
    }
}

impl Helper {
    /// `None` for an object of another kind.
    fn read(body: &[u8]) -> Result<Option<Self>, Malformed> {
        if find(body, NFTA_OBJ_TYPE)?.map(u32_of).transpose()? != Some(NFT_OBJECT_CT_HELPER) {
            return Ok(None);
        }
        let data = find(body, NFTA_OBJ_DATA)?.unwrap_or_default();
        Ok(Some(Self {
            name: text_of(find(body, NFTA_OBJ_NAME)?.ok_or(Malformed)?),
            kind: find(data, NFTA_CT_HELPER_NAME)?.map(text_of).unwrap_or_default(),
            protocol: find(data, NFTA_CT_HELPER_L4PROTO)?.and_then(|value| value.first().copied()),
        }))
    }
}

impl Chain {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let hook = find(body, NFTA_CHAIN_HOOK)?;
        let base = match hook {
            None => None,
            Some(hook) => Some(Base {
                kind: find(body, NFTA_CHAIN_TYPE)?.map(text_of).unwrap_or_default(),
                hook: find(hook, NFTA_HOOK_HOOKNUM)?.map(u32_of).transpose()?.unwrap_or(u32::MAX),
                priority: find(hook, NFTA_HOOK_PRIORITY)?.map(u32_of).transpose()?.unwrap_or(0).cast_signed(),
                policy: find(body, NFTA_CHAIN_POLICY)?.map(u32_of).transpose()?.map_or(NF_ACCEPT, u32::cast_signed),
                on_devices: find(hook, NFTA_HOOK_DEV)?.or(find(hook, NFTA_HOOK_DEVS)?).is_some(),
                devices: devices(hook)?,
            }),
        };
        Ok(Self {
            name: text_of(find(body, NFTA_CHAIN_NAME)?.ok_or(Malformed)?),
            base,
            flags: find(body, NFTA_CHAIN_FLAGS)?.map(u32_of).transpose()?.unwrap_or(0) & !NFT_CHAIN_BASE,
            attributes: only(body, &CHAIN_SETTINGS)?,
            rules: Vec::new(),
        })
    }
}

/// The devices of a hook.
fn devices(hook: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    // A device may be called `e*`, and is then none of those that begin with `e`.
    let one = |name: &[u8]| Some(text_of(name)).filter(|name| !name.ends_with('*'));
    let mut found: Vec<_> = find(hook, NFTA_HOOK_DEV)?.into_iter().map(one).collect();
    for device in attributes(find(hook, NFTA_HOOK_DEVS)?.unwrap_or_default()) {
        let name = match device? {
            (NFTA_DEVICE_NAME, name) => one(name),
            (NFTA_DEVICE_PREFIX, begin) => Some(format!("{}*", text_of(begin))),
            _ => None,
        };
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// A rule's expressions with a counter that begins with these packets and bytes.
///
/// # Errors
/// Where the bytes are no attributes.
pub fn with_counts(expressions: &[u8], (packets, bytes): (u64, u64)) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::with_capacity(expressions.len());
    for element in attributes(expressions) {
        let (_, value) = element?;
        if find(value, NFTA_EXPR_NAME)? != Some(b"counter\0".as_slice()) {
            writer.nest(NFTA_LIST_ELEM, |writer| writer.raw(value));
            continue;
        }
        writer.nest(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, "counter");
            writer.nest(NFTA_EXPR_DATA, |writer| {
                writer.attribute(NFTA_COUNTER_BYTES, &bytes.to_be_bytes());
                writer.attribute(NFTA_COUNTER_PACKETS, &packets.to_be_bytes());
            });
        });
    }
    Ok(writer.into_bytes())
}
