//! What decides on a packet, by the legs of its way.

use super::{By, Named, Stage};
use crate::dialect::nft::placed;
use crate::ir::{Place, Policy, Rule, Table, Verdict};
use crate::semantics::{Door, Leg, Step};

/// What blocks a packet, or may: the last rule that has a say at the first leg on which it may be lost.
pub(super) fn blocking(legs: &[Leg<'_>]) -> Option<By> {
    let leg = legs.iter().find(|leg| leg.outcome.may_block)?;
    // Of chains that have one turn it is not the last that decides.
    let blocks = |step: &&Step<'_>| match step.rule.map(|rule| &rule.verdict) {
        Some(verdict) => matches!(verdict, Some(Verdict::Drop | Verdict::Reject(_))),
        None => step.chain.base.is_some_and(|base| base.policy == Policy::Drop),
    };
    let step = leg.steps.iter().rev().find(|step| step.certain && blocks(step));
    step.map(|step| told(leg, step)).or_else(|| by(leg))
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
    let rule = step.rule.map(|rule| named(step.table, rule));
    By { stage, table: name_of(step.table), legacy: step.table.legacy, chain: step.chain.name.clone(), rule }
}

fn named(table: &Table, rule: &Rule) -> Named {
    match &rule.place {
        Some(place @ Place { line: 0, .. }) => Named::Handle(placed(table, rule, place)),
        Some(Place { line, text, .. }) => Named::Line(*line, text.clone()),
        None => Named::Remark(rule.comment.clone().unwrap_or_default()),
    }
}

pub(super) fn name_of(table: &Table) -> String {
    format!("{} {}", table.family.name(), table.name)
}
