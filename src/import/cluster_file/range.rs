//! The lines that give a node a distribution range, for the file in which it is set or can be.

use crate::cluster::{Form, Profile};
use crate::diagnostic::{Code, Diagnostic};
use crate::import::files::Kind;
use crate::import::settings::{Distribution, Range, Setting, Settings, Style};
use crate::net::PortRange;

/// Lines, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// In words: `in vm.args`.
    pub place: String,
    /// As they stand there.
    pub lines: Vec<String>,
}

/// The file that has the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    /// riak.conf or rabbitmq.conf.
    Conf,
    VmArgs,
    /// app.config; of RabbitMQ, advanced.config or rabbitmq.config.
    Terms,
    /// rabbitmq-env.conf, where a range is a single port only.
    Environment,
}

/// The file of keys and values that a program has.
fn conf_of(profile: &Profile) -> Option<Kind> {
    [Kind::RiakConf, Kind::RabbitmqConf].into_iter().find(|kind| profile.has_file(kind.word()))
}

/// The lines that set this range: in the file that sets it now, because another would not be heard or would contradict it;
/// else in each file in which this node could have it; without settings, in each that there is.
#[must_use]
pub fn lines_for(range: PortRange, profile: &Profile, settings: Option<&Settings>) -> Vec<Lines> {
    let style = settings.map(|settings| settings.style);
    let lines = |file: File, set: bool| lines(range, profile, style, file, set);
    let Some(settings) = settings else {
        return [File::Conf, File::VmArgs, File::Terms].into_iter().filter_map(|file| lines(file, false)).collect();
    };
    let distribution = &settings.distribution;
    let of = |setting: &Setting<u16>| file_of(setting, profile);
    // What vm.args says counts before app.config.
    let strongest = |set: Vec<File>| {
        [File::VmArgs, File::Terms, File::Conf, File::Environment].into_iter().find(|file| set.contains(file))
    };
    let range_in = strongest(distribution.minimum.iter().chain(&distribution.maximum).map(of).collect());
    let first = range_in.or_else(|| strongest(distribution.fixed.iter().map(of).collect()));
    let found = match (first.filter(|file| *file != File::Environment), settings.style) {
        (Some(file), _) => vec![lines(file, range_in.is_some())],
        (None, Style::Conf) => vec![lines(File::Conf, false)],
        (None, Style::RabbitmqConfig) => vec![lines(File::Terms, false)],
        (None, Style::AppConfig) => vec![lines(File::VmArgs, false), lines(File::Terms, false)],
    };
    found.into_iter().flatten().collect()
}

/// A setting is called as its file writes it; the variables of a program are weaker than its file of keys and values.
fn file_of(setting: &Setting<u16>, profile: &Profile) -> File {
    let is_key = || {
        let word = conf_of(profile).map_or("", Kind::word);
        let keys = profile.services.iter().flat_map(|service| service.keys_in(word));
        keys.into_iter().any(|key| key.key() == setting.name)
    };
    if setting.name.starts_with('-') {
        File::VmArgs
    } else if is_key() {
        File::Conf
    } else if setting.name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        File::Environment
    } else {
        File::Terms
    }
}

/// Where a node has Erlang terms.
fn terms_of(profile: &Profile, style: Option<Style>) -> Kind {
    match style {
        Some(Style::RabbitmqConfig) => Kind::RabbitmqConfig,
        // Beside riak.conf: an app.config would displace both.
        Some(Style::Conf) => Kind::AdvancedConfig,
        _ if profile.has_file(Kind::RabbitmqConf.word()) => Kind::AdvancedConfig,
        _ => Kind::AppConfig,
    }
}

