//! Which of the listeners that are set are in force.
//!
//! Of one setting the strongest file decides. Between settings of different versions it is not always the newest alone:
//!
//! - protobuf: from Riak 1.4 on, the list `riak_api pb` and the pair `riak_api pb_ip` and `pb_port` add up (`riak_api_sup.erl`,
//!   <https://github.com/basho/riak_api>), whichever file each is from. Riak 1.2 looks for address and port separately, first
//!   in `riak_api`, then in `riak_kv`, so halves in both make a listener there. It is unknown which version reads the
//!   files, so what any of them may open is taken as open.
//! - http: the pair `riak_core web_ip` and `web_port` counts exactly when the lists `http` and `https` of `riak_core` are
//!   both empty (`riak_core_sup.erl`, <https://github.com/basho/riak_core>), and `riak_api http` is not there at all.
//! - the management of RabbitMQ: the old `management.listener` and `management.tcp` are two listeners, each with its own address and the
//!   usual port (`rabbit_mgmt_app.erl`, `get_listeners_config/0`).

use super::keys::DISTRIBUTION;
use super::{Bind, Draft, Layout, Listener, PairName, Rank, Setting, Slot, Source, not_in_force, place, usual};
use crate::cluster::Service;
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::files::Kind;

/// `None`: set to listen nowhere.
type Address = Setting<Option<(Bind, u16)>>;

/// An address and a port that stand apart, as far as they are set.
struct Pair {
    ip: Option<Setting<Bind>>,
    port: Option<Setting<u16>>,
}

/// All of them, in the order of the services, and with the program's defaults where a file was read that would say otherwise.
pub(super) fn in_force(draft: &mut Draft, findings: &mut Findings) -> Vec<Listener> {
    let services = draft.profile.services.iter().filter(|service| service.name() != DISTRIBUTION);
    services.flat_map(|service| of_service(service, draft, findings)).collect()
}

fn of_service(service: &'static Service, draft: &mut Draft, findings: &mut Findings) -> Vec<Listener> {
    let name = service.name();
    let by_default = usual(service).filter(|_| draft.knows_listeners && service.is_by_default());
    // What weaker files have in halves does not count beside a list.
    let lists = draft.listeners.get(name).and_then(|slot| slot.0.iter().map(|(rank, _)| *rank).max());
    // What a weaker file says of a port counts for nothing beside a list of options without one: then it is the usual port.
    let ports = draft.halves.get(name).map(|(_, ports)| ports.0.as_slice()).unwrap_or_default();
    let is_weaker = !ports.is_empty() && ports.iter().all(|(rank, _)| rank.1 < Source::Config);
    let replaced = is_weaker && draft.replaced.contains(&name);
    // A word for no listener at all, as RabbitMQ has it, beats those that are set beside it.
    let is_word = |(rank, one): &(Rank, Address)| lists == Some(*rank) && rank.1 == Source::Conf && one.value.is_none();
    let nowhere = draft.listeners.get(name).is_some_and(|slot| slot.0.iter().any(is_word));
    let set = match name {
        "http" => http(draft, findings),
        "protobuf" => protobuf(draft, findings),
        other => draft.listeners.remove(other).unwrap_or_default().in_force(findings),
    };
    let mut found: Vec<Listener> = Vec::new();
    found.extend(set.iter().filter(|_| !nowhere).filter_map(|Setting { value, name: setting, span }| {
        let (bind, port) = value.clone()?;
        let setting = Some((setting.clone(), *span));
        Some(Listener { service: name, bind, port, bind_setting: setting.clone(), setting })
    }));
    let apart = of_halves(service, draft, lists, findings);
    let is_set = apart.is_some();
    let apart = apart.unwrap_or_default();
    let (unsure, sure): (Vec<&Listener>, Vec<&Listener>) = apart
        .iter()
        .partition(|one| one.setting.as_ref().is_some_and(|(_, span)| draft.unsure.contains(&(name, *span))));
    unsure.iter().filter_map(|one| moved_perhaps(service, one)).for_each(|finding| findings.push(finding));
    let is_sure = !set.is_empty() || !sure.is_empty() || (is_set && unsure.is_empty());
    // What may be moved may also be where it always is.
    let by_default = if unsure.is_empty() { by_default } else { usual(service) };
    found.extend(apart.iter().cloned());
    if let Some((bind, port)) = usual(service).filter(|_| replaced) {
        found.push(Listener { service: name, bind, port, setting: None, bind_setting: None });
    }
    if let Some((bind, port)) = by_default.filter(|_| !is_sure) {
        found.push(Listener { service: name, bind, port, setting: None, bind_setting: None });
    }
    found
}

