//! What decides on a packet, by the legs of its way.

use super::{By, Stage};
use crate::ir::{Family, Rule, Table};
use crate::semantics::{Door, Leg, Step};

/// What blocks a packet, or may: the last rule that has a say at the first leg on which it may be lost.
pub(super) fn blocking(legs: &[Leg<'_>]) -> Option<By> {
    let leg = legs.iter().find(|leg| leg.outcome.may_block)?;
    by(leg)
}

/// What leads a packet elsewhere.
pub(super) fn leading(legs: &[Leg<'_>]) -> Option<By> {
    by(legs.iter().find(|leg| leg.door.is_none())?)
}

/// What lets a packet in: the translation, where there is one, or the last rule that has a say at input.
pub(super) fn admitting(legs: &[Leg<'_>]) -> Option<By> {
    let translated = legs.iter().find(|leg| leg.door.is_none());
    by(translated.or_else(|| legs.iter().find(|leg| leg.door == Some(Door::Input)))?)
}

/// What keeps a packet's way from being decided: the first rule that applies or not on a leg that is open.
pub(super) fn doubted(legs: &[Leg<'_>]) -> Option<By> {
    let open = legs.iter().filter(|leg| leg.outcome.may_pass && leg.outcome.may_block);
    let found = open.clone().find_map(|leg| {
        let unsure = leg.steps.iter().find(|step| !step.certain && step.rule.is_some());
        unsure.map(|step| told(leg, step))
    });
    found.or_else(|| by(open.clone().next().or_else(|| legs.iter().find(|leg| leg.door.is_none()))?))
}

fn by(leg: &Leg<'_>) -> Option<By> {
    Some(told(leg, leg.steps.last()?))
}

fn told(leg: &Leg<'_>, step: &Step<'_>) -> By {
    let stage = match leg.door {
        None => Stage::Translation,
        Some(Door::AnswersLeave | Door::RequestsLeave | Door::RequestsTranslated) => Stage::Out,
        Some(_) => Stage::In,
    };
    let rule = step.rule.map(|rule| (rule.place.as_ref().map(|place| place.line), text_of(rule)));
    By { stage, table: name_of(step.table), chain: step.chain.name.clone(), rule }
}

fn text_of(rule: &Rule) -> String {
    let place = rule.place.as_ref().map(|place| place.text.clone());
    place.or_else(|| rule.comment.clone()).unwrap_or_default()
}

pub(super) fn name_of(table: &Table) -> String {
    let family = match table.family {
        Family::Inet => "inet",
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
    };
    format!("{family} {}", table.name)
}