/// `None` where the program has no such file, or no key for it.
fn lines(range: PortRange, profile: &Profile, style: Option<Style>, file: File, set: bool) -> Option<Lines> {
    let (first, last) = (range.first(), range.last());
    let (name, lines) = match file {
        File::Conf => {
            let conf = conf_of(profile)?;
            let keys = profile.service("distribution")?.keys_in(conf.word());
            let key = |form: Form, port: u16| {
                keys.iter().find(|key| *key.form() == form).map(|key| format!("{} = {port}", key.key()))
            };
            // Beside rabbitmq.config the folder counts, and rabbitmq.conf does not.
            let named = if style == Some(Style::RabbitmqConfig) { Kind::RabbitmqConfD } else { conf };
            (named.name(), vec![key(Form::First, first)?, key(Form::Last, last)?])
        }
        File::VmArgs => ("vm.args", vec![format!("-kernel inet_dist_listen_min {first} inet_dist_listen_max {last}")]),
        File::Environment => return None,
        File::Terms => (
            terms_of(profile, style).name(),
            vec![format!("{{kernel, [{{inet_dist_listen_min, {first}}}, {{inet_dist_listen_max, {last}}}]}}")],
        ),
    };
    let place = match (file, set) {
        (_, true) => format!("in {name}, in place of what is set there"),
        // Erlang does not start with an application that stands twice (seen on OTP 25).
        (File::Terms, false) => format!("in {name} (its two settings into `kernel`, if that is there already)"),
        (File::Conf | File::VmArgs | File::Environment, false) => format!("in {name}"),
    };
    Some(Lines { place, lines })
}

/// The finding about a range that ends before it begins. Each half counts by itself, and may stand in another file than the other; the
/// node then says `eaddrinuse` of ports that are free (seen on OTP 25 and 29).
#[must_use]
pub fn inverted(distribution: &Distribution) -> Diagnostic {
    let message =
        "the distribution range begins above its end: the node does not start, and says that the address is in use";
    let help = "swap minimum and maximum, or set both in one file: of several, each half counts by itself";
    let finding = match (&distribution.minimum, &distribution.maximum) {
        (Some(minimum), Some(maximum)) => Diagnostic::new(Code::InvertedRange, minimum.span, message)
            .label(format!("it begins at {}", minimum.value))
            .also(maximum.span, format!("and ends at {}", maximum.value)),
        (Some(one), None) | (None, Some(one)) => Diagnostic::new(Code::InvertedRange, one.span, message),
        (None, None) => Diagnostic::placeless(Code::InvertedRange, message),
    };
    finding.help(help)
}

/// Which release takes which port, where that differs. From OTP 23 on the flag takes the place of the range, from OTP 27 on the setting
/// does (`erl_epmd.erl`, `listen_port_please/2`, of Erlang/OTP; OTP 25 does not know the setting, as was seen there).
#[must_use]
pub fn by_release(distribution: &Distribution) -> Option<Diagnostic> {
    let fixed = distribution.fixed.first().filter(|_| distribution.depends_on_release())?;
    let release = if fixed.name == "-erl_epmd_port" { 23 } else { 27 };
    let otherwise = match distribution.range() {
        Range::Ports(_) => "the range",
        Range::Unset | Range::MaximumOnly => "any free port",
        Range::Inverted => "no port, since its range begins above its end",
    };
    let message = format!(
        "`{}` {} is the distribution's port from OTP {release} on; an older release does not know it, and takes {otherwise}",
        fixed.name, fixed.value
    );
    let finding = Diagnostic::new(Code::FixedPort, fixed.span, message);
    Some(finding.help(format!(
        "set inet_dist_listen_min and inet_dist_listen_max to {}, too, so that every release takes it",
        fixed.value
    )))
}

/// Ranges that are set where the program may not heed them.
pub fn unheeded(distribution: &Distribution) -> impl Iterator<Item = Diagnostic> {
    distribution.unheeded.iter().map(|one| {
        let message = format!(
            "`{}` has no effect in today's releases, which set the range themselves; another release may take {}",
            one.name, one.value
        );
        let finding = Diagnostic::new(Code::FixedPort, one.span, message);
        finding
            .help("set the range in rabbitmq.conf, and take the flags away, so that every release takes the same ports")
    })
}

/// The lines as one sentence: write these here, or those there.
#[must_use]
pub fn ways(range: PortRange, profile: &Profile, settings: Option<&Settings>) -> String {
    let ways: Vec<String> = lines_for(range, profile, settings)
        .into_iter()
        .map(|lines| {
            let shown: Vec<String> = lines.lines.iter().map(|line| format!("`{line}`")).collect();
            format!("{} {}", shown.join(" and "), lines.place)
        })
        .collect();
    format!("write {}", ways.join(", or "))
}