/// That a port is set by what not every release heeds.
fn moved_perhaps(service: &Service, one: &Listener) -> Option<Diagnostic> {
    let (setting, span) = one.setting.as_ref()?;
    let name = service.name();
    let message = format!(
        "`{setting}` moves `{name}` in some releases only: port {} is guarded, and so is the one that it has otherwise",
        one.port
    );
    let sure = [Kind::RabbitmqConf, Kind::AppConfig].into_iter().flat_map(|kind| service.keys_in(kind.word()));
    let help = match sure.into_iter().find(|key| key.is_sure()) {
        Some(key) => format!("set it by `{}`, and take this away", key.key()),
        None => "take it away where it is not needed".to_owned(),
    };
    Some(Diagnostic::new(Code::FixedPort, *span, message).help(help))
}

/// Those whose address and port are set apart, each half with its default; `None` where neither is set, or a list prevails. A service that
/// listens only once it is switched on does so on what is set, or on the usual port.
fn of_halves(
    service: &'static Service,
    draft: &mut Draft,
    lists: Option<Rank>,
    findings: &mut Findings,
) -> Option<Vec<Listener>> {
    let name = service.name();
    let (ips, ports) = draft.halves.remove(name).unwrap_or_default();
    // What is set for certain is in force whatever is set perhaps.
    let is_unsure = |(_, one): &(Rank, Setting<u16>)| draft.unsure.contains(&(name, one.span));
    let (unsure, ports): (Vec<_>, Vec<_>) = ports.0.into_iter().partition(is_unsure);
    let (unsure, ports) = (Slot(unsure), Slot(ports));
    let is_weaker = |rank: Rank| lists.is_some_and(|(_, source)| rank.1 < source && rank.1 == Source::Environment);
    let strongest = ports.0.iter().map(|(rank, _)| *rank).chain(ips.0.iter().map(|(rank, _)| *rank)).max();
    let switch = draft.switches.remove(name).and_then(|slot| slot.last(findings)).filter(|on| on.value);
    let is_weak = strongest.is_some_and(is_weaker);
    let mut found: Option<Vec<Listener>> = None;
    for (ips, ports) in groups(ips, ports) {
        let (ip, ports) = (ips.last(findings), ports.in_force(findings));
        if let Some(own) = of_group(service, (ip, ports), switch.as_ref(), is_weak, findings) {
            found.get_or_insert_default().extend(own);
        }
    }
    for port in unsure.in_force(findings) {
        let Some((bind, _)) = usual(service) else { continue };
        let setting = Some((port.name, port.span));
        found.get_or_insert_default().push(Listener {
            service: name,
            bind,
            port: port.value,
            setting,
            bind_setting: None,
        });
    }
    found
}

/// Apart from each other: those of an old `listener`, and all others. One of them may be empty, and comes only where both are.
fn groups(ips: Slot<Bind>, ports: Slot<u16>) -> Vec<(Slot<Bind>, Slot<u16>)> {
    fn is_old<T>((_, setting): &(Rank, Setting<T>)) -> bool {
        let name = setting.name.as_str();
        name.rsplit_once('.').map_or(name, |(group, _)| group).ends_with("listener")
    }
    let (old_ips, ips): (Vec<_>, Vec<_>) = ips.0.into_iter().partition(is_old);
    let (old_ports, ports): (Vec<_>, Vec<_>) = ports.0.into_iter().partition(is_old);
    let (old, new) = ((Slot(old_ips), Slot(old_ports)), (Slot(ips), Slot(ports)));
    match (old.0.0.is_empty() && old.1.0.is_empty(), new.0.0.is_empty() && new.1.0.is_empty()) {
        (true, _) => vec![new],
        (false, true) => vec![old],
        (false, false) => vec![new, old],
    }
}

fn of_group(
    service: &'static Service,
    (ip, ports): (Option<Setting<Bind>>, Vec<Setting<u16>>),
    on: Option<&Setting<bool>>,
    is_weak: bool,
    findings: &mut Findings,
) -> Option<Vec<Listener>> {
    let name = service.name();
    if is_weak {
        let weaker = ports.iter().filter_map(|port| place(&Some(port.clone()))).chain(place(&ip));
        for (setting, span) in weaker {
            let message = format!("`{setting}` does not move `{name}`, whose listeners are set elsewhere");
            findings.push(Diagnostic::new(Code::Overridden, span, message));
        }
        return None;
    }
    let needs_switch = service.needs_switch();
    if (needs_switch && on.is_none()) || (!needs_switch && ip.is_none() && ports.is_empty()) {
        return None;
    }
    let (bind, usual) = usual(service)?;
    let bind = ip.as_ref().map_or(bind, |ip| ip.value.clone());
    let by_switch = || on.map(|on| (on.name.clone(), on.span));
    let listener = |port: u16, setting: Option<(String, Span)>| Listener {
        service: name,
        setting: setting.or_else(|| place(&ip)).or_else(by_switch),
        bind_setting: place(&ip),
        bind: bind.clone(),
        port,
    };
    if ports.is_empty() {
        return Some(vec![listener(usual, None)]);
    }
    Some(ports.iter().map(|port| listener(port.value, Some((port.name.clone(), port.span)))).collect())
}

fn http(draft: &mut Draft, findings: &mut Findings) -> Vec<Address> {
    let slot = draft.listeners.remove("http").unwrap_or_default();
    let is_newest = slot.0.iter().any(|((layout, _), _)| *layout == Layout::Third);
    let mut set = slot.in_force(findings);
    let pair = Pair::take(draft, ("http", "riak_core"), findings);
    let Some(old) = pair.whole() else {
        set.extend(pair.half(findings));
        return set;
    };
    let of_list = set.iter().rfind(|one| is_newest || one.value.is_some());
    match of_list.or(draft.listeners.get("https").and_then(core_list)) {
        Some(new) => findings.push(not_in_force(&old, Some(new))),
        None => set.push(old),
    }
    set
}

/// What `riak_core https` opens.
fn core_list(slot: &Slot<Option<(Bind, u16)>>) -> Option<&Address> {
    let own = || slot.0.iter().filter(|((layout, _), _)| *layout == Layout::Second);
    let strongest = own().map(|((_, source), _)| *source).max()?;
    own().rfind(|((_, source), one)| *source == strongest && one.value.is_some()).map(|(_, one)| one)
}

fn protobuf(draft: &mut Draft, findings: &mut Findings) -> Vec<Address> {
    let mut set = draft.listeners.remove("protobuf").unwrap_or_default().in_force(findings);
    let new = Pair::take(draft, ("protobuf", "riak_api"), findings);
    let old = Pair::take(draft, ("protobuf", "riak_kv"), findings);
    let listens = |set: &[Address]| set.iter().rfind(|one| one.value.is_some()).cloned();
    if let Some(pair) = new.whole() {
        set.push(pair.clone());
        // Every version that knows `riak_api` has both from there.
        match (old.port, old.ip) {
            (Some(port), _) => findings.push(not_in_force(&port, Some(&pair))),
            (None, Some(ip)) => findings.push(not_in_force(&ip, Some(&pair))),
            (None, None) => {}
        }
        return set;
    }
    let by_list = listens(&set);
    let mixed = new.with_the_rest_of(&old, findings);
    let is_completed = mixed.is_some();
    set.extend(mixed.or_else(|| new.half(findings)));
    match (old.whole(), by_list) {
        (Some(pair), Some(list)) => findings.push(not_in_force(&pair, Some(&list))),
        (Some(pair), None) => set.push(pair),
        (None, _) if is_completed => {}
        (None, _) => set.extend(old.half(findings)),
    }
    set
}

/// Of an address and a port, which may come from different applications.
fn join(ip: Option<&Setting<Bind>>, port: Option<&Setting<u16>>) -> Option<Address> {
    let (ip, port) = (ip?, port?);
    Some(Setting { value: Some((ip.value.clone(), port.value)), name: port.name.clone(), span: port.span })
}

impl Pair {
    fn take(draft: &mut Draft, name: PairName, findings: &mut Findings) -> Self {
        let (ips, ports) = draft.pairs.remove(&name).unwrap_or_default();
        Self { ip: ips.last(findings), port: ports.last(findings) }
    }

    fn whole(&self) -> Option<Address> {
        join(self.ip.as_ref(), self.port.as_ref())
    }

    /// The listener of a half and what the older application has to complete it.
    fn with_the_rest_of(&self, old: &Self, findings: &mut Findings) -> Option<Address> {
        let port_first = place(&self.port).zip(place(&old.ip));
        let (half, rest) = port_first.or_else(|| place(&self.ip).zip(place(&old.port)))?;
        let message = format!("`{}` and `{}` make a listener in Riak 1.2, and none in newer versions", half.0, rest.0);
        let finding = Diagnostic::new(Code::HalfPair, half.1, message).also(rest.1, format!("`{}` is here", rest.0));
        let help = "set address and port in one application; until then this listener is guarded, too";
        findings.push(finding.help(help));
        join(self.ip.as_ref().or(old.ip.as_ref()), self.port.as_ref().or(old.port.as_ref()))
    }

    /// Reports a half. It is set, so Riak's default is not in force either.
    fn half(&self, findings: &mut Findings) -> Option<Address> {
        let (name, span) = place(&self.port).or_else(|| place(&self.ip))?;
        let message = format!("`{name}` is half of an address and port, and so opens nothing");
        findings.push(Diagnostic::new(Code::HalfPair, span, message).help("set both, or take it away"));
        Some(Setting { value: None, name, span })
    }
}
